# SPDX-License-Identifier: Apache-2.0
"""An appraisal of SEV-SNP claims as a whole: all rules run, registers of both providers, softening is bounded."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from policies.appraise import SNP_CHECKS, appraise
from policies.loader import load_default, load_policy
from policies.registers import MUST_PIN, PCRS, Register, read
from policies.result import Decision, RuleResult
from policies.rules import BOOT_RULES, DEVICE_RULES, RELAXABLE, RULES, WARNABLE, RuleId
from policies.select import overlaps, select
from tests.unit.policies.claims_factory import GOOD, NOW, register
from tests.unit.policies.documents import (
    SNP_RELEASE,
    policy,
    snp_entry,
    snp_policy,
    text,
)
from tests.unit.policies.findings import denying, finding
from tests.unit.policies.snp_claims import (
    AZURE,
    CRL,
    GOOD_SNP,
    HCL,
    OLD,
    REPORT,
    TPM,
    VLEK,
    tcb,
    with_report,
)
from verifiers.endorsements import Revocation
from verifiers.evidence import Product, Provider, Tee
from verifiers.snp.claims import GuestPolicyBit, PlatformBit, SnpClaims

FAIL, MISSING, WARNED, PASS = (
    RuleResult.FAIL,
    RuleResult.MISSING,
    RuleResult.WARNED,
    RuleResult.PASS,
)

ALWAYS = [
    RuleId.MATCH,
    RuleId.POLICY_VALIDITY,
    RuleId.MEASUREMENT,
    RuleId.DEBUG,
    RuleId.MIGRATION_AGENT,
    RuleId.VMPL_NOT_ZERO,
    RuleId.GUEST_POLICY,
    RuleId.GUEST_POLICY_UNMET,
    RuleId.REPORT_VERSION_BELOW_3,
    RuleId.VLEK,
    RuleId.PRODUCT,
    RuleId.ALIAS_CHECK_MISSING,
    RuleId.PLATFORM_INFO,
    RuleId.REPORTED_BELOW_COMMITTED,
    RuleId.COMMITTED_BELOW_CURRENT,
    RuleId.TCB_FLOOR,
    RuleId.COLLATERAL_STALE,
    RuleId.REVOCATION_UNKNOWN,
]

WORST = replace(
    OLD,
    product=Product.MILAN,
    guest_policy=frozenset(GuestPolicyBit),
    platform=frozenset({PlatformBit.SMT, PlatformBit.TIO}),
    report=replace(
        REPORT,
        version=2,
        measurement=register(1),
        vmpl=3,
        guest_svn=0,
        report_id_ma=bytes(32),
        chip_id=bytes(64),
        launch_mit_vector=0,
        current_mit_vector=None,
    ),
    reported_tcb=tcb(snp=1),
    committed_tcb=tcb(snp=2),
    current_tcb=tcb(snp=3),
    vek=VLEK,
    revocation=Revocation.REVOKED,
    collateral=(replace(CRL, next_update=CRL.issued, expired_since=CRL.issued),),
)

ID_PINNED = {"release": [snp_entry("s1", id_key_digest=REPORT.id_key_digest)]}
SECTION: dict[str, Any] = {
    "guest_policy": {"forbidden": ["cxl"]},
    "allow_smt": False,
    "id_block": {"guest_svn": 1},
    "products": {"allow": ["Genoa"]},
    "platform_info": {"required": ["ecc"]},
    "mitigation_vectors": {"launch": "0000000000000001"},
    "chips": [REPORT.chip_id.hex()],
    "tcb": {"minimum": {"Milan": {"reported": {"snp": 27}}}},
}
STRICT = snp_policy(SECTION, reference_sets=ID_PINNED, not_after="2026-06-01")


def test_every_rule_of_a_plain_policy_passes_in_order() -> None:
    result = appraise(GOOD_SNP, snp_policy(), NOW)
    assert [one.rule for one in result.findings] == ALWAYS
    assert {one.result for one in result.findings} == {PASS}
    assert {one.hint for one in result.findings} == {""}
    assert (result.decision, result.tolerated) == (Decision.ACCEPTED, ())
    assert result.all_pinned


def test_all_rules_run_and_each_denies_in_order() -> None:
    result = appraise(WORST, STRICT, NOW)
    assert {one.rule for one in result.denying} == RULES[Tee.SNP] - BOOT_RULES - DEVICE_RULES - {
        RuleId.GOOGLE_VM,  # of other evidence
        RuleId.NO_POLICY,
        RuleId.SEVERAL_POLICIES,
        RuleId.MATCH,
    }
    order = list(RuleId)
    positions = [order.index(one.rule) for one in result.findings]
    assert positions == sorted(positions)
    assert all(one.expected and one.hint for one in result.denying)


def test_no_check_stands_twice() -> None:
    assert len(set(SNP_CHECKS)) == len(SNP_CHECKS)


def test_softening_everything_leaves_what_must_hold() -> None:
    everything = snp_policy(
        SECTION,
        reference_sets=ID_PINNED,
        relax={rule.value: "all of them" for rule in (RELAXABLE & RULES[Tee.SNP]) - DEVICE_RULES},
        warn={
            rule.value: "2027-01-01"
            for rule in (WARNABLE & RULES[Tee.SNP]) - BOOT_RULES - DEVICE_RULES
        },
    )
    assert set(denying(WORST, everything)) == {
        RuleId.MEASUREMENT,
        RuleId.VMPL_NOT_ZERO,
        RuleId.ID_BLOCK,
        RuleId.VLEK,
        RuleId.COLLATERAL_STALE,
        RuleId.REVOCATION_UNKNOWN,
    }


def test_what_is_missing_is_not_softened() -> None:
    by = snp_policy(
        {
            "products": {"deny_cpus": ["19-a0-2"]},
            "mitigation_vectors": {"current": "0000000000000001"},
            "tcb": {"advisories": ["AMD-SB-3019"]},
        },
        relax={"report-version-below-3": "old", "alias-check-missing": "old"},
        warn={
            "product": "2027-01-01",
            "mitigation-vectors": "2027-01-01",
            "tcb-floor": "2027-01-01",
        },
    )
    assert denying(OLD, by) == {
        RuleId.PRODUCT: MISSING,
        RuleId.MITIGATION_VECTORS: MISSING,
        RuleId.TCB_FLOOR: MISSING,
    }


def test_the_strict_default_says_nothing_but_that_pins_are_missing() -> None:
    default = load_default(Tee.SNP)
    assert denying(GOOD_SNP, default) == {RuleId.MEASUREMENT: MISSING}
    result = appraise(GOOD_SNP, default, NOW)
    assert [(one.rule, one.result) for one in result.tolerated] == [(RuleId.TCB_FLOOR, WARNED)]


@pytest.mark.parametrize(("claims", "by"), [(GOOD_SNP, policy()), (GOOD, snp_policy())])
def test_a_policy_about_the_other_technology_denies_and_looks_no_further(
    claims: Any,  # noqa: ANN401  of either technology
    by: Any,  # noqa: ANN401  keyword
) -> None:
    result = appraise(claims, by, NOW)
    assert result.decision is Decision.DENIED
    assert not result.all_pinned
    assert {one.rule for one in result.findings} == {
        RuleId.MATCH,
        RuleId.POLICY_VALIDITY,
        RuleId.MEASUREMENT,
    }
    assert finding(claims, RuleId.MATCH, by).result is FAIL
    assert result.floors is None


def test_the_json_is_canonical_and_names_registers() -> None:
    result = appraise(GOOD_SNP, snp_policy(), NOW)
    data = json.loads(result.to_json())
    assert data["pinned"] == {"measurement": REPORT.measurement.hex()}
    assert {one["path"] for one in data["findings"]} >= {"report.vmpl", "reported_tcb", "vek.kind"}
    assert "floors" not in data


def test_a_refused_attester_learns_no_allowed_value() -> None:
    secret = snp_policy(
        {
            "vmpl": [2],
            "guest_policy": {"required": ["page-swap-disable"]},
            "products": {"allow": ["Turin"], "deny_cpus": ["1a-11-0"]},
            "platform_info": {"required": ["rapl-dis"]},
            "mitigation_vectors": {"launch": "0000000000123450"},
            "vlek": {"csp_ids": ["CN=secret"]},
            "chips": ["99" * 64],
            "id_block": {"guest_svn": 4711, "family_id": "7a" * 16},
            "tcb": {"minimum": {"19-11-1": {"reported": {"snp": 253, "microcode": 254}}}},
        },
        reference_sets={"release": [snp_entry("s1", id_key_digest=register(0x5A))]},
        not_after="2030-02-03",
    )
    claims = replace(GOOD_SNP, vek=VLEK)
    told = json.dumps(appraise(claims, secret, NOW).public_findings())
    assert {one["rule"] for one in json.loads(told)} >= {
        "measurement",
        "vmpl-not-zero",
        "vlek",
        "chip-list",
        "tcb-floor",
        "id-block",
        "guest-policy",
        "platform-info",
        "mitigation-vectors",
    }
    for value in ("5a5a", "9999", "7a7a", "4711", "253", "254", "2345", "secret", "Turin", "1a-11"):
        assert value not in told
    assert "rapl" not in told
    assert "page-swap" not in told


# registers


def azure_entry(**values: bytes) -> dict[str, Any]:
    pcrs = {f"pcr{index}": bytes([index]) * 32 for index in (4, 8, 9, 11, 12)}
    return snp_entry("a1", **(pcrs | values))


def azure(*entries: dict[str, Any], **section: Any) -> Any:  # noqa: ANN401  keyword for `appraise`
    return snp_policy(section, reference_sets={"release": list(entries or (azure_entry(),))})


def test_a_register_is_read_from_its_place() -> None:
    assert read(GOOD_SNP, Register.MEASUREMENT) == REPORT.measurement
    assert read(GOOD_SNP, Register.HOST_DATA) == REPORT.host_data
    assert read(GOOD_SNP, Register.ID_KEY_DIGEST) == REPORT.id_key_digest
    assert read(GOOD_SNP, Register.AUTHOR_KEY_DIGEST) is None
    enabled = with_report(author_key_en=True)
    assert read(enabled, Register.AUTHOR_KEY_DIGEST) == REPORT.author_key_digest
    for one, index in PCRS.items():
        assert read(AZURE, one) == bytes([index]) * 32
        assert read(GOOD_SNP, one) is None


@pytest.mark.parametrize("register", Register)
def test_no_register_is_read_out_of_the_other_technology(register: Register) -> None:
    other = GOOD if register.is_of(Tee.SNP) else GOOD_SNP
    assert read(other, register) is None


def test_a_register_that_was_not_quoted_does_not_match() -> None:
    without = replace(TPM, pcrs=tuple(one for one in TPM.pcrs if one[1] != 9))
    for claims in (replace(AZURE, tpm=without), replace(AZURE, tpm=None)):
        found = finding(claims, RuleId.MEASUREMENT, azure())
        assert found.result is FAIL
        assert "pcr9=not reported" in found.actual
    assert denying(AZURE, azure()) == {}
    assert denying(GOOD_SNP, azure()) == {RuleId.MEASUREMENT: FAIL}


@pytest.mark.parametrize("left_out", ["measurement", "pcr4", "pcr8", "pcr9", "pcr11", "pcr12"])
def test_what_evidence_of_a_paravisor_must_be_pinned_by(left_out: str) -> None:
    """The measurement is the paravisor's alone there: what the guest boots is in the PCRs."""
    entry = azure_entry()
    del entry["values"][left_out]
    result = appraise(AZURE, azure(entry), NOW)
    assert [(one.path, one.result) for one in result.denying] == [
        (Register(left_out).path, MISSING)
    ]
    assert not result.all_pinned
    if left_out == "measurement":  # which a reason alone does not make up for
        entry["values"]["id_key_digest"] = AZURE.report.id_key_digest.hex()
    open_ = azure(entry, unpinned={left_out: "it varies"})
    reasoned = appraise(AZURE, open_, NOW)
    assert reasoned.decision is Decision.ACCEPTED
    assert reasoned.unpinned == ((Register(left_out), "it varies"),)
    assert not reasoned.all_pinned


def test_a_policy_about_any_provider_asks_by_the_evidence() -> None:
    """What pins enough for the CPU's own report leaves a paravisor's guest open, which denies."""
    assert denying(GOOD_SNP, snp_policy()) == {}
    found = [one.path for one in appraise(AZURE, snp_policy(), NOW).denying]
    assert found == ["tpm.pcr4", "tpm.pcr8", "tpm.pcr9", "tpm.pcr11", "tpm.pcr12"]
    assert appraise(AZURE, azure(), NOW).all_pinned


@pytest.mark.parametrize("name", ["measurement", "host_data", "id_key_digest"])
def test_every_register_of_the_report_can_be_pinned(name: str) -> None:
    value = b"\x77" * Register(name).length
    by = snp_policy(reference_sets={"release": [snp_entry("s1", **{name: value})]})
    good = with_report(**{name: value})
    assert dict(appraise(good, by, NOW).pinned)[Register(name)] == value
    other = with_report(**{name: value[:-1] + b"\0"})
    assert denying(other, by) == {RuleId.MEASUREMENT: FAIL}


# selection


def test_policies_of_two_technologies_stand_beside_each_other() -> None:
    tdx, snp = policy(), snp_policy()
    assert not overlaps(tdx.document, snp.document)
    assert select([tdx, snp], GOOD_SNP, "default", NOW) is snp
    assert select([tdx, snp], GOOD, "default", NOW) is tdx


def test_policies_of_two_providers_stand_beside_each_other() -> None:
    direct = snp_policy(match={"tee": "snp", "provider": "direct"})
    paravisor = load_policy(
        json.dumps(
            json.loads(text())
            | {
                "match": {"tee": "snp", "provider": "azure"},
                "reference_sets": {"release": [SNP_RELEASE]},
                "issue": {},
                "snp": {"measurements": ["release"], "tcb": {"no_floor": "x y z"}},
                "tdx": None,
            }
        ).encode()
    )
    assert not overlaps(direct.document, paravisor.document)
    assert overlaps(direct.document, snp_policy().document)
    assert select([direct, paravisor], AZURE, "default", NOW) is paravisor
    assert select([direct, paravisor], GOOD_SNP, "default", NOW) is direct
    assert MUST_PIN[Tee.SNP, Provider.DIRECT] == (Register.MEASUREMENT,)


def test_the_envelope_alone_gives_no_registers() -> None:
    inspected: SnpClaims = replace(AZURE, tpm=None, hcl=HCL)
    assert [read(inspected, one) for one in PCRS] == [None] * 24
