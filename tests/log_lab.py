# SPDX-License-Identifier: Apache-2.0
"""The log of a test: its key, a witness in memory, one turn of the sequencer, all that is in it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ca import audit, merkle
from ca.note import LogKey
from ca.sequencing import Sequencer

if TYPE_CHECKING:
    from ca.log_ports import LogStore

KEY = LogKey("ca.example.org", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@dataclass
class MemoryWitness:
    """Remembers as long as the test."""

    note: bytes | None = None

    async def last(self) -> bytes | None:
        return self.note

    async def keep(self, note: bytes) -> None:
        self.note = note


def sha256_of(key: LogKey) -> bytes:
    """What the database knows a key by."""
    return sha256(key.verifier.key).digest()


async def sequence(log: LogStore, key: LogKey = KEY) -> int:
    """Place and publish everything that waits; how many entries the log has then."""
    await Sequencer(log, key, MemoryWitness()).run()
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
