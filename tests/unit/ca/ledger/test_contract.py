# SPDX-License-Identifier: Apache-2.0
"""What is signed, and how addresses are read. What the contract makes of it is in tests/integration/chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol.checkpoint import EMPTY_HEAD, Head
from ca.errors import ConfigurationError
from ca.ledger import contract
from ca.ledger.contract import Registry, checksum, head_fields, parse_address, read_head

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = st.integers(0, (1 << 64) - 1)
HASHES = st.binary(min_size=32, max_size=32)
HEADS = st.builds(Head, NUMBERS, HASHES, NUMBERS, HASHES, HASHES, st.integers(1, (1 << 64) - 1))
ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # of EIP-55


@given(HEADS)
def test_a_head_comes_back(head: Head) -> None:
    assert read_head(head_fields(head)) == head


def test_before_the_first_anchor_the_head_is_the_empty_one() -> None:
    assert read_head((0, EMPTY_HEAD.root, 0, bytes(32), bytes(32), 0)) == EMPTY_HEAD


@given(HEADS, st.lists(HASHES, max_size=5).map(tuple))
def test_every_field_is_signed(head: Head, tombstones: tuple[bytes, ...]) -> None:
    registry = Registry(56, b"c" * 20, b"i" * 32, b"a" * 20)
    signed = registry.anchor(head, tombstones)
    others = (
        Registry(57, b"c" * 20, b"i" * 32, b"a" * 20).anchor(head, tombstones),
        Registry(56, b"d" * 20, b"i" * 32, b"a" * 20).anchor(head, tombstones),
        Registry(56, b"c" * 20, b"j" * 32, b"a" * 20).anchor(head, tombstones),
        Registry(56, b"c" * 20, b"i" * 32, b"b" * 20).anchor(head, tombstones),
        registry.anchor(head, (*tombstones, bytes(32))),
    )
    assert all((one.header, one.body) != (signed.header, signed.body) for one in others)


def test_targets_differ_by_chain_contract_and_namespace() -> None:
    makes = [(56, b"c", b"i", b"a"), (57, b"c", b"i", b"a"), (56, b"d", b"i", b"a")]
    makes += [(56, b"c", b"j", b"a"), (56, b"c", b"i", b"b")]
    targets = {Registry(n, c * 20, i * 32, a * 20).target for n, c, i, a in makes}
    assert len(targets) == len(makes)


@pytest.mark.parametrize("text", [ADDRESS, ADDRESS.lower(), "0x" + ADDRESS[2:].upper()])
def test_addresses(text: str) -> None:
    assert checksum(parse_address(text, "here")) == ADDRESS


@pytest.mark.parametrize(
    "text",
    [ADDRESS.replace("aA", "Aa"), ADDRESS[:-1], ADDRESS + "0", "0x" + "g" * 40, "", "vitalik.eth"],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^here: not an address"):
        parse_address(text, "here")


def test_a_damaged_artefact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "_NAME", str(tmp_path / "absent.json"))
    with pytest.raises(ConfigurationError, match="not the artefact"):
        contract.artifact.__wrapped__()
