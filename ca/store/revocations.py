# SPDX-License-Identifier: Apache-2.0
"""Revoked serial numbers as a projection of revoked handles, and the CRLs made of them.

Rules: every question starts from the revocations, never from the certificates, so its cost follows the number of
certificates revoked. One row per issuer holds the newest CRL; one conditional statement replaces it, so that between
replicas numbers only rise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select, union

from ca.ports import CrlRecord
from ca.store import tables
from ca.store.dialect import insert

if TYPE_CHECKING:
    from datetime import datetime


def revoked_serials(
    connection: Connection, issuer_key_id: bytes, now: datetime
) -> tuple[tuple[int, datetime], ...]:
    """See `ca.ports.Store`. The instant is the first of those at which one of the certificate's handles was revoked."""
    revoked = select(tables.revocations.c.handle)
    handles, certificates = tables.certificate_handles, tables.certificates
    # Indexed look-ups of the revoked handles; a join would leave it to the planner where to begin.
    serials = union(
        select(certificates.c.serial).where(certificates.c.handle.in_(revoked)),
        select(handles.c.serial).where(handles.c.handle.in_(revoked)),
    )
    by_itself = select(tables.revocations.c.revoked_at).where(
        tables.revocations.c.handle == certificates.c.handle
    )
    by_handle = (
        select(func.min(tables.revocations.c.revoked_at))
        .join(handles, handles.c.handle == tables.revocations.c.handle)
        .where(handles.c.serial == certificates.c.serial)
    )
    rows = connection.execute(
        select(
            certificates.c.serial,
            by_itself.scalar_subquery().label("by_itself"),
            by_handle.scalar_subquery().label("by_handle"),
        )
        .where(
            certificates.c.serial.in_(serials),
            certificates.c.issuer_key_id == issuer_key_id,
            certificates.c.not_after > now,
        )
        .order_by(certificates.c.serial)
    )
    return tuple((row.serial, min(filter(None, (row.by_itself, row.by_handle)))) for row in rows)


def latest_crl(connection: Connection, issuer_key_id: bytes) -> CrlRecord | None:
    """See `ca.ports.Store`."""
    table = tables.crls
    row = connection.execute(
        select(table).where(table.c.issuer_key_id == issuer_key_id)
    ).one_or_none()
    return None if row is None else CrlRecord(**row._mapping)  # noqa: SLF001 (public, by its name)


def next_crl_number(connection: Connection, issuer_key_id: bytes) -> int:
    """See `ca.ports.Store`."""
    latest = select(tables.crls.c.number).where(tables.crls.c.issuer_key_id == issuer_key_id)
    floor = select(func.max(tables.restorations.c.crl_number))
    row = connection.execute(
        select(latest.scalar_subquery().label("latest"), floor.scalar_subquery().label("floor"))
    ).one()
    return max(row.latest or 0, row.floor or 0) + 1


def add_crl(connection: Connection, crl: CrlRecord) -> bool:
    """See `ca.ports.Store`. One that is older by its thisUpdate does not replace a newer one either."""
    table = tables.crls
    floor = connection.execute(select(func.max(tables.restorations.c.crl_number))).scalar_one()
    if crl.number <= (floor or 0):
        return False
    values = {column.name: getattr(crl, column.name) for column in table.columns}
    statement = insert(connection.dialect.name, table).values(values)
    new = statement.excluded
    return bool(
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["issuer_key_id"],
                set_={name: new[name] for name in values if name != "issuer_key_id"},
                where=(table.c.number < new.number) & (table.c.this_update <= new.this_update),
            )
        ).rowcount
    )
