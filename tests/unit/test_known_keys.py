# SPDX-License-Identifier: Apache-2.0
"""The keys of fake vendors that need not be looked for are RSA keys of 4096 bits, each another."""

from __future__ import annotations

import pytest

from tests.known_keys import BITS, OFFSETS, is_prime, keys, primes


@pytest.mark.parametrize("label", OFFSETS)
def test_a_key_of_two_primes(label: str) -> None:
    p, q = primes(label)
    assert p != q
    assert is_prime(p)
    assert is_prime(q)


def test_all_bits_and_no_two_alike() -> None:
    made = keys()
    assert {key.private.key_size for key in made.values()} == {BITS}
    assert len({key.spki for key in made.values()}) == len(OFFSETS) == len(made)
    some = keys("other ")
    assert some["Milan ark"].spki == made["other Milan ark"].spki


def test_they_sign() -> None:
    key = keys("Genoa ask")[""]
    assert len(key.sign_der(b"data")) == BITS // 8
