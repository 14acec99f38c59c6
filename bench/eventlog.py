# SPDX-License-Identifier: Apache-2.0
"""A firmware's log as large as one may be (1 MiB, 4096 events), judged, beside what that cannot do without.

Judged: parsed, replayed, and every event bound to its digest for the claims. What that cannot do without is one SHA-384
for each event, over a register and a digest. A list of IMA's may have 16,384 lines within its 1 MiB, and takes some
four times as long; it is read, as every log, when the evidence of the CPU has held.
"""

from __future__ import annotations

from hashlib import sha384
from struct import pack
from typing import Final

from bench.timing import rates
from verifiers.eventlog import ccel
from verifiers.eventlog.events import MAX_EVENTS, MAX_LOG_BYTES, RTMRS, Algorithm
from verifiers.eventlog.judge import judge
from verifiers.eventlog.replay import replay
from verifiers.evidence import Evidence, EvidenceKind

WHOLE: Final = "event log of 1 MiB and 4,096 events"
HASHES: Final = "4,096 SHA-384 of a register and a digest"

_SPEC_ID: Final = b"Spec ID Event03\0" + pack("<IBBBBIHHB", 0, 0, 2, 0, 2, 1, 0x0C, 48, 0)
_HEADER: Final = pack("<II20sI", 1, 3, bytes(20), len(_SPEC_ID)) + _SPEC_ID
_EVENT: Final = 12 + 2 + 48 + 4  # bytes of an event without its data
_DATA: Final = (MAX_LOG_BYTES - len(_HEADER)) // MAX_EVENTS - _EVENT


def log() -> tuple[bytes, list[bytes]]:
    """The log and its digests."""
    data = [number.to_bytes(_DATA, "big") for number in range(MAX_EVENTS)]
    digests = [sha384(one).digest() for one in data]
    events = [
        pack("<IIIH", 1 + number % len(RTMRS), 0x80000007, 1, 0x0C)
        + digests[number]
        + pack("<I", _DATA)
        + data[number]
        for number in range(MAX_EVENTS)
    ]
    return _HEADER + b"".join(events), digests


def measure() -> dict[str, float]:
    """Calls per second by name."""
    data, digests = log()
    values = replay([ccel.parse(data)], {}, Algorithm.SHA384)
    registers = {one: values[one].computed for one in RTMRS}

    piece = Evidence(EvidenceKind.CCEL, data)

    def whole() -> None:
        found = judge([piece], registers, Algorithm.SHA384)
        if len(found.claims.events) != MAX_EVENTS:
            raise AssertionError(found)

    def hashes() -> None:
        register = bytes(48)
        for digest in digests:
            register = sha384(register + digest).digest()

    return rates({WHOLE: whole, HASHES: hashes})
