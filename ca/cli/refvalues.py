# SPDX-License-Identifier: Apache-2.0
"""`attestca refvalues`: reference values from machines that are trusted now (capture), or from an image (compute).

Only evidence that verifies gives values, judged at `--at` like everywhere; a guest that its host can look into, or move
by a migration agent, gives none, whatever it measured: what runs in it can be changed afterwards. What is computed
is what such a machine should say; the entry names every input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ca.cli import compute, inspect, output
from ca.cli.exits import VERDICT_EXITS, Exit
from ca.cli.inputs import parse_instant
from verifiers.errors import Verdict
from verifiers.tdx.claims import TdAttribute

if TYPE_CHECKING:
    from verifiers.claims import Claims

app = typer.Typer(name="refvalues", help="Reference values for policies.", no_args_is_help=True)
app.add_typer(compute.app)

EvidenceArgument = Annotated[
    list[str], typer.Argument(metavar="EVIDENCE…", help="TDX quotes, one per machine.")
]
PolicyNameOption = Annotated[
    str | None, typer.Option("--policy", metavar="NAME", help="Print a whole policy of this name.")
]
IdOption = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="Of the entry. Default: captured-<date>.")
]
NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="For people and audits.")]

_OPEN = {
    TdAttribute.DEBUG,
    TdAttribute.PROFILING_4,
    TdAttribute.PROFILING_5,
    TdAttribute.PROFILING_6,
}


@app.callback()
def _group() -> None:
    """Reference values for policies."""


@app.command("capture")
def capture_command(
    evidence: EvidenceArgument,
    collateral: inspect.CollateralOption = None,
    at: inspect.AtOption = None,
    policy: PolicyNameOption = None,
    entry_id: IdOption = None,
    note: NoteOption = "",
) -> None:
    """Print a reference entry (YAML) of what these machines run; with --policy NAME a policy that accepts just that."""
    from policies.capture import capture_entries, capture_policy
    from policies.errors import PolicyError

    claims = [_verified(name, collateral, at) for name in evidence]
    added = parse_instant(at)
    entry_id = entry_id or f"captured-{added:%Y-%m-%d}"
    try:
        if policy is None:
            text = capture_entries(claims, entry_id=entry_id, added=added, note=note)
        else:
            text = capture_policy(claims, name=policy, entry_id=entry_id, added=added, note=note)
    except PolicyError as error:  # the names given here are all that can be wrong
        raise typer.BadParameter("; ".join(one.message for one in error.problems)) from error
    output.write(text)


def _verified(name: str, collateral: str | None, at: str | None) -> Claims:
    """The claims of evidence that verifies; otherwise ends the program with the verdict."""
    found = inspect.inspect([name], collateral, at)
    if found.verdict is not Verdict.VERIFIED or found.claims is None:
        output.say(f"attestca: {name}: {found.verdict}: {found.reason}: {found.detail}")
        raise typer.Exit(VERDICT_EXITS[found.verdict])
    if found_open := _OPEN & found.claims.attributes:
        output.say(
            f"attestca: {name}: its TD is open to its host ({', '.join(sorted(found_open))});"
            " what it measured proves nothing"
        )
        raise typer.Exit(Exit.REFUSED)
    return found.claims
