# SPDX-License-Identifier: Apache-2.0
"""`python -m bench.log [ENTRIES]`: what an entry and a proof cost while the public log grows, on SQLite.

Entries are issuances of certificates, placed in batches as the service places them. At each size some batches are timed
and some proofs at random places, over a connection of their own: nothing of the tree is in memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from attestca_client.protocol.checkpoint import EMPTY_HEAD
from ca import audit
from ca.note import LogKey
from ca.sequencing import BATCH, Sequencer
from ca.store import log, schema
from ca.store.database import Database
from ca.store.log_sql import SqlLog
from ca.tree_history import TreeHistory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENTRIES = 1_000_000
FIRST = 10_000
TIMED_BATCHES = 20
PROOFS = 300
FILL = 64 * BATCH  # entries written at once between the measured sizes
_KEY = LogKey("log.example", Ed25519PrivateKey.from_private_bytes(bytes(32)))
_TIME = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cost:
    """At one size: medians in microseconds, the longest proof in hashes, the file in bytes.

    `write`: of an entry, in the transaction that it tells of. `place`: of an entry, its position, tiles, a checkpoint
    for the batch. `proof`: of one certificate, from the request to the hashes.
    """

    size: int
    write: float
    place: float
    proof: float
    hashes: int
    file: int


class Witness:
    """In memory: its file is written once for a batch, and the disk is not what is measured."""

    note: bytes | None = _KEY.sign(EMPTY_HEAD)

    async def last(self) -> bytes | None:
        """The note."""
        return self.note

    async def keep(self, note: bytes) -> None:
        """Instead of the one before."""
        self.note = note


async def no_lists() -> tuple[()]:
    """Of a service without lists of revoked certificates."""
    return ()


def issuances(first: int, count: int) -> Iterator[audit.Issuance]:
    """As they look when certificates are issued; the serial of number n is n + 1."""
    for number in range(first, first + count):
        digest = hashlib.sha256(number.to_bytes(8, "big")).digest()
        yield audit.Issuance(_TIME, digest[:20], number + 1, digest, digest, digest)


async def grown(path: Path, sizes: tuple[int, ...], tell: Callable[[Cost], None]) -> list[Cost]:
    """Let a log grow, and measure it at each of the sizes; `tell` is told at once."""
    url = f"sqlite:///{path}"
    await schema.upgrade(url)
    database = Database(url)
    store = SqlLog(database)
    sequencer = Sequencer(store, _KEY, Witness(), TreeHistory(store), no_lists)
    found, size = [], 0
    try:
        for wanted in sizes:
            while size < wanted:
                count = min(FILL, wanted - size)
                await database.write(log.append_all, issuances(size, count))
                await sequencer.run(_TIME)
                size += count
            cost, size = await _cost(database, sequencer, size, path)
            found.append(cost)
            tell(cost)
    finally:
        await database.close()
    return found


async def _cost(
    database: Database, sequencer: Sequencer, size: int, path: Path
) -> tuple[Cost, int]:
    """What it costs at `size`; the log is a little larger then."""
    write, place, proofs, longest = [], [], [], 0
    at = size
    for _ in range(TIMED_BATCHES):
        entries = list(issuances(at, BATCH))
        start = time.perf_counter()
        await database.write(log.append_all, entries)
        written = time.perf_counter()
        await sequencer.run(_TIME)
        write.append((written - start) / BATCH)
        place.append((time.perf_counter() - written) / BATCH)
        at += BATCH
    chance = random.Random(size)  # noqa: S311 - which proofs are made
    for _ in range(PROOFS):
        serial = chance.randrange(at) + 1
        start = time.perf_counter()
        proof = await database.read(log.proof, serial)
        proofs.append(time.perf_counter() - start)
        if proof is None:
            raise RuntimeError("an entry that was placed has no proof")
        longest = max(longest, len(proof.hashes))
    medians = (statistics.median(values) * 1e6 for values in (write, place, proofs))
    file = await asyncio.to_thread(path.stat)
    return Cost(size, *medians, longest, file.st_size), at


def measure(entries: int = ENTRIES, tell: Callable[[Cost], None] = lambda _: None) -> list[Cost]:
    """The cost at 10,000 entries, at each tenfold, and at `entries`."""
    sizes = [FIRST]
    while sizes[-1] * 10 < entries:
        sizes.append(sizes[-1] * 10)
    with tempfile.TemporaryDirectory(prefix="attestca-bench-") as folder:
        return asyncio.run(grown(Path(folder) / "log.db", (*sizes, entries), tell))


HEAD = (
    "| entries | write one, µs | place one, µs | prove one, µs | hashes of a proof | database, MB |\n"
    "|---|---|---|---|---|---|"
)


def row(cost: Cost) -> str:
    """A line below HEAD."""
    return (
        f"| {cost.size:,} | {cost.write:,.0f} | {cost.place:,.0f} | {cost.proof:,.0f}"
        f" | {cost.hashes} | {cost.file / 1e6:,.0f} |"
    )


if __name__ == "__main__":
    print(HEAD)
    measure(
        int(sys.argv[1]) if sys.argv[1:] else ENTRIES, lambda cost: print(row(cost), flush=True)
    )
