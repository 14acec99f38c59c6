# SPDX-License-Identifier: Apache-2.0
"""Bring a database to the schema of this version, and refuse any other.

The migrations (alembic) are files: `migrations/` beside this module in the wheel, at the top of a checkout otherwise.
An upgrade is one transaction on either database, and two at the same time wait for each other. There is no way back
but a backup.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from ca.errors import ConfigurationError
from ca.store.database import Database
from ca.store.dialect import lock_migrations
from ca.store.engines import Limits

if TYPE_CHECKING:
    from sqlalchemy import Connection

_HOW: Final = "run `attestca db upgrade`"
PATIENT: Final = Limits(lock=60.0, statement=None)  # for what an operator waits for


def scripts() -> Path:
    """The folder of the migrations."""
    packaged = Path(__file__).parent / "migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "migrations"


def head() -> str:
    """The revision that this version of the code needs."""
    revision = ScriptDirectory(str(scripts())).get_current_head()
    if revision is None:
        raise ConfigurationError(f"no migrations in {scripts()}")
    return revision


async def current(url: str) -> str | None:
    """The revision of the database; None if it has no schema or does not exist. Raises Unavailable."""
    database = Database(url)
    try:
        return await database.read(revision) if await database.exists() else None
    finally:
        await database.close()


async def upgrade(url: str) -> None:
    """Make the database, or bring it to this version's schema; nothing if it has it.

    Raises ConfigurationError where a newer version made it, Unavailable.
    """
    database = Database(url, PATIENT)
    try:
        await database.create()
        await database.write(migrate)
    finally:
        await database.close()


async def check(database: Database) -> None:
    """Raises ConfigurationError unless the schema is exactly this version's."""
    found = await database.read(revision) if await database.exists() else None
    if found is None:
        raise ConfigurationError(f"database: it has no schema yet; {_HOW}")
    if found == head():
        return
    if found in known():
        raise ConfigurationError(f"database: its schema {found} is older than {head()}; {_HOW}")
    raise ConfigurationError(_newer(found))


def revision(connection: Connection) -> str | None:
    """The revision that the database says it has."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(connection: Connection, target: str = "head") -> None:
    """Upgrade to `target` inside the transaction of `connection`. Raises ConfigurationError."""
    lock_migrations(connection)
    found = revision(connection)
    if found is not None and found not in known():
        raise ConfigurationError(_newer(found))
    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, target)
    except CommandError as error:
        raise ConfigurationError(f"database: {error}") from error


def known() -> set[str]:
    """Every revision up to `head`."""
    return {script.revision for script in ScriptDirectory(str(scripts())).walk_revisions()}


def _newer(found: str) -> str:
    return (
        f"database: its schema {found} is of a newer attestca; install that version"
        " (`attestca db upgrade` does not go back)"
    )
