# SPDX-License-Identifier: Apache-2.0
"""Revoked serial numbers as a projection of revoked handles, and the CRLs made of them.

Rules: every question starts from the revocations, never from the certificates, so its cost follows the number of
certificates revoked. One row per issuer holds the newest CRL; one conditional statement replaces it, so that between
replicas numbers only rise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select, union_all

from ca.ports import CrlRecord
from ca.store import tables
from ca.store.dialect import insert

if TYPE_CHECKING:
    from datetime import datetime


def revoked_serials(
    connection: Connection, issuer_key_id: bytes, now: datetime
) -> tuple[tuple[int, datetime], ...]:
    """See `ca.ports.Store`. The instant is the first of those at which one of the certificate's handles was revoked."""
    revocations, certificates = tables.revocations, tables.certificates
    handles = tables.certificate_handles
    live = (certificates.c.issuer_key_id == issuer_key_id, certificates.c.not_after > now)
    by_itself = (
        select(certificates.c.serial, revocations.c.revoked_at)
        .select_from(revocations)
        .join(certificates, certificates.c.handle == revocations.c.handle)
        .where(*live)
    )
    by_handle = (
        select(certificates.c.serial, revocations.c.revoked_at)
        .select_from(revocations)
        .join(handles, handles.c.handle == revocations.c.handle)
        .join(certificates, certificates.c.serial == handles.c.serial)
        .where(*live)
    )
    both = union_all(by_itself, by_handle).subquery()
    rows = connection.execute(
        select(both.c.serial, func.min(both.c.revoked_at).label("revoked_at"))
        .group_by(both.c.serial)
        .order_by(both.c.serial)
    )
    return tuple((row.serial, row.revoked_at) for row in rows)


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
