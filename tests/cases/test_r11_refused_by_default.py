# SPDX-License-Identifier: Apache-2.0
"""R-11, policy side: debug, profiled, migratable TDs and bound migration agents are refused unless relaxed by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.appraise import appraise
from policies.loader import load_default
from policies.result import Decision
from policies.rules import RuleId
from tests.unit.policies.claims_factory import (
    GOOD,
    NOW,
    TD15,
    TD15_EX,
    register,
    with_attributes,
    with_service_td,
)
from tests.unit.policies.documents import faults, policy, text
from verifiers.evidence import Tee
from verifiers.tdx.claims import TdAttribute, TdxClaims

REFUSED = {
    "debug": with_attributes(TdAttribute.DEBUG),
    "profiling": with_attributes(TdAttribute.PROFILING_4),
    "migratable": with_attributes(TdAttribute.MIGRATABLE),
    "servtd-ext": with_attributes(TdAttribute.SERVTD_EXT),
    "service-td-bound": with_service_td(register(1)),
    "sept-ve-disable-clear": replace(GOOD, attributes=frozenset()),
}


@pytest.mark.parametrize("rule", REFUSED)
def test_refused_by_default(rule: str) -> None:
    for by in (policy(), load_default(Tee.TDX)):
        result = appraise(REFUSED[rule], by, NOW)
        assert result.decision is Decision.DENIED
        assert rule in {finding.rule for finding in result.denying}


@pytest.mark.parametrize("rule", REFUSED)
def test_accepted_only_by_name_and_visibly(rule: str) -> None:
    others = {name: "a test cluster" for name in REFUSED if name != rule}
    assert appraise(REFUSED[rule], policy(relax=others), NOW).decision is Decision.DENIED
    result = appraise(REFUSED[rule], policy(relax={rule: "a test cluster"}), NOW)
    assert result.decision is Decision.ACCEPTED
    assert [finding.rule for finding in result.tolerated] == [rule]


@pytest.mark.parametrize("rule", [rule for rule in REFUSED if rule != "sept-ve-disable-clear"])
def test_never_a_mere_warning(rule: str) -> None:
    assert "cannot be made a warning" in faults(text(warn={rule: "2030-01-01"}))[f"warn.{rule}"]


@pytest.mark.parametrize("field", ["init_service_td_hash", "cur_service_td_hash"])
def test_a_service_td_in_either_hash_of_a_newer_report(field: str) -> None:
    extended = replace(TD15_EX, **{field: register(1)})
    claims: TdxClaims = replace(GOOD, body_type=4, td15=TD15, td15_ex=extended)
    assert [finding.rule for finding in appraise(claims, policy(), NOW).denying] == [
        RuleId.SERVICE_TD_BOUND
    ]


def test_reserved_bits_are_refused_whatever_the_policy_says() -> None:
    assert [
        f.rule for f in appraise(replace(GOOD, reserved_attributes=2), policy(), NOW).denying
    ] == [RuleId.RESERVED_ATTRIBUTE]
    assert (
        "cannot be relaxed"
        in faults(text(relax={"reserved-attribute": "x y z"}))["relax.reserved-attribute"]
    )
