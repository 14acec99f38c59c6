# SPDX-License-Identifier: Apache-2.0
"""ECDSA in both forms: right ones hold, nothing else does, and bad bytes are an answer, not an error."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from simulator.amd_keys import P384_ORDER, P384Key
from simulator.pki import Key, malleate
from verifiers.signatures import (
    p256_point,
    p256_signed,
    p256_verifies,
    p384_point,
    p384_verifies,
)

KEY, OTHER = Key.derive(b"signatures", "one"), Key.derive(b"signatures", "other")
PUBLIC = p256_point(KEY.point)
DATA = b"what is signed"


def test_raw() -> None:
    assert PUBLIC is not None
    signature = KEY.sign_raw(DATA)
    assert p256_verifies(PUBLIC, signature, DATA)
    assert p256_verifies(PUBLIC, malleate(signature), DATA)
    assert not p256_verifies(PUBLIC, signature, DATA + b"\0")
    assert not p256_verifies(PUBLIC, OTHER.sign_raw(DATA), DATA)


def test_der() -> None:
    assert PUBLIC is not None
    assert p256_signed(PUBLIC, KEY.sign_der(DATA), DATA)
    assert not p256_signed(PUBLIC, KEY.sign_der(DATA) + b"\0", DATA)
    assert not p256_signed(PUBLIC, b"", DATA)


@given(st.binary(min_size=64, max_size=64))
def test_any_raw_signature(signature: bytes) -> None:
    assert PUBLIC is not None
    assert not p256_verifies(PUBLIC, signature, DATA)


@given(st.binary(max_size=80))
def test_any_der_signature(signature: bytes) -> None:
    assert PUBLIC is not None
    assert not p256_signed(PUBLIC, signature, DATA)


def test_points() -> None:
    for point in (b"", bytes(64), b"\1" * 64, KEY.point[:-1], KEY.point + b"\0", b"\xff" * 64):
        assert p256_point(point) is None


LONG = P384Key.derive(b"signatures", "one")
LONG_PUBLIC = p384_point(LONG.spki[-96:])
R, S = decode_dss_signature(LONG.sign_der(DATA))


def test_p384() -> None:
    assert LONG_PUBLIC is not None
    assert LONG.private.public_key() == LONG_PUBLIC
    assert p384_verifies(LONG_PUBLIC, R, S, DATA)
    assert p384_verifies(LONG_PUBLIC, R, P384_ORDER - S, DATA)
    assert not p384_verifies(LONG_PUBLIC, S, R, DATA)
    assert not p384_verifies(LONG_PUBLIC, R, S, DATA + b"\0")
    other = P384Key.derive(b"signatures", "other").private.public_key()
    assert not p384_verifies(other, R, S, DATA)


@pytest.mark.parametrize("number", [0, -1, P384_ORDER, P384_ORDER + 1, 2**384, 2**576 - 1])
def test_numbers_outside_the_group(number: int) -> None:
    assert LONG_PUBLIC is not None
    assert not p384_verifies(LONG_PUBLIC, number, S, DATA)
    assert not p384_verifies(LONG_PUBLIC, R, number, DATA)


def test_numbers_that_are_the_same_in_the_group() -> None:
    """A verifier that reduces them would take them."""
    assert LONG_PUBLIC is not None
    assert not p384_verifies(LONG_PUBLIC, R + P384_ORDER, S, DATA)
    assert not p384_verifies(LONG_PUBLIC, R, S + P384_ORDER, DATA)
    assert not p384_verifies(LONG_PUBLIC, R, S - P384_ORDER, DATA)


@given(st.integers(0, 2**576), st.integers(0, 2**576))
def test_any_numbers(r: int, s: int) -> None:
    assert LONG_PUBLIC is not None
    assert not p384_verifies(LONG_PUBLIC, r, s, DATA)


def test_points_of_p384() -> None:
    right = LONG.spki[-96:]
    for point in (b"", bytes(96), b"\1" * 96, right[:-1], right + b"\0", b"\xff" * 96):
        assert p384_point(point) is None
