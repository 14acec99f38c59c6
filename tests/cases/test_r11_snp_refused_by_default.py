# SPDX-License-Identifier: Apache-2.0
"""R-11, for SEV-SNP: debug and a migration agent, allowed or bound, are refused unless relaxed by name."""

from __future__ import annotations

import pytest

from policies.appraise import appraise
from policies.loader import load_default
from policies.result import Decision
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import faults, snp_policy, snp_text
from tests.unit.policies.snp_claims import with_guest_policy, with_report
from verifiers.evidence import Tee
from verifiers.snp.claims import GuestPolicyBit

REFUSED = {
    "debug": ("debug", with_guest_policy(GuestPolicyBit.DEBUG)),
    "an agent is allowed": ("migration-agent", with_guest_policy(GuestPolicyBit.MIGRATE_MA)),
    "an agent is bound": ("migration-agent", with_report(report_id_ma=bytes(32))),
}
RULES = ("debug", "migration-agent")


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_default(name: str) -> None:
    rule, claims = REFUSED[name]
    for by in (snp_policy(), load_default(Tee.SNP)):
        result = appraise(claims, by, NOW)
        assert result.decision is Decision.DENIED
        assert rule in {finding.rule for finding in result.denying}


@pytest.mark.parametrize("name", REFUSED)
def test_accepted_only_by_name_and_visibly(name: str) -> None:
    rule, claims = REFUSED[name]
    others = {other: "a test cluster" for other in RULES if other != rule}
    assert appraise(claims, snp_policy(relax=others), NOW).decision is Decision.DENIED
    result = appraise(claims, snp_policy(relax={rule: "a test cluster"}), NOW)
    assert result.decision is Decision.ACCEPTED
    assert [finding.rule for finding in result.tolerated] == [rule]


@pytest.mark.parametrize("rule", RULES)
def test_never_a_mere_warning(rule: str) -> None:
    assert "cannot be made a warning" in faults(snp_text(warn={rule: "2030-01-01"}))[f"warn.{rule}"]
