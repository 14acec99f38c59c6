# SPDX-License-Identifier: Apache-2.0
"""R-10: the TCB of the certificate equals the report's; reported, committed, launch and current are each compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.appraise import appraise
from policies.result import Decision
from policies.rules import RuleId
from tests.snp_lab import SnpLab
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import faults, snp_policy, snp_text
from tests.unit.policies.snp_claims import tcb, with_tcbs
from verifiers.errors import Reason, Verdict

FIELDS = ("reported", "committed", "current", "launch")
PARTS = {"bootloader": 10, "tee": 1, "snp": 27, "microcode": 88}  # of tcb()
OTHERS = {  # such that no other rule than the floor has a say
    "relax": {
        "reported-below-committed": "a test cluster",
        "committed-below-current": "a test cluster",
    }
}


@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
@pytest.mark.parametrize("kind", ["vcek", "vlek"])
def test_each_part_of_the_certificate_equals_the_reports(product: str, kind: str) -> None:
    lab = SnpLab.create(product)
    right = lab.machine.tcb
    lab.report(signing_key=kind)
    assert lab.exhibit().outcome() is Verdict.VERIFIED
    for part in ("bootloader", "tee", "snp", "microcode", *(["fmc"] if product == "Turin" else [])):
        for by in (-1, 1):
            number = getattr(right, part) + by
            if number >= 0:
                other = lab.machine.vek(kind, replace(right, **{part: number}))
                lab.edit(vek=other.der)
                assert lab.exhibit().outcome() is Reason.ENDORSEMENT_MISMATCH, part


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("target", ["19-11-1", "Genoa"])
def test_each_part_of_each_tcb_has_its_floor(field: str, part: str, target: str) -> None:
    floor = {"tcb": {"minimum": {target: {field: {part: PARTS[part]}}}}}
    if (part, target) == ("microcode", "Genoa"):
        assert "one CPU model only" in str(faults(snp_text(floor)))
        return
    by = snp_policy(floor, **OTHERS)
    at_it = with_tcbs(**{field: tcb()})
    assert appraise(at_it, by, NOW).decision is Decision.ACCEPTED
    below = with_tcbs(**{field: tcb(**{part: PARTS[part] - 1})})
    denying = appraise(below, by, NOW).denying
    assert [(one.rule, one.path) for one in denying] == [(RuleId.TCB_FLOOR, f"{field}_tcb")]


@pytest.mark.parametrize("field", FIELDS)
def test_one_tcb_does_not_stand_in_for_another(field: str) -> None:
    """A floor on one of the four is not met by the other three."""
    by = snp_policy({"tcb": {"minimum": {"Genoa": {field: {"snp": 27}}}}}, **OTHERS)
    low = dict.fromkeys(set(FIELDS) - {field}, tcb(snp=26))
    assert appraise(with_tcbs(**low), by, NOW).decision is Decision.ACCEPTED
    high = dict.fromkeys(set(FIELDS) - {field}, tcb(snp=255))
    result = appraise(with_tcbs(**high, **{field: tcb(snp=26)}), by, NOW)
    assert {one.rule for one in result.denying} == {RuleId.TCB_FLOOR}
