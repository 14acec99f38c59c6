# SPDX-License-Identifier: Apache-2.0
"""R-52: a policy can deny a whole generation of CPUs, and every certificate names the product line it depends on.

The name is a handle: one entry of a revocation table takes every live certificate of that line.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from attestca_client.protocol import HandleKind, handle
from ca.issuance.platform import describe
from policies.appraise import appraise
from policies.result import Decision, RuleResult
from policies.rules import RuleId
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import snp_policy
from tests.unit.policies.snp_claims import GOOD_SNP, OLD
from verifiers.evidence import Product

ANY_TCB = {"tcb": {"no_floor": "what is asked here is the product line"}}


@pytest.mark.parametrize("denied", list(Product))
@pytest.mark.parametrize("product", list(Product))
def test_by_name_or_by_not_being_named(denied: Product, product: Product) -> None:
    others = [line.value for line in Product if line is not denied]
    claims = replace(GOOD_SNP, product=product)
    for products in ({"deny": [denied.value]}, {"allow": others}):
        result = appraise(claims, snp_policy({"products": products} | ANY_TCB), NOW)
        if product is denied:
            assert [finding.rule for finding in result.denying] == [RuleId.PRODUCT]
        else:
            assert result.decision is Decision.ACCEPTED


def test_what_is_denied_is_denied_though_it_is_allowed() -> None:
    both = {"products": {"allow": ["Genoa", "Turin"], "deny": ["Genoa"]}}
    assert appraise(GOOD_SNP, snp_policy(both), NOW).decision is Decision.DENIED


def test_a_generation_that_does_not_show_is_not_let_through() -> None:
    """A version 2 report names no CPU model: a policy that denies one does not guess."""
    by = snp_policy({"products": {"deny_cpus": ["19-11-2"]}} | ANY_TCB)
    assert appraise(GOOD_SNP, by, NOW).decision is Decision.ACCEPTED
    results = {finding.rule: finding.result for finding in appraise(OLD, by, NOW).denying}
    assert results[RuleId.PRODUCT] is RuleResult.MISSING


def test_the_handle_of_a_line_is_the_same_for_all_its_machines() -> None:
    other = replace(GOOD_SNP, report=replace(GOOD_SNP.report, chip_id=b"\x05" * 64))
    milan = replace(GOOD_SNP, product=Product.MILAN)
    products = [
        describe(claims, bytes(32), floors_hold=True).product for claims in (GOOD_SNP, other, milan)
    ]
    assert products == ["Genoa", "Genoa", "Milan"]
    handles = {handle(HandleKind.PRODUCT, product.encode()) for product in products}
    assert len(handles) == 2
