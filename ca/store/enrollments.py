# SPDX-License-Identifier: Apache-2.0
"""From nonce to certificate: what is written before a signature, after it, and instead of it.

Rules:
- The nonce is spent by the first statement of the transaction that answers it; the UNIQUE column decides between
  replicas. NonceUsed means that column, or a nonce of the time that a restored backup does not know; nothing else.
- A decision on an older judgement of the vendor than one that decided before, or on a good word on a certificate that
  is not newer than its revocation, is none; nothing of it is written.
- States of a certificate: intent -> issued, or intent -> abandoned; both are conditional updates, so that one wins.
- An abandoned serial is revoked in the transaction that abandons it, for its signature may exist somewhere.
- No certificate is issued after the revocation of what it rests on: both its intent and its certificate ask, and of
  the latter's transaction and a revocation's one ends before the other looks.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Executable, bindparam, delete, func, select, union, update

from attestca_client.protocol import HandleKind, certificate_handle
from ca import audit
from ca.errors import Conflict, HandleRevoked, IntentClosed, NonceUsed, NotFound, PolicyChanged
from ca.issuance.reasons import RevocationReason
from ca.ports import Decision, Intent, NonceState, Outcome, Revocation
from ca.store import collateral, decisions, handles, log, tables
from ca.store.dialect import add_new, insert, lock_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_SERVICE: Final = "service"  # revokes what was abandoned
_ABANDONED: Final = "abandoned"

# Built once: every enrollment runs them.
_REVOKED_OF: Final = select(func.min(tables.revocations.c.kind)).where(
    tables.revocations.c.handle.in_(bindparam("handles", expanding=True))
)
_REVOKED_SINCE: Final = select(func.min(tables.revocations.c.kind)).where(
    tables.revocations.c.handle.in_(
        union(
            select(tables.certificate_handles.c.handle).where(
                tables.certificate_handles.c.serial == bindparam("issued")
            ),
            select(tables.certificates.c.handle).where(
                tables.certificates.c.serial == bindparam("issued")
            ),
        )
    )
)
_STILL_GOOD: Final = (
    select(tables.policies.c.version, _REVOKED_OF.scalar_subquery().label("revoked"))
    .where(tables.policies.c.sha256 == bindparam("policy"), tables.is_active)
    .with_for_update(read=True, of=tables.policies)
)
_CLOSE: Final = (
    update(tables.certificates)
    .where(tables.certificates.c.serial == bindparam("intent"), tables.is_intent)
    .values(der=bindparam("der"), ear=bindparam("ear"), state=bindparam("state"))
)
_LOGGED: Final = (
    select(
        tables.certificates.c.issuer_key_id,
        tables.decisions.c.decided_at,
        tables.decisions.c.policy_sha256,
        tables.decisions.c.commitment,
    )
    .join(tables.decisions, tables.certificates.c.decision_id == tables.decisions.c.id)
    .where(tables.certificates.c.serial == bindparam("issued"))
)
_ADD_NAME: Final = tables.certificate_names.insert()
_ADD_HANDLE: Final = tables.certificate_handles.insert()
_ADD_WITHHELD: Final = tables.withheld_handles.insert()


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
    _spend_nonce(connection, decision, None)
    _check_collateral(connection, decision)
    _add_refusal(connection, decision)


def _add_refusal(connection: Connection, decision: Decision) -> None:
    _, commitment = decisions.add(connection, decision, refused=True)
    entry = audit.Refusal(decision.decided_at, decision.policy_sha256, commitment)
    log.append(connection, entry)


def record_intent(connection: Connection, intent: Intent) -> None:
    """See `ca.ports.Store`. Raises Conflict "serial-used" too, which a random serial never meets."""
    _spend_nonce(connection, intent.decision, intent.serial)
    own = certificate_handle(intent.issuer_key_id, intent.serial)
    rests_on = [own, *(handle for _, handle in intent.handles), *intent.withheld]
    _check_still_good(connection, intent.decision.policy_sha256, rests_on)
    _check_collateral(connection, intent.decision)
    decision_id, _ = decisions.add(connection, intent.decision, refused=False)
    row = {
        "serial": intent.serial,
        "decision_id": decision_id,
        "issuer_key_id": intent.issuer_key_id,
        "handle": own,
        "tbs_sha256": intent.tbs_sha256,
        "not_before": intent.not_before,
        "not_after": intent.not_after,
        "state": Outcome.INTENT,
    }
    if not add_new(connection, tables.certificates, [row]):
        raise Conflict("the serial number was used before", code="serial-used")
    _add_names_and_handles(connection, intent)


def record_certificate(
    connection: Connection, serial: int, der: bytes, ear: str, withheld: Sequence[bytes] = ()
) -> None:
    """See `ca.ports.Store`. The same certificate again changes nothing: a lost answer may be asked for again."""
    values = {"intent": serial, "der": der, "ear": ear, "state": Outcome.ISSUED}
    if connection.execute(_CLOSE, values).rowcount:
        _check_not_revoked_since(connection, serial, withheld)
        log.append(connection, _issuance(connection, serial, der))
        return
    table = tables.certificates
    row = connection.execute(select(table).where(table.c.serial == serial)).one_or_none()
    if row is None:
        raise NotFound("no intent with this serial number")
    if (row.der, row.ear) != (der, ear):
        raise IntentClosed(f"the intent is {row.state} already")


def _check_not_revoked_since(
    connection: Connection, serial: int, withheld: Sequence[bytes]
) -> None:
    """Nothing that this certificate rests on was revoked since its intent, nor is before this transaction ends."""
    # A revocation that is being written is waited for, one that comes later waits for this commit; certificates do not
    # wait for each other. After the row, as `abandon_intents` locks them.
    lock_table(connection, tables.revocations, "ROW EXCLUSIVE")
    revoked = None
    if withheld:  # first: what is told is the cause, and not the certificate's own handle
        revoked = connection.execute(_REVOKED_OF, {"handles": list(withheld)}).scalar_one()
    if revoked is None:
        revoked = connection.execute(_REVOKED_SINCE, {"issued": serial}).scalar_one()
    if revoked is not None:
        raise HandleRevoked(f"revoked: {revoked}")


def refuse_intent(connection: Connection, serial: int, decision: Decision) -> None:
    """See `ca.ports.Store`."""
    table = tables.certificates
    row = connection.execute(
        update(table)
        .where(table.c.serial == serial, tables.is_intent)
        .values(state=Outcome.ABANDONED)
        .returning(table.c.serial, table.c.handle)
    ).one_or_none()
    if row is None:
        raise IntentClosed("there is no such intent, or no longer")
    handles.add(connection, [_of_abandoned(row.handle, row.serial, decision.decided_at)])
    _add_refusal(connection, decision)


def _issuance(connection: Connection, serial: int, der: bytes) -> audit.Issuance:
    """What the log tells of a certificate."""
    row = connection.execute(_LOGGED, {"issued": serial}).one()
    return audit.Issuance(
        time=row.decided_at,
        issuer_key_id=row.issuer_key_id,
        serial=serial,
        certificate_sha256=hashlib.sha256(der).digest(),
        policy_sha256=row.policy_sha256,
        commitment=row.commitment,
    )


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
    handles.add(connection, (_of_abandoned(row.handle, row.serial, now) for row in rows))
    return tuple(sorted(row.serial for row in rows))


def _of_abandoned(handle: bytes, serial: int, now: datetime) -> Revocation:
    return Revocation(
        handle=handle,
        kind=HandleKind.CERTIFICATE,
        subject=f"{serial:x}",
        revoked_at=now,
        reason=RevocationReason.UNSPECIFIED,
        actor=_SERVICE,
        note=_ABANDONED,
    )


def forget_withheld(connection: Connection, ended_before: datetime) -> int:
    """See `ca.ports.Store`."""
    table = tables.withheld_handles
    return connection.execute(delete(table).where(table.c.not_after < ended_before)).rowcount


def forget_nonces(connection: Connection, expired_before: datetime) -> int:
    """See `ca.ports.Store`."""
    table = tables.nonces
    return connection.execute(
        delete(table).where(tables.is_of_refusal, table.c.expires_at < expired_before)
    ).rowcount


@functools.cache
def _spend(dialect: str) -> Executable:
    # Of the time that a restored backup knows nothing of, a nonce may have been answered.
    lost = (
        select(tables.restorations.c.id)
        .where(tables.restorations.c.nonces_until >= bindparam("expires_at", type_=tables.Instant))
        .exists()
    )
    names = ["nonce", "expires_at", "decided_at", "request_sha256", "serial"]
    values = [bindparam(name, type_=tables.nonces.c[name].type) for name in names]
    row = select(*values).where(~lost)
    statement = insert(dialect, tables.nonces).from_select(names, row)
    return statement.on_conflict_do_nothing(index_elements=["nonce"])


def _spend_nonce(connection: Connection, decision: Decision, serial: int | None) -> None:
    spent = connection.execute(
        _spend(connection.dialect.name),
        {
            "nonce": decision.nonce,
            "expires_at": decision.nonce_expires,
            "decided_at": decision.decided_at,
            "request_sha256": decision.request_sha256,
            "serial": serial,
        },
    ).rowcount
    if not spent:
        raise NonceUsed("the nonce was answered before")


def _check_still_good(
    connection: Connection, policy_sha256: bytes | None, handles: list[bytes]
) -> None:
    """The policy is active, and on PostgreSQL stays so until this transaction ends; no handle is revoked."""
    row = connection.execute(_STILL_GOOD, {"policy": policy_sha256, "handles": handles}).first()
    if row is None:
        raise PolicyChanged("the policy of this decision is not active any more")
    if row.revoked is not None:
        raise HandleRevoked(f"revoked: {row.revoked}")


def _check_collateral(connection: Connection, decision: Decision) -> None:
    collateral.check_evaluations(connection, decision.evaluations)
    collateral.check_revocations(connection, decision.revoked, decision.good)


def _add_names_and_handles(connection: Connection, intent: Intent) -> None:
    names = [
        {"serial": intent.serial, "position": i, "name": name}
        for i, name in enumerate(intent.subject_alt_names)
    ]
    fixed = {"serial": intent.serial, "not_after": intent.not_after}
    rests_on = [
        fixed | {"position": i, "kind": kind, "handle": handle}
        for i, (kind, handle) in enumerate(intent.handles)
    ]
    withheld = [fixed | {"handle": handle} for handle in dict.fromkeys(intent.withheld)]
    if names:
        connection.execute(_ADD_NAME, names)
    if rests_on:
        connection.execute(_ADD_HANDLE, rests_on)
    if withheld:
        connection.execute(_ADD_WITHHELD, withheld)
