# SPDX-License-Identifier: Apache-2.0
"""Records of the store -> what operators are shown of them. Evidence and collateral appear as digests."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ca.http.schema import (
    ActionAnswer,
    CertificateDetail,
    CertificateSummary,
    DecisionAnswer,
    DependentAnswer,
    EvidenceDigest,
    FeedEntry,
    HandleAnswer,
    PolicySummary,
    PreviewAnswer,
    RecordedRefusal,
    RevocationAnswer,
    RevokedAnswer,
    SampledRefusalAnswer,
    WhoAmI,
)
from ca.http.wire import b64, instant, pem, policy_name
from ca.tokens import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ca.http.refusals import SampledRefusal
    from ca.ports import (
        CertificateRecord,
        Decision,
        OperatorAction,
        PolicyRecord,
        RefusalRecord,
        RevocationRecord,
        TokenRecord,
    )
    from ca.revocation import Preview, Revoked


def who_am_i(token: TokenRecord) -> WhoAmI:
    """A token's record, without its digest."""
    return WhoAmI(
        id=token.id,
        name=token.name,
        scopes=sorted(Scope(scope) for scope in token.scopes),
        created_at=instant(token.created_at),
        expires_at=instant(token.expires_at),
    )


def policy(record: PolicyRecord) -> PolicySummary:
    """A version without its text."""
    return PolicySummary(
        name=record.name,
        version=record.version,
        sha256=record.sha256.hex(),
        state=record.state,
        added_at=instant(record.added_at),
        added_by=record.added_by,
    )


def certificate(record: CertificateRecord) -> CertificateSummary:
    """One line of a search."""
    decision = record.decision
    return CertificateSummary(
        serial=f"{record.serial:x}",
        outcome=record.outcome,
        issuer_key_id=record.issuer_key_id.hex(),
        not_before=instant(record.not_before),
        not_after=instant(record.not_after),
        names=list(record.subject_alt_names),
        profile=decision.profile,
        tee=decision.tee,
        tcb_status=decision.tcb_status,
        policy=policy_name(decision),
        decided_at=instant(decision.decided_at),
        certificate_sha256=None if record.der is None else sha256(record.der).hexdigest(),
    )


def certificate_detail(
    record: CertificateRecord, revocations: Sequence[RevocationRecord]
) -> CertificateDetail:
    """Everything about one serial number. `revocations`: those that take it."""
    return CertificateDetail(
        summary=certificate(record),
        certificate=None if record.der is None else pem(record.der),
        handles=[HandleAnswer(kind=kind, handle=handle.hex()) for kind, handle in record.handles],
        revocations=[revocation(one) for one in revocations],
        decision=decision(record.decision),
    )


def decision(made: Decision) -> DecisionAnswer:
    """A decision with its whole result."""
    return DecisionAnswer(
        decided_at=instant(made.decided_at),
        profile=made.profile,
        tee=made.tee,
        tcb_status=made.tcb_status,
        policy=policy_name(made),
        nonce=b64(made.nonce),
        request_sha256=made.request_sha256.hex(),
        key_sha256=sha256(made.spki_der).hexdigest(),
        anchors_sha256=made.anchors_sha256.hex(),
        evidence=[
            EvidenceDigest(kind=kind, sha256=blob.sha256.hex(), size=len(blob.data))
            for kind, blob in made.evidence
        ],
        collateral_sha256=[blob.sha256.hex() for blob in made.collateral],
        result=json.loads(made.result_json),
    )


def recorded_refusal(record: RefusalRecord) -> RecordedRefusal:
    """A refusal of authentic evidence."""
    return RecordedRefusal(id=record.id, decision=decision(record.decision))


def sampled_refusal(refusal: SampledRefusal) -> SampledRefusalAnswer:
    """A refusal of which nothing is on record."""
    return SampledRefusalAnswer(
        at=instant(refusal.at),
        code=refusal.code,
        detail=refusal.detail,
        address_prefix=refusal.address_prefix,
    )


def revocation(record: RevocationRecord) -> RevocationAnswer:
    """One revocation, for operators."""
    return RevocationAnswer(**_revocation(record))


def revoked(done: Revoked) -> RevokedAnswer:
    """What a revocation came to."""
    return RevokedAnswer(**_revocation(done.record), again=done.again)


def _revocation(record: RevocationRecord) -> dict[str, Any]:
    made = record.revocation
    return {
        "id": record.id,
        "kind": made.kind,
        "handle": made.handle.hex(),
        "subject": made.subject,
        "revoked_at": instant(made.revoked_at),
        "reason": made.reason,
        "actor": made.actor,
        "note": made.note,
    }


def published(record: RevocationRecord) -> FeedEntry:
    """One revocation, for everybody."""
    made = record.revocation
    return FeedEntry(
        id=record.id,
        kind=made.kind,
        handle=made.handle.hex(),
        revoked_at=instant(made.revoked_at),
        reason=made.reason,
    )


def preview(found: Preview) -> PreviewAnswer:
    """What a revocation would take."""
    named, dependents = found.named, found.dependents
    return PreviewAnswer(
        kind=named.kind,
        handle=named.handle.hex(),
        subject=named.words,
        known=dependents.kind is not None,
        count=dependents.count,
        certificates=[
            DependentAnswer(
                serial=f"{one.serial:x}",
                outcome=one.outcome,
                not_after=instant(one.not_after),
                names=list(one.subject_alt_names),
            )
            for one in dependents.first
        ],
        revoked=None if dependents.revoked is None else revocation(dependents.revoked),
    )


def action(done: OperatorAction) -> ActionAnswer:
    """One line of the operators' log."""
    return ActionAnswer(
        done_at=instant(done.done_at),
        actor=done.actor,
        action=done.action,
        target=done.target,
        detail=json.loads(done.detail),
    )
