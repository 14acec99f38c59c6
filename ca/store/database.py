# SPDX-License-Identifier: Apache-2.0
"""One open database: units of work, each in a transaction of its own, and no foreign exception.

Rules:
- A unit of work is a plain function over a `Connection`. It neither begins nor commits; its transaction ends with it.
- What the infrastructure did (locked, full, gone, timed out) is `Unavailable`; anything else that a driver raises is
  an `AuthorityError` "internal", for it is a fault of ours.
- No error text holds a statement's values or the URL, which may hold a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, exc
from sqlalchemy.engine import URL, make_url

from ca.errors import AuthorityError, ConfigurationError, Unavailable
from ca.store.engines import Limits, PostgresEngine, SqliteEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")

_OURS: Final = (exc.IntegrityError, exc.ProgrammingError, exc.DataError)
_SAYABLE: Final = {"database is locked", "database or disk is full", "disk I/O error"}


class Database:
    """One open database. Made in the event loop that uses it, closed in the same."""

    def __init__(self, url: str, limits: Limits | None = None) -> None:
        """Connects to nothing yet. Raises ConfigurationError for a URL that is not ours."""
        parsed = _parse(url)
        limits = limits or Limits()
        self._path: Path | None = None
        self._engine: SqliteEngine | PostgresEngine
        if parsed.get_backend_name() == "sqlite":
            self._path = Path(parsed.database or "").absolute()
            self._engine = SqliteEngine(self._path, limits)
        else:
            self._engine = PostgresEngine(parsed, limits)

    async def write(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`work` in one durable transaction: all of it or nothing.

        Raises what `work` raises of ours, and Unavailable: then nothing was written, or the answer to the commit was
        lost and all of it was.
        """
        with _translated():
            return await self._engine.run(_bound(work, *args, **kwargs), write=True)

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`work` in one transaction that cannot write; all that it reads is of one instant."""
        with _translated():
            return await self._engine.run(_bound(work, *args, **kwargs), write=False)

    async def create(self) -> None:
        """Make the SQLite file, readable by its owner alone, unless it is there. Raises ConfigurationError."""
        if self._path is None:
            return
        try:
            await asyncio.to_thread(_make, self._path)
        except FileExistsError:
            return
        except OSError as error:
            raise ConfigurationError(f"database: {error.strerror}: {self._path}") from error

    async def exists(self) -> bool:
        """False if this is SQLite and there is no file; connecting makes none."""
        return self._path is None or await asyncio.to_thread(self._path.is_file)

    async def close(self) -> None:
        """Close every connection. What is under way ends first."""
        await self._engine.close()


def _parse(url: str) -> URL:
    """`sqlite:///path` or `postgresql://…`. Raises ConfigurationError."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (exc.ArgumentError, ValueError):
        raise ConfigurationError("database: the URL cannot be parsed") from None
    if backend not in {"sqlite", "postgresql"}:
        raise ConfigurationError(
            f"database: {backend} is not supported; use sqlite:///… or postgresql://…"
        )
    if backend == "sqlite" and (parsed.database or ":memory:") == ":memory:":
        raise ConfigurationError("database: SQLite needs a file, e.g. sqlite:///attestca.db")
    return parsed


def _bound(
    work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> Callable[[Connection], T]:
    return lambda connection: work(connection, *args, **kwargs)


def _make(path: Path) -> None:
    """An empty database in write-ahead mode appears whole under its name, or not at all.

    Turning that mode on fails at once, without waiting, while somebody else has the file open; so nobody can have it
    open before. Raises FileExistsError, OSError.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
    os.close(descriptor)
    try:
        with contextlib.closing(sqlite3.connect(name)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        os.link(name, path)
    except sqlite3.Error as error:
        raise OSError(errno.EIO, f"cannot make a database ({error})") from error
    finally:
        Path(name).unlink()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Let our own errors through and turn every foreign one into ours."""
    try:
        yield
    except AuthorityError:
        raise
    except _OURS as error:
        raise AuthorityError(f"database: {_name(error)}") from error
    except (exc.DBAPIError, exc.TimeoutError, OSError, TimeoutError) as error:
        raise Unavailable(f"database: {_name(error)}") from error
    except exc.SQLAlchemyError as error:
        raise AuthorityError(f"database: {_name(error)}") from error


def _name(error: BaseException) -> str:
    """What happened, in words that hold no value: SQLite's fixed message, or the driver's class."""
    origin = getattr(error, "orig", None) or error
    cause = origin.__cause__ or origin
    return str(cause) if str(cause) in _SAYABLE else type(cause).__name__
