# SPDX-License-Identifier: Apache-2.0
"""One turn of the log, and every state of the database in which nothing may be signed."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.util import await_only

from attestca_client.protocol import EMPTY_TREE
from attestca_client.protocol.checkpoint import EMPTY_HEAD
from ca import audit, merkle
from ca.errors import AuthorityError, LogHalted
from ca.note import LogKey
from ca.store import log, tables
from ca.store.database import Database
from tests import log_lab, records
from tests.log_lab import KEY, NOW, MemoryWitness, head_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

    from attestca_client.protocol.checkpoint import Head
    from ca.sequencing import Sequencer
    from ca.store.sql import SqlStore

ANOTHER = LogKey(KEY.name, Ed25519PrivateKey.from_private_bytes(b"k" * 32))


def sequencer(
    store: SqlStore, witness: MemoryWitness | None = None, key: LogKey = KEY
) -> Sequencer:
    return log_lab.sequencer(store.log, witness, key)


async def add(store: SqlStore, *names: str) -> None:
    await store.log.append_keys(
        [audit.KeyAdded(records.NOW, "tls", name.encode()) for name in names]
    )


async def published(store: SqlStore, key: LogKey = KEY) -> Head:
    newest = await store.log.checkpoint()
    assert newest is not None
    assert newest.note is not None
    return key.verifier.open(newest.note).head


async def test_an_empty_log_has_a_checkpoint(store: SqlStore) -> None:
    assert await store.log.pending()
    await sequencer(store).run(NOW)
    assert not await store.log.pending()
    assert (await published(store)).size == 0
    assert (await published(store)).root == EMPTY_TREE


async def test_entries_are_published_and_nothing_is_signed_twice(store: SqlStore) -> None:
    witness = MemoryWitness()
    await add(store, "one", "two")
    await sequencer(store, witness).run(NOW)
    first = await store.log.checkpoint()
    await sequencer(store, witness).run(NOW)
    assert await store.log.checkpoint() == first
    await add(store, "two", "three")
    assert await store.log.pending()
    await sequencer(store, witness).run(NOW)
    assert (await published(store)).size == 3
    assert await published(store) == KEY.verifier.open(witness.note or b"").head


async def test_more_than_a_batch(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ca.sequencing.BATCH", 3)
    await add(store, *map(str, range(10)))
    await sequencer(store).run(NOW)
    assert (await published(store)).size == 10


async def test_what_another_replica_placed_is_published(store: SqlStore) -> None:
    """One that was killed between its commit and its signature."""
    await add(store, "one")
    assert await store.log.sequence(10) == 1
    assert await store.log.pending()
    await sequencer(store).run(NOW)
    assert (await published(store)).size == 1


async def test_one_key_signs(store: SqlStore) -> None:
    await add(store, "one")
    await sequencer(store).run(NOW)
    await add(store, "two")
    witness = MemoryWitness(ANOTHER.sign(EMPTY_HEAD))
    with pytest.raises(LogHalted, match="another key"):
        await sequencer(store, witness, ANOTHER).run(NOW)
    assert witness.note == ANOTHER.sign(EMPTY_HEAD)
    assert (await published(store)).size == 1
    await sequencer(store).run(NOW)
    assert (await published(store)).size == 2


async def test_a_new_key_goes_on_where_the_old_one_ended(store: SqlStore) -> None:
    await add(store, "one")
    await sequencer(store).run(NOW)
    old = await published(store)
    await store.log.replace_key(sequencer(store, key=ANOTHER).key_sha256)
    assert await store.log.tile(0, 0, 1) is None, "nothing is served without a checkpoint"
    with pytest.raises(LogHalted):
        await sequencer(store).run(NOW)
    await sequencer(store, key=ANOTHER).run(NOW)
    new = await published(store, ANOTHER)
    assert (new.size, new.root) == (old.size, old.root)


async def test_a_database_that_lost_what_was_signed(store: SqlStore) -> None:
    """It failed over to a copy that lagged: the witness beside the key has seen more."""
    witness = MemoryWitness(KEY.sign(head_of(3, records.digest("a tree"))))
    await add(store, "one", "two")
    with pytest.raises(LogHalted, match="has not the 3 entries"):
        await sequencer(store, witness).run(NOW)
    await add(store, "three", "four")
    with pytest.raises(LogHalted, match="has not the 3 entries"):
        await sequencer(store, witness).run(NOW)
    assert await store.log.checkpoint() is None


@pytest.mark.parametrize("note", [b"", b"x", ANOTHER.sign(EMPTY_HEAD)], ids=["0", "x", "other"])
async def test_a_witness_that_cannot_be_read(store: SqlStore, note: bytes) -> None:
    with pytest.raises(LogHalted, match="damaged"):
        await sequencer(store, MemoryWitness(note)).run(NOW)


async def test_a_witness_that_is_lost(store: SqlStore) -> None:
    """A key without it may have signed anything."""
    await add(store, "one")
    witness = MemoryWitness(None)
    for _ in range(2):
        with pytest.raises(LogHalted, match="no checkpoint beside it"):
            await sequencer(store, witness).run(NOW)
        assert witness.note is None
        assert await store.log.pending()
        await sequencer(store).run(NOW)
        assert not await store.log.pending()
        await add(store, "two")


async def test_what_another_replica_signed_is_remembered(store: SqlStore) -> None:
    """Though nothing waits: the database may fail over to a copy that lacks it before anything does."""
    mine, theirs = MemoryWitness(), MemoryWitness()
    await add(store, "one")
    await sequencer(store, mine).run(NOW)
    await add(store, "two")
    await sequencer(store, theirs).run(NOW)
    assert not await store.log.pending()
    await sequencer(store, mine).run(NOW)
    assert mine.note == theirs.note
    await forget_last(store)
    with pytest.raises(LogHalted, match="has not the 2 entries"):
        await sequencer(store, mine).run(NOW)
    await add(store, "another")
    with pytest.raises(LogHalted, match="has not the 2 entries"):
        await sequencer(store, mine).run(NOW)


async def test_what_another_replica_published_meanwhile(store: SqlStore) -> None:
    """Between the turn's beginning and its signature; it is kept before another one is signed."""
    kept: list[int] = []

    class Slow(MemoryWitness):
        async def last(self) -> bytes | None:
            if await store.log.checkpoint() is None:
                await add(store, "one")
                await sequencer(store).run(NOW)  # another replica
                await add(store, "two")
                return KEY.sign(EMPTY_HEAD)
            return await super().last()

        async def keep(self, note: bytes) -> None:
            kept.append(KEY.verifier.open(note).head.size)
            await super().keep(note)

    await sequencer(store, Slow()).run(NOW)
    assert kept == [1, 2]


async def test_a_published_checkpoint_that_is_of_no_tree_here(store: SqlStore) -> None:
    """Signed by this key, but not of this tree: nothing is kept, nothing is signed."""
    await add(store, "one")
    await sequencer(store).run(NOW)
    for size in (1, 2):
        forged = KEY.sign(head_of(size, records.digest("another tree")))
        await put_note(store, size, forged)
        witness = MemoryWitness()
        before = witness.note
        with pytest.raises(LogHalted, match=f"has not the {size} entries"):
            await sequencer(store, witness).run(NOW)
        assert witness.note == before
    await put_note(store, 1, b"x")
    with pytest.raises(LogHalted, match="in the database is damaged"):
        await sequencer(store).run(NOW)


async def test_a_published_checkpoint_of_the_same_size(store: SqlStore) -> None:
    """Two trees of one size under one key: nothing more is signed."""
    await add(store, "one")
    await sequencer(store).run(NOW)
    witness = MemoryWitness(KEY.sign(head_of(1, records.digest("another tree"))))
    with pytest.raises(LogHalted, match="has not the 1 entries"):
        await sequencer(store, witness).run(NOW)


async def forget_last(store: SqlStore) -> None:
    """What a copy that lagged has: all but the last entry, with the checkpoint of before."""

    def forget(connection: Connection) -> None:
        rows = connection.execute(
            tables.log_entries.select().order_by(tables.log_entries.c.position)
        ).all()
        tile = log.tile(connection, 0, 0, len(rows) - 1)
        assert tile is not None
        connection.execute(
            tables.log_entries.delete().where(tables.log_entries.c.position == len(rows) - 1)
        )
        connection.execute(tables.log_tiles.update().values(hashes=tile))
        size = len(rows) - 1
        note = KEY.sign(head_of(size, merkle.tree_hash(lambda *_: tile, size)))
        connection.execute(tables.log_checkpoint.update().values(size=size, note=note))

    await store._database.write(forget)


async def put_note(store: SqlStore, size: int, note: bytes) -> None:
    def put(connection: Connection) -> None:
        connection.execute(tables.log_checkpoint.update().values(size=size, note=note))

    await store._database.write(put)


async def test_a_tile_that_is_missing(store: SqlStore) -> None:
    """Nothing that stands on it is answered, and nothing is signed."""
    await add(store, "one", "two")
    await sequencer(store).run(NOW)
    size = (await published(store)).size
    await store._database.write(delete_from, tables.log_tiles)
    await add(store, "three")
    for call in (
        store.log.sequence(10),
        store.log.tree(2),
        sequencer(store).run(NOW),
        store.log.tile(0, 0, size),
    ):
        with pytest.raises(LogHalted, match="is damaged"):
            await call
    await store._database.write(delete_from, tables.log_entries)
    with pytest.raises(LogHalted, match="is damaged"):
        await store.log.bundle(0, size)


def delete_from(connection: Connection, table: Table) -> None:
    connection.execute(table.delete())


async def test_a_smaller_tree_never_replaces_a_larger_one(store: SqlStore) -> None:
    """A replica that was slow comes with what it signed a while ago."""
    late = MemoryWitness()
    await sequencer(store, late).run(NOW)
    slow = await store.log.checkpoint()
    assert slow is not None
    await add(store, "one")
    await sequencer(store).run(NOW)
    assert not await store.log.publish(slow)
    assert (await published(store)).size == 1


async def test_no_tile_loses_a_hash(store: SqlStore) -> None:
    await add(store, "one", "two")
    await store.log.sequence(10)

    def shrink(connection: Connection) -> None:
        log._put_tiles(connection, {(0, 0): bytes(32)})

    with pytest.raises(AuthorityError, match="lose hashes"):
        await store._database.write(shrink)


async def test_one_at_a_time(postgres_url: str) -> None:
    """Who finds another replica at it places nothing, and waits for nobody."""
    one, other = Database(postgres_url), Database(postgres_url)
    loop, placed, tried = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def slowly(connection: Connection) -> int:
        count = log.sequence(connection, 1)
        loop.call_soon(placed.set)
        await_only(asyncio.wait_for(asyncio.to_thread(tried.wait), 60))
        return count

    try:
        await one.write(log.append_all, entries("one", "two"))
        running = asyncio.create_task(one.write(slowly))
        await placed.wait()
        assert await other.write(log.sequence, 10) == 0
        tried.set()
        assert await running == 1
        assert await other.write(log.sequence, 10) == 1
    finally:
        await one.close()
        await other.close()


def entries(*names: str) -> list[audit.Entry]:
    return [audit.KeyAdded(records.NOW, "tls", name.encode()) for name in names]
