# SPDX-License-Identifier: Apache-2.0
"""The command line: one module per group of commands; this one assembles them and turns errors into exit codes."""

from __future__ import annotations

import sys

import typer

from ca.cli import output
from ca.cli.exits import Exit
from ca.cli.inputs import UnreadableError
from ca.cli.inspect import verify_command
from ca.errors import AuthorityError, ConfigurationError, Unavailable

app = typer.Typer(
    name="attestca",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _attestca() -> None:
    """Attestation certification authority: hardware evidence in, short-lived certificates out."""


app.command("verify")(verify_command)


def main() -> None:
    """Console script `attestca`: run a command and end with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; never raises for what a user can do wrong. Returns the exit code."""
    try:
        result = app(arguments, standalone_mode=False)
    except (typer.TyperException, typer.Abort, BrokenPipeError) as error:
        return _usage(error)
    except UnreadableError as error:
        return _fail(Exit.UNREADABLE, str(error))
    except ConfigurationError as error:
        return _fail(Exit.UNREADABLE, f"configuration:\n{error.detail}")
    except Unavailable as error:
        return _fail(Exit.UNAVAILABLE, error.detail)
    except AuthorityError as error:
        return _fail(Exit.REFUSED, f"{error.code}: {error.detail}")
    return result if isinstance(result, int) else Exit.OK


def _fail(code: Exit, message: str) -> int:
    output.say(f"attestca: {message}")
    return code


def _usage(error: typer.TyperException | typer.Abort | BrokenPipeError) -> int:
    """A command line that typer did not understand; an interrupted prompt; a reader that went away."""
    match error:
        case typer.TyperException():
            return _fail(Exit.USAGE, f"{error}\nTry --help.")
        case BrokenPipeError():
            return Exit.OK
        case _:
            return _fail(Exit.USAGE, "interrupted")
