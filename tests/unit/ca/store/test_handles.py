# SPDX-License-Identifier: Apache-2.0
"""What is revoked, in which order, and who depends on it: on each of the two databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

from attestca_client.protocol import HandleKind, certificate_handle
from ca.issuance.reasons import RevocationReason
from ca.ports import Dependent, Outcome, RevocationRecord
from ca.store import tables
from ca.store.sql import SqlStore
from tests import records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection

HANDLE = records.digest("a handle")
LATER = records.NOW + timedelta(hours=1)


async def revoke(store: SqlStore, *names: str) -> list[int]:
    """The numbers that they got."""
    made = [
        await store.revoke(records.revocation(records.digest(name)), records.ACTION)
        for name in names
    ]
    return [record.id for record, _ in made]


async def test_it_comes_back_as_it_went_in(store: SqlStore) -> None:
    wanted = records.revocation(HANDLE, kind=HandleKind.CHIP, note="naïve ☂")
    record, new = await store.revoke(wanted, records.ACTION)
    assert (record, new) == (RevocationRecord(1, wanted), True)
    assert await store.revocations(10, None) == (record,)
    assert await store.revocations_after(0, 10) == (record,)
    assert await store.kind_of(HANDLE) is HandleKind.CHIP
    assert await store.actions(10, None) == (records.ACTION,)


@pytest.mark.parametrize("reason", RevocationReason)
async def test_every_reason_comes_back(store: SqlStore, reason: RevocationReason) -> None:
    record, _ = await store.revoke(records.revocation(HANDLE, reason=reason), records.ACTION)
    assert (await store.revocations(1, None))[0].revocation.reason is reason
    assert record.revocation.reason is reason


async def test_again_changes_nothing_and_is_logged(store: SqlStore) -> None:
    first, _ = await store.revoke(records.revocation(HANDLE), records.ACTION)
    other = records.revocation(
        HANDLE,
        kind=HandleKind.CHIP,
        revoked_at=LATER,
        reason=RevocationReason.SUPERSEDED,
        actor="somebody else",
    )
    later = replace(records.ACTION, done_at=LATER)
    assert await store.revoke(other, later) == (first, False)
    assert await store.revocations(10, None) == (first,)
    again, before = await store.actions(10, None)
    assert (again.action, again.done_at) == ("test.action.again", LATER)
    assert before == records.ACTION
    assert await revoke(store, "the next one") == [2]


async def test_pages_both_ways(store: SqlStore) -> None:
    assert await revoke(store, *"abcde") == [1, 2, 3, 4, 5]

    async def newest(limit: int, before: int | None) -> list[int]:
        return [one.id for one in await store.revocations(limit, before)]

    async def oldest(after: int, limit: int) -> list[int]:
        return [one.id for one in await store.revocations_after(after, limit)]

    assert await newest(2, None) == [5, 4]
    assert await newest(2, 4) == [3, 2]
    assert await newest(2, 1) == []
    assert await oldest(0, 2) == [1, 2]
    assert await oldest(2, 100) == [3, 4, 5]
    assert await oldest(5, 2) == []


@pytest.fixture
async def replicas(store: SqlStore, database_url: str) -> AsyncIterator[tuple[SqlStore, ...]]:
    other = await SqlStore.open(database_url)
    yield store, other
    await other.close()


async def test_who_follows_the_numbers_misses_none(replicas: tuple[SqlStore, ...]) -> None:
    """Two replicas revoke at once, half of it the same; a reader asks for what is above the last it saw."""
    seen: list[RevocationRecord] = []

    async def follow() -> None:
        while len(seen) < 30:
            after = seen[-1].id if seen else 0
            seen.extend(await replicas[0].revocations_after(after, 100))

    async def work(store: SqlStore, start: int) -> None:
        await asyncio.gather(*(revoke(store, f"handle {i}") for i in range(start, start + 20)))

    await asyncio.gather(follow(), work(replicas[0], 0), work(replicas[1], 10))
    assert [one.id for one in seen] == list(range(1, 31))
    assert {one.revocation.handle for one in seen} == {
        records.digest(f"handle {i}") for i in range(30)
    }
    repeated = [one.action for one in await replicas[1].actions(100, None)]
    assert sorted(set(repeated)) == ["test.action", "test.action.again"]
    assert (len(repeated), repeated.count("test.action")) == (40, 30)


async def test_numbers_go_on_above_a_restored_backup(store: SqlStore) -> None:
    """What was revoked between backup and restore is not here; its numbers are not given to anything else."""

    def restored(connection: Connection) -> None:
        row = {"restored_at": LATER, "nonces_until": LATER, "crl_number": 5000}
        connection.execute(insert(tables.restorations).values(row))

    assert await revoke(store, "a") == [1]
    await store._database.write(restored)
    assert await revoke(store, "b", "c") == [5001, 5002]


# who depends on it


async def test_dependents(store: SqlStore) -> None:
    await records.activate(store)
    on_it = (("measurement", records.digest("good")), ("chip", HANDLE))
    for serial, hours in ((5, 1), (7, 3), (6, 2), (8, 0)):
        end = records.NOW + timedelta(hours=hours)
        names = (f"dns:vm{serial}.example", "dns:any.example")
        intent = records.intent(
            serial=serial, not_after=end, handles=on_it, subject_alt_names=names
        )
        await store.record_intent(intent)
    await store.record_certificate(7, b"der", "ear")
    await store.record_intent(records.intent())

    found = await store.dependents(HANDLE, records.NOW, 2)
    assert (found.kind, found.count, found.revoked) == (HandleKind.CHIP, 3, None)
    assert [(one.serial, one.outcome) for one in found.first] == [
        (7, Outcome.ISSUED),
        (6, Outcome.INTENT),
    ]
    assert found.first[1] == Dependent(
        6,
        Outcome.INTENT,
        records.NOW + timedelta(hours=2),
        ("dns:vm6.example", "dns:any.example"),
    )
    record, _ = await store.revoke(records.revocation(HANDLE), records.ACTION)
    assert (await store.dependents(HANDLE, records.NOW, 2)).revoked == record

    late = await store.dependents(HANDLE, records.NOW + timedelta(hours=3), 20)
    assert (late.kind, late.count, late.first) == (HandleKind.CHIP, 0, ())


async def test_a_certificate_depends_on_itself(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent()
    await store.record_intent(intent)
    own = certificate_handle(intent.issuer_key_id, intent.serial)
    found = await store.dependents(own, records.NOW, 20)
    assert (found.kind, found.count) == (HandleKind.CERTIFICATE, 1)
    assert [one.serial for one in found.first] == [intent.serial]
    assert await store.kind_of(own) is HandleKind.CERTIFICATE


async def test_nobody_depends_on_it(store: SqlStore) -> None:
    found = await store.dependents(HANDLE, records.NOW, 20)
    assert (found.kind, found.count, found.first, found.revoked) == (None, 0, (), None)
    assert await store.kind_of(HANDLE) is None


async def test_what_takes_a_certificate(store: SqlStore) -> None:
    await records.activate(store)
    intent, other = records.intent(), records.intent()
    await store.record_intent(intent)
    await store.record_intent(other)
    assert await store.revocations_of(intent.serial) == ()
    own = certificate_handle(intent.issuer_key_id, intent.serial)
    by_own, _ = await store.revoke(records.revocation(own), records.ACTION)
    (_, measurement), _ = intent.handles
    by_measurement, _ = await store.revoke(records.revocation(measurement), records.ACTION)
    assert await store.revocations_of(intent.serial) == (by_own, by_measurement)
    assert await store.revocations_of(other.serial) == (by_measurement,)
    assert await store.revocations_of(1) == ()


async def test_abandoned_intents_are_numbered_too(store: SqlStore) -> None:
    await records.activate(store)
    intents = [records.intent() for _ in range(3)]
    for intent in intents:
        await store.record_intent(intent)
    own = certificate_handle(intents[0].issuer_key_id, intents[0].serial)
    await store.revoke(records.revocation(own), records.ACTION)
    assert len(await store.abandon_intents(LATER, LATER)) == 3
    first, *rest = await store.revocations_after(0, 10)
    assert [one.id for one in (first, *rest)] == [1, 2, 3]
    assert first.revocation.actor == records.ACTION.actor
    assert {one.revocation.subject for one in rest} == {f"{one.serial:x}" for one in intents[1:]}
    assert {(one.revocation.actor, one.revocation.note) for one in rest} == {
        ("service", "abandoned")
    }
