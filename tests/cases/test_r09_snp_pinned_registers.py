# SPDX-License-Identifier: Apache-2.0
"""R-09, SEV-SNP: the measurement, and behind a paravisor what it measured, is pinned or `unpinned` with a reason."""

from __future__ import annotations

import itertools

import pytest

from policies.appraise import appraise
from policies.lint import lint
from policies.registers import MUST_PIN, Register, read
from policies.result import Decision
from policies.rules import RuleId
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import faults, snp_policy, snp_text
from tests.unit.policies.snp_claims import AZURE, GOOD_SNP, REPORT
from verifiers.evidence import Provider, Tee

CLAIMS = {Provider.DIRECT: GOOD_SNP, Provider.AZURE: AZURE}
SUBSETS = [
    (provider, subset)
    for provider in Provider
    for size in range(len(MUST_PIN[Tee.SNP, provider]) + 1)
    for subset in itertools.combinations(MUST_PIN[Tee.SNP, provider], size)
]
EXTRA = {"host_data": REPORT.host_data.hex()}  # so that an entry is never empty


@pytest.mark.parametrize(("provider", "open_"), SUBSETS, ids=str)
def test_saving_and_appraising_agree(provider: Provider, open_: tuple[Register, ...]) -> None:
    claims, must = CLAIMS[provider], MUST_PIN[Tee.SNP, provider]
    match = {"tee": "snp", "provider": provider.value}
    pinned = {one: (read(claims, one) or b"").hex() for one in must if one not in open_}
    sets = {"release": [{"id": "r1", "values": EXTRA | pinned}]}

    silent = snp_policy(match=match, reference_sets=sets)
    refused = [remark.problem.message.split()[0] for remark in lint(silent, NOW) if remark.is_error]
    denied = [
        finding.path.rpartition(".")[2]
        for finding in appraise(claims, silent, NOW).denying
        if finding.rule is RuleId.MEASUREMENT
    ]
    assert refused == denied == [register.value for register in open_]

    reasons = {"unpinned": dict.fromkeys(open_, "it varies here")}
    reasoned = snp_policy(reasons, match=match, reference_sets=sets)
    result = appraise(claims, reasoned, NOW)
    assert not any(remark.is_error for remark in lint(reasoned, NOW))
    assert result.decision is Decision.ACCEPTED
    assert {register for register, _ in result.pinned} == {*pinned, Register.HOST_DATA}
    assert result.unpinned == tuple((register, "it varies here") for register in open_)
    assert result.all_pinned is not bool(open_)


@pytest.mark.parametrize("reason", ["", "x", None, True])
def test_leaving_a_register_open_needs_a_reason(reason: object) -> None:
    found = faults(snp_text({"unpinned": {"measurement": reason}}))
    assert list(found) == ["snp.unpinned.measurement"]
