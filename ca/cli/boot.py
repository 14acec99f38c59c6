# SPDX-License-Identifier: Apache-2.0
"""Event logs on the command line: what they come to beside one machine's evidence, offline and without a policy.

A log is judged by replay alone, against the registers of the evidence beside it. Whether that evidence is genuine is
another question with an answer of its own: where it did not verify, the logs are compared with what it says, and that
is said. Logs without evidence are compared with values that the command line names, or with those of a TD report,
which proves nothing to anybody but its own machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from verifiers import registry
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.eventlog.boot import boot_claims
from verifiers.eventlog.events import PCRS, RTMRS, Algorithm, EventLog, Register
from verifiers.eventlog.files import acpi_table, log_pieces
from verifiers.eventlog.judge import parse_logs
from verifiers.eventlog.judged import Boot
from verifiers.eventlog.proven import TD, TPM, Layout
from verifiers.eventlog.replay import demand, replay
from verifiers.evidence import LOG_KINDS, Evidence, EvidenceKind
from verifiers.files import identify
from verifiers.logs import pcrs_of
from verifiers.logs import registers_of as reported
from verifiers.tdx.quote import TdxQuote
from verifiers.vtpm.attest import cut_values, parse_attest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from verifiers.claims import Claims

_TDREPORT_BYTES: Final = 1024
_TDREPORT_TYPE: Final = 0x81
_TDREPORT_RTMRS: Final = range(720, 912, 48)  # TDINFO_STRUCT at 512, its RTMRs at 208
_OF_A_TPM: Final = frozenset(PCRS[:10])  # those of the firmware and boot loaders

RegisterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--register",
        metavar="NAME=HEX",
        help="For event logs without evidence: a register's value, e.g. rtmr0=… or pcr4=… (repeatable).",
    ),
]


class Source(StrEnum):
    """Where the registers are from that logs are compared with."""

    VERIFIED = "verified evidence"
    UNVERIFIED = "evidence that did not verify"
    TD_REPORT = "a TD report, which nobody else can verify"
    STATED = "values of the command line"
    NONE = "nothing"


@dataclass(frozen=True, slots=True)
class Registers:
    """What logs are compared with."""

    source: Source
    values: Mapping[Register, bytes]
    algorithm: Algorithm = Algorithm.SHA384
    layout: Layout = TD


@dataclass(frozen=True, slots=True)
class BootInspection:
    """What came of the logs.

    Attributes:
        reason, detail: why it is not verified; None and "" where every register of the boot is explained.
        logs, boot: None where a log could not be read.
    """

    source: Source
    reason: Reason | None
    detail: str
    logs: tuple[EventLog, ...] | None
    boot: Boot | None

    @property
    def verdict(self) -> Verdict:
        """Of the replay alone."""
        return Verdict.VERIFIED if self.reason is None else self.reason.verdict


def sent(files: Sequence[bytes]) -> tuple[Evidence, ...]:
    """The event logs in files, whatever else these hold."""
    return tuple(piece for data in files for piece in log_pieces(data) if piece.kind in LOG_KINDS)


def beside(files: Sequence[bytes]) -> tuple[bytes, ...]:
    """The files that hold something else than a log: evidence, in one with its log or not."""
    return tuple(data for data in files if not _only_of_a_log(data))


def _only_of_a_log(data: bytes) -> bool:
    pieces = log_pieces(data)
    return (
        data.startswith(b"CCEL")
        or td_report(data) is not None
        or bool(pieces and all(piece.kind in LOG_KINDS for piece in pieces))
    )


def td_report(data: bytes) -> dict[Register, bytes] | None:
    """The RTMRs of a TDREPORT_STRUCT (1024 bytes); None for any other file."""
    if len(data) != _TDREPORT_BYTES or data[0] != _TDREPORT_TYPE:
        return None
    return {
        one: data[start : start + 48] for one, start in zip(RTMRS, _TDREPORT_RTMRS, strict=True)
    }


def parse_registers(texts: Sequence[str]) -> dict[Register, bytes]:
    """Values that the command line names. Raises BadParameter."""
    found: dict[Register, bytes] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            register, data = Register(name.strip().lower()), bytes.fromhex(value)
        except ValueError as error:
            raise typer.BadParameter(f"--register {text!r}: {error}") from error
        if register in found or register is Register.MRTD:
            raise typer.BadParameter(f"--register {text!r}: twice, or no event extends it")
        found[register] = data
    if len({(len(value), one in RTMRS) for one, value in found.items()}) > 1:
        raise typer.BadParameter("--register: values of one bank of one machine are wanted")
    return found


def registers_of(
    claims: Claims | None,
    evidence: Sequence[bytes],
    files: Sequence[bytes],
    stated: Mapping[Register, bytes],
) -> Registers:
    """What the logs are compared with: the first of claims, unverified evidence, a TD report, stated values.

    Raises:
        VerificationError: `evidence` where the evidence has no such register.
        BadParameter: stated values beside evidence, or of no known hash.
    """
    reports = [report for data in files if (report := td_report(data)) is not None]
    if stated and (evidence or reports):
        raise typer.BadParameter("--register is for event logs without evidence")
    if claims is not None:
        return Registers(Source.VERIFIED, *reported(claims))
    if evidence:
        return _unverified(evidence)
    if reports:
        return Registers(Source.TD_REPORT, reports[0])
    if stated:
        return _stated(stated)
    layout, algorithm = TD, Algorithm.SHA384
    if any(piece.kind is EvidenceKind.TPM_EVENT_LOG for piece in sent(files)):
        layout, algorithm = TPM, Algorithm.SHA256
    return Registers(Source.NONE, {}, algorithm, layout)


def _stated(values: Mapping[Register, bytes]) -> Registers:
    size = len(next(iter(values.values())))
    known = [one for one in Algorithm if one.size == size and one is not Algorithm.SM3]
    tpm = not any(one in RTMRS for one in values)
    if not known or (not tpm and known[0] is not Algorithm.SHA384):
        raise typer.BadParameter(f"--register: no such register has {size} bytes")
    return Registers(Source.STATED, values, known[0], TPM if tpm else TD)


def _unverified(evidence: Sequence[bytes]) -> Registers:
    """PCRs as a TPM's quote numbers them, else RTMRs as a TD's says; nothing where neither can be read."""
    try:
        pieces = identify(evidence).evidence
        parts = {piece.kind: piece.data for piece in pieces}
        if EvidenceKind.TPM_ATTEST in parts:
            selection = parse_attest(parts[EvidenceKind.TPM_ATTEST]).selection
            pcrs = cut_values(parts.get(EvidenceKind.TPM_PCRS, b""), selection)
            return Registers(Source.UNVERIFIED, *pcrs_of(pcrs))
        parsed = registry.parse([piece for piece in pieces if piece.kind not in LOG_KINDS])
    except VerificationError:
        return Registers(Source.UNVERIFIED, {})
    if not isinstance(parsed, TdxQuote):
        return Registers(Source.UNVERIFIED, {})
    return Registers(Source.UNVERIFIED, {one: getattr(parsed.td, one) for one in RTMRS})


def inspect_logs(
    files: Sequence[bytes],
    claims: Claims | None,
    evidence: Sequence[bytes],
    stated: Mapping[Register, bytes],
) -> BootInspection:
    """Replay the logs in files. `evidence`: the files among them that hold any. Raises BadParameter."""
    source = Source.NONE
    try:
        registers = registers_of(claims, evidence, files, stated)
        source = registers.source
        for data in files:
            acpi_table(data)
        pieces = registry.split(sent(files))[2]
        logs = parse_logs(pieces, registers.algorithm, registers.layout)
        replayed = replay(logs, registers.values, registers.algorithm)
    except VerificationError as error:
        return BootInspection(source, error.reason, error.detail, None, None)
    found = boot_claims(logs, replayed, registers.algorithm, registers.layout)
    boot = Boot(tuple(log.format for log in logs), registers.algorithm, replayed, found)
    try:
        demand(replayed, _wanted(boot, registers.layout))
    except VerificationError as error:
        return BootInspection(source, error.reason, error.detail, logs, boot)
    return BootInspection(source, None, "", logs, boot)


def _wanted(boot: Boot, layout: Layout) -> tuple[Register, ...]:
    """What is written before the system runs: a log that leaves it open does not explain the boot."""
    if layout is TD:
        return RTMRS[:3]
    found = tuple(one for one, state in boot.replayed.items() if one in _OF_A_TPM and state.count)
    return found or (Register.PCR0,)
