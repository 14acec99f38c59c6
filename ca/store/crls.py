# SPDX-License-Identifier: Apache-2.0
"""CRLs of the issuing CAs, one for each day on which certificates end, and the revoked certificates that they list.

Rules:
- Every question starts from the revocations and the end of the certificates, so its cost follows what is revoked and
  unexpired, never the certificates of the past.
- Lists of one issuer are published together, and only on top of those that their maker saw: one row per issuer holds
  its highest number, and one conditional statement moves it. So numbers rise over all lists and replicas, and what a
  list says was read after the list before it was published: an older state never replaces a newer one.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Subquery,
    delete,
    func,
    literal,
    select,
    type_coerce,
    union,
    update,
)

from attestca_client.protocol import HandleKind
from ca.issuance.crl import Revoked
from ca.issuance.reasons import RevocationReason
from ca.ports import CrlName, CrlRecord, CrlShard, CrlState
from ca.store import tables
from ca.store.dialect import add_new, insert

if TYPE_CHECKING:
    from collections.abc import Sequence

_REVOCATION: Final = tables.revocations.c
_HANDLE: Final = tables.certificate_handles.c
_CERTIFICATE: Final = tables.certificates.c
_MICROSECONDS: Final = 86_400_000_000  # of a day
_KEY: Final = ("issuer_key_id", "day")


def crl_state(connection: Connection, issuer_key_id: bytes, first: date, last: date) -> CrlState:
    """See `ca.ports.Store`."""
    series = connection.execute(
        select(tables.crl_series).where(tables.crl_series.c.issuer_key_id == issuer_key_id)
    ).one_or_none()
    table = tables.crls.c
    shards = connection.execute(
        select(table.day, table.this_update, table.entries).where(
            table.issuer_key_id == issuer_key_id, table.day.between(first, last)
        )
    )
    return CrlState(
        number=series.number if series else 0,
        floor=_floor(connection),
        this_update=series.this_update if series else None,
        shards={row.day: CrlShard(row.this_update, row.entries) for row in shards},
        revoked=_counts(connection, issuer_key_id, first, last),
    )


def revoked_on(connection: Connection, issuer_key_id: bytes, day: date) -> tuple[Revoked, ...]:
    """See `ca.ports.Store`."""
    taken = _taken(day, day)
    rows = connection.execute(
        select(taken.c.serial, _REVOCATION.revoked_at, _REVOCATION.reason)
        .join_from(taken, tables.certificates, _CERTIFICATE.serial == taken.c.serial)
        .join(tables.revocations, _REVOCATION.handle == taken.c.handle)
        .where(_CERTIFICATE.issuer_key_id == issuer_key_id)
        .order_by(taken.c.serial, _REVOCATION.revoked_at, _REVOCATION.id)
    )
    return tuple(
        Revoked(serial, first.revoked_at, RevocationReason(first.reason))
        for serial, (first, *_) in groupby(rows, key=lambda row: row.serial)
    )


def crl(connection: Connection, issuer_key_id: bytes, day: date) -> CrlRecord | None:
    """See `ca.ports.Store`."""
    table = tables.crls
    columns = (column for column in table.c if column.name != "sha256")  # it is computed
    row = connection.execute(
        select(*columns).where(table.c.issuer_key_id == issuer_key_id, table.c.day == day)
    ).one_or_none()
    return None if row is None else CrlRecord(**row._mapping)  # noqa: SLF001 (public, by its name)


def crl_names(connection: Connection) -> tuple[CrlName, ...]:
    """See `ca.ports.Store`."""
    table = tables.crls.c
    rows = connection.execute(
        select(table.issuer_key_id, table.day, table.number, table.sha256).order_by(
            table.issuer_key_id, table.day
        )
    )
    return tuple(CrlName(*row) for row in rows)


def publish_crls(connection: Connection, crls: Sequence[CrlRecord], seen: int) -> bool:
    """See `ca.ports.Store`."""
    newest = max(crls, key=lambda crl: crl.number)
    lowest = min(crl.number for crl in crls)
    if lowest <= max(seen, _floor(connection)) or not _moved(connection, newest, seen):
        return False
    names = [column.name for column in tables.crls.columns]
    statement = insert(connection.dialect.name, tables.crls)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=_KEY, set_={name: new[name] for name in names if name not in _KEY}
        ),
        [{name: getattr(crl, name) for name in names} for crl in crls],
    )
    return True


def forget_crls(connection: Connection, before: date) -> int:
    """See `ca.ports.Store`."""
    return connection.execute(delete(tables.crls).where(tables.crls.c.day < before)).rowcount


def _moved(connection: Connection, newest: CrlRecord, seen: int) -> bool:
    """The issuer's highest number is no longer `seen` but that of `newest`; False if it was not `seen`."""
    table = tables.crl_series
    values = {"number": newest.number, "this_update": newest.this_update}
    if not seen:
        row = {"issuer_key_id": newest.issuer_key_id} | values
        return bool(add_new(connection, table, [row]))
    return bool(
        connection.execute(
            update(table)
            .where(
                table.c.issuer_key_id == newest.issuer_key_id,
                table.c.number == seen,
                table.c.this_update <= newest.this_update,
            )
            .values(values)
        ).rowcount
    )


def _floor(connection: Connection) -> int:
    """Numbers up to this one may have been used before the database was restored."""
    highest = connection.execute(select(func.max(tables.restorations.c.crl_number))).scalar_one()
    return highest or 0


def _counts(
    connection: Connection, issuer_key_id: bytes, first: date, last: date
) -> dict[date, int]:
    taken = _taken(first, last)
    # Not negative, so that both databases divide alike.
    day = (type_coerce(_CERTIFICATE.not_after, BigInteger) // literal(_MICROSECONDS)).label("day")
    rows = connection.execute(
        select(day, func.count(taken.c.serial.distinct()).label("count"))
        .join_from(taken, tables.certificates, _CERTIFICATE.serial == taken.c.serial)
        .where(_CERTIFICATE.issuer_key_id == issuer_key_id)
        .group_by(day)
    )
    return {tables.EPOCH.date() + timedelta(days=row.day): row._mapping["count"] for row in rows}  # noqa: SLF001 (public)


def _taken(first: date, last: date) -> Subquery:
    """(serial, handle): certificates that end within these days, each with every revoked handle that it depends on."""
    start = datetime.combine(first, time(), UTC)
    end = datetime.combine(last, time(), UTC) + timedelta(days=1)
    # Look-ups in the index on (handle, not_after); a join would leave it to the planner where to begin.
    by_handle = select(_HANDLE.serial, _HANDLE.handle).where(
        _HANDLE.handle.in_(select(_REVOCATION.handle)),
        _HANDLE.not_after >= start,
        _HANDLE.not_after < end,
    )
    themselves = select(_REVOCATION.handle).where(_REVOCATION.kind == HandleKind.CERTIFICATE)
    by_itself = select(_CERTIFICATE.serial, _CERTIFICATE.handle).where(
        _CERTIFICATE.handle.in_(themselves),
        _CERTIFICATE.not_after >= start,
        _CERTIFICATE.not_after < end,
    )
    return union(by_handle, by_itself).subquery()
