# SPDX-License-Identifier: Apache-2.0
"""R-50: a policy can require a completed alias check, ciphertext hiding, and a minimum TCB for each product line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policies.appraise import appraise
from policies.loader import load_default
from policies.result import Decision, RuleResult
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import faults, snp_policy, snp_text
from tests.unit.policies.snp_claims import GOOD_SNP, OLD, tcb, with_platform
from verifiers.evidence import Product, Tee
from verifiers.snp.claims import CpuModel, PlatformBit, SnpClaims

ALIAS, HIDING = PlatformBit.ALIAS_CHECK_COMPLETE, PlatformBit.CIPHERTEXT_HIDING
HIDDEN = {"platform_info": {"required": ["ciphertext-hiding"]}}
FLOORS = {
    "Milan": {"reported": {"bootloader": 4, "snp": 27}},
    "Genoa": {"reported": {"bootloader": 9, "snp": 26}},
    "Turin": {"reported": {"bootloader": 1, "snp": 4}},
}
CPUS = {
    Product.MILAN: CpuModel(0x19, 1, 1),
    Product.GENOA: CpuModel(0x19, 0x11, 1),
    Product.TURIN: CpuModel(0x1A, 2, 1),
}


def denying(claims: SnpClaims, section: dict[str, Any]) -> set[str]:
    return {one.rule for one in appraise(claims, snp_policy(section), NOW).denying}


def test_the_alias_check_is_required_unless_relaxed_by_name() -> None:
    without = with_platform(GOOD_SNP.platform - {ALIAS})
    assert denying(without, {}) == {"alias-check-missing"}
    default = appraise(without, load_default(Tee.SNP), NOW)
    assert "alias-check-missing" in {one.rule for one in default.denying}
    relaxed = snp_policy(relax={"alias-check-missing": "machines without it"})
    assert appraise(without, relaxed, NOW).decision is Decision.ACCEPTED
    warning = faults(snp_text(warn={"alias-check-missing": "2030-01-01"}))
    assert "cannot be made a warning" in warning["warn.alias-check-missing"]


def test_a_report_that_can_show_none_is_denied() -> None:
    result = appraise(OLD, snp_policy(), NOW)
    assert {"alias-check-missing", "report-version-below-3"} <= {one.rule for one in result.denying}


def test_ciphertext_hiding_can_be_required() -> None:
    assert denying(GOOD_SNP, HIDDEN) == {"platform-info"}
    assert not denying(with_platform(GOOD_SNP.platform | {HIDING}), HIDDEN)


@pytest.mark.parametrize("product", list(Product))
def test_each_product_line_has_its_own_floor(product: Product) -> None:
    floor = FLOORS[product.value]["reported"]
    fmc = 1 if product is Product.TURIN else None
    section = {"tcb": {"minimum": FLOORS}, "products": {"allow": [line.value for line in Product]}}
    of_it = replace(GOOD_SNP, product=product, cpu=CPUS[product])
    at_it = tcb(fmc=fmc, **floor)
    same = dict.fromkeys(("reported_tcb", "committed_tcb", "current_tcb", "launch_tcb"), at_it)
    assert not denying(replace(of_it, **same), section)  # type: ignore[arg-type]  # names of fields are parameters here
    for part in floor:
        low = tcb(fmc=fmc, **{**floor, part: floor[part] - 1})
        below = dict.fromkeys(same, low)
        assert denying(replace(of_it, **below), section) == {"tcb-floor"}, part  # type: ignore[arg-type]  # as above


def test_a_product_line_without_a_floor_is_denied_where_others_have_one() -> None:
    section = {"tcb": {"minimum": {"Turin": FLOORS["Turin"]}}}
    result = appraise(GOOD_SNP, snp_policy(section), NOW)
    assert [(one.rule, one.result) for one in result.denying] == [("tcb-floor", RuleResult.MISSING)]
