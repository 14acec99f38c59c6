# SPDX-License-Identifier: Apache-2.0
"""Event logs as they were sent, and the registers of verified evidence -> `Boot`. Pure.

Logs are replayed in the order of their writing: that of the firmware first, then those of the running system. A log of
the other kind of machine (a TPM's beside a TD, a TD's beside a TPM) is refused, and so is one that cannot be read: it
is no word of a good machine. A log that is read and says something else than the registers is not: that is a state of
a register, which policies judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from verifiers.errors import Reason, VerificationError
from verifiers.eventlog import ccel, cel, dstack, dstack_attestation, ima, tcg2
from verifiers.eventlog.boot import boot_claims
from verifiers.eventlog.events import (
    MAX_EVENTS_TOGETHER,
    Algorithm,
    EventLog,
    LogFormat,
    Register,
    demand_count,
)
from verifiers.eventlog.judged import Boot
from verifiers.eventlog.proven import TD, Layout
from verifiers.eventlog.replay import replay
from verifiers.evidence import EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from verifiers.evidence import Evidence

_OF_A_TD: Final = (
    EvidenceKind.CCEL,
    EvidenceKind.DSTACK_EVENT_LOG,
    EvidenceKind.CEL,
    EvidenceKind.IMA_LOG,
)
_OF_A_TPM: Final = (EvidenceKind.TPM_EVENT_LOG, EvidenceKind.CEL, EvidenceKind.IMA_LOG)
_JSON: Final = b"[{\t\n\r "  # how a log of dstack's begins; its attestation never does


def judge(
    pieces: Sequence[Evidence],
    registers: Mapping[Register, bytes],
    algorithm: Algorithm,
    layout: Layout = TD,
) -> Boot:
    """Parse logs, replay them, and draw claims from them.

    Args:
        pieces: at least one, of `LOG_KINDS`, every kind at most once.
        registers: of the verified evidence beside them.
        algorithm: of those registers.
        layout: `TD` or `TPM`.

    Raises:
        VerificationError: `evidence` for a log that is not of such a machine; `no-sha384-bank`; `incomplete` where a
            log lacks another algorithm; `too-large` for too many events in all logs; what the parsers raise.
    """
    logs = parse_logs(pieces, algorithm, layout)
    replayed = replay(logs, registers, algorithm)
    claims = boot_claims(logs, replayed, algorithm, layout)
    return Boot(tuple(log.format for log in logs), algorithm, replayed, claims)


def parse_logs(
    pieces: Sequence[Evidence], algorithm: Algorithm, layout: Layout = TD
) -> tuple[EventLog, ...]:
    """The logs in the order in which they are replayed. Arguments and errors as of `judge`."""
    order = _OF_A_TD if layout is TD else _OF_A_TPM
    sent = {piece.kind: piece.data for piece in pieces}
    foreign = sorted(sent.keys() - set(order))
    if foreign:
        raise VerificationError(
            Reason.EVIDENCE, f"{', '.join(foreign)}: not a log of the registers of this evidence"
        )
    logs: list[EventLog] = []
    for kind in order:
        if kind in sent:
            logs.append(_parse(kind, sent[kind], algorithm, layout))
            count = sum(len(log.events) for log in logs)
            demand_count(count, "event logs", MAX_EVENTS_TOGETHER)
    return tuple(logs)


def _parse(kind: EvidenceKind, data: bytes, algorithm: Algorithm, layout: Layout) -> EventLog:
    match kind:
        case EvidenceKind.CCEL:
            return ccel.parse(data)
        case EvidenceKind.TPM_EVENT_LOG:
            return tcg2.parse(data, LogFormat.TCG2)
        case EvidenceKind.DSTACK_EVENT_LOG:
            return dstack.parse(data) if data[:1] in _JSON else dstack_attestation.parse(data).log
        case EvidenceKind.CEL:
            return cel.parse(data)
        case _:
            return ima.parse(data, _MEASURED[layout is TD], algorithm)


_MEASURED: Final = {True: Register.RTMR2, False: Register.PCR10}
