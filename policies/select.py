# SPDX-License-Identifier: Apache-2.0
"""Which of the active policies judges: exactly one, or the answer is no.

A policy is about one technology, one way of reporting (or any) and one certificate profile. The profile is part of what
the evidence binds, so an attester cannot be moved from one policy to another by anybody else. Validity dates take no
part: a policy out of its dates denies, it does not step aside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.appraise import matches
from policies.result import AttestationResult, Finding, RuleResult
from policies.rules import RuleId

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from policies.document import PolicyDocument
    from policies.loader import LoadedPolicy
    from verifiers.claims import Claims


def select(
    active: Sequence[LoadedPolicy], claims: Claims, profile: str, now: datetime
) -> LoadedPolicy | AttestationResult:
    """The one policy for these claims and this profile; otherwise a denial, `no-policy` or `several-policies`."""
    found = [
        policy
        for policy in active
        if policy.document.issue.profile == profile and matches(policy.document, claims)
    ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(sorted(policy.document.name for policy in found))
    finding = Finding(
        RuleId.SEVERAL_POLICIES if found else RuleId.NO_POLICY,
        "policy",
        RuleResult.FAIL if found else RuleResult.MISSING,
        expected="exactly one active policy",
        actual=names or "none",
        hint="more than one policy applies"
        if found
        else "no policy applies to this evidence and profile",
    )
    return AttestationResult(
        policy=None,
        findings=(finding,),
        matched=(),
        pinned=(),
        unpinned=(),
        valid_until=None,
        evidence_sha256=claims.evidence_sha256,
        appraised_at=now,
    )


def overlaps(a: PolicyDocument, b: PolicyDocument) -> bool:
    """Whether some claims and profile are judged by both. Two such policies are never active together."""
    providers = {a.match.provider, b.match.provider}
    about = (a.issue.profile, a.match.tee) == (b.issue.profile, b.match.tee)
    return about and (None in providers or len(providers) == 1)
