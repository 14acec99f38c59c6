# SPDX-License-Identifier: Apache-2.0
"""Intel's judgement of the platform, minimums, collateral, revocation, and which machine it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from policies.appraise import appraise
from policies.result import Decision, RuleResult
from policies.rules import RuleId
from tests.unit.policies.claims_factory import (
    COLLATERAL,
    GOOD,
    NOW,
    PARTS,
    PCK,
    TCB,
    TD15,
    late,
    with_status,
    with_tcb,
)
from tests.unit.policies.documents import policy
from tests.unit.policies.findings import denying, finding, findings
from verifiers.endorsements import Revocation
from verifiers.tcb import Shortfall, TcbStatus

if TYPE_CHECKING:
    from verifiers.tdx.claims import TdxClaims

FAIL, PASS, MISSING, WARNED = (
    RuleResult.FAIL,
    RuleResult.PASS,
    RuleResult.MISSING,
    RuleResult.WARNED,
)


def accepting(*entries: dict[str, Any]) -> Any:  # noqa: ANN401  keyword for `policy`
    return policy({"tcb": {"accept": list(entries)}})


@pytest.mark.parametrize("part", ["status", "platform_status", "qe_status", "module_status"])
@pytest.mark.parametrize("status", [TcbStatus.REVOKED, TcbStatus.UNKNOWN])
def test_a_revoked_or_unknown_part_is_never_usable(part: str, status: TcbStatus) -> None:
    tcb = replace(TCB, **{part: status})  # type: ignore[arg-type]  # the name of the field is a parameter here
    assert denying(with_tcb(tcb))[RuleId.TCB_UNUSABLE] is FAIL


def test_no_status_is_missing() -> None:
    assert denying(with_tcb(replace(TCB, status=None))) == {
        RuleId.TCB_UNUSABLE: MISSING,
        RuleId.TCB_OUT_OF_DATE: MISSING,
    }


def test_a_revoked_part_is_a_failure_even_without_a_status() -> None:
    tcb = replace(TCB, status=None, qe_status=TcbStatus.REVOKED)
    assert denying(with_tcb(tcb))[RuleId.TCB_UNUSABLE] is FAIL


def test_no_module_level_is_fine() -> None:
    assert denying(with_tcb(replace(TCB, module_status=None))) == {}


def test_a_tolerance_ends_with_its_date() -> None:
    until = accepting({"status": "OutOfDate", "until": "2026-06-01T12:00:00Z"})
    stale = with_status(TcbStatus.OUT_OF_DATE)
    assert appraise(stale, until, NOW - timedelta(seconds=1)).decision is Decision.ACCEPTED
    assert appraise(stale, until, NOW - timedelta(days=1)).valid_until == NOW
    ended = appraise(stale, until, NOW)
    assert ended.decision is Decision.DENIED
    (only,) = ended.denying
    assert (
        only.hint
        == "TCB status OutOfDate: the time or the advisories of its tolerance do not cover it"
    )
    assert "OutOfDate until 2026-06-01T12:00:00Z with advisories none" in only.expected


@pytest.mark.parametrize(
    ("platform", "named", "result"),
    [
        ([], [], WARNED),
        ([], ["SA-1"], WARNED),
        (["SA-1"], ["SA-1"], WARNED),
        (["SA-1", "SA-2"], ["SA-2", "SA-1", "SA-3"], WARNED),
        (["SA-1"], [], FAIL),
        (["SA-1", "SA-2"], ["SA-1"], FAIL),
    ],
)
def test_every_advisory_must_be_named(
    platform: list[str], named: list[str], result: RuleResult
) -> None:
    by = accepting({"status": "SWHardeningNeeded", "advisories": named})
    found = finding(
        with_status(TcbStatus.SW_HARDENING_NEEDED, *platform), RuleId.TCB_OUT_OF_DATE, by
    )
    assert found.result is result


def test_the_longest_of_several_tolerances_counts() -> None:
    first = {"status": "OutOfDate", "until": "2026-06-02"}
    second = {"status": "OutOfDate", "until": "2026-06-05"}
    stale = with_status(TcbStatus.OUT_OF_DATE)
    ends = appraise(stale, accepting(first, second), NOW).valid_until
    assert ends == NOW.replace(day=5, hour=0)
    endless = appraise(stale, accepting(first, {"status": "OutOfDate"}), NOW)
    assert endless.valid_until == COLLATERAL[0].next_update


def test_an_out_of_date_platform_is_told_what_to_update() -> None:
    tcb = replace(
        TCB,
        status=TcbStatus.OUT_OF_DATE,
        shortfalls=(
            Shortfall("sgxtcbcomponents[0]", 10, 11, "BIOS", "Early Microcode Update"),
            Shortfall("tdxtcbcomponents[2]", 6, 7, "OS/VMM", "SEAM loader"),
            Shortfall("tdxModule.isvsvn", 4, 5, "OS/VMM", "TDX Module"),
            Shortfall("sgxtcbcomponents[9]", 0, 1),
            Shortfall("pcesvn", 10, 11, "OS/VMM", "PCE"),
            Shortfall("qe.isvsvn", 3, 4, "OS/VMM", "Quoting Enclave"),
        ),
    )
    hint = finding(with_tcb(tcb), RuleId.TCB_OUT_OF_DATE).hint
    assert hint == (
        "TCB status OutOfDate: not tolerated; below Intel's newest level: sgxtcbcomponents[0] 10 < 11, "
        "tdxtcbcomponents[2] 6 < 7, tdxModule.isvsvn 4 < 5, sgxtcbcomponents[9] 0 < 1, "
        "pcesvn 10 < 11, qe.isvsvn 3 < 4; "
        "update: BIOS, OS/VMM, PCE, Quoting Enclave, TDX Module, platform firmware"
    )


def test_a_refused_advisory_denies_whatever_the_status() -> None:
    by = policy(
        {
            "tcb": {
                "refuse_advisories": ["SA-9"],
                "accept": [{"status": "OutOfDate", "advisories": ["SA-9"]}],
            }
        }
    )
    assert denying(with_status(TcbStatus.UP_TO_DATE, "SA-9"), by) == {RuleId.ADVISORY: FAIL}
    assert denying(with_status(TcbStatus.OUT_OF_DATE, "SA-9"), by) == {RuleId.ADVISORY: FAIL}
    assert denying(with_status(TcbStatus.UP_TO_DATE, "SA-8"), by) == {}
    assert finding(GOOD, RuleId.ADVISORY, by).expected == "none of SA-9"
    assert finding(GOOD, RuleId.ADVISORY).expected == "any"


@pytest.mark.parametrize(
    ("number", "result"), [(19, FAIL), (20, PASS), (21, PASS), (None, MISSING)]
)
def test_the_evaluation_number_has_a_floor(number: int | None, result: RuleResult) -> None:
    by = policy({"tcb": {"minimum": {"tcb_evaluation_data_number": 20}}})
    claims = with_tcb(replace(TCB, evaluation_data_number=number))
    assert finding(claims, RuleId.TCB_EVALUATION_NUMBER, by).result is result


def minimum(**fields: object) -> Any:  # noqa: ANN401  keyword for `policy`
    return policy({"tcb": {"minimum": fields}})


def with_svn2(svn: list[int]) -> TdxClaims:
    return replace(
        GOOD, body_type=3, td15=replace(TD15, tee_tcb_svn2=bytes([*svn, *bytes(16 - len(svn))]))
    )


@pytest.mark.parametrize(
    ("fields", "path", "result"),
    [
        ({"pcesvn": 11}, "pck.pcesvn", PASS),
        ({"pcesvn": 12}, "pck.pcesvn", FAIL),
        ({"qe_isvsvn": 4}, "qe.isvsvn", PASS),
        ({"qe_isvsvn": 5}, "qe.isvsvn", FAIL),
        ({"sgx_tcb_components": [11, 12, 3]}, "pck.sgx_tcb_components", PASS),
        ({"sgx_tcb_components": [0, 0, 4]}, "pck.sgx_tcb_components", FAIL),
        ({"sgx_tcb_components": [0] * 15 + [1]}, "pck.sgx_tcb_components", FAIL),
        ({"tee_tcb_svn": [5, 1, 7]}, "td.tee_tcb_svn", PASS),
        ({"tee_tcb_svn": [6]}, "td.tee_tcb_svn", FAIL),
        ({"tee_tcb_svn": [0, 0, 8]}, "td.tee_tcb_svn", FAIL),
        ({"tdx_module": {"1": 5}}, "td.tee_tcb_svn", PASS),
        ({"tdx_module": {"1": 6}}, "td.tee_tcb_svn", FAIL),
        ({"tdx_module": {"3": 0}}, "td.tee_tcb_svn", FAIL),
        ({"tdx_module": {"1": 5, "3": 9}}, "td.tee_tcb_svn", PASS),
        ({"tdx_module": {}}, "td.tee_tcb_svn", FAIL),
    ],
)
def test_minimums_component_by_component(
    fields: dict[str, object], path: str, result: RuleResult
) -> None:
    found = finding(GOOD, RuleId.SVN_MINIMUM, minimum(**fields))
    assert (found.path, found.result, bool(found.hint)) == (path, result, result is FAIL)


def test_higher_elsewhere_does_not_make_up_for_lower() -> None:
    found = finding(GOOD, RuleId.SVN_MINIMUM, minimum(sgx_tcb_components=[12, 0, 4, 0]))
    assert found.hint == "too low at index 0, 2"
    assert finding(GOOD, RuleId.SVN_MINIMUM, minimum(pcesvn=12)).hint == "too low"


def test_a_shorter_list_of_components_does_not_pass() -> None:
    short = replace(GOOD, pck=replace(PCK, sgx_tcb_components=(11, 12)))
    assert denying(short, minimum(sgx_tcb_components=[1, 1, 1])) == {RuleId.SVN_MINIMUM: FAIL}


def test_what_runs_now_has_the_minimums_of_what_was_launched() -> None:
    by = minimum(tee_tcb_svn=[0, 0, 7], tdx_module={"1": 5})
    current = findings(with_svn2([5, 1, 6]), RuleId.SVN_MINIMUM, by)
    assert [(f.path, f.result) for f in current] == [
        ("td.tee_tcb_svn", PASS),
        ("td.tee_tcb_svn", PASS),
        ("td15.tee_tcb_svn2", PASS),
        ("td15.tee_tcb_svn2", FAIL),
    ]
    assert denying(with_svn2([4, 1, 7]), by) == {RuleId.SVN_MINIMUM: FAIL}
    assert denying(with_svn2([5, 1, 7]), by) == {}


def test_without_minimums_there_is_nothing_to_say() -> None:
    assert findings(GOOD, RuleId.SVN_MINIMUM, minimum(tee_tcb_svn=[0, 0], pcesvn=0)) == []


@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_the_collateral_has_its_own_budget(part: str) -> None:
    stale = late(**{part: 1})
    assert denying(stale) == {RuleId.COLLATERAL_STALE: FAIL}
    assert denying(stale, policy({"tolerate_stale": {part: "1d"}})) == {}
    others = {other: "1d" for other in PARTS if other != part}
    assert denying(stale, policy({"tolerate_stale": others})) == {RuleId.COLLATERAL_STALE: FAIL}


@pytest.mark.parametrize(("budget", "result"), [({}, FAIL), ({"pck_crl": "1s"}, WARNED)])
def test_what_the_verifier_calls_expired_is_stale_to_the_second(
    budget: dict[str, str], result: RuleResult
) -> None:
    by = policy({"tolerate_stale": budget})
    found = findings(late(pck_crl=0), RuleId.COLLATERAL_STALE, by)
    assert {f.path: f.result for f in found}["collateral.pck_crl"] is result


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_not_there_is_missing(part: str) -> None:
    without = replace(GOOD, collateral=tuple(one for one in COLLATERAL if one.part != part))
    assert denying(without, policy({"tolerate_stale": {part: "30d"}})) == {
        RuleId.COLLATERAL_STALE: MISSING
    }


@pytest.mark.parametrize(
    ("pck", "signing", "expected"),
    [
        (Revocation.GOOD, Revocation.GOOD, {}),
        (Revocation.NOT_CHECKED, Revocation.GOOD, {RuleId.REVOCATION_UNKNOWN: MISSING}),
        (Revocation.GOOD, Revocation.NOT_CHECKED, {RuleId.REVOCATION_UNKNOWN: MISSING}),
        (Revocation.REVOKED, Revocation.GOOD, {RuleId.REVOCATION_UNKNOWN: FAIL}),
        (Revocation.GOOD, Revocation.REVOKED, {RuleId.REVOCATION_UNKNOWN: FAIL}),
    ],
)
def test_both_chains_were_checked(
    pck: Revocation, signing: Revocation, expected: dict[RuleId, RuleResult]
) -> None:
    claims = replace(GOOD, pck_chain_revocation=pck, tcb_signing_chain_revocation=signing)
    assert denying(claims) == expected


def test_platform_families_can_be_listed() -> None:
    listed = policy({"platforms": {"fmspc": ["00806f050000", "B0C06F000000"]}})
    assert finding(GOOD, RuleId.FMSPC, listed).result is PASS
    other = replace(GOOD, pck=replace(PCK, fmspc=bytes.fromhex("90c06f000000")))
    assert denying(other, listed) == {RuleId.FMSPC: FAIL}
    assert findings(GOOD, RuleId.FMSPC) == []


def platforms(**lists: list[str]) -> Any:  # noqa: ANN401  keyword for `policy`
    return policy({"platforms": lists})


@pytest.mark.parametrize("kind", ["ppid", "platform_instance_id"])
def test_machines_can_be_listed(kind: str) -> None:
    mine = getattr(PCK, kind).hex()
    assert denying(GOOD, platforms(**{kind: [mine]})) == {}
    assert denying(GOOD, platforms(**{kind: ["77" * 16]})) == {RuleId.CHIP_LIST: FAIL}
    assert findings(GOOD, RuleId.CHIP_LIST) == []


def test_one_list_does_not_stand_for_the_other() -> None:
    assert PCK.platform_instance_id is not None
    assert denying(GOOD, platforms(ppid=[PCK.platform_instance_id.hex()])) == {
        RuleId.CHIP_LIST: FAIL
    }
    assert denying(GOOD, platforms(platform_instance_id=[PCK.ppid.hex()])) == {
        RuleId.CHIP_LIST: FAIL
    }


def test_either_list_is_enough() -> None:
    assert denying(GOOD, platforms(ppid=[PCK.ppid.hex()], platform_instance_id=["77" * 16])) == {}


def test_the_operator_sees_which_machine_it_is() -> None:
    assert PCK.platform_instance_id is not None
    actual = finding(GOOD, RuleId.CHIP_LIST, platforms(ppid=["77" * 16])).actual
    assert actual == f"platform_instance_id {PCK.platform_instance_id.hex()}, ppid {PCK.ppid.hex()}"


def test_a_platform_without_instance_id_is_not_listed() -> None:
    processor = replace(GOOD, pck=replace(PCK, platform_instance_id=None))
    found = finding(processor, RuleId.CHIP_LIST, platforms(platform_instance_id=["77" * 16]))
    assert found.result is FAIL
    assert "platform_instance_id not reported" in found.actual
