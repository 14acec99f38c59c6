# SPDX-License-Identifier: Apache-2.0
"""Short ways to ask an appraisal about one rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.appraise import appraise
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import policy, snp_policy
from verifiers.evidence import Tee

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy
    from policies.result import Finding, RuleResult
    from policies.rules import RuleId
    from verifiers.claims import Claims


def _accepting(claims: Claims) -> LoadedPolicy:
    return policy() if claims.tee is Tee.TDX else snp_policy()


def findings(claims: Claims, rule: RuleId, by: LoadedPolicy | None = None) -> list[Finding]:
    """The findings of one rule at NOW, by a policy that accepts GOOD or GOOD_SNP if none is given."""
    result = appraise(claims, by or _accepting(claims), NOW)
    return [finding for finding in result.findings if finding.rule is rule]


def finding(claims: Claims, rule: RuleId, by: LoadedPolicy | None = None) -> Finding:
    """The one finding of a rule that has one."""
    (only,) = findings(claims, rule, by)
    return only


def denying(claims: Claims, by: LoadedPolicy | None = None) -> dict[RuleId, RuleResult]:
    """The rules that deny, with their result."""
    return {one.rule: one.result for one in appraise(claims, by or _accepting(claims), NOW).denying}
