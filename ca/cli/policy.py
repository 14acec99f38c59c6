# SPDX-License-Identifier: Apache-2.0
"""`attestca policy`: lint offline; list, get, add, activate and retire through the operators' API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ca.cli import output
from ca.cli.exits import Exit
from ca.cli.inputs import now, read_input

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(name="policy", help="Policies.", no_args_is_help=True)

FilesArgument = Annotated[list[str], typer.Argument(metavar="FILE…")]


@app.command("lint")
def lint_command(files: FilesArgument) -> None:
    """Check policies offline: what cannot be loaded, would be refused, or is unwise. Exit: 0 no errors, 1 errors."""
    errors = 0
    for name in files:
        for is_error, line in _remarks(read_input(name)):
            errors += is_error
            output.write(f"{name}: {line}\n")
    if errors:
        raise typer.Exit(Exit.REFUSED)
    output.say("no errors")


def _remarks(text: bytes) -> Iterator[tuple[bool, str]]:
    """Whether it is an error, and what."""
    from policies.errors import PolicyError
    from policies.lint import lint
    from policies.loader import load_policy

    try:
        loaded = load_policy(text)
    except PolicyError as error:
        yield from ((True, f"error: {problem}") for problem in error.problems)
    else:
        yield from ((remark.is_error, str(remark)) for remark in lint(loaded, now()))
