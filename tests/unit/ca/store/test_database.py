# SPDX-License-Identifier: Apache-2.0
"""The database locked, full, gone, too slow: Unavailable, nothing half written, and it works again by itself."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
from blockbuster import BlockBuster
from sqlalchemy import Connection, select, text
from sqlalchemy.util import await_only

from ca.errors import AuthorityError, ConfigurationError, Unavailable
from ca.ports import CertificateQuery
from ca.store import tables
from ca.store.database import Database
from ca.store.engines import Limits
from ca.store.sql import SqlStore
from tests import records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.databases import PostgresServer

IMPATIENT = Limits(lock=0.1, statement=1.0, queue=0.3, connections=1)


@pytest.fixture
async def impatient(database_url: str) -> AsyncIterator[SqlStore]:
    store = await SqlStore.open(database_url, IMPATIENT)
    yield store
    await store.close()


@pytest.fixture
def sqlite_file(sqlite_url: str) -> Path:
    return Path(sqlite_url.removeprefix("sqlite:///"))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "cannot be parsed"),
        ("no url", "cannot be parsed"),
        ("postgresql://host:port/x", "cannot be parsed"),
        ("mysql://u:secret@host/x", "mysql is not supported"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
    ],
)
def test_urls_that_are_not_ours(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as raised:
        Database(url)
    assert "secret" not in str(raised.value)


async def test_settings_of_sqlite(sqlite_url: str) -> None:
    def pragmas(connection: Connection) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "query_only")
        return {n: connection.exec_driver_sql(f"PRAGMA {n}").scalar_one() for n in names}

    store = await SqlStore.open(sqlite_url)
    try:
        writer = await store._database.write(pragmas)
        assert writer == {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "query_only": 0,
        }
        reader = await store._database.read(pragmas)
        assert (reader["journal_mode"], reader["query_only"]) == ("wal", 1)
    finally:
        await store.close()


async def test_readers_cannot_write(store: SqlStore) -> None:
    def cheat(connection: Connection) -> None:
        connection.execute(tables.heartbeat.insert().values(id=1, beats=1))

    with pytest.raises(AuthorityError):
        await store._database.read(cheat)
    await store._database.write(cheat)


async def test_a_read_is_of_one_instant(store: SqlStore, database_url: str) -> None:
    other = await SqlStore.open(database_url)
    loop = asyncio.get_running_loop()

    def count(connection: Connection) -> int:
        return len(connection.execute(select(tables.decisions.c.id)).all())

    def twice(connection: Connection) -> tuple[int, int]:
        before = count(connection)
        if database_url.startswith("sqlite"):  # in a thread: the loop is free
            writing = asyncio.run_coroutine_threadsafe(
                other.record_refusal(records.decision()), loop
            )
            writing.result(10)
        else:  # in a greenlet: it lends the loop
            await_only(other.record_refusal(records.decision()))
        return before, count(connection)

    try:
        assert await store._database.read(twice) == (0, 0)
        assert await store._database.read(count) == 1
    finally:
        await other.close()


async def test_sqlite_locked_by_another_process(sqlite_url: str, sqlite_file: Path) -> None:
    store = await SqlStore.open(sqlite_url, IMPATIENT)
    with closing(sqlite3.connect(sqlite_file, isolation_level=None)) as other:
        await records.activate(store)
        intent = records.intent()
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match="database is locked") as raised:
            await store.record_intent(intent)
        assert raised.value.retry_after > 0
        with pytest.raises(Unavailable):
            await store.ping()
        assert await store.nonce_state(intent.decision.nonce) is None  # readers go on
        other.execute("ROLLBACK")
    await store.record_intent(intent)
    await store.ping()
    await store.close()


async def test_a_lock_that_goes_in_time_is_waited_for(sqlite_url: str, sqlite_file: Path) -> None:
    store = await SqlStore.open(sqlite_url)
    with closing(sqlite3.connect(sqlite_file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        ping = asyncio.create_task(store.ping())
        await asyncio.sleep(0.05)
        assert not ping.done()
        other.execute("ROLLBACK")
        await ping
    await store.close()


async def test_sqlite_full(sqlite_url: str) -> None:
    def limit(connection: Connection, pages: int) -> None:
        used = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {used + pages}")

    store = await SqlStore.open(sqlite_url)
    await records.activate(store)
    await store._database.write(limit, 0)
    intent = records.intent(
        of=records.decision(evidence=(("tdx-quote", records.blob("x" * 100_000)),))
    )
    with pytest.raises(Unavailable, match="database or disk is full"):
        await store.record_intent(intent)
    assert await store.nonce_state(intent.decision.nonce) is None
    assert await store.certificates(CertificateQuery()) == ()
    await store._database.write(limit, 1000)
    await store.record_intent(intent)
    assert len(await store.certificates(CertificateQuery())) == 1
    await store.close()


async def test_sqlite_gone_and_back(sqlite_url: str, sqlite_file: Path) -> None:
    """Nothing is written into a file that has lost its name, and none is made in its place."""
    store = await SqlStore.open(sqlite_url, IMPATIENT)
    await store.ping()
    away = sqlite_file.with_name("away.db")
    sqlite_file.rename(away)  # noqa: ASYNC240 (a test)
    for call in (
        store.ping(),
        store.nonce_state(b"nonce"),
        store.record_refusal(records.decision()),
    ):
        with pytest.raises(Unavailable):
            await call
    assert not sqlite_file.exists()  # noqa: ASYNC240 - one small local file
    away.rename(sqlite_file)
    await store.ping()
    assert await store.refusals(10, None) == ()
    await store.close()


async def test_sqlite_replaced(sqlite_url: str, sqlite_file: Path, sqlite_template: Path) -> None:
    """The store goes over to the file that has the name now."""
    store = await SqlStore.open(sqlite_url)
    await store.record_refusal(records.decision())
    copy = sqlite_file.with_name("copy.db")
    copy.write_bytes(sqlite_template.read_bytes())  # noqa: ASYNC240 - one small local file
    for suffix in ("", "-wal", "-shm"):
        Path(f"{sqlite_file}{suffix}").rename(f"{sqlite_file}-old{suffix}")  # noqa: ASYNC240 - one small local file
    copy.rename(sqlite_file)
    await store.record_refusal(records.decision())
    assert len(await store.refusals(10, None)) == 1
    await store.close()


async def test_postgres_stopped_and_started(postgres: PostgresServer, postgres_url: str) -> None:
    store = await SqlStore.open(postgres_url)
    await records.activate(store)
    intent = records.intent()
    await store.record_intent(intent)
    await asyncio.to_thread(postgres.stop)
    try:
        for call in (
            store.record_certificate(intent.serial, b"der", "ear"),
            store.certificate(intent.serial),
            store.ping(),
            SqlStore.open(postgres_url),
        ):
            with pytest.raises(Unavailable):
                await call
    finally:
        await asyncio.to_thread(postgres.start)
    await store.record_certificate(intent.serial, b"der", "ear")
    await store.ping()
    await store.close()


async def test_postgres_connection_lost_in_a_transaction(
    postgres_url: str,
) -> None:
    def cut(connection: Connection) -> None:
        connection.execute(tables.heartbeat.insert().values(id=1, beats=1))
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    store = await SqlStore.open(postgres_url)
    with pytest.raises(Unavailable):
        await store._database.write(cut)
    await store.ping()  # would be the second row, had the first stayed

    def beats(connection: Connection) -> int:
        found: int = connection.execute(select(tables.heartbeat.c.beats)).scalar_one()
        return found

    assert await store._database.read(beats) == 1
    await store.close()


async def test_postgres_lock_held_by_another(postgres_url: str) -> None:
    store = await SqlStore.open(postgres_url, IMPATIENT)
    other = await asyncpg.connect(postgres_url)
    async with other.transaction():
        await other.execute("LOCK TABLE certificates IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Unavailable):
            await store.certificates(CertificateQuery())
    assert await store.certificates(CertificateQuery()) == ()
    await other.close()
    await store.close()


async def test_postgres_statement_that_takes_too_long(postgres_url: str) -> None:
    def sleep(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(30)"))

    store = await SqlStore.open(postgres_url, Limits(statement=0.1))
    with pytest.raises(Unavailable):
        await store._database.write(sleep)
    await store.ping()
    await store.close()


async def test_postgres_that_cannot_be_written(postgres_url: str) -> None:
    """A standby, or a primary that was set read-only: reads go on, the health check says it."""

    def read_only(connection: Connection) -> None:
        connection.execute(text("SET default_transaction_read_only = on"))

    store = await SqlStore.open(postgres_url, IMPATIENT)  # one connection
    await store._database.write(read_only)
    with pytest.raises(Unavailable):
        await store.ping()
    assert await store.refusals(1, None) == ()
    await store.close()


async def test_postgres_database_that_is_not_there(postgres: PostgresServer) -> None:
    with pytest.raises(Unavailable, match="InvalidCatalogName"):
        await SqlStore.open(postgres.url("no_such_database"))


async def test_nobody_listens() -> None:
    url = "postgresql://user:very-secret@127.0.0.1:1/attestca"
    with pytest.raises(Unavailable) as raised:
        await SqlStore.open(url)
    assert "very-secret" not in raised.value.detail
    assert "127.0.0.1" not in raised.value.detail


async def test_a_queue_that_is_too_long(impatient: SqlStore) -> None:
    """Whoever cannot have a connection in time is told so; the one before is not disturbed."""
    loop = asyncio.get_running_loop()
    begun, go_on = asyncio.Event(), asyncio.Event()

    def slow(connection: Connection) -> str:
        if connection.dialect.name == "sqlite":  # in a thread
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(30)
        else:  # in a greenlet: it lends the loop
            begun.set()
            await_only(go_on.wait())
        return "done"

    first = asyncio.create_task(impatient._database.write(slow))
    await begun.wait()
    with pytest.raises(Unavailable):
        await impatient.ping()
    go_on.set()
    assert await first == "done"
    await impatient.ping()


async def test_cancelled_callers_leave_the_store_working(store: SqlStore) -> None:
    """A client that went away: its answer is written whole or not at all."""
    await records.activate(store)
    await asyncio.gather(*(store.ping() for _ in range(20)))  # connections are there
    intents = [records.intent() for _ in range(20)]
    tasks = [asyncio.create_task(store.record_intent(intent)) for intent in intents]
    await asyncio.sleep(0.01)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.ping()
    for intent in intents:
        state = await store.nonce_state(intent.decision.nonce)
        found = await store.certificate(intent.serial)
        assert (state is None) == (found is None)
        if found is not None:
            assert found.decision == intent.decision
            assert found.handles == intent.handles
    done = [intent for task, intent in zip(tasks, intents, strict=True) if not task.cancelled()]
    assert all([await store.certificate(intent.serial) for intent in done])
    assert len(done) >= len(intents) // 2


async def test_the_loop_is_never_blocked(store: SqlStore) -> None:
    detector = BlockBuster()
    detector.activate()
    try:
        await records.activate(store)
        intent = records.intent()
        await store.record_intent(intent)
        await store.record_certificate(intent.serial, b"der", "ear")
        await store.record_refusal(records.decision())
        await store.certificates(CertificateQuery())
        await store.expire_refusals(records.NOW + timedelta(days=1))
        await store.ping()
        await store.close()
    finally:
        detector.deactivate()


async def test_an_error_of_ours_says_no_value(store: SqlStore) -> None:
    def broken(connection: Connection) -> None:
        connection.execute(text("INSERT INTO nowhere VALUES (:secret)"), {"secret": "s3cret"})

    with pytest.raises((AuthorityError, Unavailable)) as raised:
        await store._database.write(broken)
    error: BaseException | None = raised.value
    while error is not None:
        assert "s3cret" not in str(error)
        error = error.__cause__
