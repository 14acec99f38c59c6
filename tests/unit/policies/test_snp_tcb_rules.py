# SPDX-License-Identifier: Apache-2.0
"""The four TCBs: their order, floors of the policy, floors out of advisories, and the explicit absence of any."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from policies.appraise import appraise
from policies.floors import Floors, builtin_floors, load_floors
from policies.result import Decision, Finding, RuleResult
from policies.rules import RuleId
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import snp_policy
from tests.unit.policies.findings import denying, finding, findings
from tests.unit.policies.snp_claims import (
    GOOD_SNP,
    OLD,
    REPORT,
    tcb,
    with_platform,
    with_tcbs,
)
from verifiers.evidence import Product
from verifiers.snp.claims import TCB_COMPONENTS, CpuModel, SnpClaims

FAIL, PASS, MISSING, WARNED = (
    RuleResult.FAIL,
    RuleResult.PASS,
    RuleResult.MISSING,
    RuleResult.WARNED,
)
FIELDS = ("reported", "committed", "current", "launch")
PARTS = ("bootloader", "tee", "snp", "microcode")
BERGAMO = CpuModel(0x19, 0xA0, 2)
TURIN = CpuModel(0x1A, 0x02, 1)


def minimum(floors: dict[str, Any]) -> Any:  # noqa: ANN401  keyword for `snp_policy`
    return snp_policy({"tcb": {"minimum": floors}})


@pytest.mark.parametrize("part", PARTS)
def test_reported_below_committed(part: str) -> None:
    low = tcb(**{part: getattr(tcb(), part) - 1})
    claims = with_tcbs(reported=low)
    by = minimum({"Genoa": {"launch": {"snp": 0}}})
    assert denying(claims, by) == {RuleId.REPORTED_BELOW_COMMITTED: FAIL}
    found = finding(claims, RuleId.REPORTED_BELOW_COMMITTED)
    assert (found.path, f"{part} {getattr(low, part)}" in found.actual) == ("reported_tcb", True)
    relaxed = snp_policy(relax={"reported-below-committed": "the oldest host of the cloud"})
    assert finding(claims, RuleId.REPORTED_BELOW_COMMITTED, relaxed).result is WARNED


@pytest.mark.parametrize("part", PARTS)
def test_committed_below_current(part: str) -> None:
    claims = with_tcbs(current=tcb(**{part: getattr(tcb(), part) + 1}))
    assert denying(claims) == {RuleId.COMMITTED_BELOW_CURRENT: FAIL}
    relaxed = snp_policy(relax={"committed-below-current": "an update is under way"})
    assert finding(claims, RuleId.COMMITTED_BELOW_CURRENT, relaxed).result is WARNED
    until = snp_policy(warn={"committed-below-current": "2027-01-01"})
    assert finding(claims, RuleId.COMMITTED_BELOW_CURRENT, until).result is WARNED


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_each_tcb_has_a_floor_of_its_own(field: str, part: str) -> None:
    """One below in that part fails, whatever is high elsewhere: never compared as one number."""
    number = getattr(tcb(), part)
    by = minimum({"19-11-1": {field: {part: number}}})
    exact = finding(GOOD_SNP, RuleId.TCB_FLOOR, by)
    assert (exact.path, exact.result, exact.hint) == (f"{field}_tcb", PASS, "")
    others = {name: 255 for name in PARTS if name != part}
    low = with_tcbs(**{field: tcb(**others, **{part: number - 1})})
    found = finding(low, RuleId.TCB_FLOOR, by)
    assert (found.result, found.hint) == (FAIL, f"too low: {part}")
    assert str(number) not in found.hint


def test_what_has_no_floor_is_not_compared() -> None:
    by = minimum({"19-11-1": {"launch": {"tee": 1}}})
    lowest = with_tcbs(launch=tcb(bootloader=0, snp=0, microcode=0))
    assert [one.path for one in findings(lowest, RuleId.TCB_FLOOR, by)] == ["launch_tcb"]
    assert finding(lowest, RuleId.TCB_FLOOR, by).result is PASS


def test_all_that_is_short_is_named() -> None:
    by = minimum({"19-11-1": {"reported": {"snp": 28, "microcode": 89}, "launch": {"snp": 27}}})
    found = findings(GOOD_SNP, RuleId.TCB_FLOOR, by)
    assert [(one.path, one.result, one.hint) for one in found] == [
        ("reported_tcb", FAIL, "too low: microcode, snp"),
        ("launch_tcb", PASS, ""),
    ]
    assert found[0].expected == "at least snp 28 microcode 89"
    assert found[0].actual == "bootloader 10 tee 1 snp 27 microcode 88"
    warned = snp_policy(
        {"tcb": {"minimum": {"19-11-1": {"reported": {"snp": 28}}}}},
        warn={"tcb-floor": "2027-01-01"},
    )
    assert finding(GOOD_SNP, RuleId.TCB_FLOOR, warned).result is WARNED


def test_a_product_and_a_model_both_hold() -> None:
    by = minimum(
        {"Genoa": {"reported": {"snp": 28}}, "19-11-1": {"reported": {"microcode": 89, "snp": 1}}}
    )
    found = finding(GOOD_SNP, RuleId.TCB_FLOOR, by)
    assert found.hint == "too low: microcode, snp"
    assert found.expected == "at least snp 28 and snp 1 microcode 89"


@pytest.mark.parametrize(
    ("floors", "claims", "hint"),
    [
        ({"19-11-2": {"reported": {"snp": 1}}}, GOOD_SNP, "no floor for this CPU model"),
        ({"Turin": {"reported": {"snp": 1}}}, GOOD_SNP, "no floor for this CPU model"),
        ({"19-11-1": {"reported": {"snp": 1}}}, replace(GOOD_SNP, cpu=BERGAMO), "no floor for"),
        ({"19-11-1": {"reported": {"snp": 1}}}, OLD, "does not name its CPU model"),
        (
            {"Genoa": {"reported": {"snp": 1}}, "19-11-1": {"reported": {"microcode": 1}}},
            OLD,
            "does not name its CPU model",
        ),
        ({"Milan": {"reported": {"snp": 1}}}, OLD, "no floor for this CPU model"),
    ],
)
def test_a_machine_without_a_floor_is_missing(
    floors: dict[str, Any], claims: SnpClaims, hint: str
) -> None:
    found = finding(claims, RuleId.TCB_FLOOR, minimum(floors))
    assert (found.path, found.result) == ("cpu", MISSING)
    assert hint in found.hint
    warned = snp_policy({"tcb": {"minimum": floors}}, warn={"tcb-floor": "2027-01-01"})
    assert finding(claims, RuleId.TCB_FLOOR, warned).result is MISSING


def test_a_products_floor_alone_holds_for_every_model_of_it() -> None:
    by = minimum({"Genoa": {"reported": {"snp": 27}}})
    for claims in (GOOD_SNP, replace(GOOD_SNP, cpu=BERGAMO), OLD):
        assert finding(claims, RuleId.TCB_FLOOR, by).result is PASS
    both = minimum({"Genoa": {"reported": {"snp": 27}}, "19-11-1": {"reported": {"microcode": 88}}})
    assert finding(replace(GOOD_SNP, cpu=BERGAMO), RuleId.TCB_FLOOR, both).result is PASS


def test_the_fmc_of_turin() -> None:
    by = minimum({"1a-02-1": {"reported": {"fmc": 1}}})
    for fmc, result in ((1, PASS), (0, FAIL)):
        claims = replace(with_tcbs(*[tcb(fmc=fmc)] * 4), product=Product.TURIN, cpu=TURIN)
        assert finding(claims, RuleId.TCB_FLOOR, by).result is result
        assert f"fmc {fmc}" in finding(claims, RuleId.TCB_FLOOR, by).actual


def test_a_part_that_the_product_does_not_have_is_below_any_floor() -> None:
    """The loader refuses such a floor by the family; a report of another layout under that key fails all the same."""
    claims = replace(GOOD_SNP, product=Product.TURIN, cpu=TURIN)
    found = finding(claims, RuleId.TCB_FLOOR, minimum({"1a-02-1": {"reported": {"fmc": 0}}}))
    assert (found.result, found.hint) == (FAIL, "too low: fmc")


def test_no_floor_is_said_aloud() -> None:
    by = snp_policy({"tcb": {"no_floor": "a laboratory of ours"}})
    result = appraise(GOOD_SNP, by, NOW)
    assert result.decision is Decision.ACCEPTED
    (only,) = result.tolerated
    assert (only.rule, only.result) == (RuleId.TCB_FLOOR, WARNED)
    assert only.hint == "the policy has no floor: a laboratory of ours"
    assert result.floors is None
    assert "floors" not in result.as_json()


# advisories


def listed(**advisory: Any) -> Floors:  # noqa: ANN401  JSON values
    """A list with one advisory, AMD-SB-1."""
    about = {"title": "x", "source": "a test", "date": "2026-01-01"} | advisory
    text = {"version": 7, "date": "2026-01-01", "advisories": {"AMD-SB-1": about}}
    return load_floors(json.dumps(text).encode())


BY_ADVISORY = snp_policy({"tcb": {"advisories": ["AMD-SB-1"]}})


def judged(claims: SnpClaims, floors: Floors) -> Finding:
    result = appraise(claims, BY_ADVISORY, NOW, floors)
    (found,) = (one for one in result.findings if one.rule is RuleId.TCB_FLOOR)
    assert found.path == "advisories.AMD-SB-1"
    return found


LIST = listed(floors={"19-11-1": {"reported": {"snp": 27, "microcode": 88}, "launch": {"tee": 1}}})


def test_an_advisory_that_is_met() -> None:
    found = judged(GOOD_SNP, LIST)
    assert (found.result, found.hint) == (PASS, "")
    assert found.expected == (
        "report version 2 or above; reported TCB at least snp 27 microcode 88; "
        "launch TCB at least tee 1"
    )
    assert found.actual.startswith("Genoa, CPU model 19-11-1; reported bootloader 10")


def test_an_advisory_names_all_that_is_short() -> None:
    found = judged(with_tcbs(reported=tcb(snp=26, microcode=87), launch=tcb(tee=0)), LIST)
    assert found.result is FAIL
    assert found.hint == ("AMD-SB-1: reported TCB too low: snp, microcode; launch TCB too low: tee")


@pytest.mark.parametrize("claims", [replace(GOOD_SNP, cpu=BERGAMO), OLD])
def test_a_model_that_the_advisory_does_not_list_is_missing(claims: SnpClaims) -> None:
    found = judged(claims, LIST)
    assert found.result is MISSING
    model = "not reported" if claims.cpu is None else "19-a0-2"
    assert found.actual.startswith(f"Genoa, CPU model {model}; ")
    assert ("does not name" if claims.cpu is None else "no floor for this") in found.hint


def test_an_advisory_that_the_list_does_not_have_is_missing() -> None:
    by = snp_policy({"tcb": {"advisories": ["AMD-SB-2"]}})
    found = [f for f in appraise(GOOD_SNP, by, NOW, LIST).findings if f.rule is RuleId.TCB_FLOOR]
    assert [(f.path, f.result, f.hint) for f in found] == [
        ("advisories.AMD-SB-2", MISSING, "AMD-SB-2: not in the list of floors")
    ]


def test_a_product_that_is_not_affected_passes() -> None:
    floors = listed(floors={"19-01-1": {"reported": {"snp": 255}}}, not_affected=["Genoa"])
    assert judged(GOOD_SNP, floors).result is PASS
    assert judged(OLD, floors).result is PASS
    assert judged(replace(GOOD_SNP, product=Product.TURIN), floors).result is MISSING


def test_an_advisory_about_the_platform_alone() -> None:
    floors = listed(platform=["alias-check-complete", "ecc"], report_version=3)
    assert judged(GOOD_SNP, floors).result is PASS
    assert judged(replace(GOOD_SNP, cpu=BERGAMO), floors).result is PASS
    found = judged(replace(with_platform(()), report=replace(REPORT, version=2)), floors)
    assert found.result is FAIL
    assert found.hint == (
        "AMD-SB-1: the report is of a version that cannot show the mitigation; "
        "the platform lacks alias-check-complete, ecc"
    )
    assert found.expected == "report version 3 or above; platform with alias-check-complete, ecc"


@pytest.mark.parametrize(("version", "result"), [(3, FAIL), (4, PASS), (5, PASS)])
def test_the_version_that_an_advisory_asks_for_is_enough(version: int, result: RuleResult) -> None:
    floors = listed(platform=["ecc"], report_version=4)
    claims = replace(GOOD_SNP, report=replace(REPORT, version=version))
    assert judged(claims, floors).result is result


def test_the_result_names_the_list_that_was_asked() -> None:
    result = appraise(GOOD_SNP, BY_ADVISORY, NOW, LIST)
    assert result.as_json()["floors"] == {"version": 7, "sha256": LIST.sha256.hex()}
    builtin = appraise(GOOD_SNP, BY_ADVISORY, NOW)
    assert builtin.floors is not None
    assert (builtin.floors.version, builtin.floors.sha256) == (
        builtin_floors().file.version,
        builtin_floors().sha256,
    )
    assert appraise(GOOD_SNP, snp_policy(), NOW, LIST).floors is None


def test_own_floors_and_advisories_are_all_asked() -> None:
    by = snp_policy(
        {
            "tcb": {
                "minimum": {"Genoa": {"launch": {"snp": 1}}},
                "advisories": ["AMD-SB-3015", "AMD-SB-3020"],
            }
        }
    )
    assert [one.path for one in findings(GOOD_SNP, RuleId.TCB_FLOOR, by)] == [
        "launch_tcb",
        "advisories.AMD-SB-3015",
        "advisories.AMD-SB-3020",
    ]
    assert denying(GOOD_SNP, by) == {}


def test_every_part_is_compared() -> None:
    assert set(PARTS) | {"fmc"} == set(TCB_COMPONENTS)
