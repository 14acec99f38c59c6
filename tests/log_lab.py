# SPDX-License-Identifier: Apache-2.0
"""The log of a test: its key, a witness in memory, its sequencer and one turn of it, all that is in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from attestca_client.protocol.checkpoint import EMPTY_HEAD, Head
from ca import audit, merkle
from ca.log_ports import LogCheckpoint
from ca.note import LogKey
from ca.sequencing import Sequencer
from ca.tree_history import TreeHistory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from ca.log_ports import LogStore, Witness
    from ca.ports import ServedList

KEY = LogKey("ca.example.org", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = LogKey("ca.example.org/2", Ed25519PrivateKey.from_private_bytes(b"k" * 32))


@dataclass
class MemoryWitness:
    """Remembers as long as the test."""

    note: bytes | None = KEY.sign(EMPTY_HEAD)

    async def last(self) -> bytes | None:
        return self.note

    async def keep(self, note: bytes) -> None:
        self.note = note


def sha256_of(key: LogKey) -> bytes:
    """What the database knows a key by."""
    return sha256(key.verifier.key).digest()


def head_of(size: int, root: bytes, **more: Any) -> Head:  # noqa: ANN401 - of Head
    """A head that revokes nothing."""
    return replace(EMPTY_HEAD, size=size, root=root, **more)


def checkpoint_of(head: Head, key: LogKey = KEY) -> LogCheckpoint:
    """As it is published."""
    return LogCheckpoint(sha256_of(key), head.size, head.time, key.sign(head))


async def no_lists() -> tuple[ServedList, ...]:
    """Of a replica that serves none."""
    return ()


def sequencer(
    log: LogStore,
    witness: Witness | None = None,
    key: LogKey = KEY,
    lists: Callable[[], Awaitable[Iterable[ServedList]]] = no_lists,
) -> Sequencer:
    """Unless told otherwise, of a replica that serves no list of revoked certificates, and its key is new."""
    mine = witness or MemoryWitness(key.sign(EMPTY_HEAD))
    return Sequencer(log, key, mine, TreeHistory(log), lists)


async def sequence(log: LogStore, key: LogKey = KEY, now: datetime = NOW) -> int:
    """Place and publish everything that waits; how many entries the log has then."""
    await sequencer(log, key=key).run(now)
    newest = await log.checkpoint()
    assert newest is not None
    return newest.size


async def entries(log: LogStore, size: int) -> list[audit.Entry | audit.Unknown]:
    """Everything in the log, which has published that many, from the bundles that are served."""
    found: list[audit.Entry | audit.Unknown] = []
    for number in range(-(-size // merkle.WIDTH)):
        bundle = await log.bundle(number, merkle.tile_width(0, number, size))
        assert bundle is not None
        found += map(audit.decode, merkle.decode_bundle(bundle))
    return found
