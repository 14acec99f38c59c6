# SPDX-License-Identifier: Apache-2.0
"""The entries that a relying party makes or reads itself: their bytes are fixed for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol import frame
from attestca_client.protocol.log import (
    MAX_ENTRY,
    EntryError,
    RevocationEntry,
    fields,
    issuance_entry,
    parse_revocation,
)

REVOCATION = RevocationEntry(1_772_366_400_123_457, 9, "chip", b"h" * 32, "keyCompromise")
BYTES = (
    b"\x00\x00\x00\x0eattestca/1 log"
    b"\x00\x00\x00\x0arevocation"
    b"\x00\x00\x00\x08\x00\x06\x4b\xf5\x35\xb0\xf2\x41"
    b"\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x09"
    b"\x00\x00\x00\x04chip"
    b"\x00\x00\x00\x20" + b"h" * 32 + b"\x00\x00\x00\x0dkeyCompromise"
)


def test_a_revocation() -> None:
    assert REVOCATION.encoded == BYTES
    assert parse_revocation(BYTES) == REVOCATION


def test_an_issuance() -> None:
    entry = issuance_entry(
        time=-1,
        issuer_key_id=b"k" * 20,
        serial=0x0180,
        certificate_sha256=b"c" * 32,
        policy_sha256=b"p" * 32,
        commitment=b"m" * 32,
    )
    said = [b"k" * 20, b"\x01\x80", b"c" * 32, b"p" * 32, b"m" * 32]
    assert fields(entry) == [b"attestca/1 log", b"issuance", b"\xff" * 8, *said]
    with pytest.raises(EntryError, match="not the entry of a revocation"):
        parse_revocation(entry)


@given(
    st.builds(
        RevocationEntry,
        time=st.integers(-(2**63), 2**63 - 1),
        number=st.integers(0, 2**64 - 1),
        kind=st.text(max_size=20),
        handle=st.binary(min_size=32, max_size=32),
        reason=st.text(max_size=20),
    )
)
def test_every_revocation_is_read_back(entry: RevocationEntry) -> None:
    assert parse_revocation(entry.encoded) == entry


@pytest.mark.parametrize("time", [2**63, -(2**63) - 1])
def test_a_time_has_eight_bytes(time: int) -> None:
    with pytest.raises(OverflowError):
        assert replace(REVOCATION, time=time).encoded == b""


LABEL, KIND, TIME, NUMBER, *REST = fields(BYTES)
BAD = {
    "nothing": b"",
    "cut off": BYTES[:-1],
    "cut off in a length": BYTES + b"\x00\x00\x00",
    "one field more": BYTES + frame(b""),
    "one field less": frame(LABEL, KIND, TIME, NUMBER, *REST[:-1]),
    "another label": frame(b"attestca/2 log", KIND, TIME, NUMBER, *REST),
    "another kind": frame(LABEL, b"refusal", TIME, NUMBER, *REST),
    "a time of seven bytes": frame(LABEL, KIND, TIME[1:], NUMBER, *REST),
    "a number of nine bytes": frame(LABEL, KIND, TIME, b"\x00" + NUMBER, *REST),
    "a handle of 31 bytes": frame(LABEL, KIND, TIME, NUMBER, REST[0], REST[1][1:], REST[2]),
    "a kind that is not UTF-8": frame(LABEL, KIND, TIME, NUMBER, b"\xff", *REST[1:]),
    "a reason that is not UTF-8": frame(LABEL, KIND, TIME, NUMBER, *REST[:2], b"\xff"),
    "too long": frame(LABEL, KIND, TIME, NUMBER, *REST[:2], b"x" * MAX_ENTRY),
}


@pytest.mark.parametrize("entry", BAD)
def test_what_is_no_revocation(entry: str) -> None:
    with pytest.raises(EntryError):
        parse_revocation(BAD[entry])


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(data: bytes) -> None:
    with pytest.raises(EntryError):
        parse_revocation(data)


@given(st.lists(st.binary(max_size=9)))
def test_fields_are_what_was_framed(said: list[bytes]) -> None:
    assert fields(frame(*said)) == said
