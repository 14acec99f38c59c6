# SPDX-License-Identifier: Apache-2.0
"""Vendors' answers, kept over restarts, and how recent the newest was that decided something.

Answers are believed by nobody: a verifier checks them at every use. Evaluation numbers come from what was verified, and
so do those of revocations, which stand in the same table, in a line for each certificate that a vendor has revoked. Of
certificates that are good nothing is kept: replicas ask for their status at different times, and one would refuse what
another has seen in a newer answer that says the same.

Some answers have no age (VCEKs), and who asks for them may be a stranger: an AMD chip has one for each TCB that it ever
had. So the table is bounded by its number of rows, and what was not used for the longest goes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, bindparam, delete, select, update

from ca.errors import CollateralOutdated
from ca.ports import CachedResponse
from ca.store import tables
from ca.store.dialect import insert

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

MAX_RESPONSES: Final = 10_000  # a VCEK takes some 1.5 KiB

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


def put_cached_response(
    connection: Connection, response: CachedResponse, keep: int = MAX_RESPONSES
) -> None:
    """See `ca.ports.Store`. An answer that was fetched earlier replaces no later one. `keep`: rows in all."""
    table = tables.cached_responses
    statement = insert(connection.dialect.name, table).values(
        url=response.url,
        status=response.status,
        body=response.body,
        headers=json.dumps(response.headers),
        fetched_at=response.fetched_at,
        used_at=response.fetched_at,
    )
    new = statement.excluded
    names = ("status", "body", "headers", "fetched_at", "used_at")
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["url"],
            set_={name: new[name] for name in names},
            where=table.c.fetched_at <= new.fetched_at,
        )
    )
    surplus = select(table.c.url).order_by(table.c.used_at.desc(), table.c.url).offset(keep)
    connection.execute(delete(table).where(table.c.url.in_(surplus)))


def mark_response_used(connection: Connection, url: str, now: datetime) -> None:
    """See `ca.ports.Store`. The last use never goes back."""
    table = tables.cached_responses
    connection.execute(
        update(table).where(table.c.url == url, table.c.used_at < now).values(used_at=now)
    )


def check_revocations(
    connection: Connection, revoked: Mapping[str, int], good: Mapping[str, int]
) -> None:
    """Remember what is revoked, of when the newest word on it was.

    Raises CollateralOutdated where something is good by a word that is not newer than one that it is revoked: such a
    word says nothing of today, and one of the same second does not say which of the two came first.
    """
    newest = _newest(connection, good) if good else {}
    for line in sorted(newest):
        if good[line] <= newest[line]:
            raise CollateralOutdated(
                f"{line}: good at {good[line]}, but an answer of {newest[line]} said that it is revoked"
            )
    for line, number in sorted(revoked.items()):
        _raise_evaluation(connection, line, number)


def check_evaluations(connection: Connection, evaluations: Mapping[str, int]) -> None:
    """Raise the highest number of each line to this one. Raises CollateralOutdated where it was higher already."""
    newest = _newest(connection, evaluations)
    for line, number in sorted(evaluations.items()):
        if number < newest.get(line, 0):
            raise CollateralOutdated(
                f"{line}: evaluation {number}, but {newest[line]} was used before"
            )
        if number > newest.get(line, -1):
            _raise_evaluation(connection, line, number)


def _newest(connection: Connection, lines: Iterable[str]) -> dict[str, int]:
    rows = connection.execute(_NEWEST, {"lines": [*lines]})
    return {row.line: row.number for row in rows}


def _raise_evaluation(connection: Connection, line: str, number: int) -> None:
    table = tables.evaluations
    statement = insert(connection.dialect.name, table).values(line=line, number=number)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["line"], set_={"number": new.number}, where=table.c.number < new.number
        )
    )
