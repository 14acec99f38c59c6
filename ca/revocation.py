# SPDX-License-Identifier: Apache-2.0
"""Revoking: one entry takes every certificate that depends on a handle, and nothing takes it back.

Rules: a revocation is one row, whatever depends on it, and holds from its commit: issuance looks at it in the
transaction that records an intent, and every list of revoked certificates is made of the same rows. Revoking again is
no error and changes nothing. Each is a line of the operators' log, in the same transaction. A preview changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ca.ports import OperatorAction, Revocation
from ca.subjects import named

if TYPE_CHECKING:
    from datetime import datetime

    from ca.authority import Authority
    from ca.issuance.reasons import RevocationReason
    from ca.ports import Dependents, RevocationRecord
    from ca.subjects import Named, Subject

ACTION: Final = "revocation.add"
SHOWN: Final = 20  # certificates of a preview


@dataclass(frozen=True, slots=True)
class Revoked:
    """What is on record after a revocation. `again`: it was revoked before, and nothing changed."""

    record: RevocationRecord
    again: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """What a revocation would take."""

    named: Named
    dependents: Dependents


@dataclass(frozen=True, slots=True)
class Why:
    """Reason and the operator's own words, which are kept and shown to operators alone."""

    reason: RevocationReason
    note: str


async def preview(subject: Subject, authority: Authority, now: datetime) -> Preview:
    """What depends on `subject` now. Raises as `ca.subjects.named` does."""
    found = await named(subject, authority)
    return Preview(found, await authority.store.dependents(found.handle, now, SHOWN))


async def revoke(
    subject: Subject, why: Why, authority: Authority, actor: str, now: datetime
) -> Revoked:
    """Revoke `subject`, at once and for good. Raises as `ca.subjects.named` does."""
    found = await named(subject, authority)
    revocation = Revocation(
        handle=found.handle,
        kind=found.kind,
        subject=found.words,
        revoked_at=now,
        reason=why.reason,
        actor=actor,
        note=why.note,
    )
    detail = {"subject": found.words, "reason": why.reason, "note": why.note}
    action = OperatorAction(
        now, actor, ACTION, f"{found.kind} {found.handle.hex()}", json.dumps(detail, sort_keys=True)
    )
    record, new = await authority.store.revoke(revocation, action)
    authority.revoked.set()
    return Revoked(record, again=not new)
