# SPDX-License-Identifier: Apache-2.0
"""The SQL in which the two databases differ. All of it: no other module asks which database it is."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Executable, Table, func, select, text
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE: Final = 1000  # rows
_MIGRATIONS: Final = 0x6174746573746361  # number of the PostgreSQL advisory lock: "attestca"
_SEQUENCER: Final = _MIGRATIONS + 1


def insert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT of the dialect ("sqlite" or "postgresql"), which knows ON CONFLICT."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def add_new(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert those rows whose UNIQUE columns are all new. How many that were, if one was given."""
    if not rows:
        return 0
    return connection.execute(_insert_new(connection.dialect.name, table), rows).rowcount


@functools.cache
def _insert_new(dialect: str, table: Table) -> Executable:
    return insert(dialect, table).on_conflict_do_nothing()


def page(limit: int) -> int:
    """LIMIT for one page. SQLite would read a negative one as "all"."""
    return max(0, min(limit, _PAGE))


def lock_table(connection: Connection, table: Table, mode: str) -> None:
    """Keep others from writing `table` until the transaction ends. SQLite's one writer has that."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"LOCK TABLE {table.name} IN {mode} MODE"))


def lock_migrations(connection: Connection) -> None:
    """One process migrates at a time, until the transaction ends. SQLite's one writer has that."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATIONS)))


def may_sequence(connection: Connection) -> bool:
    """Whether this transaction alone may write the log, until it ends. SQLite's one writer may."""
    if connection.dialect.name != "postgresql":
        return True
    taken: bool = connection.execute(
        select(func.pg_try_advisory_xact_lock(_SEQUENCER))
    ).scalar_one()
    return taken


def number_on(connection: Connection, table: Table) -> None:
    """Let the `id` of `table` go on above the rows that came with theirs. SQLite does so by itself."""
    if connection.dialect.name == "postgresql":
        sequence = func.pg_get_serial_sequence(table.name, "id")
        highest = func.max(table.c.id)
        connection.execute(
            select(func.setval(sequence, func.coalesce(highest, 1), highest.is_not(None)))
        )
