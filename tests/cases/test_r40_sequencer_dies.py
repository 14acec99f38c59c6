# SPDX-License-Identifier: Apache-2.0
"""R-40, the log's half: the sequencer is killed (-9) at every step; nothing is lost, nothing twice, no two histories.

A step is a statement, a commit, a signature or a write of the witness, so a new one is a new case by itself. Two
replicas, each with a folder of its own, die in turn, while entries come or where only the time is to be signed. Every
checkpoint that was ever signed, whoever died before it was published, is of a tree that the last one begins with, and
what it says is revoked is what its entries revoke.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from attestca_client.protocol import is_consistent, leaf_hash
from attestca_client.protocol.checkpoint import EMPTY_HEAD, Head
from ca import audit, merkle
from ca.revocation_tree import RevocationTree
from ca.sequencing import HEARTBEAT, must_follow
from ca.signers.log import FileWitness
from ca.store import log
from ca.store.database import Database
from ca.store.sql import SqlStore
from ca.tree_history import TreeHistory
from tests import dying, log_lab, records
from tests.dying_sequencer import KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sqlalchemy import Connection


START = int(records.NOW.timestamp())
EACH = 40  # entries between two deaths: tiles become full on the way


@pytest.fixture(scope="module")
def sequencer() -> Iterator[dying.Tell]:
    """The process whose children die."""
    with dying.started("tests.dying_sequencer") as tell:
        yield tell


def entries(first: int) -> list[audit.Entry]:
    return [
        audit.Revocation(records.NOW, number, "key", records.digest(f"{number}"), "unspecified")
        for number in range(first, first + EACH)
    ]


def everything(connection: Connection, size: int) -> list[audit.Entry | audit.Unknown]:
    found: list[audit.Entry | audit.Unknown] = []
    for number in range(-(-size // merkle.WIDTH)):
        width = merkle.tile_width(0, number, size)
        bundle = log.bundle(connection, number, width)
        assert bundle is not None
        found += map(audit.decode, merkle.decode_bundle(bundle))
    return found


@dataclass
class Lab:
    """A log that two replicas keep, and everything that was written to it."""

    database: Database
    url: str
    folders: list[Path]
    tell: dying.Tell
    written: list[audit.Entry] = field(default_factory=list)
    now: int = START

    async def more(self) -> None:
        new = entries(len(self.written))
        await self.database.write(log.append_all, new)
        self.written.extend(new)

    async def die(self, folder: Path, step: int = 0) -> dying.Ended:
        """A turn of one replica, a minute after the one before; every state that it may leave is looked at."""
        self.now += HEARTBEAT
        order = {
            "database": self.url,
            "folder": str(folder),
            "step": str(step or ""),
            "now": str(self.now),
        }
        ended = await asyncio.to_thread(self.tell, order)
        assert ended["status"] in {0, dying.KILLED}, ended
        await self.remembered()
        return ended

    async def remembered(self) -> None:
        """Nothing is published that the witness of the one who signed it does not have."""
        newest = await self.database.read(log.checkpoint)
        if newest is not None:
            notes = [await FileWitness(folder / "checkpoint").last() for folder in self.folders]
            heads = [KEY.verifier.open(note).head for note in notes if note is not None]
            assert (newest.size, newest.time) <= max((one.size, one.time) for one in heads)

    def signed(self) -> list[Head]:
        """Everything that was ever signed, by time."""
        notes = [
            note for folder in self.folders for note in (folder / "signed").read_text().split()
        ]
        heads = [KEY.verifier.open(bytes.fromhex(note)).head for note in notes]
        return sorted(heads, key=lambda head: head.time)


@pytest.fixture
async def lab(database_url: str, tmp_path: Path, sequencer: dying.Tell) -> AsyncIterator[Lab]:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    database = Database(database_url)
    yield Lab(database, database_url, folders, sequencer)
    await database.close()


async def test_killed_at_every_step(lab: Lab) -> None:

    async def both_die(step: int) -> bool:
        ended = []
        for folder in lab.folders:
            await lab.more()
            ended.append(await lab.die(folder, step))
        assert all(len(one["done"]) < step for one in ended), "so each dies at each of its steps"
        return any(one["status"] for one in ended)

    step = 1
    while await both_die(step):
        step += 1
    assert step > 12
    newest = await published(lab.database)
    assert newest.size == len(lab.written) == newest.revocation_count
    assert newest.time == lab.now
    logged = await lab.database.read(everything, newest.size)
    assert sorted(logged, key=str) == sorted(lab.written, key=str)
    await consistent(lab, newest)


async def test_killed_at_every_step_of_a_heartbeat(lab: Lab) -> None:
    """Nothing waits: the same tree is signed again, with the time. Then entries come, and all goes on."""
    await lab.more()
    for folder in lab.folders:
        await lab.die(folder)
    first = await published(lab.database)

    async def both_die(step: int) -> bool:
        ended = [await lab.die(folder, step) for folder in lab.folders]
        newest = await published(lab.database)
        assert newest == replace(first, time=newest.time)
        return any(one["status"] for one in ended)

    step = 1
    while await both_die(step):
        step += 1
    assert step > 6
    assert (await published(lab.database)).time == lab.now
    await lab.more()
    await lab.die(lab.folders[0])
    newest = await published(lab.database)
    assert newest.size == 2 * first.size
    await consistent(lab, newest)


async def published(database: Database) -> Head:
    newest = await database.read(log.checkpoint)
    assert newest is not None
    assert newest.note is not None
    head = KEY.verifier.open(newest.note).head
    assert (head.size, head.time) == (newest.size, newest.time)
    return head


async def consistent(lab: Lab, newest: Head) -> None:
    """Every head that was signed is of the beginning of the newest, and follows those that were signed before."""
    signed = lab.signed()
    assert len({one.time for one in signed}) == len(signed) > 3

    def prove(connection: Connection, old: int) -> tuple[bytes, ...]:
        def read(level: int, number: int) -> bytes:
            width = merkle.tile_width(level, number, newest.size)
            return log.tile(connection, level, number, width) or b""

        return merkle.consistency_proof(read, old, newest.size)

    logged = await lab.database.read(everything, newest.size)
    revoked = RevocationTree()
    for before, one in itertools.pairwise([EMPTY_HEAD, *signed]):
        must_follow(before, one)
        proof = await lab.database.read(prove, one.size)
        assert is_consistent(one.size, newest.size, proof, one.root, newest.root)
        revoked = revoked.with_all(
            (entry.handle, leaf_hash(audit.encode(entry)))
            for entry in logged[before.size : one.size]
            if isinstance(entry, audit.Revocation)
        )
        assert (one.revocation_count, one.revocation_root) == (revoked.count, revoked.root)


async def test_replicas_at_once(database_url: str, tmp_path: Path) -> None:
    """Several processes' worth of sequencers and writers, each with connections and a witness of its own."""
    stores = [await SqlStore.open(database_url) for _ in range(3)]
    writer = Database(database_url)
    written = [entry for number in range(8) for entry in entries(number * EACH)]

    async def replica(number: int) -> None:
        witness = FileWitness(tmp_path / f"{number}")
        await witness.keep(KEY.sign(EMPTY_HEAD))
        mine = log_lab.sequencer(stores[number].log, witness)
        for turn in range(20):  # their clocks are not the same
            await mine.run(log_lab.NOW + timedelta(seconds=turn * 40 + number * 17))

    async def write(part: list[audit.Entry]) -> None:
        for entry in part:
            await writer.write(log.append, entry)

    try:
        parts = (write(written[n * EACH : (n + 1) * EACH]) for n in range(8))
        await asyncio.gather(*parts, *(replica(number) for number in range(3)))
        await log_lab.sequencer(stores[0].log, FileWitness(tmp_path / "0")).run(log_lab.NOW)
        newest = await stores[1].log.checkpoint()
        assert newest is not None
        assert newest.size == len(written)
        logged = await writer.read(everything, newest.size)
        assert sorted(logged, key=str) == sorted(written, key=str)
        for number in range(3):
            last = KEY.verifier.open((tmp_path / f"{number}").read_bytes()).head
            tree = await stores[2].log.tree(last.size)
            assert tree.signed_root == last.root
            assert last.revocation_count == last.size
            assert (await TreeHistory(stores[2].log).tree(last)).root == last.revocation_root
    finally:
        for store in stores:
            await store.close()
        await writer.close()
