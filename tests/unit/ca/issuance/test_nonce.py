# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import RequestRefused
from ca.issuance import nonce
from tests.authority_lab import utc

KEY, OTHER, CA = b"k" * 32, b"o" * 32, b"c" * 32
NOW = datetime(2026, 11, 25, 13, 0, 0, 999_999, tzinfo=UTC)
MADE = nonce.make(KEY, CA, NOW, b"e" * 24)


def refused(
    code: str, value: bytes, now: datetime = NOW, ca_id: bytes = CA, key: bytes = KEY
) -> None:
    with pytest.raises(RequestRefused) as error:
        nonce.check([key], ca_id, value, now)
    assert error.value.code == code


def test_layout_is_the_documented_one() -> None:
    head = int(NOW.timestamp()).to_bytes(8, "big") + b"e" * 24
    framed = b"".join(
        len(field).to_bytes(4, "big") + field for field in (b"attestca/1 nonce", CA, head)
    )
    assert MADE.value == head + hmac.new(KEY, framed, hashlib.sha256).digest()
    assert MADE.issued == NOW.replace(microsecond=0)
    assert MADE.expires - MADE.issued == timedelta(seconds=120)


def test_accepted_from_its_second_to_the_last_before_its_end() -> None:
    for now in (NOW, MADE.issued, MADE.expires - timedelta(microseconds=1)):
        assert nonce.check([KEY], CA, MADE.value, now) == MADE
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    assert nonce.make(KEY, CA, east, b"e" * 24) == MADE


def test_any_of_the_keys_fits() -> None:
    assert nonce.check([OTHER, KEY], CA, MADE.value, NOW) == MADE
    assert nonce.check([KEY, OTHER], CA, MADE.value, NOW) == MADE


def test_expired_and_from_the_future() -> None:
    refused("nonce-expired", MADE.value, MADE.expires)
    refused("nonce-expired", MADE.value, MADE.issued - nonce.CLOCK_SKEW - timedelta(seconds=1))
    skewed = MADE.issued - nonce.CLOCK_SKEW
    assert nonce.check([KEY], CA, MADE.value, skewed) == MADE


def test_foreign() -> None:
    refused("nonce-foreign", MADE.value, ca_id=b"d" * 32)
    refused("nonce-foreign", MADE.value, key=OTHER)
    with pytest.raises(RequestRefused) as error:
        nonce.check([], CA, MADE.value, NOW)
    assert error.value.code == "nonce-foreign"


@pytest.mark.parametrize("bit", range(0, 512, 7))
def test_one_bit_flipped_is_foreign(bit: int) -> None:
    value = bytearray(MADE.value)
    value[bit // 8] ^= 1 << bit % 8
    refused("nonce-foreign", bytes(value))


@pytest.mark.parametrize("value", [b"", MADE.value[:-1], MADE.value + b"\0", bytes(63), bytes(65)])
def test_wrong_length(value: bytes) -> None:
    refused("nonce-malformed", value)


@pytest.mark.parametrize(
    ("key", "ca_id", "entropy"), [(b"", CA, b"e" * 24), (KEY, b"", b"e" * 24), (KEY, CA, b"e")]
)
def test_make_wants_exact_lengths(key: bytes, ca_id: bytes, entropy: bytes) -> None:
    with pytest.raises(ValueError, match="24 bytes of entropy"):
        nonce.make(key, ca_id, NOW, entropy)


@given(st.one_of(st.binary(max_size=80), st.binary(min_size=64, max_size=64)))
def test_arbitrary_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(RequestRefused) as error:
        nonce.check([KEY], CA, value, NOW)
    assert error.value.code == ("nonce-foreign" if len(value) == 64 else "nonce-malformed")


@given(st.binary(min_size=24, max_size=24), utc(1971, 2200))
def test_made_nonces_are_accepted(entropy: bytes, when: datetime) -> None:
    made = nonce.make(KEY, CA, when, entropy)
    assert nonce.check([KEY], CA, made.value, when) == made
