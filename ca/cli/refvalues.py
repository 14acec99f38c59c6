# SPDX-License-Identifier: Apache-2.0
"""`attestca refvalues`: reference values from machines that are trusted now (capture), or from an image (compute).

Only evidence that verifies gives values, judged at `--at` like everywhere; a guest that its host can look into, or move
by a migration agent, gives none, whatever it measured: what runs in it can be changed afterwards. What is computed
is what such a machine should say; the entry names every input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias, assert_never

import typer

from ca.cli import compute, foreign, inspect, output, snp_view
from ca.cli.exits import VERDICT_EXITS, Exit
from ca.cli.inputs import parse_instant, read_input
from verifiers import registry
from verifiers.errors import Verdict, VerificationError
from verifiers.evidence import CPU_KINDS, LOG_KINDS
from verifiers.files import identify
from verifiers.logs import booted
from verifiers.snp.claims import GuestPolicyBit, SnpClaims
from verifiers.tdx.claims import TdAttribute, TdxClaims

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.claims import Claims
    from verifiers.eventlog.judged import Boot

File: TypeAlias = tuple[str, bytes]  # name and content
Machine: TypeAlias = tuple[str, Sequence[bytes]]  # names of its files, and the pieces in them

app = typer.Typer(name="refvalues", help="Reference values for policies.", no_args_is_help=True)
app.add_typer(compute.app)

EvidenceArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="EVIDENCE…",
        help="Quotes or reports, one per machine; or all files of one machine, as `attestca verify` takes them.",
    ),
]
PolicyNameOption = Annotated[
    str | None, typer.Option("--policy", metavar="NAME", help="Print a whole policy of this name.")
]
IdOption = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="Of the entry. Default: captured-<date>.")
]
EventsOption = Annotated[
    bool,
    typer.Option(
        "--events",
        help="Print the event list of the machine's log (reference_logs), to paste below `boot:`.",
    ),
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
    events: EventsOption = False,
) -> None:
    """Print a reference entry (YAML) of what these machines run; with --policy NAME a policy that accepts just that.

    Event logs beside the quote stand in the policy as reference logs, by which it tells what differs.
    """
    from policies.capture import capture_entries, capture_logs, capture_policy
    from policies.errors import PolicyError

    added = parse_instant(at)
    machines, bundles = _machines([(name, read_input(name)) for name in evidence])
    bundle = inspect.one_bundle(collateral, bundles)
    claims = [_verified(machine, bundle, added) for machine in machines]
    boots = [_booted(*one) for one in zip(machines, claims, strict=True)]
    entry_id = entry_id or f"captured-{added:%Y-%m-%d}"
    try:
        if events:
            text = capture_logs(claims, boots, entry_id=entry_id)
        elif policy is None:
            text = capture_entries(claims, entry_id=entry_id, added=added, note=note)
        else:
            text = capture_policy(
                claims, name=policy, entry_id=entry_id, added=added, note=note, boots=boots
            )
    except PolicyError as error:  # the names given here are all that can be wrong
        raise typer.BadParameter("; ".join(one.message for one in error.problems)) from error
    except ValueError as error:  # registers that not all of this evidence has
        raise typer.BadParameter(str(error)) from error
    output.write(text)


def _machines(files: list[File]) -> tuple[list[Machine], tuple[bytes, ...]]:
    """The pieces of each machine, and bundles of collateral that stood among the files.

    Every file is one machine's quote or report, or holds all that one machine showed; or else all belong to the same
    machine. Ends the program where a file cannot be unpacked.
    """
    together = ", ".join(name for name, _ in files)
    try:
        unpacked = foreign.unpack([data for _, data in files])
    except VerificationError as error:
        raise _stopped(together, error) from error
    for note in unpacked.notes:
        output.say(f"attestca: {note}")
    each: list[Machine] = [
        (name, held) for (name, _), held in zip(files, unpacked.each, strict=True) if held
    ]
    if all(_is_whole(held) for _, held in each):
        return each, unpacked.bundles
    return [(together, unpacked.files)], unpacked.bundles


def _is_whole(pieces: Sequence[bytes]) -> bool:
    """Whether what one file held is all of one machine's: evidence of a CPU and no more than a log, or a container."""
    try:
        kinds = {piece.kind for piece in identify(pieces).evidence}
    except VerificationError:
        return False  # verification says what is wrong with it
    return bool(kinds & CPU_KINDS) and (len(pieces) > 1 or kinds <= CPU_KINDS | LOG_KINDS)


def _verified(machine: Machine, bundle: bytes | None, now: datetime) -> Claims:
    """The claims of evidence that verifies; otherwise ends the program with the verdict."""
    names, files = machine
    found = inspect.judge_dates(inspect.verify_bytes(files, bundle, now))
    if found.verdict is not Verdict.VERIFIED or found.claims is None:
        output.say(f"attestca: {names}: {found.verdict}: {found.reason}: {found.detail}")
        raise typer.Exit(VERDICT_EXITS[found.verdict])
    if ways := _ways_in(found.claims):
        output.say(
            f"attestca: {names}: this machine is open to its host ({', '.join(ways)});"
            " what it measured proves nothing"
        )
        raise typer.Exit(Exit.REFUSED)
    return found.claims


def _booted(machine: Machine, claims: Claims) -> Boot | None:
    """What the event logs among the files come to; ends the program where one cannot be read."""
    names, files = machine
    try:
        return booted(claims, registry.split(identify(files).evidence)[2])
    except VerificationError as error:
        raise _stopped(names, error) from error


def _stopped(names: str, error: VerificationError) -> typer.Exit:
    """The end of the program with the verdict of an error, which is said."""
    output.say(f"attestca: {names}: {error.reason.verdict}: {error.reason}: {error.detail}")
    return typer.Exit(VERDICT_EXITS[error.reason.verdict])


def _ways_in(claims: Claims) -> Sequence[str]:
    """What lets the host, or whoever it lets, change what runs in there."""
    match claims:
        case TdxClaims():
            return sorted(_OPEN & claims.attributes)
        case SnpClaims():
            debug = [GuestPolicyBit.DEBUG] if GuestPolicyBit.DEBUG in claims.guest_policy else []
            agent = (
                [] if claims.report.report_id_ma == snp_view.NO_AGENT else ["migration agent bound"]
            )
            return [*debug, *agent]
        case _:
            assert_never(claims)
