# SPDX-License-Identifier: Apache-2.0
"""What signs the report, which product and chip it is, what the platform has on, and how fresh AMD's list is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from policies.appraise import appraise
from policies.result import Decision, RuleResult
from policies.rules import RuleId
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import snp_policy
from tests.unit.policies.findings import denying, finding, findings
from tests.unit.policies.snp_claims import (
    CRL,
    GOOD_SNP,
    OLD,
    REPORT,
    VLEK,
    with_platform,
    with_report,
)
from verifiers.endorsements import Revocation
from verifiers.evidence import Product
from verifiers.snp.claims import CpuModel, PlatformBit, SnpClaims

FAIL, PASS, MISSING, WARNED = (
    RuleResult.FAIL,
    RuleResult.PASS,
    RuleResult.MISSING,
    RuleResult.WARNED,
)
Bit = PlatformBit
GOOD_BITS = GOOD_SNP.platform
CSP = VLEK.csp_id or ""


@pytest.mark.parametrize(("version", "result"), [(2, FAIL), (3, PASS), (4, PASS), (5, PASS)])
def test_report_versions(version: int, result: RuleResult) -> None:
    found = finding(with_report(version=version), RuleId.REPORT_VERSION_BELOW_3)
    assert (found.result, found.actual) == (result, str(version))
    assert bool(found.hint) is (result is FAIL)
    relaxed = snp_policy(relax={"report-version-below-3": "an old cluster"})
    softened = finding(with_report(version=version), RuleId.REPORT_VERSION_BELOW_3, relaxed)
    assert softened.result is (WARNED if result is FAIL else PASS)


@pytest.mark.parametrize(
    ("csp_ids", "csp_id", "result"),
    [
        (None, CSP, FAIL),
        ([CSP], CSP, WARNED),
        (["CN=cc-us-east-2.amazonaws.com", CSP], CSP, WARNED),
        (["CN=cc-us-east-2.amazonaws.com"], CSP, FAIL),
        ([CSP.lower()], CSP, FAIL),
        ([CSP[:-1]], CSP, FAIL),
        ([CSP + "x"], CSP, FAIL),
        (["x"], None, FAIL),
    ],
)
def test_a_vlek_is_accepted_by_its_whole_csp_id(
    csp_ids: list[str] | None, csp_id: str | None, result: RuleResult
) -> None:
    by = snp_policy({} if csp_ids is None else {"vlek": {"csp_ids": csp_ids}})
    claims = replace(GOOD_SNP, vek=replace(VLEK, csp_id=csp_id))
    found = finding(claims, RuleId.VLEK, by)
    assert found.result is result
    assert found.actual == (f"vlek of {csp_id}" if csp_id else "vlek")
    assert (denying(claims, by) == {}) is (result is WARNED)
    assert found.hint
    assert finding(GOOD_SNP, RuleId.VLEK, by).result is PASS


@pytest.mark.parametrize(
    ("products", "claims", "result"),
    [
        ({}, GOOD_SNP, PASS),
        ({}, replace(GOOD_SNP, product=Product.MILAN), PASS),
        ({}, OLD, PASS),
        ({"allow": ["Genoa"]}, GOOD_SNP, PASS),
        ({"allow": ["Turin", "Milan"]}, GOOD_SNP, FAIL),
        ({"deny": ["Genoa"]}, GOOD_SNP, FAIL),
        ({"deny": ["Milan"]}, GOOD_SNP, PASS),
        ({"allow": ["Genoa"], "deny": ["Genoa"]}, GOOD_SNP, FAIL),
        ({"deny_cpus": ["19-11-1"]}, GOOD_SNP, FAIL),
        ({"deny_cpus": ["19-11-2", "19-a0-2"]}, GOOD_SNP, PASS),
        ({"deny_cpus": ["19-11-2"]}, OLD, MISSING),
        ({"deny_cpus": ["19-11-2"], "deny": ["Genoa"]}, OLD, FAIL),
    ],
)
def test_products(products: dict[str, Any], claims: SnpClaims, result: RuleResult) -> None:
    by = snp_policy({"products": products})
    found = finding(claims, RuleId.PRODUCT, by)
    assert found.result is result
    assert bool(found.hint) is (result is not PASS)
    warned = finding(
        claims, RuleId.PRODUCT, snp_policy({"products": products}, warn={"product": "2027-01-01"})
    )
    assert warned.result is (WARNED if result is FAIL else result)


def test_the_product_is_told() -> None:
    assert finding(GOOD_SNP, RuleId.PRODUCT).actual == "Genoa, CPU model 19-11-1"
    assert "not reported before version 3" in finding(OLD, RuleId.PRODUCT).actual
    dense = replace(GOOD_SNP, product=Product.TURIN, cpu=CpuModel(0x1A, 0x11, 0))
    assert finding(dense, RuleId.PRODUCT).actual == "Turin, CPU model 1a-11-0"


@pytest.mark.parametrize("bit", PlatformBit)
def test_each_platform_bit_alone(bit: PlatformBit) -> None:
    """One must be there by default; no other, known or not, is refused or missed."""
    without = denying(with_platform(GOOD_BITS - {bit}))
    expected = {RuleId.ALIAS_CHECK_MISSING: FAIL} if bit is Bit.ALIAS_CHECK_COMPLETE else {}
    assert without == expected
    assert denying(with_platform(GOOD_BITS | {bit})) == {}


def test_the_alias_check_can_be_relaxed() -> None:
    relaxed = snp_policy(relax={"alias-check-missing": "our own memory modules"})
    found = finding(with_platform({Bit.SMT}), RuleId.ALIAS_CHECK_MISSING, relaxed)
    assert (found.result, found.actual) == (WARNED, "smt")


@pytest.mark.parametrize(
    ("lists", "bits", "hint"),
    [
        ({"required": ["ecc"]}, GOOD_BITS, ""),
        (
            {"required": ["ecc", "rapl-dis"]},
            GOOD_BITS,
            "the platform lacks a protection that is required",
        ),
        ({"forbidden": ["tsme", "tio"]}, GOOD_BITS, ""),
        ({"forbidden": ["tsme"]}, GOOD_BITS | {Bit.TSME}, "the platform has tsme on"),
        (
            {"required": ["ciphertext-hiding"], "forbidden": ["smt", "tio"]},
            GOOD_BITS | {Bit.TIO},
            "the platform lacks a protection that is required; the platform has smt, tio on",
        ),
    ],
)
def test_the_policys_own_lists(
    lists: dict[str, list[str]], bits: frozenset[PlatformBit], hint: str
) -> None:
    found = finding(with_platform(bits), RuleId.PLATFORM_INFO, snp_policy({"platform_info": lists}))
    assert (found.result, found.hint) == (FAIL if hint else PASS, hint)
    until = snp_policy({"platform_info": lists}, warn={"platform-info": "2027-01-01"})
    assert finding(with_platform(bits), RuleId.PLATFORM_INFO, until).result is (
        WARNED if hint else PASS
    )


def test_mitigation_vectors_are_no_matter_by_default() -> None:
    assert findings(GOOD_SNP, RuleId.MITIGATION_VECTORS) == []
    assert findings(OLD, RuleId.MITIGATION_VECTORS, snp_policy({"mitigation_vectors": {}})) == []


@pytest.mark.parametrize("name", ["launch", "current"])
@pytest.mark.parametrize(
    ("mask", "vector", "result", "actual"),
    [
        ("000000000000000b", 0xB, PASS, "000000000000000b"),
        ("0000000000000001", 0xB, PASS, "000000000000000b"),
        ("0000000000000004", 0xB, FAIL, "000000000000000b"),
        ("000000000000000f", 0xB, FAIL, "000000000000000b"),
        ("8000000000000000", 1 << 63, PASS, "8000000000000000"),
        ("8000000000000000", 0, FAIL, "0000000000000000"),
        ("0000000000000001", None, MISSING, "not reported before version 5"),
    ],
)
def test_mitigation_vectors(
    name: str, mask: str, vector: int | None, result: RuleResult, actual: str
) -> None:
    other = {"launch": "current", "current": "launch"}[name]
    claims = with_report(**{f"{name}_mit_vector": vector, f"{other}_mit_vector": 0})
    found = finding(
        claims, RuleId.MITIGATION_VECTORS, snp_policy({"mitigation_vectors": {name: mask}})
    )
    assert (found.path, found.result, found.actual) == (
        f"report.{name}_mit_vector",
        result,
        actual,
    )
    assert bool(found.hint) is (result is not PASS)


def late(days: float) -> SnpClaims:
    end = NOW - timedelta(days=days)
    return replace(GOOD_SNP, collateral=(replace(CRL, next_update=end, expired_since=end),))


def test_a_list_past_its_date() -> None:
    assert denying(late(1)) == {RuleId.COLLATERAL_STALE: FAIL}
    found = finding(late(1), RuleId.COLLATERAL_STALE)
    assert (found.path, found.hint) == ("collateral.crl", "past its next update by 1 day, 0:00:00")
    budget = snp_policy({"tolerate_stale": {"crl": "36h"}})
    result = appraise(late(1), budget, NOW)
    assert result.decision is Decision.ACCEPTED
    assert [one.rule for one in result.tolerated] == [RuleId.COLLATERAL_STALE]
    assert result.valid_until == NOW + timedelta(hours=12)
    assert denying(late(2), budget) == {RuleId.COLLATERAL_STALE: FAIL}


def test_a_list_in_date_ends_the_result() -> None:
    assert appraise(GOOD_SNP, snp_policy(), NOW).valid_until == CRL.next_update
    after = appraise(GOOD_SNP, snp_policy(), CRL.next_update + timedelta(seconds=1))
    assert [one.rule for one in after.denying] == [RuleId.COLLATERAL_STALE]
    earlier = appraise(late(1), snp_policy(), NOW - timedelta(days=5))
    assert [one.rule for one in earlier.denying] == [RuleId.COLLATERAL_STALE]


def test_no_list_is_told_once() -> None:
    unchecked = replace(GOOD_SNP, collateral=(), revocation=Revocation.NOT_CHECKED)
    assert denying(unchecked) == {RuleId.REVOCATION_UNKNOWN: MISSING}
    assert finding(unchecked, RuleId.REVOCATION_UNKNOWN).path == "revocation"


def test_a_checked_chain_without_a_list_is_missing() -> None:
    assert denying(replace(GOOD_SNP, collateral=())) == {RuleId.COLLATERAL_STALE: MISSING}


def test_a_revoked_chain_fails() -> None:
    revoked = replace(GOOD_SNP, revocation=Revocation.REVOKED)
    assert denying(revoked) == {RuleId.REVOCATION_UNKNOWN: FAIL}


def test_chips_are_no_matter_by_default() -> None:
    assert findings(GOOD_SNP, RuleId.CHIP_LIST) == []


@pytest.mark.parametrize(
    ("claims", "result"),
    [
        (GOOD_SNP, PASS),
        (with_report(chip_id=bytes(range(1, 65))), FAIL),
        (with_report(chip_id=bytes(64)), FAIL),
        (with_report(chip_id=REPORT.chip_id[:63] + b"\0"), FAIL),
        (replace(GOOD_SNP, vek=VLEK), FAIL),
    ],
    ids=["listed", "another", "zero", "one byte", "vlek"],
)
def test_chips(claims: SnpClaims, result: RuleResult) -> None:
    chips = {"chips": ["77" * 64, REPORT.chip_id.hex()]}
    found = finding(claims, RuleId.CHIP_LIST, snp_policy(chips))
    assert found.result is result
    assert found.expected == "one of 2 listed chips, signed by its VCEK"
    assert REPORT.chip_id.hex() not in found.hint
    warned = snp_policy(chips, warn={"chip-list": "2027-01-01"})
    assert finding(claims, RuleId.CHIP_LIST, warned).result is (WARNED if result is FAIL else PASS)


def test_an_all_zero_id_matches_not_even_a_list_that_holds_it() -> None:
    """The loader admits no such list; the rule does not rely on that."""
    loaded = snp_policy({"chips": [REPORT.chip_id.hex()]})
    holding = loaded.document.rules.model_copy(update={"chips": frozenset({bytes(64)})})
    forced = replace(loaded, document=loaded.document.model_copy(update={"snp": holding}))
    assert denying(with_report(chip_id=bytes(64)), forced) == {RuleId.CHIP_LIST: FAIL}
