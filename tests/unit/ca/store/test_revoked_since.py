# SPDX-License-Identifier: Apache-2.0
"""Between an intent and its certificate something that it rests on is revoked: it is never issued."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import make_url, select

from attestca_client.protocol import HandleKind, certificate_handle
from ca import audit
from ca.errors import HandleRevoked, IntentClosed
from ca.issuance.crl import Revoked
from ca.issuance.reasons import RevocationReason
from ca.ports import Outcome
from ca.store import enrollments, handles, tables
from ca.store.engines import Limits, PostgresEngine
from ca.store.sql import SqlStore
from tests import records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy import Connection

    from ca.ports import Intent

CHIP: Final = records.digest("the handle of a chip that its policy withholds")
OWN, LISTED, WITHHELD = "certificate", "key", "chip"


async def intended(store: SqlStore, **fields: Any) -> Intent:  # noqa: ANN401 - of `records.intent`
    await records.activate(store)
    intent = records.intent(withheld=(CHIP,), **fields)
    await store.record_intent(intent)
    return intent


def handle_of(intent: Intent, which: str) -> bytes:
    own = certificate_handle(intent.issuer_key_id, intent.serial)
    return {OWN: own, LISTED: dict(intent.handles).get("key", b""), WITHHELD: CHIP}[which]


async def revoke(store: SqlStore, handle: bytes, kind: str) -> None:
    await store.revoke(records.revocation(handle, kind=HandleKind(kind)), records.ACTION)


async def told(store: SqlStore) -> list[audit.Entry | audit.Unknown]:
    """What waits for its place in the log, without policies."""

    def waiting(connection: Connection) -> list[bytes]:
        outbox = tables.log_outbox.c
        return list(connection.execute(select(outbox.entry).order_by(outbox.id)).scalars())

    entries = map(audit.decode, await store._database.read(waiting))
    return [entry for entry in entries if not isinstance(entry, audit.PolicyChange)]


@pytest.mark.parametrize("which", [OWN, LISTED, WITHHELD])
async def test_no_certificate_after_a_revocation(store: SqlStore, which: str) -> None:
    intent = await intended(store)
    await revoke(store, handle_of(intent, which), which)
    with pytest.raises(HandleRevoked, match=which):
        await store.record_certificate(intent.serial, b"der", "ear", intent.withheld)
    found = await store.certificate(intent.serial)
    assert found is not None
    assert (found.outcome, found.der, found.ear) == (Outcome.INTENT, None, None)
    count = 2 if which == WITHHELD else 1  # that of the certificate itself goes with it
    assert [type(entry) for entry in await told(store)] == [audit.Revocation] * count


async def test_a_refusal_in_its_place(store: SqlStore) -> None:
    """In one transaction: never issued, revoked, in the feed and in the log, and the refusal is kept beside it."""
    intent = await intended(store)
    await revoke(store, CHIP, WITHHELD)
    refusal = records.decision(nonce=intent.decision.nonce, result_json='{"decision": "denied"}')
    await store.refuse_intent(intent.serial, refusal)

    own = handle_of(intent, OWN)
    found = await store.certificate(intent.serial)
    assert found is not None
    assert (found.outcome, found.der) == (Outcome.ABANDONED, None)
    assert found.decision == intent.decision
    (kept,) = await store.refusals(10, None)
    assert kept.decision == refusal
    state = await store.nonce_state(intent.decision.nonce)
    assert state is not None
    assert (state.outcome, state.serial) == (Outcome.ABANDONED, intent.serial)
    revoked = Revoked(intent.serial, refusal.decided_at, RevocationReason.KEY_COMPROMISE)
    assert await store.revoked_on(records.ISSUER, intent.not_after.date()) == (revoked,)
    assert await store.statuses(records.ISSUER, [intent.serial]) == {intent.serial: revoked}
    _, of_it = await store.revocations_after(0, 10)
    assert of_it.revocation.handle == own
    entries = await told(store)
    assert [type(entry) for entry in entries] == [audit.Revocation, audit.Revocation, audit.Refusal]
    assert isinstance(entries[1], audit.Revocation)
    assert entries[1].handle == own

    with pytest.raises(IntentClosed):
        await store.record_certificate(intent.serial, b"der", "ear", intent.withheld)
    with pytest.raises(IntentClosed):
        await store.refuse_intent(intent.serial, records.decision())
    assert len(await store.refusals(10, None)) == 1


async def test_what_is_issued_is_refused_no_more(store: SqlStore) -> None:
    intent = await intended(store)
    await store.record_certificate(intent.serial, b"der", "ear", intent.withheld)
    for serial in (intent.serial, 4711):
        with pytest.raises(IntentClosed):
            await store.refuse_intent(serial, records.decision())
    assert await store.refusals(10, None) == ()
    assert await store.revocations(10, None) == ()


async def test_a_withheld_handle_stops_an_intent_too(store: SqlStore) -> None:
    await records.activate(store)
    await revoke(store, CHIP, WITHHELD)
    intent = records.intent(withheld=(records.digest("another chip"), CHIP))
    with pytest.raises(HandleRevoked, match="chip"):
        await store.record_intent(intent)
    assert await store.nonce_state(intent.decision.nonce) is None


async def test_a_withheld_handle_is_in_one_place(store: SqlStore) -> None:
    intent = await intended(store)
    await store.record_certificate(intent.serial, b"der", "ear", intent.withheld)

    def everything(connection: Connection) -> list[tuple[str, str]]:
        return [
            (table.name, repr(tuple(row)))
            for table in tables.metadata.sorted_tables
            for row in connection.execute(select(table))
        ]

    written = await store._database.read(everything)
    assert sum(repr(intent.decision.nonce) in row for _, row in written) == 2
    places = [name for name, row in written if repr(CHIP) in row or CHIP.hex() in row]
    assert places == ["withheld_handles"], "from which nothing is told"
    assert repr(CHIP) not in repr(intent)


# two transactions at once: PostgreSQL alone has them


@asynccontextmanager
async def under_way(url: str, work: Callable[[Connection], object]) -> AsyncIterator[None]:
    """`work` of another replica is done, and commits when this ends."""
    engine = PostgresEngine(make_url(url), Limits())
    async with engine._writes.begin() as connection:
        await connection.run_sync(work)
        yield
    await engine.close()


@pytest.fixture
async def on_postgres(postgres_url: str) -> AsyncIterator[SqlStore]:
    store = await SqlStore.open(postgres_url)
    yield store
    await store.close()


async def test_revoked_while_an_intent_is_under_way(
    on_postgres: SqlStore, postgres_url: str
) -> None:
    """The intent asked before the revocation was there, and commits after it."""
    await records.activate(on_postgres)
    intent = records.intent()
    async with under_way(postgres_url, lambda other: enrollments.record_intent(other, intent)):
        await revoke(on_postgres, handle_of(intent, LISTED), LISTED)
    with pytest.raises(HandleRevoked, match="key"):
        await on_postgres.record_certificate(intent.serial, b"der", "ear")


async def test_a_revocation_that_is_under_way_is_waited_for(
    on_postgres: SqlStore, postgres_url: str
) -> None:
    intent = await intended(on_postgres)
    revocation = records.revocation(handle_of(intent, LISTED), kind=HandleKind.KEY)

    def write(other: Connection) -> None:
        handles.revoke(other, revocation, records.ACTION)

    async with under_way(postgres_url, write):
        certificate = asyncio.create_task(
            on_postgres.record_certificate(intent.serial, b"der", "ear")
        )
        await waits_for_a_lock(on_postgres)
    with pytest.raises(HandleRevoked, match="key"):
        await certificate


async def test_a_revocation_returns_after_the_certificates_that_it_does_not_stop(
    on_postgres: SqlStore, postgres_url: str
) -> None:
    """Two certificates are being written, neither waits for the other; the revocation does, for both."""
    intent, beside = await intended(on_postgres), records.intent()
    await on_postgres.record_intent(beside)

    def write(other: Connection) -> None:
        enrollments.record_certificate(other, intent.serial, b"der", "ear")

    async with under_way(postgres_url, write):
        await on_postgres.record_certificate(beside.serial, b"der", "ear")
        revoking = asyncio.create_task(revoke(on_postgres, handle_of(intent, LISTED), LISTED))
        await waits_for_a_lock(on_postgres)
        assert await on_postgres.revocations(10, None) == ()
    await revoking
    found = await on_postgres.certificate(intent.serial)
    assert found is not None
    assert found.outcome is Outcome.ISSUED


async def waits_for_a_lock(store: SqlStore) -> None:
    """Returns when somebody waits for the table of revocations; fails with the test's own patience otherwise."""

    def count(connection: Connection) -> int:
        waiting = (
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'revocations'::regclass"
        )
        found: int = connection.exec_driver_sql(waiting).scalar_one()
        return found

    async with asyncio.timeout(30):
        while not await store._database.read(count):  # noqa: ASYNC110 - another process has no event of ours
            await asyncio.sleep(0.01)
