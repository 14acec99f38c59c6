# SPDX-License-Identifier: Apache-2.0
"""Connections, transactions, foreign errors: the one place that knows which database it is.

SQLite: write-ahead log, synchronous FULL, foreign keys on; exactly one writer connection, whose pool is the queue of
the writers, and a few readers that cannot write. A write takes the lock when it begins, so that it never fails half way
for another process. PostgreSQL: one pool, READ COMMITTED, connections tested before use, so that the store works again
by itself when the database comes back.

Rules:
- A unit of work is a plain function over a `Connection`; it runs in one transaction that ends with it.
- No foreign exception leaves: what the infrastructure did (locked, full, gone, timed out) is `Unavailable`, anything
  else is an `AuthorityError` "internal", which is a fault of ours.
- No error text holds statements' values or the URL, for it may hold a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Table, event, exc, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from ca.errors import AuthorityError, ConfigurationError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")

_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_MIGRATIONS: Final = 0x6174746573746361  # number of the PostgreSQL advisory lock: "attestca"
_READERS: Final = 4  # SQLite reader connections: one thread each
_INTERNAL: Final = (exc.IntegrityError, exc.ProgrammingError, exc.DataError, exc.NotSupportedError)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the store waits before it says `Unavailable`, and how many PostgreSQL connections it holds.

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


def parse_url(url: str) -> URL:
    """`sqlite:///path` or `postgresql://…`, with the driver that we use. Raises ConfigurationError."""
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise ConfigurationError("database: the URL cannot be parsed") from None
    backend = parsed.get_backend_name()
    if backend not in _DRIVERS:
        raise ConfigurationError(
            f"database: {backend} is not supported; use sqlite:///… or postgresql://…"
        )
    if backend == "sqlite" and (parsed.database or ":memory:") == ":memory:":
        raise ConfigurationError("database: SQLite needs a file, e.g. sqlite:///attestca.db")
    return parsed.set(drivername=_DRIVERS[backend])


class Database:
    """One open database. Made in the event loop that uses it, closed in the same."""

    def __init__(self, url: str, limits: Limits | None = None) -> None:
        """Connects to nothing yet. Raises ConfigurationError for a URL that is not ours."""
        self.url: Final = parse_url(url)
        self._limits = limits or Limits()
        self._path: Final = Path(self.url.database or "") if self._is_sqlite else None
        if self._is_sqlite:
            self._writer = self._sqlite(1, readonly=False)
            self._reader = self._sqlite(_READERS, readonly=True)
        else:
            self._writer = self._postgresql()
            self._reader = self._writer.execution_options(  # on the same connections
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )

    @property
    def _is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    async def write(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`work` in one durable transaction: all of it or nothing. Raises what `work` raises of ours, Unavailable."""
        with _translated():
            async with self._writer.begin() as connection:
                return await connection.run_sync(work, *args, **kwargs)

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`work` in one transaction that cannot write; all that it reads is of one instant."""
        with _translated():
            async with self._reader.begin() as connection:
                return await connection.run_sync(work, *args, **kwargs)

    async def create(self) -> None:
        """Make the SQLite file, readable by its owner alone, unless it is there. Raises ConfigurationError."""
        if self._path is None:
            return
        try:
            await asyncio.to_thread(_touch, self._path)
        except FileExistsError:
            return
        except OSError as error:
            raise ConfigurationError(f"database: {error.strerror}: {self._path}") from error

    async def exists(self) -> bool:
        """False if this is SQLite and there is no file yet; a connection never makes one."""
        return self._path is None or await asyncio.to_thread(self._path.is_file)

    async def close(self) -> None:
        """Close every connection. An aiosqlite connection left open would keep the process alive."""
        await self._writer.dispose()
        await self._reader.dispose()

    def _sqlite(self, size: int, *, readonly: bool) -> AsyncEngine:
        # mode=rw: a file that is gone is an error, not an empty database.
        path = Path(self.url.database or "").absolute().as_uri()
        engine = create_async_engine(
            self.url.set(database=path, query={"uri": "true", "mode": "rw"}),
            pool_size=size,
            max_overflow=0,
            pool_timeout=self._limits.queue,
            hide_parameters=True,
            connect_args={"timeout": self._limits.lock, "isolation_level": None},
        )
        pragmas = (
            ("query_only = ON",)
            if readonly
            else ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
        )

        def configure(connection: Any, _record: object) -> None:  # noqa: ANN401 (driver's type)
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

        event.listen(engine.sync_engine, "connect", configure)
        event.listen(engine.sync_engine, "begin", begin)
        return engine

    def _postgresql(self) -> AsyncEngine:
        limits = self._limits
        return create_async_engine(
            self.url,
            pool_size=limits.connections,
            max_overflow=0,
            pool_timeout=limits.queue,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={
                "timeout": limits.queue,
                "command_timeout": limits.statement
                and 2 * limits.statement,  # a server gone silent
                "server_settings": {
                    "application_name": "attestca",
                    "lock_timeout": f"{limits.lock * 1000:.0f}",
                    "statement_timeout": f"{(limits.statement or 0) * 1000:.0f}",
                    "idle_in_transaction_session_timeout": "60000",
                    "timezone": "UTC",
                },
            },
        )


def insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT of the connection's dialect, which knows ON CONFLICT."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


def lock_table(connection: Connection, table: Table, mode: str) -> None:
    """Keep others from writing `table` until the transaction ends. SQLite's one writer needs none of it."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"LOCK TABLE {table.name} IN {mode} MODE"))


def lock_migrations(connection: Connection) -> None:
    """One process migrates at a time; the lock ends with the transaction. SQLite's writer has it already."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATIONS)))


def _touch(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Let our own errors through and turn every foreign one into ours."""
    try:
        yield
    except AuthorityError:
        raise
    except _INTERNAL as error:
        raise AuthorityError(f"database: {_name(error)}") from error
    except (exc.DBAPIError, exc.TimeoutError, OSError, TimeoutError) as error:
        raise Unavailable(f"database: {_name(error)}") from error
    except exc.SQLAlchemyError as error:
        raise AuthorityError(f"database: {_name(error)}") from error


def _name(error: BaseException) -> str:
    """What happened, in words that hold no value: the driver's class, and SQLite's fixed message."""
    origin = getattr(error, "orig", None) or error
    cause = origin.__cause__ or origin
    known = {"database is locked", "database or disk is full", "disk I/O error"}
    return str(cause) if str(cause) in known else type(cause).__name__
