# SPDX-License-Identifier: Apache-2.0
"""The log of a test: its key, a witness in memory, one turn of the sequencer, all that is in it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from attestca_client.protocol import EMPTY_TREE
from ca import audit, merkle
from ca.note import LogKey
from ca.sequencing import Sequencer

if TYPE_CHECKING:
    from ca.log_ports import LogStore

KEY = LogKey("ca.example.org", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
SECOND = LogKey("ca.example.org/2", Ed25519PrivateKey.from_private_bytes(b"k" * 32))


@dataclass
class MemoryWitness:
    """Remembers as long as the test."""

    note: bytes | None = KEY.sign(0, EMPTY_TREE)

    async def last(self) -> bytes | None:
        return self.note

    async def keep(self, note: bytes) -> None:
        self.note = note


def sha256_of(key: LogKey) -> bytes:
    """What the database knows a key by."""
    return sha256(key.verifier.key).digest()


async def sequence(log: LogStore, key: LogKey = KEY) -> int:
    """Place and publish everything that waits; how many entries the log has then."""
    await Sequencer(log, key, MemoryWitness(key.sign(0, EMPTY_TREE))).run()
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
