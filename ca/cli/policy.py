# SPDX-License-Identifier: Apache-2.0
"""`attestca policy`: lint and diff offline; simulate over the database; the rest through the operators' API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ca.cli import options, output, policy_diff, remote, simulate
from ca.cli.exits import Exit
from ca.cli.inputs import now, read_input
from ca.cli.policy_texts import POLICIES, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(name="policy", help="Policies.", no_args_is_help=True)

FilesArgument = Annotated[list[str], typer.Argument(metavar="FILE…")]
FileArgument = Annotated[str, typer.Argument(metavar="FILE")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME")]
VersionArgument = Annotated[int, typer.Argument(metavar="VERSION", min=1)]


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


@app.command("list")
def list_command(
    url: remote.UrlOption = remote.DEFAULT_URL,
    token_file: remote.TokenFileOption = None,
    ca_root: remote.CaRootOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Show every version of every policy, and which are in force."""
    found = remote.connect(url, token_file, ca_root).get(POLICIES, "policies")
    if json_:
        output.print_json(found)
        return
    columns = ("name", "version", "state", "added at", "added by", "sha256")
    rows = ([str(one[column.replace(" ", "_")]) for column in columns] for one in found["policies"])
    output.print_table(columns, rows, "Policies")


@app.command("get")
def get_command(
    name: NameArgument,
    version: VersionArgument,
    url: remote.UrlOption = remote.DEFAULT_URL,
    token_file: remote.TokenFileOption = None,
    ca_root: remote.CaRootOption = None,
) -> None:
    """Print the text of one version, byte for byte."""
    asked = remote.connect(url, token_file, ca_root)
    output.write_bytes(asked.get_bytes(path_of(name, version)))


@app.command("add")
def add_command(
    file: FileArgument,
    url: remote.UrlOption = remote.DEFAULT_URL,
    token_file: remote.TokenFileOption = None,
    ca_root: remote.CaRootOption = None,
) -> None:
    """Add a version, as a draft. It is not in force before it is activated."""
    text = read_input(file)
    added = remote.connect(url, token_file, ca_root).post(POLICIES, text)
    _show(added)
    if added["state"] == "draft":
        output.say(f"Next: attestca policy activate {added['name']} {added['version']}")


@app.command("activate")
def activate_command(
    name: NameArgument,
    version: VersionArgument,
    url: remote.UrlOption = remote.DEFAULT_URL,
    token_file: remote.TokenFileOption = None,
    ca_root: remote.CaRootOption = None,
) -> None:
    """Put a version into force; the version before it is retired."""
    asked = remote.connect(url, token_file, ca_root)
    _show(asked.post(f"{path_of(name, version)}/activate"))


@app.command("retire")
def retire_command(
    name: NameArgument,
    version: VersionArgument,
    url: remote.UrlOption = remote.DEFAULT_URL,
    token_file: remote.TokenFileOption = None,
    ca_root: remote.CaRootOption = None,
) -> None:
    """Take a version out of force, for good."""
    asked = remote.connect(url, token_file, ca_root)
    _show(asked.post(f"{path_of(name, version)}/retire"))


app.command("simulate")(simulate.simulate_command)
app.command("diff")(policy_diff.diff_command)


def _show(record: dict[str, object]) -> None:
    output.print_facts({name: str(record[name]) for name in ("name", "version", "state", "sha256")})
