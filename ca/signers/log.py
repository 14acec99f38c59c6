# SPDX-License-Identifier: Apache-2.0
"""The log's keys in the authority's folder, and beside each the last checkpoint that it signed.

    log-<number>.secret        32 bytes, the Ed25519 key, sealed under the passphrase; the highest number signs
    log-<number>.checkpoint    the last signed note, replaced by each new one: the one file here that is

Replicas share the key. Each folder remembers what was signed from it; a folder that several replicas write at once
remembers one of their last checkpoints, which all are of one tree.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ca.errors import NotFound
from ca.note import LogKey
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
        """The note; None if none was signed yet. Raises ConfigurationError."""
        return await asyncio.to_thread(self._read)

    async def keep(self, note: bytes) -> None:
        """Durably, instead of the one before. Raises ConfigurationError."""
        await asyncio.to_thread(files.replace, self.path, note)

    def _read(self) -> bytes | None:
        return files.read(self.path) if self.path.exists() else None


def log_key(folder: KeyFolder, name: str) -> tuple[LogKey, FileWitness]:
    """The key that signs, under the log's name, and its witness. Raises NotFound without one, ConfigurationError."""
    number = _newest(folder)
    if number == 0:
        raise NotFound(f"{folder.path} holds no key of the log")
    stem = f"log-{number}"
    key = Ed25519PrivateKey.from_private_bytes(folder.secret(stem))
    return LogKey(name, key), FileWitness(folder.path / f"{stem}.checkpoint")


def add_log_key(folder: KeyFolder) -> None:
    """Make a new key, which signs from now on. Raises ConfigurationError."""
    stem = f"log-{_newest(folder) + 1}"
    box = seal(stem, folder.entropy(32), folder.passphrase, entropy=folder.entropy(32))
    files.write_new(folder.path / f"{stem}.secret", box)


def _newest(folder: KeyFolder) -> int:
    found = (_SECRET.fullmatch(path.stem) for path in folder.path.glob("log-*.secret"))
    return max((int(match[1]) for match in found if match), default=0)
