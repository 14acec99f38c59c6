# SPDX-License-Identifier: Apache-2.0
"""Entries of the log: every one is read back, its bytes are fixed for ever, and nothing else is read as one."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol import frame
from attestca_client.protocol.log import EntryError
from ca.audit import (
    Entry,
    Issuance,
    KeyAdded,
    PolicyChange,
    Refusal,
    Revocation,
    Unknown,
    commitment,
    decode,
    encode,
)

TIME = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
A, B, C = (bytes([number]) * 32 for number in (1, 2, 3))
KEY_ID = b"k" * 20
EXAMPLES: tuple[Entry, ...] = (
    Issuance(TIME, KEY_ID, 0x1234, A, B, C),
    Refusal(TIME, A, B),
    Refusal(TIME, None, B),
    Revocation(TIME, 7, "measurement", A, "keyCompromise"),
    PolicyChange(TIME, "policy", "cvm", 3, A, "active"),
    KeyAdded(TIME, "issuing", b"\x30\x00"),
)


@pytest.mark.parametrize("entry", EXAMPLES)
def test_read_back(entry: Entry) -> None:
    assert decode(encode(entry)) == entry


def test_the_bytes_are_fixed() -> None:
    """A changed digest is a changed format: readers of the log are out there."""
    digest = hashlib.sha256(b"".join(map(encode, EXAMPLES))).hexdigest()
    assert digest == "94b03afd9933dd152e1fda4769bf8d4c185ad8427f9d346676e45ea234b7da80"
    time = (1_772_366_400_123_457).to_bytes(8, "big")
    fields = (b"attestca/1 log", b"issuance", time, KEY_ID, b"\x12\x34", A, B, C)
    assert encode(EXAMPLES[0]) == frame(*fields)


def test_a_kind_of_a_later_version() -> None:
    data = frame(b"attestca/1 log", b"something-new", bytes(8), b"x", b"")
    assert decode(data) == Unknown(datetime(1970, 1, 1, tzinfo=UTC), "something-new", (b"x", b""))


@pytest.mark.parametrize("entry", EXAMPLES)
def test_no_byte_too_few_or_too_many(entry: Entry) -> None:
    data = encode(entry)
    for end in range(len(data)):
        with pytest.raises(EntryError):
            decode(data[:end])
    with pytest.raises(EntryError):
        decode(data + b"\x00")
    with pytest.raises(EntryError):
        decode(data + frame(b""))


@pytest.mark.parametrize(
    "fields",
    [
        (b"attestca/2 log", b"refusal", bytes(8), A, B),
        (b"attestca/1 log", b"refusal", bytes(7), A, B),
        (b"attestca/1 log", b"refusal", b"\x7f" + bytes(7), A, B),
        (b"attestca/1 log", b"refusal", bytes(8), A[1:], B),
        (b"attestca/1 log", b"refusal", bytes(8), A, b""),
        (b"attestca/1 log", b"refusal", bytes(8), A),
        (b"attestca/1 log", b"", bytes(8)),
        (b"attestca/1 log", b"\xff", bytes(8)),
        (b"attestca/1 log", b"issuance", bytes(8), KEY_ID, b"\x00\x01", A, B, C),
        (b"attestca/1 log", b"issuance", bytes(8), KEY_ID, b"", A, B, C),
        (b"attestca/1 log", b"issuance", bytes(8), KEY_ID, b"\x01" * 21, A, B, C),
        (b"attestca/1 log", b"key", bytes(8), b"tls", b""),
        (b"attestca/1 log", b"key", bytes(8), b"tls", bytes(20_000)),
        (b"attestca/1 log", b"revocation", bytes(8), bytes(8), b"x" * 2000, A, b"y"),
        (b"attestca/1 log",),
        (),
    ],
)
def test_what_is_no_entry(fields: tuple[bytes, ...]) -> None:
    with pytest.raises(EntryError):
        decode(frame(*fields))


@pytest.mark.parametrize(
    "entry",
    [
        Issuance(TIME, KEY_ID, 0, A, B, C),
        Refusal(TIME, b"", B),
        Revocation(TIME, 7, "", A, "unspecified"),
        PolicyChange(TIME, "policy", "x" * 2000, 3, A, "active"),
    ],
)
def test_what_cannot_be_said(entry: Entry) -> None:
    with pytest.raises(EntryError):
        encode(entry)


@given(st.binary())
def test_no_bytes_crash_it(data: bytes) -> None:
    try:
        entry = decode(data)
    except EntryError:
        return
    assert isinstance(entry, Unknown)


def test_a_commitment_tells_nothing_without_its_random_bytes() -> None:
    record = b"evidence"
    expected = hashlib.sha256(frame(b"attestca/1 record", A, record)).digest()
    assert commitment(A, record) == expected != commitment(B, record)
    with pytest.raises(ValueError, match="32 random bytes"):
        commitment(b"", record)
