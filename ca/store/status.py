# SPDX-License-Identifier: Apache-2.0
"""The status of single certificates, as it is now: what OCSP says.

Read by serial number, so the cost follows the number of certificates asked about and of the handles that each depends
on, never what else is on record. A certificate that has ended keeps its status.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, select, union

from ca.issuance.crl import Revoked
from ca.issuance.reasons import RevocationReason
from ca.ports import Outcome
from ca.store import tables

if TYPE_CHECKING:
    from collections.abc import Iterable

_REVOCATION: Final = tables.revocations.c
_HANDLE: Final = tables.certificate_handles.c
_CERTIFICATE: Final = tables.certificates.c
_SERIALS: Final = 1 << 8 * tables.SERIAL_BYTES


def statuses(
    connection: Connection, issuer_key_id: bytes, serials: Iterable[int]
) -> dict[int, Revoked | None]:
    """See `ca.ports.Store`."""
    asked = [serial for serial in serials if 0 < serial < _SERIALS]
    of_issuer = _CERTIFICATE.serial.in_(asked) & (_CERTIFICATE.issuer_key_id == issuer_key_id)
    rows = connection.execute(select(_CERTIFICATE.serial, _CERTIFICATE.state).where(of_issuer))
    states = {row.serial: row.state for row in rows}
    revoked = _revoked(connection, list(states))
    return {
        serial: revoked.get(serial)
        for serial, state in states.items()
        if serial in revoked or state == Outcome.ISSUED
    }


def _revoked(connection: Connection, serials: list[int]) -> dict[int, Revoked]:
    """Each since the first revocation that takes it, with the reason of that one."""
    depends = union(
        select(_HANDLE.serial, _HANDLE.handle).where(_HANDLE.serial.in_(serials)),
        select(_CERTIFICATE.serial, _CERTIFICATE.handle).where(_CERTIFICATE.serial.in_(serials)),
    ).subquery()
    rows = connection.execute(
        select(depends.c.serial, _REVOCATION.revoked_at, _REVOCATION.reason)
        .join_from(depends, tables.revocations, _REVOCATION.handle == depends.c.handle)
        .order_by(depends.c.serial, _REVOCATION.revoked_at, _REVOCATION.id)
    )
    return {
        serial: Revoked(serial, first.revoked_at, RevocationReason(first.reason))
        for serial, (first, *_) in groupby(rows, key=lambda row: row.serial)
    }
