# SPDX-License-Identifier: Apache-2.0
"""Accounts: secp256k1 keys with their addresses.

The key that pays for gas lives in an encrypted keystore file (Web3 Secret Storage, version 3), as wallets and nodes
write it; the keys that sign anchors are 32-byte secrets that the caller has (`ca.signers`). No key appears in an error.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3

from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


__all__ = [
    "LocalAccount",
    "account_of",
    "address_of",
    "by_address",
    "keystore_address",
    "open_keystore",
]


def open_keystore(data: bytes, passphrase: bytes, what: str) -> LocalAccount:
    """The account in a keystore file. `what` names it in errors. Raises ConfigurationError."""
    try:
        key = Account.decrypt(json.loads(data), passphrase.decode())
    except Exception as error:  # the library has classes of its own for each fault
        message = f"{what}: not a keystore of version 3, or another passphrase"
        raise ConfigurationError(message) from error
    return account_of(bytes(key), what)


def keystore_address(data: bytes) -> str:
    """The address that a keystore file names; empty where it names none."""
    try:
        found = str(json.loads(data)["address"]).removeprefix("0x")
        return str(Web3.to_checksum_address("0x" + found))
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


def account_of(key: bytes, what: str) -> LocalAccount:
    """The account of a 32-byte key. Raises ConfigurationError."""
    try:
        account: LocalAccount = Account.from_key(key)
    except Exception as error:  # the library's own classes, which it does not document
        raise ConfigurationError(f"{what}: not a key of secp256k1") from error
    return account


def address_of(account: LocalAccount) -> bytes:
    """20 bytes."""
    return bytes.fromhex(account.address.removeprefix("0x"))


def by_address(keys: Iterable[bytes]) -> Mapping[bytes, LocalAccount]:
    """The accounts of these keys."""
    accounts = (account_of(key, "chain-log") for key in keys)
    return {address_of(account): account for account in accounts}
