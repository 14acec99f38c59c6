# SPDX-License-Identifier: Apache-2.0
"""Keccak-256 against the implementation that Ethereum's libraries use."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from verifiers.eventlog.keccak import keccak256


@given(st.binary(max_size=600))
def test_as_ethereum_has_it(data: bytes) -> None:
    assert keccak256(data) == keccak(data)


@pytest.mark.parametrize("size", [0, 1, 135, 136, 137, 271, 272])
def test_at_the_ends_of_blocks(size: int) -> None:
    data = bytes(range(256)) * 2
    assert keccak256(data[:size]) == keccak(data[:size])
