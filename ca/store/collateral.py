# SPDX-License-Identifier: Apache-2.0
"""Vendors' answers, kept over restarts, and how recent the newest was that decided something.

Answers are believed by nobody: a verifier checks them at every use. Evaluation numbers come from what was verified.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, bindparam, select

from ca.errors import CollateralOutdated
from ca.ports import CachedResponse
from ca.store import tables
from ca.store.dialect import insert

if TYPE_CHECKING:
    from collections.abc import Mapping

# Built once: every enrollment runs it.
_NEWEST: Final = select(tables.evaluations.c.line, tables.evaluations.c.number).where(
    tables.evaluations.c.line.in_(bindparam("lines", expanding=True))
)


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


def check_evaluations(connection: Connection, evaluations: Mapping[str, int]) -> None:
    """Raise the highest number of each line to this one. Raises CollateralOutdated where it was higher already."""
    newest = {
        row.line: row.number for row in connection.execute(_NEWEST, {"lines": [*evaluations]})
    }
    for line, number in sorted(evaluations.items()):
        if number < newest.get(line, 0):
            raise CollateralOutdated(
                f"{line}: evaluation {number}, but {newest[line]} was used before"
            )
        if number > newest.get(line, -1):
            _raise_evaluation(connection, line, number)


def _raise_evaluation(connection: Connection, line: str, number: int) -> None:
    table = tables.evaluations
    statement = insert(connection.dialect.name, table).values(line=line, number=number)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["line"], set_={"number": new.number}, where=table.c.number < new.number
        )
    )
