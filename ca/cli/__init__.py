# SPDX-License-Identifier: Apache-2.0
"""The command line: one module per group of commands; this one assembles them and ends with the right exit code."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from typing import Annotated

import typer

from ca.cli import (
    appraise,
    chain,
    collateral,
    database,
    initialize,
    issuer,
    log,
    output,
    policy,
    records,
    refvalues,
    revoke,
    serve,
    tokens,
    trust,
    verify,
)
from ca.cli.exits import Exit, explain


@dataclass(slots=True)
class Session:
    """What holds for one run of the program."""

    traceback: bool = False


app = typer.Typer(
    name="attestca",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer's form of a flag
    if asked:
        from importlib.metadata import version

        output.write(f"attestca {version('attestca')}\n")
        raise typer.Exit


@app.callback()
def _attestca(
    context: typer.Context,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="On an error, show where in the program it came up.")
    ] = False,
    version: Annotated[  # noqa: ARG001 - its callback does it
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Attestation certification authority: hardware evidence in, short-lived certificates out.

    Exit codes: 0, 1 and 2 are verdicts; 64 wrong usage, 66 unreadable input or configuration, 69 service or database
    unavailable, 70 internal error.
    """
    context.obj.traceback = traceback


app.command("verify")(verify.verify_command)
app.command("appraise")(appraise.appraise_command)
app.command("collateral")(collateral.collateral_command)
app.add_typer(policy.app)
app.add_typer(refvalues.app)
app.add_typer(records.certs)
app.add_typer(records.refusals)
app.add_typer(records.actions)
app.command("revoke", help=revoke.HELP)(revoke.revoke_command)
app.command("revocations")(revoke.revocations_command)
app.command("init")(initialize.init_command)
app.command("serve")(serve.serve_command)
app.add_typer(issuer.app)
app.add_typer(log.app)
app.add_typer(chain.app)
app.add_typer(trust.app)
app.add_typer(tokens.app)
app.add_typer(database.app)
app.command("backup")(database.backup_command)
app.command("restore")(database.restore_command)


def main() -> None:
    """Console script `attestca`: run a command and end with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; never raises, whatever happens in it. Returns the exit code."""
    session = Session()
    try:
        result = app(arguments, standalone_mode=False, obj=session)
    except Exception as error:  # noqa: BLE001 - the outermost line of the program
        code, message = explain(error)
        if session.traceback:
            traceback.print_exception(error)
        output.say(f"attestca: {message}")
        return code
    return result if isinstance(result, int) else Exit.OK
