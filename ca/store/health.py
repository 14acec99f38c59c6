# SPDX-License-Identifier: Apache-2.0
"""The health check: a real, durable write. A database that is read-only, locked or full can still be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.store import tables
from ca.store.dialect import insert

if TYPE_CHECKING:
    from sqlalchemy import Connection


def beat(connection: Connection) -> None:
    """See `ca.ports.Store.ping`."""
    table = tables.heartbeat
    connection.execute(
        insert(connection.dialect.name, table)
        .values(id=1, beats=1)
        .on_conflict_do_update(index_elements=["id"], set_={"beats": table.c.beats + 1})
    )
