# SPDX-License-Identifier: Apache-2.0
"""R-09, SEV-SNP: the measurement, and with a virtual TPM what that measured, is pinned or `unpinned` with a reason."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from policies.appraise import appraise
from policies.lint import lint
from policies.registers import MUST_PIN, Register, read
from policies.result import Decision
from policies.rules import RuleId
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import faults, snp_policy, snp_text
from tests.unit.policies.google_claims import GOOGLE_SNP, SECTION
from tests.unit.policies.snp_claims import AZURE, GOOD_SNP, REPORT
from verifiers.evidence import Provider, Tee

CLAIMS = {Provider.DIRECT: GOOD_SNP, Provider.AZURE: AZURE, Provider.GOOGLE: GOOGLE_SNP}
BESIDE = {Provider.GOOGLE: {"google": SECTION}}
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

    beside = BESIDE.get(provider, {})
    silent = snp_policy(match=match, reference_sets=sets, **beside)
    refused = [remark.problem.message.split()[0] for remark in lint(silent, NOW) if remark.is_error]
    denied = [
        finding.path.rpartition(".")[2]
        for finding in appraise(claims, silent, NOW).denying
        if finding.rule is RuleId.MEASUREMENT
    ]
    assert refused == denied == [register.value for register in open_]

    if (
        provider is Provider.AZURE and Register.MEASUREMENT in open_
    ):  # no reason will do for that alone
        pinned[Register.ID_KEY_DIGEST] = REPORT.id_key_digest.hex()
        sets = {"release": [{"id": "r1", "values": EXTRA | pinned}]}
    reasons = {"unpinned": dict.fromkeys(open_, "it varies here")}
    reasoned = snp_policy(reasons, match=match, reference_sets=sets, **beside)
    result = appraise(claims, reasoned, NOW)
    assert not any(remark.is_error for remark in lint(reasoned, NOW))
    assert result.decision is Decision.ACCEPTED
    assert {register for register, _ in result.pinned} == {*pinned, Register.HOST_DATA}
    assert result.unpinned == tuple((register, "it varies here") for register in open_)
    assert result.all_pinned is not bool(open_)


@pytest.mark.parametrize("match", [{"tee": "snp", "provider": "azure"}, {"tee": "snp"}])
@pytest.mark.parametrize("zero", [{}, {"id_key_digest": "00" * 48}])
def test_no_reason_leaves_a_paravisor_open(match: dict[str, str], zero: dict[str, str]) -> None:
    """A guest of anybody's that poses as one chooses the key that signs the PCRs, and so the PCRs."""
    report = replace(REPORT, id_key_digest=bytes(48)) if zero else REPORT
    claims = replace(AZURE, report=report)
    pcrs = {
        one: (read(claims, one) or b"").hex()
        for one in MUST_PIN[Tee.SNP, Provider.AZURE]
        if one is not Register.MEASUREMENT
    }
    open_paravisor = snp_policy(
        {"unpinned": {"measurement": "the cloud changes it"}},
        match=match,
        reference_sets={"release": [{"id": "r1", "values": zero | pcrs}]},
    )
    errors = [one.problem.path for one in lint(open_paravisor, NOW) if one.is_error]
    assert errors == ["snp.unpinned.measurement"]
    (denying,) = appraise(claims, open_paravisor, NOW).denying
    assert (denying.rule, denying.path) == (RuleId.MEASUREMENT, "report.measurement")
    assert "id_key_digest" in denying.expected


@pytest.mark.parametrize("reason", ["", "x", None, True])
def test_leaving_a_register_open_needs_a_reason(reason: object) -> None:
    found = faults(snp_text({"unpinned": {"measurement": reason}}))
    assert list(found) == ["snp.unpinned.measurement"]
