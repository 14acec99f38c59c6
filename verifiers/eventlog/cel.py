# SPDX-License-Identifier: Apache-2.0
"""TCG's canonical event log in TLV, as Google's Confidential Space launcher writes it. Bytes -> `EventLog`.

Every TLV is a type (u8), a length (u32, big endian) and the value. A record is four of them:
    00 record number (u64)      01 PCR, or 6C CC measurement register (u8)      03 digests, TLVs by TPM_ALG_ID
    50 content of Confidential Space: one TLV more (`CosType`)

Rules: record numbers count from 0. Every record has the same algorithms. Each digest is that of the whole content TLV,
which is checked here: so a content is what its digest covers. Other contents have other rules and are refused.
Not done here: which contents mean what, and up to which of them they were the launcher's own.

Sources: TCG Canonical Event Log Format 1.0, 5 (TLV); google/go-eventlog, cel and proto/state (Confidential Space).
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final

from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.events import (
    ALGORITHM_IDS,
    CCMRS,
    HASHES,
    MAX_APPLICATION_EVENTS,
    PCRS,
    Algorithm,
    Event,
    EventLog,
    LogFormat,
    Register,
    demand_count,
    demand_size,
)

COS_CONTENT: Final = 0x50
_RECORD_NUMBER: Final = 0x00
_DIGESTS: Final = 0x03
_INDICES: Final = {0x01: PCRS, 0x6C: CCMRS}
_HEAD: Final = Struct(">BI")  # type and length
_NUMBER: Final = Struct(">BIQ")
_CEL: Final = LogFormat.CEL  # names are found faster than members of an Enum
_MRTD: Final = Register.MRTD


class CosType(IntEnum):
    """What one content of Confidential Space is."""

    IMAGE_REF = 0
    IMAGE_DIGEST = 1
    RESTART_POLICY = 2
    IMAGE_ID = 3
    ARG = 4
    ENV_VAR = 5
    OVERRIDE_ARG = 6
    OVERRIDE_ENV = 7
    LAUNCH_SEPARATOR = 8
    MEMORY_MONITOR = 9
    GPU_CC_MODE = 10
    GPU_DEVICE_BINDING = 11


def parse(data: bytes) -> EventLog:
    """Parse a log of at least one record, at most 1 MiB.

    Returns:
        Events whose data is the value of the content, which `parse_cos` reads.

    Raises:
        VerificationError: `too-large`; `malformed`; `unsupported-format` for an index, a content or an algorithm that
            is not known.
    """
    demand_size(data, "canonical event log")
    cursor = Cursor(data)
    events: list[Event] = []
    while cursor.remaining:
        demand_count(len(events) + 1, "canonical event log", MAX_APPLICATION_EVENTS)
        events.append(_parse_record(cursor, len(events)))
        if events[-1].digests.keys() != events[0].digests.keys():
            raise VerificationError(
                Reason.MALFORMED, "canonical event log: records of differing algorithms"
            )
    if not events:
        raise VerificationError(Reason.MALFORMED, "canonical event log: no record")
    return EventLog(LogFormat.CEL, tuple(events), tuple(events[0].digests))


def parse_cos(content: bytes) -> tuple[int, bytes]:
    """What a content of Confidential Space holds: its type, `CosType` or a newer one, and its value.

    Raises:
        VerificationError: `malformed`.
    """
    cursor = Cursor(content)
    kind, size = cursor.unpack(_HEAD, "content of Confidential Space")
    if size != cursor.remaining:
        raise VerificationError(
            Reason.MALFORMED,
            f"content of Confidential Space: {size} bytes by its length, {cursor.remaining} there",
        )
    return kind, content[_HEAD.size :]


def _parse_record(cursor: Cursor, position: int) -> Event:
    number = cursor.take(_NUMBER.size, "record number")
    if number != _NUMBER.pack(_RECORD_NUMBER, 8, position):
        raise VerificationError(
            Reason.MALFORMED, f"canonical event log: record {position} is not numbered so"
        )
    register = _parse_index(cursor)
    kind, size = cursor.unpack(_HEAD, "digests")
    if kind != _DIGESTS:
        raise VerificationError(
            Reason.MALFORMED, f"record {position}: no digests where they belong"
        )
    listed = cursor.take(size, "digests")
    kind, size = cursor.unpack(_HEAD, "content")
    if kind != COS_CONTENT:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT,
            f"record {position}: content {kind:#04x}; {COS_CONTENT:#04x} is known",
        )
    content = cursor.take(size, "content")
    parse_cos(content)
    digests = _parse_digests(listed)
    whole = _HEAD.pack(kind, size) + content
    for algorithm, digest in digests.items():
        if HASHES[algorithm](whole).digest() != digest:
            raise VerificationError(
                Reason.MALFORMED, f"record {position}: {algorithm} is not that of the content"
            )
    return Event(position, register, kind, digests, content, None, _CEL, whole)


def _parse_index(cursor: Cursor) -> Register:
    kind, size = cursor.unpack(_HEAD, "register")
    registers = _INDICES.get(kind)
    if registers is None:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"canonical event log: index of type {kind:#04x}"
        )
    index = cursor.take(size, "register")
    if size != 1 or index[0] >= len(registers) or registers[index[0]] is _MRTD:
        raise VerificationError(
            Reason.MALFORMED, f"canonical event log: no register {index[:8].hex()}"
        )
    return registers[index[0]]


def _parse_digests(listed: bytes) -> dict[Algorithm, bytes]:
    cursor = Cursor(listed)
    digests: dict[Algorithm, bytes] = {}
    while cursor.remaining:
        identifier, size = cursor.unpack(_HEAD, "digest")
        algorithm = ALGORITHM_IDS.get(identifier)
        if algorithm not in HASHES:
            raise VerificationError(
                Reason.UNSUPPORTED_FORMAT, f"canonical event log: algorithm {identifier:#04x}"
            )
        if algorithm in digests or size != algorithm.size:
            raise VerificationError(
                Reason.MALFORMED, f"canonical event log: {algorithm} twice, or of wrong length"
            )
        digests[algorithm] = cursor.take(size, "digest")
    if not digests:
        raise VerificationError(Reason.MALFORMED, "canonical event log: a record without digests")
    return digests
