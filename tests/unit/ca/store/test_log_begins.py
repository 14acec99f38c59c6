# SPDX-License-Identifier: Apache-2.0
"""A database that is older than the log: what is in force in it is what the log begins with, once, on either kind."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, text

from ca import audit
from ca.store import schema
from ca.store.database import Database
from ca.store.sql import SqlStore
from ca.store.tables import EPOCH
from tests import log_lab, records

if TYPE_CHECKING:
    from collections.abc import Callable

MANY = 1201  # more than a page of anything
POLICY = "INSERT INTO policies VALUES (:name, :version, :digest, :digest, :state, :at, 'cli:test')"
POLICIES = (
    ("web", 1, "retired", 1),
    ("web", 2, "active", 2),
    ("web", 22, "draft", 3),
    ("batch", 7, "active", 4),  # by its first import: there is no line about it
)
ACTION = (
    "INSERT INTO operator_actions (done_at, actor, action, target, detail)"
    " VALUES (:at, 'cli:test', :action, :target, '{}')"
)
ACTIONS = (
    (5, "policy.activate", "web@1"),
    (6, "policy.activate", "web@2"),
    (7, "policy.add", "web@22"),
    (8, "policy.retire", "web@2"),
    (9, "policy.activate", "batch@77"),
)
LIST = "INSERT INTO lists VALUES (:name, :version, :digest, :at)"
LISTS = (("nvidia-minimums", 9, 10), ("amd-floors", 10, 12), ("amd-floors", 9, 11))
REVOCATION = (
    "INSERT INTO revocations (handle, kind, revoked_at, cause)"
    " VALUES (:digest, 'certificate', :at, 'abandoned')"
)


def digest(*of: str | int) -> bytes:
    return records.digest("/".join(map(str, of)))


def seconds(at: int) -> int:
    return at * 1_000_000


def old(connection: Connection) -> None:
    """As 0003 has it: four policies, two lists, revocations that have no number yet."""
    schema.migrate(connection, "0003")

    def each(statement: str, rows: list[dict[str, Any]]) -> None:
        connection.execute(text(statement), rows)

    each(
        POLICY,
        [
            {"name": n, "version": v, "digest": digest(n, v), "state": state, "at": seconds(at)}
            for n, v, state, at in POLICIES
        ],
    )
    each(ACTION, [{"at": seconds(at), "action": a, "target": t} for at, a, t in ACTIONS])
    each(
        LIST,
        [
            {"name": n, "version": v, "digest": digest(n, v), "at": seconds(at)}
            for n, v, at in LISTS
        ],
    )
    each(
        REVOCATION,
        [{"digest": digest("handle", i), "at": seconds(99_999 - i)} for i in range(MANY)],
    )


def expected() -> list[audit.Entry]:
    def change(what: str, name: str, version: int, at: int) -> audit.PolicyChange:
        when = EPOCH + timedelta(seconds=at)
        return audit.PolicyChange(when, what, name, version, digest(name, version), "active")

    numbered = enumerate(reversed(range(MANY)), 1)  # 0004 numbers them by their time
    return [
        change("policy", "batch", 7, 4),
        change("policy", "web", 2, 6),
        change("list", "amd-floors", 10, 12),
        change("list", "nvidia-minimums", 9, 10),
        *(
            audit.Revocation(
                EPOCH + timedelta(seconds=99_999 - i),
                number,
                "certificate",
                digest("handle", i),
                "unspecified",
            )
            for number, i in numbered
        ),
    ]


@pytest.fixture
async def upgraded(empty_database_url: str) -> str:
    await on(empty_database_url, old)
    await asyncio.gather(*(schema.upgrade(empty_database_url) for _ in range(3)))
    await schema.upgrade(empty_database_url)
    return empty_database_url


async def on(url: str, work: Callable[[Connection], None]) -> None:
    database = Database(url)
    try:
        await database.create()
        await database.write(work)
    finally:
        await database.close()


async def test_the_log_begins_with_what_is_in_force(upgraded: str) -> None:
    """Replicas that upgrade at once, and one that comes later, tell of it once."""
    stores = [await SqlStore.open(upgraded) for _ in range(2)]
    try:
        await asyncio.gather(*(log_lab.sequence(store.log) for store in stores))
        size = await log_lab.sequence(stores[0].log)
        told = await log_lab.entries(stores[1].log, size)
    finally:
        for store in stores:
            await store.close()
    assert told == expected()


async def test_what_happens_next_comes_behind_it(upgraded: str) -> None:
    store = await SqlStore.open(upgraded)
    try:
        floors = digest("amd-floors", 10)
        assert not await store.record_list("amd-floors", 10, floors, records.ACTION), "told already"
        record, _ = await store.revoke(records.revocation(digest("new")), records.ACTION)
        told = await log_lab.entries(store.log, await log_lab.sequence(store.log))
    finally:
        await store.close()
    assert told[:-1] == expected()
    (last,) = told[-1:]
    assert isinstance(last, audit.Revocation)
    assert last.number == record.id == MANY + 1
