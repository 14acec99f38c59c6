# SPDX-License-Identifier: Apache-2.0
"""Keys that sign anchors: sealed, never overwritten, the newest first, and always keys of the curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ca.errors import ConfigurationError
from ca.signers import file
from ca.signers.chain import ORDER, add_chain_key, chain_keys
from ca.signers.folder import KeyFolder

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = b"a passphrase of some length"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "_N", 2)


def folder(path: Path, *secrets: bytes) -> KeyFolder:
    """A folder whose entropy is these, wherever a key is made, and anything for sealing."""
    left = [part for secret in secrets for part in (secret, b"s" * 32)]
    return KeyFolder(path, PASSPHRASE, lambda _: left.pop(0))


def test_none_at_first(tmp_path: Path) -> None:
    assert chain_keys(folder(tmp_path)) == ()


def test_the_newest_first_and_the_old_one_stays(tmp_path: Path) -> None:
    place = folder(tmp_path, b"1" * 32, b"2" * 32)
    assert [add_chain_key(place), add_chain_key(place)] == [b"1" * 32, b"2" * 32]
    assert chain_keys(place) == (b"2" * 32, b"1" * 32)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "chain-log-1.secret",
        "chain-log-2.secret",
    ]
    assert b"1" * 32 not in (tmp_path / "chain-log-1.secret").read_bytes()


def test_another_passphrase(tmp_path: Path) -> None:
    add_chain_key(folder(tmp_path, b"1" * 32))
    other = KeyFolder(tmp_path, b"another passphrase", bytes)
    with pytest.raises(ConfigurationError):
        chain_keys(other)


def test_what_is_no_key_of_the_curve_is_not_taken(tmp_path: Path) -> None:
    parts = [bytes(32), ORDER.to_bytes(32, "big"), b"k" * 32, b"s" * 32]
    place = KeyFolder(tmp_path, PASSPHRASE, lambda _: parts.pop(0))
    assert add_chain_key(place) == b"k" * 32
