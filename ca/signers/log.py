# SPDX-License-Identifier: Apache-2.0
"""The log's keys in the authority's folder, and beside each the last checkpoint that it signed.

    log-<number>.secret        32 bytes, the Ed25519 key, sealed under the passphrase
    log-<number>.checkpoint    the last signed note, replaced by each new one: the one file here that is

Both come together: the first note is of the empty tree. A key without its note may have signed anything, so it signs
no more. Replicas share the key. Each folder remembers what was signed from it; a folder that several replicas write at
once remembers one of their last checkpoints, which all are of one tree.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from attestca_client.protocol.checkpoint import EMPTY_HEAD
from ca.errors import NotFound
from ca.note import LogKey, origin
from ca.signers import files
from ca.signers.file import seal

if TYPE_CHECKING:
    from pathlib import Path

    from ca.signers.folder import KeyFolder

_SECRET: Final = re.compile(r"log-([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True)
class FileWitness:
    """`ca.log_ports.Witness` as a file."""

    path: Path

    async def last(self) -> bytes | None:
        """The note; None if the file is not there. Raises ConfigurationError."""
        return await asyncio.to_thread(self._read)

    async def keep(self, note: bytes) -> None:
        """Durably, instead of the one before. Raises ConfigurationError."""
        await asyncio.to_thread(files.replace, self.path, note)

    def _read(self) -> bytes | None:
        return files.read(self.path) if self.path.exists() else None


def log_key(
    folder: KeyFolder, host: str, key_sha256: bytes | None = None
) -> tuple[LogKey, FileWitness]:
    """The key whose public part has that digest, and its witness; without a digest the newest.

    Raises NotFound where there is none, ConfigurationError.
    """
    for number in sorted(_numbers(folder), reverse=True):
        key = _key(host, number, folder.secret(f"log-{number}"))
        if key_sha256 in {None, sha256(key.verifier.key).digest()}:
            return key, _witness(folder, number)
    raise NotFound(f"{folder.path} does not hold the key of the log")


def add_log_key(folder: KeyFolder, host: str) -> tuple[LogKey, FileWitness]:
    """Make a new key, for a log of its own. Raises ConfigurationError."""
    number = max(_numbers(folder), default=0) + 1
    secret, stem = folder.entropy(32), f"log-{number}"
    key, witness = _key(host, number, secret), _witness(folder, number)
    files.replace(witness.path, key.sign(EMPTY_HEAD))  # first: without its key it means nothing
    box = seal(stem, secret, folder.passphrase, entropy=folder.entropy(32))
    files.write_new(folder.path / f"{stem}.secret", box)
    return key, witness


def adopt(witness: FileWitness, note: bytes) -> None:
    """Take it that `note` is the last that this key signed. Raises ConfigurationError where the witness is there."""
    files.write_new(witness.path, note)


def _key(host: str, number: int, secret: bytes) -> LogKey:
    return LogKey(origin(host, number), Ed25519PrivateKey.from_private_bytes(secret))


def _witness(folder: KeyFolder, number: int) -> FileWitness:
    return FileWitness(folder.path / f"log-{number}.checkpoint")


def _numbers(folder: KeyFolder) -> list[int]:
    found = (_SECRET.fullmatch(path.stem) for path in folder.path.glob("log-*.secret"))
    return [int(match[1]) for match in found if match]
