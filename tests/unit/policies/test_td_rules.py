# SPDX-License-Identifier: Apache-2.0
"""Attributes, features and service TDs of the TD."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.result import RuleResult
from policies.rules import RuleId
from tests.unit.policies.claims_factory import (
    GOOD,
    TD15,
    TD15_EX,
    register,
    with_attributes,
    with_service_td,
    with_td,
)
from tests.unit.policies.documents import policy
from tests.unit.policies.findings import denying, finding
from verifiers.tdx.claims import TdAttribute, TdxClaims

FAIL, PASS = RuleResult.FAIL, RuleResult.PASS

REFUSED = {
    TdAttribute.DEBUG: RuleId.DEBUG,
    TdAttribute.PROFILING_4: RuleId.PROFILING,
    TdAttribute.PROFILING_5: RuleId.PROFILING,
    TdAttribute.PROFILING_6: RuleId.PROFILING,
    TdAttribute.MIGRATABLE: RuleId.MIGRATABLE,
    TdAttribute.SERVTD_EXT: RuleId.SERVTD_EXT,
}


@pytest.mark.parametrize("attribute", TdAttribute)
def test_each_attribute_alone(attribute: TdAttribute) -> None:
    """Six bits are refused by default, each by exactly one rule; every other named bit is not."""
    expected = {REFUSED[attribute]: FAIL} if attribute in REFUSED else {}
    assert denying(with_attributes(attribute)) == expected


def test_a_refused_attribute_is_named() -> None:
    found = finding(with_attributes(TdAttribute.PROFILING_5), RuleId.PROFILING)
    assert (found.path, found.actual) == ("td.attributes", "profiling-5")
    assert "bits 4 to 6" in found.hint


def test_sept_ve_disable_must_be_set() -> None:
    assert denying(replace(GOOD, attributes=frozenset())) == {RuleId.SEPT_VE_DISABLE_CLEAR: FAIL}


@pytest.mark.parametrize("mask", [1 << 1, 1 << 39, 1 << 61])
def test_reserved_bits_must_be_clear(mask: int) -> None:
    assert denying(replace(GOOD, reserved_attributes=mask)) == {RuleId.RESERVED_ATTRIBUTE: FAIL}
    assert (
        finding(replace(GOOD, reserved_attributes=mask), RuleId.RESERVED_ATTRIBUTE).actual
        == f"{mask:016x}"
    )


@pytest.mark.parametrize("attribute", sorted(REFUSED))
def test_a_refused_attribute_can_be_relaxed_by_its_rule_alone(attribute: TdAttribute) -> None:
    rule = REFUSED[attribute]
    relaxed = policy(relax={rule.value: "a test cluster"})
    found = finding(with_attributes(attribute), rule, relaxed)
    assert (found.result, found.hint) == (
        RuleResult.WARNED,
        "relaxed by the policy: a test cluster",
    )
    assert finding(GOOD, rule, relaxed).result is PASS
    for other in set(REFUSED.values()) - {rule}:
        assert denying(
            with_attributes(attribute), policy(relax={other.value: "a test cluster"})
        ) == {rule: FAIL}


def with_ex(*, initial: bytes = bytes(48), current: bytes = bytes(48)) -> TdxClaims:
    ex = replace(TD15_EX, init_service_td_hash=initial, cur_service_td_hash=current)
    return replace(GOOD, body_type=4, td15=TD15, td15_ex=ex)


@pytest.mark.parametrize(
    ("claims", "result", "actual"),
    [
        (GOOD, PASS, "not reported before TD report 1.5"),
        (with_service_td(bytes(48)), PASS, "all zero"),
        (with_service_td(register(7)), FAIL, "07" * 48),
        (with_service_td(bytes(47) + b"\x01"), FAIL, "00" * 47 + "01"),
        (with_ex(), PASS, "all zero"),
        (with_ex(initial=register(7)), FAIL, "07" * 48),
        (with_ex(current=register(7)), FAIL, "07" * 48),
    ],
    ids=["1.0", "1.5", "bound", "one bit", "1.5ex", "at launch", "now"],
)
def test_no_service_td_is_bound(claims: TdxClaims, result: RuleResult, actual: str) -> None:
    found = finding(claims, RuleId.SERVICE_TD_BOUND)
    assert (found.result, found.actual) == (result, actual)


def test_a_service_td_can_be_relaxed_and_pinned() -> None:
    relaxed = policy(relax={"service-td-bound": "our migration agent"})
    assert denying(with_service_td(register(7)), relaxed) == {}


@pytest.mark.parametrize(
    ("lists", "present", "hint"),
    [
        ({}, {TdAttribute.PKS}, ""),
        ({"required": ["pks"]}, {TdAttribute.PKS}, ""),
        ({"required": ["pks"]}, set(), "a required attribute is not set"),
        ({"forbidden": ["perfmon"]}, {TdAttribute.PKS}, ""),
        ({"forbidden": ["perfmon"]}, {TdAttribute.PERFMON}, "not allowed: perfmon"),
        ({"allowed": []}, set(), ""),
        ({"allowed": []}, {TdAttribute.KL}, "not allowed: kl"),
        ({"allowed": ["kl"], "required": ["pks"]}, {TdAttribute.PKS, TdAttribute.KL}, ""),
        (
            {"required": ["pks"], "forbidden": ["kl"]},
            {TdAttribute.KL},
            "a required attribute is not set; not allowed: kl",
        ),
    ],
)
def test_the_policys_own_lists(
    lists: dict[str, list[str]], present: set[TdAttribute], hint: str
) -> None:
    found = finding(with_attributes(*present), RuleId.ATTRIBUTES, policy({"attributes": lists}))
    assert (found.result, found.hint) == (FAIL if hint else PASS, hint)


def test_allowing_an_attribute_does_not_relax_a_rule() -> None:
    assert denying(
        with_attributes(TdAttribute.DEBUG), policy({"attributes": {"required": ["debug"]}})
    ) == {RuleId.DEBUG: FAIL}


@pytest.mark.parametrize(
    ("xfam", "result"),
    [
        (0x3, PASS),
        (0x6DBE7, PASS),
        (0x6DBE6, FAIL),
        (0x6DBE5, FAIL),
        (0x0, FAIL),
        (0x6DBE7 | 1 << 3, FAIL),
        (0x6DBE7 | 1 << 19, FAIL),
        (0x3 | 1 << 63, FAIL),
    ],
    ids=str,
)
def test_xfam_by_default(xfam: int, result: RuleResult) -> None:
    claims = with_td(xfam=xfam.to_bytes(8, "little"))
    assert finding(claims, RuleId.XFAM).result is result


def test_xfam_masks_of_the_policy() -> None:
    masks = policy({"xfam": {"required": "0000000000000007", "allowed": "8000000000000007"}})
    for xfam, hint in (
        (0x7, ""),
        (0x7 | 1 << 63, ""),
        (0x3, "required features are off"),
        (0x17, "features that are not allowed are on: 10"),
        (0x4, "required features are off"),
        (0x10, "required features are off; features that are not allowed are on: 10"),
    ):
        found = finding(with_td(xfam=xfam.to_bytes(8, "little")), RuleId.XFAM, masks)
        assert found.hint == hint
        assert found.result is (FAIL if hint else PASS)


def test_a_policy_cannot_do_without_x87_and_sse() -> None:
    masks = policy({"xfam": {"required": "00" * 8, "allowed": "ff" * 8}})
    assert denying(with_td(xfam=(0x2).to_bytes(8, "little")), masks) == {RuleId.XFAM: FAIL}
    assert denying(with_td(xfam=(0xFFFF).to_bytes(8, "little")), masks) == {}
