# SPDX-License-Identifier: Apache-2.0
"""Keystore files: those of wallets open, others are the operator's fault, and no key is in an error."""

from __future__ import annotations

import json

import pytest
from eth_account import Account

from ca.errors import ConfigurationError
from ca.ledger.accounts import account_of, by_address, keystore_address, open_keystore

KEY = bytes(range(1, 33))
BOX = Account.encrypt(KEY, "a passphrase", kdf="pbkdf2", iterations=2)


def test_a_keystore_opens() -> None:
    data = json.dumps(BOX).encode()
    account = open_keystore(data, b"a passphrase", "gas")
    assert bytes(account.key) == KEY
    assert keystore_address(data) == account.address


@pytest.mark.parametrize(
    ("data", "passphrase"),
    [
        (json.dumps(BOX).encode(), b"another"),
        (json.dumps(BOX).encode(), b"\xff"),
        (json.dumps(BOX | {"version": 1}).encode(), b"a passphrase"),
        (b"{}", b""),
        (b"[]", b""),
        (b"[" * 100_000, b""),
        (b"\xff", b""),
        (b"", b""),
    ],
)
def test_what_does_not(data: bytes, passphrase: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"^gas: not a keystore") as caught:
        open_keystore(data, passphrase, "gas")
    assert KEY.hex() not in repr(caught.value)


@pytest.mark.parametrize("data", [b"{}", b"[]", b"1", b"\xff", b'{"address": "0x12"}'])
def test_a_file_that_names_no_address(data: bytes) -> None:
    assert keystore_address(data) == ""


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32, b"short"])
def test_what_is_no_key(key: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"^log: not a key of secp256k1"):
        account_of(key, "log")


def test_keys_by_their_address() -> None:
    assert [bytes(one.key) for one in by_address([KEY, KEY]).values()] == [KEY]
