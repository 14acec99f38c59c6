# SPDX-License-Identifier: Apache-2.0
"""Runs the operator's command after a certificate was written: an argument list, never a shell, with a time limit.

The command's environment is ours plus ATTESTCA_KEY, ATTESTCA_CERT, ATTESTCA_CHAIN, ATTESTCA_FULLCHAIN (paths),
ATTESTCA_SERIAL and ATTESTCA_NOT_AFTER (RFC 3339). Its output goes to stderr. What it returns is reported and changes
nothing: the certificate stands.
"""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from attestca_client.enroll import Enrollment
    from attestca_client.runtime import Runtime

TIME_LIMIT = 60.0  # seconds
STDERR = 2


def hook_environment(enrollment: Enrollment, environ: Mapping[str, str]) -> dict[str, str]:
    """What the command finds in its environment."""
    directory = enrollment.directory
    return {
        **environ,
        "ATTESTCA_KEY": str(directory.file("key.pem")),
        "ATTESTCA_CERT": str(directory.file("cert.pem")),
        "ATTESTCA_CHAIN": str(directory.file("chain.pem")),
        "ATTESTCA_FULLCHAIN": str(directory.file("fullchain.pem")),
        "ATTESTCA_SERIAL": enrollment.serial,
        "ATTESTCA_NOT_AFTER": f"{enrollment.not_after:%Y-%m-%dT%H:%M:%SZ}",
    }


def run_hook(
    argv: Sequence[str], enrollment: Enrollment, runtime: Runtime, limit: float = TIME_LIMIT
) -> bool:
    """Run `argv`, at most `limit` seconds. Whether it ended with 0; never raises for what the command does."""
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own command line, no shell
            list(argv),
            env=hook_environment(enrollment, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=STDERR,
            start_new_session=True,  # so that the limit ends its children too
        )
    except (OSError, ValueError) as error:
        runtime.say(f"hook {argv[0]}: cannot run: {error}")
        return False
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        runtime.say(f"hook {argv[0]}: ended after {limit:g} s")
        return False
    finally:
        _end(process)
    if code != 0:
        runtime.say(f"hook {argv[0]}: exit code {code}")
    return code == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
