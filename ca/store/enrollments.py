# SPDX-License-Identifier: Apache-2.0
"""From nonce to certificate: what is written before a signature, after it, and instead of it.

Rules:
- The nonce is spent by the first statement of the transaction that answers it; the UNIQUE column decides between
  replicas, and nothing but that column is ever reported as NonceUsed.
- States of a certificate: intent -> issued, or intent -> abandoned; both are conditional updates, so that one wins.
- An abandoned serial is revoked in the transaction that abandons it, for its signature may exist somewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, delete, func, literal, select, update

from attestca_client.protocol import HandleKind, certificate_handle
from ca.errors import Conflict, HandleRevoked, IntentClosed, NonceUsed, NotFound, PolicyChanged
from ca.ports import Decision, Intent, NonceState, Outcome
from ca.store import decisions, tables
from ca.store.database import insert

if TYPE_CHECKING:
    from datetime import datetime

_ABANDONED: Final = "abandoned"  # cause of a revocation


def nonce_state(connection: Connection, nonce: bytes) -> NonceState | None:
    """See `ca.ports.Store`."""
    table = tables.nonces
    row = connection.execute(
        select(table, tables.certificates.c.state)
        .outerjoin(tables.certificates, tables.certificates.c.serial == table.c.serial)
        .where(table.c.nonce == nonce)
    ).one_or_none()
    if row is None:
        return None
    outcome = Outcome.DENIED if row.state is None else Outcome(row.state)
    return NonceState(row.request_sha256, outcome, row.decided_at, row.serial)


def record_refusal(connection: Connection, decision: Decision) -> None:
    """See `ca.ports.Store`."""
    _spend_nonce(connection, decision)
    decisions.add(connection, decision, refused=True)


def record_intent(connection: Connection, intent: Intent) -> None:
    """See `ca.ports.Store`. Raises Conflict "serial-used" too, which a random serial never meets."""
    _spend_nonce(connection, intent.decision)
    _check_policy(connection, intent.decision.policy_sha256)
    own = certificate_handle(intent.issuer_key_id, intent.serial)
    _check_handles(connection, [own, *(handle for _, handle in intent.handles)])
    decision_id = decisions.add(connection, intent.decision, refused=False)
    written = connection.execute(
        insert(connection, tables.certificates)
        .values(
            serial=intent.serial,
            decision_id=decision_id,
            issuer_key_id=intent.issuer_key_id,
            handle=own,
            tbs_sha256=intent.tbs_sha256,
            not_before=intent.not_before,
            not_after=intent.not_after,
            state=Outcome.INTENT,
        )
        .on_conflict_do_nothing(index_elements=["serial"])
    ).rowcount
    if not written:
        raise Conflict("the serial number was used before", code="serial-used")
    _add_names_and_handles(connection, intent)
    connection.execute(
        update(tables.nonces)
        .where(tables.nonces.c.nonce == intent.decision.nonce)
        .values(serial=intent.serial)
    )


def record_certificate(connection: Connection, serial: int, der: bytes, ear: str) -> None:
    """See `ca.ports.Store`. The same certificate again changes nothing: a lost answer may be asked for again."""
    table = tables.certificates
    written = connection.execute(
        update(table)
        .where(table.c.serial == serial, tables.is_intent)
        .values(state=Outcome.ISSUED, der=der, ear=ear)
    ).rowcount
    if written:
        return
    row = connection.execute(select(table).where(table.c.serial == serial)).one_or_none()
    if row is None:
        raise NotFound("no intent with this serial number")
    if (row.der, row.ear) != (der, ear):
        raise IntentClosed(f"the intent is {row.state} already")


def abandon_intents(connection: Connection, older_than: datetime, now: datetime) -> tuple[int, ...]:
    """See `ca.ports.Store`."""
    table = tables.certificates
    old = select(tables.decisions.c.id).where(
        tables.decisions.c.id == table.c.decision_id, tables.decisions.c.decided_at < older_than
    )
    rows = connection.execute(
        update(table)
        .where(tables.is_intent, old.exists())
        .values(state=Outcome.ABANDONED)
        .returning(table.c.serial, table.c.handle)
    ).all()
    if rows:
        connection.execute(
            insert(connection, tables.revocations).on_conflict_do_nothing(),
            [
                {
                    "handle": row.handle,
                    "kind": HandleKind.CERTIFICATE,
                    "revoked_at": now,
                    "cause": _ABANDONED,
                }
                for row in rows
            ],
        )
    return tuple(sorted(row.serial for row in rows))


def forget_nonces(connection: Connection, expired_before: datetime) -> int:
    """See `ca.ports.Store`."""
    table = tables.nonces
    return connection.execute(
        delete(table).where(tables.is_of_refusal, table.c.expires_at < expired_before)
    ).rowcount


def _spend_nonce(connection: Connection, decision: Decision) -> None:
    values = {
        "nonce": decision.nonce,
        "expires_at": decision.nonce_expires,
        "decided_at": decision.decided_at,
        "request_sha256": decision.request_sha256,
    }
    columns = [literal(value, tables.nonces.c[name].type) for name, value in values.items()]
    # Of the time that a restored backup knows nothing of, a nonce may have been answered.
    lost = (
        select(tables.restorations.c.id)
        .where(tables.restorations.c.nonces_until >= decision.nonce_expires)
        .exists()
    )
    written = connection.execute(
        insert(connection, tables.nonces)
        .from_select(list(values), select(*columns).where(~lost))
        .on_conflict_do_nothing(index_elements=["nonce"])
    ).rowcount
    if not written:
        raise NonceUsed("the nonce was answered before")


def _check_policy(connection: Connection, policy_sha256: bytes | None) -> None:
    """The policy is active, and on PostgreSQL stays so until this transaction ends."""
    table = tables.policies
    active = connection.execute(
        select(table.c.version)
        .where(table.c.sha256 == policy_sha256, tables.is_active)
        .with_for_update(read=True)
    ).first()
    if active is None:
        raise PolicyChanged("the policy of this decision is not active any more")


def _check_handles(connection: Connection, handles: list[bytes]) -> None:
    revoked = connection.execute(
        select(func.min(tables.revocations.c.kind)).where(tables.revocations.c.handle.in_(handles))
    ).scalar_one()
    if revoked is not None:
        raise HandleRevoked(f"revoked: {revoked}")


def _add_names_and_handles(connection: Connection, intent: Intent) -> None:
    names = [
        {"serial": intent.serial, "position": i, "name": name}
        for i, name in enumerate(intent.subject_alt_names)
    ]
    handles = [
        {"serial": intent.serial, "position": i, "kind": kind, "handle": handle}
        for i, (kind, handle) in enumerate(intent.handles)
    ]
    if names:
        connection.execute(tables.certificate_names.insert(), names)
    if handles:
        connection.execute(tables.certificate_handles.insert(), handles)
