# SPDX-License-Identifier: Apache-2.0
"""What is revoked, by handle, and who depends on it. Every list of revoked certificates is made from this.

Rules:
- A revocation is one row, however many certificates it takes. A handle is revoked once: again changes nothing.
- Only of a handle that certificates withhold there are more: one of each such certificate's own handle, in the same
  transaction, for whoever asks about the certificate cannot know the other.
- Numbers rise in the order of the commits, with no gap but after a restored backup, so that a reader who has all up to
  one number never misses a lower one. So revocations are written one after the other; nobody who reads waits for that.
- No statement here changes or deletes a row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, func, select, union

from attestca_client.protocol import HandleKind
from ca import audit
from ca.issuance.reasons import RevocationReason
from ca.ports import Dependent, Dependents, Outcome, Revocation, RevocationRecord
from ca.store import log, operators, tables
from ca.store.dialect import lock_table, page

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from ca.ports import OperatorAction

_REVOCATION: Final = tables.revocations.c
_HANDLE: Final = tables.certificate_handles.c
_CERTIFICATE: Final = tables.certificates.c
_WITHHELD: Final = tables.withheld_handles.c
# Not EXCLUSIVE: an enrollment reads what is revoked and must not wait.
_ONE_AT_A_TIME: Final = "SHARE ROW EXCLUSIVE"


def revoke(
    connection: Connection, revocation: Revocation, action: OperatorAction
) -> tuple[RevocationRecord, bool]:
    """See `ca.ports.Store`."""
    made = add(connection, [revocation])
    if made:
        add(connection, _withholding(connection, revocation))
    again = replace(action, action=f"{action.action}.again")
    operators.log_action(connection, action if made else again)
    record = made[0] if made else _of_handle(connection, revocation.handle)
    if record is None:
        raise LookupError("a revocation that was there is gone")
    return record, bool(made)


def _withholding(connection: Connection, revocation: Revocation) -> list[Revocation]:
    """The same of every certificate that has not ended, or may come of an intent, and withholds the handle."""
    rows = connection.execute(
        select(_CERTIFICATE.serial, _CERTIFICATE.handle)
        .join(tables.withheld_handles, _WITHHELD.serial == _CERTIFICATE.serial)
        .where(_WITHHELD.handle == revocation.handle, _WITHHELD.not_after > revocation.revoked_at)
        .order_by(_CERTIFICATE.serial)
    )
    return [
        replace(
            revocation,
            handle=row.handle,
            kind=HandleKind.CERTIFICATE,
            subject=f"{row.serial:x}",
        )
        for row in rows
    ]


def add(connection: Connection, revocations: Iterable[Revocation]) -> tuple[RevocationRecord, ...]:
    """Write those whose handle is not revoked yet, and return them with their numbers."""
    wanted = {one.handle: one for one in revocations}
    if not wanted:
        return ()
    lock_table(connection, tables.revocations, _ONE_AT_A_TIME)
    there = connection.execute(select(_REVOCATION.handle).where(_REVOCATION.handle.in_(wanted)))
    for handle in there.scalars():
        del wanted[handle]
    first = _next_number(connection)
    made = tuple(RevocationRecord(first + i, one) for i, one in enumerate(wanted.values()))
    if made:
        connection.execute(tables.revocations.insert(), [_row(record) for record in made])
        log.append_all(connection, map(_entry, made))
    return made


def revocations(
    connection: Connection, limit: int, before: int | None
) -> tuple[RevocationRecord, ...]:
    """See `ca.ports.Store`."""
    statement = select(tables.revocations).order_by(_REVOCATION.id.desc()).limit(page(limit))
    if before is not None:
        statement = statement.where(_REVOCATION.id < before)
    return _records(connection.execute(statement).all())


def revocations_after(
    connection: Connection, after: int, limit: int
) -> tuple[RevocationRecord, ...]:
    """See `ca.ports.Store`."""
    statement = select(tables.revocations).where(_REVOCATION.id > after).order_by(_REVOCATION.id)
    return _records(connection.execute(statement.limit(page(limit))).all())


def revocations_of(connection: Connection, serial: int) -> tuple[RevocationRecord, ...]:
    """See `ca.ports.Store`."""
    handles = union(
        select(_HANDLE.handle).where(_HANDLE.serial == serial),
        select(_CERTIFICATE.handle).where(_CERTIFICATE.serial == serial),
    )
    statement = select(tables.revocations).where(_REVOCATION.handle.in_(handles))
    return _records(connection.execute(statement.order_by(_REVOCATION.id)).all())


def dependents(connection: Connection, handle: bytes, now: datetime, limit: int) -> Dependents:
    """See `ca.ports.Store`."""
    unexpired = union(
        select(_HANDLE.serial).where(_HANDLE.handle == handle, _HANDLE.not_after > now),
        select(_CERTIFICATE.serial).where(
            _CERTIFICATE.handle == handle, _CERTIFICATE.not_after > now
        ),
        select(_WITHHELD.serial).where(_WITHHELD.handle == handle, _WITHHELD.not_after > now),
    )
    count = connection.execute(select(func.count()).select_from(unexpired.subquery())).scalar_one()
    return Dependents(
        kind=_had_by(connection, handle),
        count=count,
        first=_first(connection, handle, now, limit),
        revoked=_of_handle(connection, handle),
    )


def _first(
    connection: Connection, handle: bytes, now: datetime, limit: int
) -> tuple[Dependent, ...]:
    """Those that end last. The indexes are read from their ends: not all that depend are sorted."""
    serials: set[int] = set()
    for column in (_HANDLE, _WITHHELD):
        longest = (
            select(column.serial)
            .where(column.handle == handle, column.not_after > now)
            .order_by(column.not_after.desc())
            .limit(page(limit))
        )
        serials |= set(connection.execute(longest).scalars())
    own = select(_CERTIFICATE.serial).where(
        _CERTIFICATE.handle == handle, _CERTIFICATE.not_after > now
    )
    serials |= set(connection.execute(own).scalars())
    rows = connection.execute(
        select(_CERTIFICATE.serial, _CERTIFICATE.state, _CERTIFICATE.not_after)
        .where(_CERTIFICATE.serial.in_(serials))
        .order_by(_CERTIFICATE.not_after.desc(), _CERTIFICATE.serial)
        .limit(page(limit))
    ).all()
    names = _names(connection, [row.serial for row in rows])
    return tuple(
        Dependent(row.serial, Outcome(row.state), row.not_after, names.get(row.serial, ()))
        for row in rows
    )


def _names(connection: Connection, serials: list[int]) -> dict[int, tuple[str, ...]]:
    table = tables.certificate_names
    found: dict[int, tuple[str, ...]] = {}
    for row in connection.execute(
        select(table).where(table.c.serial.in_(serials)).order_by(table.c.position)
    ):
        found[row.serial] = (*found.get(row.serial, ()), row.name)
    return found


def kind_of(connection: Connection, handle: bytes) -> HandleKind | None:
    """See `ca.ports.Store`."""
    revoked = _of_handle(connection, handle)
    return _had_by(connection, handle) if revoked is None else revoked.revocation.kind


def _had_by(connection: Connection, handle: bytes) -> HandleKind | None:
    """What it is of to the certificates that depend on it."""
    statement = select(_HANDLE.kind).where(_HANDLE.handle == handle).limit(1)
    kind = connection.execute(statement).scalar_one_or_none()
    if kind is not None:
        return HandleKind(kind)
    own = connection.execute(select(_CERTIFICATE.serial).where(_CERTIFICATE.handle == handle))
    if own.first() is not None:
        return HandleKind.CERTIFICATE
    withheld = select(_WITHHELD.serial).where(_WITHHELD.handle == handle).limit(1)
    return None if connection.execute(withheld).first() is None else HandleKind.CHIP


def _next_number(connection: Connection) -> int:
    highest = select(func.max(_REVOCATION.id)).scalar_subquery()
    floor = select(func.max(tables.restorations.c.crl_number)).scalar_subquery()
    row = connection.execute(select(highest.label("highest"), floor.label("floor"))).one()
    return max(row.highest or 0, row.floor or 0) + 1


def _of_handle(connection: Connection, handle: bytes) -> RevocationRecord | None:
    statement = select(tables.revocations).where(_REVOCATION.handle == handle)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _record(row)


def _entry(record: RevocationRecord) -> audit.Revocation:
    """What the log tells of it: all but who did it, and the words."""
    one = record.revocation
    return audit.Revocation(one.revoked_at, record.id, one.kind, one.handle, one.reason)


def _row(record: RevocationRecord) -> dict[str, Any]:
    revocation = record.revocation
    fields = ("handle", "kind", "subject", "revoked_at", "reason", "actor", "note")
    return {"id": record.id} | {name: getattr(revocation, name) for name in fields}


def _records(rows: Sequence[Row[Any]]) -> tuple[RevocationRecord, ...]:
    return tuple(map(_record, rows))


def _record(row: Row[Any]) -> RevocationRecord:
    return RevocationRecord(
        row.id,
        Revocation(
            handle=row.handle,
            kind=HandleKind(row.kind),
            subject=row.subject,
            revoked_at=row.revoked_at,
            reason=RevocationReason(row.reason),
            actor=row.actor,
            note=row.note,
        ),
    )
