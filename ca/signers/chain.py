# SPDX-License-Identifier: Apache-2.0
"""The keys that sign anchors, in the authority's folder: secp256k1, sealed under the passphrase like the log's own.

    chain-log-<number>.secret    32 bytes; the contract says which of them counts

A stolen key is followed by a new one, which the admin puts into the contract; the old one may stay in the folder.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ca.signers import files
from ca.signers.file import seal

if TYPE_CHECKING:
    from ca.signers.folder import KeyFolder

ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
_SECRET: Final = re.compile(r"chain-log-([1-9][0-9]{0,8})")


def chain_keys(folder: KeyFolder) -> tuple[bytes, ...]:
    """All of them, 32 bytes each, the newest first. Raises ConfigurationError."""
    return tuple(folder.secret(f"chain-log-{number}") for number in sorted(_numbers(folder))[::-1])


def add_chain_key(folder: KeyFolder) -> bytes:
    """Make a new one. Raises ConfigurationError."""
    secret = folder.entropy(32)
    while not 0 < int.from_bytes(secret, "big") < ORDER:
        secret = folder.entropy(32)
    stem = f"chain-log-{max(_numbers(folder), default=0) + 1}"
    box = seal(stem, secret, folder.passphrase, entropy=folder.entropy(32))
    files.write_new(folder.path / f"{stem}.secret", box)
    return secret


def _numbers(folder: KeyFolder) -> list[int]:
    found = (_SECRET.fullmatch(path.stem) for path in folder.path.glob("chain-log-*.secret"))
    return [int(match[1]) for match in found if match]
