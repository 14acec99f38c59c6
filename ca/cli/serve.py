# SPDX-License-Identifier: Apache-2.0
"""`attestca serve`: the service in the foreground, until it is told to stop."""

from __future__ import annotations

import asyncio

from ca.cli import logs, options, output


def serve_command(config: options.ConfigOption = None) -> None:
    """Run the authority until SIGTERM or Ctrl-C. Prints the two addresses; log lines go to standard error."""
    settings = options.load_config(config)
    logs.configure(settings.log)
    from ca.app.serve import serve

    with logs.reported():
        asyncio.run(serve(settings, _show_addresses))


def _show_addresses(public: str, operators: str) -> None:
    output.write(f"service   {public}\noperators {operators}\n")
