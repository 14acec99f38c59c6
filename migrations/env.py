# SPDX-License-Identifier: Apache-2.0
"""Where alembic enters. `attestca db upgrade` and the tests hand in their connection, inside a transaction.

For a developer who adds a revision: `alembic -x url=sqlite:///scratch.db revision --autogenerate -m "what changes"`
compares an upgraded scratch database with `ca.store.tables`. There is no offline mode and no downgrade.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alembic import context

from ca.store.database import Database
from ca.store.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


async def run_on(url: str) -> None:
    database = Database(url)
    try:
        await database.create()
        await database.write(run)
    finally:
        await database.close()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    asyncio.run(run_on(context.get_x_argument(as_dictionary=True)["url"]))
