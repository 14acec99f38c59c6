# SPDX-License-Identifier: Apache-2.0
"""Vendors' answers, kept over restarts. Believed by nobody: a verifier checks them at every use."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from ca.ports import CachedResponse
from ca.store import tables
from ca.store.dialect import insert


def cached_response(connection: Connection, url: str) -> CachedResponse | None:
    """See `ca.ports.Store`."""
    table = tables.cached_responses
    row = connection.execute(select(table).where(table.c.url == url)).one_or_none()
    if row is None:
        return None
    headers = tuple((name, value) for name, value in json.loads(row.headers))
    return CachedResponse(row.url, row.status, row.body, headers, row.fetched_at)


def put_cached_response(connection: Connection, response: CachedResponse) -> None:
    """See `ca.ports.Store`. An answer that was fetched earlier replaces no later one."""
    table = tables.cached_responses
    statement = insert(connection.dialect.name, table).values(
        url=response.url,
        status=response.status,
        body=response.body,
        headers=json.dumps(response.headers),
        fetched_at=response.fetched_at,
    )
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["url"],
            set_={name: new[name] for name in ("status", "body", "headers", "fetched_at")},
            where=table.c.fetched_at <= new.fetched_at,
        )
    )
