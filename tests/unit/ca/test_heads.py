# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint says besides the tree: what is revoked, which lists are served, when. None of it goes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol import crls_digest, leaf_hash
from attestca_client.protocol.checkpoint import EMPTY_HEAD, Head
from ca import audit
from ca.errors import LogHalted
from ca.ports import ServedList
from ca.revocation_tree import RevocationTree
from ca.sequencing import HEARTBEAT, Sequencer, must_follow
from ca.store import log
from ca.store.tables import log_revocations
from ca.tree_history import KEPT, TreeHistory
from tests import log_lab, records
from tests.log_lab import KEY, NOW, SECOND, MemoryWitness, sequencer

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ca.store.sql import SqlStore

SECONDS = int(NOW.timestamp())


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def revocation(number: int) -> audit.Revocation:
    return audit.Revocation(records.NOW, number, "key", records.digest(f"{number}"), "unspecified")


async def revoke(store: SqlStore, *numbers: int) -> None:
    await store._database.write(log.append_all, [revocation(number) for number in numbers])


async def published(store: SqlStore) -> Head:
    newest = await store.log.checkpoint()
    assert newest is not None
    assert newest.note is not None
    return KEY.verifier.open(newest.note).head


def tree_of(*numbers: int) -> RevocationTree:
    entries = [revocation(number) for number in numbers]
    return RevocationTree().with_all((one.handle, leaf_hash(audit.encode(one))) for one in entries)


async def test_what_is_revoked_is_what_the_entries_say(store: SqlStore) -> None:
    mine = sequencer(store.log)
    await store.log.append_keys([audit.KeyAdded(records.NOW, "tls", b"one")])
    await mine.run(NOW)
    head = await published(store)
    assert (head.size, head.revocation_count, head.revocation_root) == (1, 0, bytes(32))
    assert head.time == SECONDS
    await revoke(store, 1, 2)
    await mine.run(NOW)
    await store.log.append_keys([audit.KeyAdded(records.NOW, "tls", b"two")])
    await revoke(store, 3)
    await mine.run(NOW)
    head = await published(store)
    assert (head.size, head.revocation_count, head.revocation_root) == (5, 3, tree_of(1, 2, 3).root)


async def test_of_one_handle_the_first_entry_counts(store: SqlStore) -> None:
    again = replace(revocation(1), number=9)
    await store._database.write(log.append_all, [revocation(1), again])
    await sequencer(store.log).run(NOW)
    head = await published(store)
    assert (head.size, head.revocation_count, head.revocation_root) == (2, 1, tree_of(1).root)
    (entry,) = await store.log.revocation_entries([again.handle, records.digest("none")], 2)
    assert audit.decode(entry) == revocation(1)
    assert await store.log.revocation_entries([again.handle], 0) == ()


async def test_the_lists_that_are_served(store: SqlStore) -> None:
    lists = {"https://a": b"a" * 32, "https://b": b"b" * 32}

    async def served() -> tuple[ServedList, ...]:
        return tuple(ServedList(url, digest, 7) for url, digest in lists.items())

    witness = MemoryWitness()
    mine = Sequencer(store.log, KEY, witness, TreeHistory(store.log), served)
    await mine.run(NOW)
    assert (await published(store)).crls_digest == crls_digest(lists)
    lists["https://b"] = b"c" * 32
    await mine.run(at(HEARTBEAT))
    assert (await published(store)).crls_digest == crls_digest(lists)


async def test_where_nothing_comes_the_time_is_signed(store: SqlStore) -> None:
    witness = MemoryWitness()
    mine = sequencer(store.log, witness)
    await revoke(store, 1)
    await mine.run(NOW)
    first = await published(store)
    await mine.run(at(HEARTBEAT - 1))
    assert await published(store) == first
    await mine.run(at(HEARTBEAT))
    assert await published(store) == replace(first, time=SECONDS + HEARTBEAT)
    assert witness.note == KEY.sign(await published(store)), "the witness keeps each"
    assert not await store.log.pending()


async def test_what_comes_is_signed_at_once(store: SqlStore) -> None:
    mine = sequencer(store.log)
    await mine.run(NOW)
    await revoke(store, 1)
    await mine.run(at(1))
    assert ((await published(store)).size, (await published(store)).time) == (1, SECONDS + 1)
    await mine.run(at(HEARTBEAT))
    assert (await published(store)).time == SECONDS + 1
    await mine.run(at(HEARTBEAT + 1))
    assert (await published(store)).time == SECONDS + 1 + HEARTBEAT


async def test_time_never_goes_back(store: SqlStore) -> None:
    """One replica's clock is an hour ahead; then the one that is right signs, with what the other saw and without."""
    ahead, right = MemoryWitness(), MemoryWitness()
    await sequencer(store.log, ahead).run(at(3600))
    await sequencer(store.log, right).run(NOW)
    assert (await published(store)).time == SECONDS + 3600
    assert right.note == ahead.note, "what one signed all remember"
    await revoke(store, 1)
    await sequencer(store.log, right).run(at(1))
    head = await published(store)
    assert (head.size, head.time) == (1, SECONDS + 3600)
    await sequencer(store.log, right).run(at(3600 + HEARTBEAT - 1))
    assert await published(store) == head
    await sequencer(store.log, right).run(at(3600 + HEARTBEAT))
    assert (await published(store)).time == SECONDS + 3600 + HEARTBEAT


async def test_a_new_key_begins_with_the_right_time_and_the_same_entries(store: SqlStore) -> None:
    """What an operator does after a clock was years ahead: no checkpoint of that key would be believed before."""
    await revoke(store, 1)
    await sequencer(store.log).run(at(100_000_000))
    wrong = await published(store)
    new = sequencer(store.log, key=SECOND)
    await store.log.replace_key(new.key_sha256)
    await new.run(NOW)
    found = await store.log.checkpoint()
    assert found is not None
    assert found.note is not None
    assert SECOND.verifier.open(found.note).head == replace(wrong, time=SECONDS)


async def test_an_earlier_time_replaces_no_later_one(store: SqlStore) -> None:
    """Whoever signed while another published comes too late, with the same tree and with a larger one."""
    mine = sequencer(store.log)
    await mine.run(at(10))
    head = await published(store)
    for size, seconds in ((0, 10), (0, 9), (1, 9)):
        late = replace(head, size=size, time=SECONDS + seconds)
        new = log_lab.checkpoint_of(late)
        assert not await store.log.publish(new)
    assert await published(store) == head
    larger = log_lab.checkpoint_of(replace(head, size=1))
    assert await store.log.publish(larger)


async def test_a_replica_keeps_what_is_only_later(store: SqlStore) -> None:
    mine, theirs = MemoryWitness(), MemoryWitness()
    await sequencer(store.log, mine).run(NOW)
    await sequencer(store.log, theirs).run(at(HEARTBEAT))
    assert mine.note != theirs.note
    await sequencer(store.log, mine).run(at(HEARTBEAT + 1))
    assert mine.note == theirs.note


async def test_a_database_that_lost_a_revocation(store: SqlStore) -> None:
    """The entry is there, so the tree is the signed one; what it revokes is not: nothing is signed."""
    witness = MemoryWitness()
    await revoke(store, 1, 2)
    await sequencer(store.log, witness).run(NOW)
    before = witness.note
    lost = log_revocations.delete().where(log_revocations.c.position == 1)
    await store._database.write(lambda connection: connection.execute(lost))
    await revoke(store, 3)
    for _ in range(2):
        with pytest.raises(LogHalted, match="what the first 2 entries revoked"):
            await sequencer(store.log, witness).run(NOW)
    assert witness.note == before
    assert (await published(store)).size == 2


async def test_a_count_that_is_not_of_its_tree(store: SqlStore) -> None:
    witness = MemoryWitness()
    await revoke(store, 1, 2)
    await sequencer(store.log, witness).run(NOW)
    head = await published(store)
    witness.note = KEY.sign(replace(head, revocation_count=1, time=head.time + 1))
    with pytest.raises(LogHalted, match="what the first 2 entries revoked"):
        await sequencer(store.log, witness).run(at(HEARTBEAT))


HEAD = Head(8, b"r" * 32, 3, b"v" * 32, b"c" * 32, 100)
FORBIDDEN: dict[str, Callable[[Head], Head]] = {
    "fewer entries": lambda head: replace(head, size=head.size - 1),
    "fewer revocations": lambda head: replace(head, revocation_count=head.revocation_count - 1),
    "fewer revocations in a larger log": lambda head: replace(
        head, size=9, root=b"n" * 32, revocation_count=2, revocation_root=b"n" * 32
    ),
    "an earlier time": lambda head: replace(head, time=head.time - 1),
    "another tree of the same size": lambda head: replace(head, root=b"n" * 32),
    "other revocations, as many": lambda head: replace(head, revocation_root=b"n" * 32),
    "more revocations of the same entries": lambda head: replace(
        head, revocation_count=4, revocation_root=b"n" * 32
    ),
    "more revocations than entries": lambda head: replace(
        head, size=9, root=b"n" * 32, revocation_count=5, revocation_root=b"n" * 32
    ),
    "other revocations, as many, in a larger log": lambda head: replace(
        head, size=9, root=b"n" * 32, revocation_root=b"n" * 32
    ),
}


@pytest.mark.parametrize("change", FORBIDDEN)
def test_nothing_is_signed_that_does_not_follow(change: str) -> None:
    with pytest.raises(LogHalted, match="does not follow"):
        must_follow(HEAD, FORBIDDEN[change](HEAD))


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_what_grows_follows(entries: int, others: int, seconds: int) -> None:
    revocations = max(0, entries - others)  # each is an entry
    new = replace(
        HEAD,
        size=HEAD.size + entries,
        root=b"n" * 32 if entries else HEAD.root,
        revocation_count=HEAD.revocation_count + revocations,
        revocation_root=b"n" * 32 if revocations else HEAD.revocation_root,
        crls_digest=b"n" * 32,
        time=HEAD.time + seconds,
    )
    must_follow(HEAD, new)
    must_follow(EMPTY_HEAD, new)


class Reads:
    """What a history asks the log for."""

    def __init__(self, store: SqlStore) -> None:
        self.asked: list[tuple[int, int]] = []
        self._log = store.log

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    async def revoked(self, first: int, end: int) -> object:
        self.asked.append((first, end))
        return await self._log.revoked(first, end)


async def heads_of(store: SqlStore, count: int) -> list[Head]:
    """Of a log in which every second entry is a revocation."""
    heads, mine = [], sequencer(store.log)
    for number in range(count):
        await store.log.append_keys([audit.KeyAdded(records.NOW, "tls", f"{number}".encode())])
        await revoke(store, number)
        await mine.run(NOW)
        heads.append(await published(store))
    return heads


async def test_only_what_is_new_is_read(store: SqlStore) -> None:
    heads = await heads_of(store, 4)
    reads = Reads(store)
    history = TreeHistory(reads)  # type: ignore[arg-type] # it passes on what it does not count
    for head in (heads[0], heads[0], heads[2], heads[0], heads[3], heads[2]):
        tree = await history.tree(head)
        assert (tree.root, tree.count) == (head.revocation_root, head.revocation_count)
    assert reads.asked == [(0, 2), (2, 6), (6, 8)]


async def test_any_head_that_was_signed(store: SqlStore) -> None:
    """Older than what is known, between two that are, and more of them than are kept."""
    heads = await heads_of(store, KEPT + 4)
    history = TreeHistory(store.log)
    for head in (*heads, *reversed(heads), heads[5], heads[1]):
        assert (await history.tree(head)).root == head.revocation_root
    assert len(history._known) == KEPT


async def test_a_tree_that_the_database_has_no_more(store: SqlStore) -> None:
    """It failed over to a copy that had placed other entries: what was known is of no use, and is not used."""
    heads = await heads_of(store, 2)
    history = TreeHistory(store.log)
    await history.keep(3, tree_of(0, 7))
    assert (await history.tree(heads[1])).root == heads[1].revocation_root
    with pytest.raises(LogHalted):
        await history.tree(replace(heads[1], revocation_root=b"n" * 32))
