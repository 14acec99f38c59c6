# SPDX-License-Identifier: Apache-2.0
"""Connections to SQLite and to PostgreSQL, and how a unit of work runs on each.

SQLite: a whole unit of work runs in a thread, one hop for one transaction. (An asynchronous driver hops for every
cursor, statement and fetch: measured at three to four times the processor time of an enrollment.) There is one writer,
first come first served, and a few readers that cannot write. Write-ahead log, synchronous FULL, foreign keys on. A
write takes the file's lock when it begins, so that no other process makes it fail half way.

PostgreSQL: one pool of asyncpg connections, READ COMMITTED for writes; a connection is tested before it is used, so
the store works again by itself when the database comes back.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

_READERS: Final = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the store waits before it is Unavailable, and how many PostgreSQL connections it holds.

    Attributes:
        lock: seconds for a lock that somebody else holds.
        statement: seconds for one statement (PostgreSQL); None for any time.
        queue: seconds for a free connection.
        connections: PostgreSQL connections of this process.
    """

    lock: float = 5.0
    statement: float | None = 10.0
    queue: float = 10.0
    connections: int = 10


class SqliteEngine:
    """One writer and a few readers of one file."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Opens nothing yet."""
        self._writer: Final = _Threads(path, limits, 1, readonly=False)
        self._readers: Final = _Threads(path, limits, _READERS, readonly=True)

    async def run(self, work: Callable[[Connection], T], *, write: bool) -> T:
        """`work` in a transaction, in a thread. Raises what `work`, SQLAlchemy and the driver raise."""
        return await (self._writer if write else self._readers).run(work)

    async def close(self) -> None:
        """Wait for what is under way, close the connections, end the threads."""
        await self._readers.close()
        await self._writer.close()  # last: it folds the write-ahead log into the file


class _Threads:
    """As many threads as connections, each with at most one at a time."""

    def __init__(self, path: Path, limits: Limits, size: int, *, readonly: bool) -> None:
        self._engine = _sqlite(path, limits, size, readonly=readonly)
        self._executor = ThreadPoolExecutor(size, "attestca-database")
        self._free = asyncio.Semaphore(size)
        self._patience = limits.queue

    async def run(self, work: Callable[[Connection], T]) -> T:
        async with asyncio.timeout(self._patience):
            await self._free.acquire()
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, self._transaction, work
            )
        finally:
            self._free.release()

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._executor.shutdown)
        await loop.run_in_executor(None, self._engine.dispose)


def _sqlite(path: Path, limits: Limits, size: int, *, readonly: bool) -> Engine:
    # mode=rw: a file that is gone is an error, not an empty database.
    url = URL.create("sqlite", database=path.as_uri(), query={"uri": "true", "mode": "rw"})
    engine = create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        hide_parameters=True,
        connect_args={
            "timeout": limits.lock,
            "isolation_level": None,  # transactions begin below, not where the driver guesses
            "check_same_thread": False,  # the pool gives a connection to one thread at a time
        },
    )
    pragmas = ["foreign_keys = ON", "journal_mode = WAL", "synchronous = FULL"]
    if readonly:
        pragmas = ["query_only = ON"]

    def connected(connection: Any, record: Any) -> None:  # noqa: ANN401 (the driver's types)
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        record.info["file"] = _identity(path)

    def checked_out(_connection: object, record: Any, _proxy: object) -> None:  # noqa: ANN401 - the driver's type
        # Another file has this name by now, or none has: never write into a file that has no name.
        if record.info["file"] != _identity(path):
            raise exc.DisconnectionError

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "checkout", checked_out)
    event.listen(engine, "begin", begin)
    return engine


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


class PostgresEngine:
    """One pool of connections."""

    def __init__(self, url: URL, limits: Limits) -> None:
        """Opens nothing yet."""
        self._writes: Final = _postgresql(url, limits)
        self._reads: Final = self._writes.execution_options(  # on the same connections
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    async def run(self, work: Callable[[Connection], T], *, write: bool) -> T:
        """`work` in a transaction. Raises what `work`, SQLAlchemy and the driver raise."""
        async with (self._writes if write else self._reads).begin() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        """Close the connections."""
        await self._writes.dispose()


def _postgresql(url: URL, limits: Limits) -> AsyncEngine:
    def milliseconds(seconds: float | None) -> str:
        return f"{(seconds or 0) * 1000:.0f}"  # 0: no limit

    return create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        pool_size=limits.connections,
        max_overflow=0,
        pool_timeout=limits.queue,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "timeout": limits.queue,
            # A server that fell silent enforces no limit of its own.
            "command_timeout": limits.statement and 2 * limits.statement,
            "server_settings": {
                "application_name": "attestca",
                "lock_timeout": milliseconds(limits.lock),
                "statement_timeout": milliseconds(limits.statement),
                "idle_in_transaction_session_timeout": "60000",
                "timezone": "UTC",
            },
        },
    )
