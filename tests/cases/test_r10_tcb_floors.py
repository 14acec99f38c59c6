# SPDX-License-Identifier: Apache-2.0
"""R-10, policy side: reported, committed, launch and current TCB are each compared with the minimum, part by part."""

from __future__ import annotations

import itertools
import json

import pytest

from policies.appraise import appraise
from policies.result import Decision
from policies.rules import RuleId
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import faults, snp_policy, snp_text
from tests.unit.policies.snp_claims import GOOD_SNP, OLD, tcb, with_tcbs

FIELDS = ("reported", "committed", "current", "launch")
PARTS = ("bootloader", "tee", "snp", "microcode")
FLOOR = {part: getattr(tcb(), part) for part in PARTS}
BY = snp_policy({"tcb": {"minimum": {"19-11-1": dict.fromkeys(FIELDS, FLOOR)}}})


def test_exactly_the_minimum_is_enough() -> None:
    assert appraise(GOOD_SNP, BY, NOW).decision is Decision.ACCEPTED


@pytest.mark.parametrize(("field", "part"), list(itertools.product(FIELDS, PARTS)))
def test_one_below_in_one_place_denies(field: str, part: str) -> None:
    """However high all other parts are: a TCB compared as one number would pass by its microcode."""
    high = dict.fromkeys(PARTS, 255)
    low = with_tcbs(**{field: tcb(**(high | {part: FLOOR[part] - 1}))})
    found = [one for one in appraise(low, BY, NOW).denying if one.rule is RuleId.TCB_FLOOR]
    assert [(one.path, one.hint) for one in found] == [(f"{field}_tcb", f"too low: {part}")]


def test_a_report_that_names_no_model_is_not_measured_by_another_models_floor() -> None:
    found = [one.result for one in appraise(OLD, BY, NOW).denying if one.rule is RuleId.TCB_FLOOR]
    assert [str(result) for result in found] == ["missing"]


@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
def test_microcode_has_no_floor_for_a_whole_product_line(product: str) -> None:
    floors = {"minimum": {product: {"reported": {"snp": 1, "microcode": 1}}}}
    (path,) = faults(snp_text({"tcb": floors}))
    assert path == f"snp.tcb.minimum.{product}.reported.microcode"


def test_a_document_says_floors_or_why_not() -> None:
    """A field that is left out is not read as "anything"."""
    document = json.loads(snp_text())
    del document["snp"]["tcb"]
    assert list(faults(json.dumps(document).encode())) == ["snp.tcb"]
    assert list(faults(snp_text({"tcb": {}}))) == ["snp.tcb"]
    both = {"no_floor": "a reason", "minimum": {"19-11-1": {"reported": {"snp": 1}}}}
    assert list(faults(snp_text({"tcb": both}))) == ["snp.tcb"]
    open_ = appraise(GOOD_SNP, snp_policy({"tcb": {"no_floor": "a reason"}}), NOW)
    assert [one.rule for one in open_.tolerated] == [RuleId.TCB_FLOOR]
