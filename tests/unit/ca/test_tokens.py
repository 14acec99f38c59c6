# SPDX-License-Identifier: Apache-2.0
"""Tokens: their form, what is kept of them, and the closed list of scopes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca import tokens
from ca.errors import RequestRefused
from ca.tokens import Scope


@given(st.binary(min_size=32, max_size=32))
def test_a_token_is_found_again_by_its_digest(entropy: bytes) -> None:
    made = tokens.make(entropy)
    assert made.text.startswith("attestca_")
    assert len(made.text) == len("attestca_") + 43
    assert made.sha256 == hashlib.sha256(made.text.encode()).digest() == tokens.digest(made.text)
    assert made.id == made.sha256.hex()[:16]
    assert made.text not in repr(made)


@given(st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=20))
def test_all_of_the_entropy_counts(entropies: list[bytes]) -> None:
    assert len({tokens.make(entropy).text for entropy in entropies}) == len(entropies)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_less_or_more_entropy_is_an_error(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        tokens.make(bytes(length))


@given(st.text(max_size=60))
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(ValueError, match="not a token"):
        tokens.digest(text)


@pytest.mark.parametrize("change", [" ", "\n", "A", "é"])
def test_nothing_may_follow(change: str) -> None:
    with pytest.raises(ValueError, match="not a token"):
        tokens.digest(tokens.make(bytes(32)).text + change)


def test_scopes_are_a_closed_list() -> None:
    assert tokens.parse_scopes(["policies:read", "audit:read"]) == {
        Scope.POLICIES_READ,
        Scope.AUDIT_READ,
    }
    for wrong in ([], ["policies:*"], ["policies:read", "root"], ["POLICIES:READ"]):
        with pytest.raises(RequestRefused) as caught:
            tokens.parse_scopes(wrong)
        assert caught.value.code == "scope-unknown"
        assert "audit:read, certificates:read" in caught.value.detail
