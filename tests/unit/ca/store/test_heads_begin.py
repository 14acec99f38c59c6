# SPDX-License-Identifier: Apache-2.0
"""A database whose checkpoints said less: what its entries revoke is found, and a new key signs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, text

from attestca_client.protocol import leaf_hash
from ca import audit, merkle
from ca.errors import LogHalted
from ca.revocation_tree import RevocationTree
from ca.store import schema
from ca.store.database import Database
from ca.store.sql import SqlStore
from tests import log_lab, records
from tests.log_lab import KEY, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

MANY = 2050  # more than two batches


def revocation(number: int) -> audit.Revocation:
    return audit.Revocation(records.NOW, number, "key", records.digest(f"{number}"), "unspecified")


def entries() -> list[bytes]:
    """Every tenth revokes something, as does the last; one of them again what another did before."""
    found = [
        audit.encode(
            revocation(number)
            if number % 10 == 0 or number == MANY - 1
            else audit.KeyAdded(records.NOW, "tls", b"key")
        )
        for number in range(MANY)
    ]
    again = audit.Revocation(records.NOW, 7, "key", records.digest("10"), "keyCompromise")
    return [*found[:15], audit.encode(again), *found[16:]]


def old(connection: Connection) -> None:
    schema.migrate(connection, "0006")
    told = entries()
    connection.execute(
        text("INSERT INTO log_entries (position, entry) VALUES (:position, :entry)"),
        [{"position": position, "entry": entry} for position, entry in enumerate(told)],
    )
    tiles = merkle.grow(lambda *_: b"", 0, [leaf_hash(one) for one in told])
    connection.execute(
        text("INSERT INTO log_tiles VALUES (:level, :number, :hashes)"),
        [
            {"level": level, "number": number, "hashes": hashes}
            for (level, number), hashes in tiles.items()
        ],
    )
    connection.execute(
        text("INSERT INTO log_checkpoint VALUES (1, :key, :size, :note)"),
        {"key": log_lab.sha256_of(KEY), "size": MANY, "note": b"of three lines"},
    )
    connection.execute(
        text("INSERT INTO crls VALUES (:key, '2026-03-01', 4, 0, :der, 1, 2)"),
        {"key": b"k" * 20, "der": b"a list"},
    )
    connection.execute(text("INSERT INTO crl_series VALUES (:key, 4, 1)"), {"key": b"k" * 20})


def never_signed(connection: Connection) -> None:
    connection.execute(text("DELETE FROM log_checkpoint"))


async def on(url: str, work: Callable[[Connection], None]) -> None:
    database = Database(url)
    try:
        await database.create()
        await database.write(work)
    finally:
        await database.close()


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "never signed"])
async def test_a_log_from_before(empty_database_url: str, *, signed: bool) -> None:
    await on(empty_database_url, old)
    if not signed:
        await on(empty_database_url, never_signed)
    await schema.upgrade(empty_database_url)
    store = await SqlStore.open(empty_database_url)
    key = SECOND if signed else KEY
    try:
        if signed:
            with pytest.raises(LogHalted, match="another key signs"):
                await log_lab.sequence(store.log)
            await store.log.replace_key(log_lab.sha256_of(SECOND))
        assert await log_lab.sequence(store.log, key) == MANY
        newest = await store.log.checkpoint()
        assert newest is not None
        assert newest.note is not None
        head = key.verifier.open(newest.note).head
        tree = RevocationTree().with_all(
            (handle, leaf_hash(entry))
            for entry in entries()
            if (handle := audit.revoked_by(entry)) is not None
        )
        assert (head.revocation_count, head.revocation_root) == (tree.count, tree.root)
        assert tree.count == MANY // 10 + 1
        revoked = await store.log.revoked(0, MANY)
        assert revoked[1].position == 10, "of the two it is the first"
        assert await store.crl_names() == ()
        state = await store.crl_state(b"k" * 20, records.NOW.date(), records.NOW.date())
        assert state.number == 4, "numbers of lists go on"
    finally:
        await store.close()
