# SPDX-License-Identifier: Apache-2.0
"""ECDSA in both forms: right ones hold, nothing else does, and bad bytes are an answer, not an error."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulator.pki import Key, malleate
from verifiers.signatures import p256_point, p256_signed, p256_verifies

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
