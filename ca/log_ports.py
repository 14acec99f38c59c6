# SPDX-License-Identifier: Apache-2.0
"""What the log needs of the world: LogStore, Witness, and the records that cross those lines.

Records are plain frozen data. Every method may raise `ca.errors.Unavailable`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ca.audit import KeyAdded


@dataclass(frozen=True, slots=True)
class RevokedHandle:
    """What a revocation in the log puts into the revocation tree: the first of its handle.

    `value`: `protocol.leaf_hash` of the entry at `position`. Both are 32 bytes.
    """

    position: int
    handle: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class LogTree:
    """The tree of the entries that have a position.

    `signed_root`: of its beginning; None where it is not that long. `revoked`: what the entries behind that revoke.
    """

    size: int
    root: bytes
    signed_root: bytes | None
    revoked: tuple[RevokedHandle, ...] = ()


@dataclass(frozen=True, slots=True)
class LogCheckpoint:
    """The newest checkpoint, and SHA-256 of the public key that alone may sign the next.

    `size`, `time` (seconds since 1970-01-01T00:00:00Z): of its head. `note`: as it was signed; None: this key has not
    signed yet.
    """

    key_sha256: bytes
    size: int
    time: int
    note: bytes | None


@dataclass(frozen=True, slots=True)
class LogProof:
    """Where an entry stands in the log, and the hashes that prove it to whoever has the checkpoint."""

    index: int
    entry: bytes
    hashes: tuple[bytes, ...]
    note: bytes


class LogStore(Protocol):
    """The log in the database. Each method is one transaction."""

    async def pending(self) -> bool:
        """Whether an entry waits for its position, or the tree for a checkpoint."""
        ...

    async def sequence(self, limit: int) -> int:
        """Give up to `limit` waiting entries their positions. How many; 0 where another replica is at it."""
        ...

    async def tree(self, signed: int) -> LogTree:
        """The tree as it is committed, what its first `signed` entries hash to, and what those behind them revoke."""
        ...

    async def revoked(self, first: int, end: int) -> tuple[RevokedHandle, ...]:
        """What the committed entries revoke whose positions are `first` to `end` - 1, in their order."""
        ...

    async def revocation_entries(self, handles: Sequence[bytes], size: int) -> tuple[bytes, ...]:
        """The entries, in their order, by which the first `size` revoke these handles; of others there are none."""
        ...

    async def checkpoint(self) -> LogCheckpoint | None:
        """The newest; None if nobody ever signed one."""
        ...

    async def publish(self, checkpoint: LogCheckpoint) -> bool:
        """Keep it if its key is the one that may sign, and it is of a larger tree, or of the same one and later.

        None whose time is before that of the published one is kept. The first key that comes may sign.
        """
        ...

    async def replace_key(self, key_sha256: bytes) -> None:
        """Let the key with this digest sign from now on, and no other."""
        ...

    async def append_keys(self, keys: Sequence[KeyAdded]) -> None:
        """Have the log tell of those that it has not told of."""
        ...

    async def tile(self, level: int, number: int, width: int) -> bytes | None:
        """That many hashes of a tile; None where the published tree has not as many."""
        ...

    async def bundle(self, number: int, width: int) -> bytes | None:
        """The entries of a level 0 tile, as `merkle.encode_bundle` has them; None likewise."""
        ...

    async def proof(self, serial: int) -> LogProof | None:
        """Of the issuance of a certificate, in the published tree; None if it is not there (yet)."""
        ...


class Witness(Protocol):
    """Remembers the last checkpoint that was signed here, beside the key and not in the database."""

    async def last(self) -> bytes | None:
        """The note; None if it is lost: a new key begins with one of the empty tree."""
        ...

    async def keep(self, note: bytes) -> None:
        """Durably, instead of the one before."""
        ...
