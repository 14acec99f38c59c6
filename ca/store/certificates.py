# SPDX-License-Identifier: Apache-2.0
"""Reading certificates and refusals, whole: with their decisions, names and handles. Writes nothing."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, Select, and_, exists, func, select

from ca.ports import (
    CertificateQuery,
    CertificateRecord,
    Extent,
    LiveCertificate,
    Outcome,
    RefusalRecord,
)
from ca.store import decisions, log, tables
from ca.store.dialect import page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

_SERIALS: Final = 1 << 8 * tables.SERIAL_BYTES
_CERTIFICATE: Final = tables.certificates.c
_DECISION: Final = tables.decisions.c


def certificate(connection: Connection, serial: int) -> CertificateRecord | None:
    """See `ca.ports.Store`. None for what cannot be a serial number, too."""
    if not 0 <= serial < _SERIALS:
        return None
    rows = connection.execute(_certificates().where(_CERTIFICATE.serial == serial)).all()
    records = _records(connection, rows)
    return records[0] if records else None


def certificates(connection: Connection, query: CertificateQuery) -> tuple[CertificateRecord, ...]:
    """See `ca.ports.Store`. By serial; `san` compares without case, and has no pattern characters."""
    statement = _certificates().order_by(_CERTIFICATE.serial).limit(page(query.limit))
    if query.after is not None and not 0 <= query.after < _SERIALS:
        return ()
    if query.after is not None:
        statement = statement.where(_CERTIFICATE.serial > query.after)
    if query.san is not None:
        named = select(tables.certificate_names.c.serial).where(
            tables.certificate_names.c.name.icontains(query.san, autoescape=True)
        )
        statement = statement.where(_CERTIFICATE.serial.in_(named))
    if query.policy_name is not None:
        statement = statement.where(_DECISION.policy_name == query.policy_name)
    if query.tcb_status is not None:
        statement = statement.where(_DECISION.tcb_status == query.tcb_status)
    if query.outcome is not None:
        statement = statement.where(_CERTIFICATE.state == query.outcome)
    if query.valid_at is not None:
        statement = statement.where(
            _CERTIFICATE.not_before <= query.valid_at, _CERTIFICATE.not_after >= query.valid_at
        )
    return tuple(_records(connection, connection.execute(statement).all()))


def refusals(
    connection: Connection, limit: int, before_id: int | None
) -> tuple[RefusalRecord, ...]:
    """See `ca.ports.Store`."""
    statement = (
        select(tables.decisions, _DECISION.id.label("decision_id"))
        .where(tables.is_refusal)
        .order_by(_DECISION.id.desc())
        .limit(page(limit))
    )
    if before_id is not None:
        statement = statement.where(_DECISION.id < before_id)
    rows = connection.execute(statement).all()
    loaded = decisions.load(connection, rows)
    return tuple(
        RefusalRecord(row.decision_id, decision) for row, decision in zip(rows, loaded, strict=True)
    )


def live(
    connection: Connection, at: datetime, limit: int, after: int | None
) -> tuple[LiveCertificate, ...]:
    """See `ca.ports.Store`."""
    statement = (
        select(_CERTIFICATE.serial, _CERTIFICATE.decision_id)
        .add_columns(*(c for c in _DECISION if c.name != "id"))
        .join(tables.decisions, _CERTIFICATE.decision_id == _DECISION.id)
        .where(_live(at))
        .order_by(_CERTIFICATE.serial)
        .limit(page(limit))
    )
    if after is not None:
        statement = statement.where(_CERTIFICATE.serial > after)
    rows = connection.execute(statement).all()
    names = _names(connection, [row.serial for row in rows])
    return tuple(
        LiveCertificate(row.serial, tuple(names[row.serial]), decision)
        for row, decision in zip(rows, decisions.load(connection, rows), strict=True)
    )


def extent(connection: Connection, at: datetime, since: datetime) -> Extent:
    """See `ca.ports.Store`."""
    certificates = select(func.count()).select_from(tables.certificates).where(_live(at))
    recent = select(func.count(), func.count(_DECISION.commitment)).where(
        tables.is_refusal, _DECISION.decided_at >= since
    )
    refusals, told = connection.execute(recent).one()
    return Extent(
        certificates=connection.execute(certificates).scalar_one(),
        refusals=refusals,
        forgotten=max(0, log.refusals_since(connection, since) - told),
    )


def _live(at: datetime) -> ColumnElement[bool]:
    """Issued, within its dates, and nothing that it depends on is revoked."""
    handle, revoked = tables.certificate_handles.c, tables.revocations.c.handle
    others = exists().where(handle.serial == _CERTIFICATE.serial, handle.handle == revoked)
    own = exists().where(revoked == _CERTIFICATE.handle)
    return and_(
        _CERTIFICATE.state == Outcome.ISSUED,
        _CERTIFICATE.not_before <= at,
        _CERTIFICATE.not_after >= at,
        ~own,
        ~others,
    )


def _certificates() -> Select[Any]:
    return select(tables.certificates, *(c for c in _DECISION if c.name != "id")).join(
        tables.decisions, _CERTIFICATE.decision_id == _DECISION.id
    )


def _records(connection: Connection, rows: Sequence[Row[Any]]) -> list[CertificateRecord]:
    serials = [row.serial for row in rows]
    names = _names(connection, serials)
    handles = _handles(connection, serials)
    loaded = decisions.load(connection, rows)
    return [
        CertificateRecord(
            serial=row.serial,
            issuer_key_id=row.issuer_key_id,
            outcome=Outcome(row.state),
            der=row.der,
            ear=row.ear,
            not_before=row.not_before,
            not_after=row.not_after,
            subject_alt_names=tuple(names[row.serial]),
            handles=tuple(handles[row.serial]),
            decision=decision,
        )
        for row, decision in zip(rows, loaded, strict=True)
    ]


def _names(connection: Connection, serials: list[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    table = tables.certificate_names
    for row in connection.execute(
        select(table).where(table.c.serial.in_(serials)).order_by(table.c.position)
    ):
        found[row.serial].append(row.name)
    return found


def _handles(connection: Connection, serials: list[int]) -> dict[int, list[tuple[str, bytes]]]:
    found: dict[int, list[tuple[str, bytes]]] = defaultdict(list)
    table = tables.certificate_handles
    for row in connection.execute(
        select(table).where(table.c.serial.in_(serials)).order_by(table.c.position)
    ):
        found[row.serial].append((row.kind, row.handle))
    return found
