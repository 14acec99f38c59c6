# SPDX-License-Identifier: Apache-2.0
"""TCG2 crypto-agile event logs: the CCEL of a TD and the log of a TPM's firmware. Bytes -> `EventLog`.

All integers are little endian. The first entry is a `TCG_PCClientPCREvent` of type EV_NO_ACTION that holds a
`TCG_EfiSpecIDEvent`; every other one is a `TCG_PCR_EVENT2`.

Rules: limits first. The sizes of digests come from the header's table, which has to agree with TCG's registry; an
algorithm that it does not list is an error. An event that extends a register has exactly the header's digests. The
register is the index that the event itself has, never one that its type suggests: firmware differs in that. The log
ends at the end of the bytes, or where 8 bytes of 0xFF or of 0x00 stand; what follows those is padding, whatever it is.
Not done here: whether data belongs to its digest (`verifiers.eventlog.claims`), whether the digests are those of a
quote (`verifiers.eventlog.replay`).

Sources: TCG PC Client Platform Firmware Profile 1.06, 10.2 (TCG_PCR_EVENT2) and 10.4.5.1 (Specification ID); UEFI 2.11,
38.2 and 38.4.1 (event log and measurement registers of confidential computing).
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final, Literal, TypeAlias

from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.events import (
    ALGORITHM_IDS,
    CCMRS,
    EV_NO_ACTION,
    MAX_DIGESTS,
    PCRS,
    Algorithm,
    Event,
    EventLog,
    LogFormat,
    Register,
    demand_count,
    demand_size,
)

_SIGNATURE: Final = b"Spec ID Event03\0"
_VERSIONS: Final = 8  # platformClass u32, then minor, major, errata, uintnSize; makers differ, nothing depends on them
_PADDING: Final = (b"\xff" * 8, b"\0" * 8)  # no legal event of either kind of log begins so
_HEADER: Final = Struct("<II20sI")  # index, type, SHA-1, size of the data
_EVENT: Final = Struct("<III")  # index, type, number of digests


_Head: TypeAlias = tuple[
    int, int, dict[Algorithm, bytes], int
]  # index, type, digests, size of data


@dataclass(frozen=True, slots=True)
class _Banks:
    """The algorithms of a log.

    Attributes:
        algorithms: by TCG's identifiers, in the order of the header.
        identifiers: the same.
        usual: how nearly all events begin: index, type, number of digests, then identifier and digest of each in that
            order, size of the data.
    """

    algorithms: dict[int, Algorithm]
    identifiers: tuple[int, ...]
    usual: Struct


def parse(data: bytes, kind: Literal[LogFormat.CCEL, LogFormat.TCG2]) -> EventLog:
    """Parse a log.

    Args:
        data: the log or the whole area that it is in, at most 1 MiB.
        kind: whether the indices are CC measurement registers (0 is MRTD, 1 to 4 are RTMR0 to RTMR3) or PCRs (0 to 23).

    Raises:
        VerificationError: `too-large`; `malformed`; `unsupported-format` for an algorithm that is not known.
    """
    demand_size(data, "event log")
    cursor = Cursor(data)
    banks = _parse_header(cursor)
    registers = CCMRS if kind is LogFormat.CCEL else PCRS
    events: list[Event] = []
    while cursor.remaining and not data.startswith(_PADDING, cursor.position):
        demand_count(len(events) + 1, "event log")
        events.append(_parse_event(cursor, len(events), banks, registers, kind))
    return EventLog(kind, tuple(events), tuple(banks.algorithms.values()))


def _parse_header(cursor: Cursor) -> _Banks:
    _, event_type, digest, size = cursor.unpack(_HEADER, "event log header")
    if event_type != EV_NO_ACTION or any(digest):
        raise VerificationError(
            Reason.MALFORMED, "event log: the first event is no EV_NO_ACTION with a zero digest"
        )
    header = Cursor(cursor.take(size, "Specification ID"))
    if header.take(len(_SIGNATURE), "signature of the Specification ID") != _SIGNATURE:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT,
            "event log: the first event is no Specification ID, version 03",
        )
    header.take(_VERSIONS, "versions of the Specification ID")
    banks = _parse_banks(header)
    header.take(header.take(1, "length of vendor information")[0], "vendor information")
    header.nothing_left("Specification ID")
    return banks


def _parse_banks(header: Cursor) -> _Banks:
    count = header.u32("number of algorithms")
    if not 1 <= count <= MAX_DIGESTS:
        raise VerificationError(
            Reason.MALFORMED, f"event log: {count} algorithms, 1 to {MAX_DIGESTS} are allowed"
        )
    banks: dict[int, Algorithm] = {}
    for _ in range(count):
        identifier, size = header.u16("algorithm"), header.u16("size of a digest")
        algorithm = ALGORITHM_IDS.get(identifier)
        if algorithm is None:
            raise VerificationError(
                Reason.UNSUPPORTED_FORMAT, f"event log: unknown hash algorithm {identifier:#06x}"
            )
        if size != algorithm.size or identifier in banks:
            raise VerificationError(
                Reason.MALFORMED, f"event log: {algorithm} with {size} bytes, or listed twice"
            )
        banks[identifier] = algorithm
    usual = "".join(f"H{one.size}s" for one in banks.values())
    return _Banks(banks, tuple(banks), Struct(f"<III{usual}I"))


def _parse_event(
    cursor: Cursor,
    position: int,
    banks: _Banks,
    registers: tuple[Register, ...],
    kind: LogFormat,
) -> Event:
    index, event_type, digests, size = _usual_head(cursor, banks) or _any_head(cursor, banks)
    register = registers[index] if index < len(registers) else None
    data = cursor.take(size, "event data")
    event = Event(position, register, event_type, digests, data, None, kind)
    if event_type != EV_NO_ACTION:
        if not event.extends:
            raise VerificationError(
                Reason.MALFORMED, f"event {position}: no event extends a register {index}"
            )
        if len(digests) != len(banks.identifiers):
            raise VerificationError(
                Reason.MALFORMED,
                f"event {position}: {len(digests)} digests, {len(banks.identifiers)} by the header",
            )
    return event


def _usual_head(cursor: Cursor, banks: _Banks) -> _Head | None:
    """The head in one step; None, and nothing read, where it has another form or is cut."""
    if cursor.remaining < banks.usual.size:
        return None
    start = cursor.position
    fields = cursor.unpack(banks.usual, "event")
    if fields[2] != len(banks.identifiers) or fields[3:-1:2] != banks.identifiers:
        cursor.position = start
        return None
    digests = dict(zip(banks.algorithms.values(), fields[4:-1:2], strict=True))
    return fields[0], fields[1], digests, fields[-1]


def _any_head(cursor: Cursor, banks: _Banks) -> _Head:
    index, event_type, count = cursor.unpack(_EVENT, "event")
    digests = _parse_digests(cursor, count, banks)
    return index, event_type, digests, cursor.u32("size of event data")


def _parse_digests(cursor: Cursor, count: int, banks: _Banks) -> dict[Algorithm, bytes]:
    if count > len(banks.identifiers):
        raise VerificationError(
            Reason.MALFORMED,
            f"event: {count} digests, the header lists {len(banks.identifiers)} algorithms",
        )
    digests: dict[Algorithm, bytes] = {}
    for _ in range(count):
        identifier = cursor.u16("algorithm of a digest")
        algorithm = banks.algorithms.get(identifier)
        if algorithm is None or algorithm in digests:
            raise VerificationError(
                Reason.MALFORMED,
                f"event: a digest of algorithm {identifier:#06x}, not in the header or there twice",
            )
        digests[algorithm] = cursor.take(algorithm.size, "digest")
    return digests
