# SPDX-License-Identifier: Apache-2.0
"""The appraisal as a whole: all rules run, one denial denies, softening is visible and bounded."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from policies.appraise import appraise
from policies.loader import load_default
from policies.result import Decision, Finding, RuleResult
from policies.rules import BOOT_RULES, DEVICE_RULES, RELAXABLE, RULES, WARNABLE, RuleId
from tests.unit.policies.claims_factory import (
    COLLATERAL,
    GOOD,
    NOW,
    PCK,
    TCB,
    TD,
    late,
    register,
    with_attributes,
    with_service_td,
    with_td,
)
from tests.unit.policies.documents import RELEASE, policy, tdx_rules
from tests.unit.policies.findings import denying, finding
from verifiers.endorsements import Revocation
from verifiers.evidence import Provider, Tee
from verifiers.tcb import TcbStatus
from verifiers.tdx.claims import TdAttribute, TdxClaims

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy

ALWAYS = [
    RuleId.MATCH,
    RuleId.POLICY_VALIDITY,
    RuleId.MEASUREMENT,
    RuleId.DEBUG,
    RuleId.PROFILING,
    RuleId.MIGRATABLE,
    RuleId.SERVTD_EXT,
    RuleId.SERVICE_TD_BOUND,
    RuleId.SEPT_VE_DISABLE_CLEAR,
    RuleId.RESERVED_ATTRIBUTE,
    RuleId.ATTRIBUTES,
    RuleId.XFAM,
    RuleId.TCB_UNUSABLE,
    RuleId.TCB_OUT_OF_DATE,
    RuleId.ADVISORY,
    RuleId.TCB_EVALUATION_NUMBER,
    *[RuleId.COLLATERAL_STALE] * 4,
    *[RuleId.REVOCATION_UNKNOWN] * 2,
]

WORST = replace(
    late(tcb_info=40),
    td=replace(TD, mr_td=register(1), xfam=bytes(8)),
    td15=with_service_td(register(7)).td15,
    attributes=frozenset(TdAttribute) - {TdAttribute.SEPT_VE_DISABLE},
    reserved_attributes=2,
    tcb=replace(
        TCB,
        status=TcbStatus.UNKNOWN,
        qe_status=TcbStatus.REVOKED,
        advisory_ids=("SA-1",),
        evaluation_data_number=1,
    ),
    pck=replace(PCK, ppid=bytes(16), platform_instance_id=bytes(16), fmspc=bytes(6), pcesvn=1),
    pck_chain_revocation=Revocation.NOT_CHECKED,
)

STRICT = policy(
    {
        "attributes": {"forbidden": ["perfmon"]},
        "tcb": {
            "refuse_advisories": ["SA-1"],
            "minimum": {"tcb_evaluation_data_number": 18, "pcesvn": 11},
        },
        "platforms": {"fmspc": [PCK.fmspc.hex()], "ppid": [PCK.ppid.hex()]},
    },
    not_after="2026-06-01",
)


def test_every_rule_of_a_plain_policy_passes_in_order() -> None:
    result = appraise(GOOD, policy(), NOW)
    assert [finding.rule for finding in result.findings] == ALWAYS
    assert {finding.result for finding in result.findings} == {RuleResult.PASS}
    assert {finding.hint for finding in result.findings} == {""}
    assert result.decision is Decision.ACCEPTED
    assert (result.tolerated, result.denying) == ((), ())


def test_findings_stand_in_the_order_of_the_rules() -> None:
    order = list(RuleId)
    positions = [order.index(finding.rule) for finding in appraise(WORST, STRICT, NOW).findings]
    assert positions == sorted(positions)


def test_all_rules_run_and_each_denies() -> None:
    """Claims with everything wrong: no rule hides another."""
    assert {finding.rule for finding in appraise(WORST, STRICT, NOW).denying} == RULES[
        Tee.TDX
    ] - BOOT_RULES - DEVICE_RULES - {
        RuleId.GOOGLE_VM,  # of other evidence
        RuleId.NO_POLICY,
        RuleId.SEVERAL_POLICIES,
        RuleId.MATCH,
    }


@pytest.mark.parametrize(
    "claims",
    [
        WORST,
        replace(GOOD, collateral=()),
        replace(GOOD, tcb=replace(TCB, status=None, evaluation_data_number=None)),
        replace(GOOD, pck_chain_revocation=Revocation.REVOKED),
    ],
    ids=["worst", "no collateral", "no status", "revoked"],
)
@pytest.mark.parametrize("by", [STRICT, load_default(Tee.TDX)], ids=["strict", "default"])
def test_every_denial_says_what_was_expected_and_what_to_do(
    claims: TdxClaims, by: LoadedPolicy
) -> None:
    result = appraise(claims, by, NOW)
    assert result.denying
    assert all(finding.expected and finding.hint for finding in result.denying)
    assert not any(f.hint for f in result.findings if f.result is RuleResult.PASS)


@pytest.mark.parametrize("rule", RuleId)
def test_one_finding_that_denies_is_enough(rule: RuleId) -> None:
    accepted = appraise(GOOD, policy(), NOW)
    for result in (RuleResult.FAIL, RuleResult.MISSING):
        worse = replace(accepted, findings=(*accepted.findings, Finding(rule, "x", result)))
        assert worse.decision is Decision.DENIED
        assert [finding.rule for finding in worse.denying] == [rule]


def test_no_findings_and_no_policy_deny() -> None:
    accepted = appraise(GOOD, policy(), NOW)
    assert replace(accepted, findings=()).decision is Decision.DENIED
    assert replace(accepted, policy=None).decision is Decision.DENIED


def test_the_strict_default_says_nothing_but_that_pins_are_missing() -> None:
    assert denying(GOOD, load_default(Tee.TDX)) == {RuleId.MEASUREMENT: RuleResult.MISSING}


@pytest.mark.parametrize(
    ("dates", "accepted"),
    [
        ({}, True),
        ({"not_before": "2026-06-01T12:00:00Z"}, True),
        ({"not_before": "2026-06-01T12:00:01Z"}, False),
        ({"not_after": "2026-06-01T12:00:01Z"}, True),
        ({"not_after": "2026-06-01T12:00:00Z"}, False),
        ({"not_before": "2026-05-01", "not_after": "2026-07-01"}, True),
        ({"not_before": "2025-05-01", "not_after": "2025-07-01"}, False),
    ],
    ids=str,
)
def test_a_policy_holds_between_its_dates(dates: dict[str, Any], accepted: bool) -> None:  # noqa: FBT001  a table
    found = denying(GOOD, policy(**dates))
    assert found == ({} if accepted else {RuleId.POLICY_VALIDITY: RuleResult.FAIL})
    said = finding(GOOD, RuleId.POLICY_VALIDITY, policy(**dates)).expected
    assert all(day.partition("T")[0] in said for day in dates.values())


def test_a_policy_about_other_evidence_denies() -> None:
    direct = policy(match={"tee": "tdx", "provider": "direct"})
    assert denying(GOOD, direct) == {}
    under_a_paravisor = replace(GOOD, provider=Provider.AZURE)
    assert denying(under_a_paravisor, direct)[RuleId.MATCH] is RuleResult.FAIL
    other = finding(under_a_paravisor, RuleId.MATCH, direct)
    assert (other.expected, other.actual) == ("tdx from direct", "tdx from azure")
    assert other.hint == "the policy is about other evidence"
    assert RuleId.MATCH not in denying(under_a_paravisor, policy())


def test_what_is_relaxed_stays_visible() -> None:
    relaxed = policy(relax={"debug": "a test cluster"})
    result = appraise(with_attributes(TdAttribute.DEBUG), relaxed, NOW)
    assert result.decision is Decision.ACCEPTED
    (only,) = result.tolerated
    assert (only.rule, only.result, only.actual) == (RuleId.DEBUG, RuleResult.WARNED, "debug")
    assert only.hint == "relaxed by the policy: a test cluster"
    assert result.public_findings() == ()


def test_a_warning_ends_with_its_date() -> None:
    warns = policy(
        {"platforms": {"fmspc": ["00" * 5 + "01"]}}, warn={"fmspc": "2026-06-01T12:00:00Z"}
    )
    early = appraise(GOOD, warns, NOW - timedelta(seconds=1))
    assert early.decision is Decision.ACCEPTED
    (only,) = early.tolerated
    assert (
        only.hint == "this platform family is not listed; only a warning until 2026-06-01T12:00:00Z"
    )
    assert early.valid_until == NOW
    assert appraise(GOOD, warns, NOW).decision is Decision.DENIED


def test_a_rule_that_passes_is_not_touched_by_softening() -> None:
    softened = policy(relax={"sept-ve-disable-clear": "our cloud"}, warn={"fmspc": "2027-01-01"})
    result = appraise(GOOD, softened, NOW)
    assert result.tolerated == ()
    assert result.valid_until == COLLATERAL[0].next_update


def test_what_is_missing_is_not_softened() -> None:
    warns = policy(warn={"tcb-out-of-date": "2027-01-01", "tcb-evaluation-number": "2027-01-01"})
    unknown = replace(GOOD, tcb=replace(TCB, status=None, evaluation_data_number=None))
    assert set(denying(unknown, warns)) == {
        RuleId.TCB_UNUSABLE,
        RuleId.TCB_OUT_OF_DATE,
        RuleId.TCB_EVALUATION_NUMBER,
    }


def test_softening_everything_leaves_what_must_hold() -> None:
    everything = policy(
        {"tcb": tdx_rules(STRICT).tcb.model_dump(include={"refuse_advisories"}, mode="json")},
        relax={rule.value: "all of them" for rule in (RELAXABLE & RULES[Tee.TDX]) - DEVICE_RULES},
        warn={
            rule.value: "2027-01-01"
            for rule in (WARNABLE & RULES[Tee.TDX]) - BOOT_RULES - DEVICE_RULES
        },
    )
    assert set(denying(WORST, everything)) == {
        RuleId.MEASUREMENT,
        RuleId.RESERVED_ATTRIBUTE,
        RuleId.XFAM,
        RuleId.TCB_UNUSABLE,
        RuleId.COLLATERAL_STALE,
        RuleId.REVOCATION_UNKNOWN,
    }


@pytest.mark.parametrize(
    ("claims", "sections", "until"),
    [
        (GOOD, {}, COLLATERAL[0].next_update),
        (replace(GOOD, certificates_expire=NOW + timedelta(days=2)), {}, NOW + timedelta(days=2)),
        (GOOD, {"not_after": "2026-06-03"}, datetime(2026, 6, 3, tzinfo=UTC)),
        (
            GOOD,
            {"reference_sets": {"release": [RELEASE | {"expires": "2026-06-04"}]}},
            datetime(2026, 6, 4, tzinfo=UTC),
        ),
    ],
    ids=["collateral", "certificates", "policy", "entry"],
)
def test_a_result_ends_with_the_first_thing_it_rests_on(
    claims: TdxClaims, sections: dict[str, Any], until: datetime
) -> None:
    assert appraise(claims, policy(**sections), NOW).valid_until == until


def test_the_result_names_the_policy_and_the_evidence() -> None:
    loaded = policy(name="db", version=9)
    result = appraise(GOOD, loaded, NOW)
    assert result.policy is not None
    assert (result.policy.name, result.policy.version, result.policy.sha256) == (
        "db",
        9,
        loaded.sha256,
    )
    assert (result.evidence_sha256, result.appraised_at) == (GOOD.evidence_sha256, NOW)


def test_the_json_is_canonical_and_whole() -> None:
    result = appraise(
        with_attributes(TdAttribute.DEBUG), policy({"unpinned": {"rtmr0": "x y z"}}), NOW
    )
    data = json.loads(result.to_json())
    assert result.to_json() == json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert data["decision"] == "denied"
    assert data["policy"]["name"] == "web"
    assert data["matched"][0]["entry"] == "r1"
    assert data["pinned"]["mr_td"] == TD.mr_td.hex()
    assert data["unpinned"] == {}
    assert (data["appraised_at"], data["valid_until"]) == (
        "2026-06-01T12:00:00Z",
        "2026-06-11T12:00:00Z",
    )
    (debug,) = [finding for finding in data["findings"] if finding["rule"] == "debug"]
    assert set(debug) == {"rule", "path", "result", "expected", "actual", "hint"}
    assert debug["result"] == "fail"


def test_the_same_input_gives_the_same_bytes() -> None:
    loaded = policy({"platforms": {"fmspc": [f"{i:012x}" for i in range(40)]}})
    texts = {appraise(WORST, loaded, NOW).to_json() for _ in range(3)}
    assert len(texts) == 1


def test_exempt_registers_are_in_the_json() -> None:
    result = appraise(
        GOOD,
        policy({"measurements": [], "unpinned": dict.fromkeys(RELEASE["values"], "open")}),
        NOW,
    )
    assert json.loads(result.to_json())["unpinned"] == dict.fromkeys(RELEASE["values"], "open")


def test_a_refused_attester_learns_no_allowed_value() -> None:
    """No reference value, listed machine, family, advisory or minimum of the policy stands in what it is told."""
    secret = policy(
        {
            "attributes": {"required": ["pks"]},
            "tcb": {
                "accept": [
                    {
                        "status": "ConfigurationNeeded",
                        "advisories": ["SA-77"],
                        "until": "2031-02-03",
                    }
                ],
                "minimum": {
                    "tcb_evaluation_data_number": 4711,
                    "pcesvn": 4712,
                    "qe_isvsvn": 4713,
                    "tee_tcb_svn": [4714],
                    "sgx_tcb_components": [4715],
                    "tdx_module": {"4716": 4717},
                },
            },
            "platforms": {"fmspc": ["abcdefabcdef"], "ppid": ["99" * 16]},
        },
        reference_sets={
            "release": [{"id": "r1", "values": {"mr_td": "5a" * 48, "rtmr1": "6b" * 48}}]
        },
        not_after="2030-02-03",
    )
    result = appraise(with_td(xfam=bytes(8)), secret, datetime(2032, 1, 1, tzinfo=UTC))
    told = json.dumps(result.public_findings())
    assert {finding["rule"] for finding in result.public_findings()} >= {
        "policy-validity",
        "measurement",
        "attributes",
        "tcb-evaluation-number",
        "svn-minimum",
        "fmspc",
        "chip-list",
    }
    for value in ("5a5a", "6b6b", "abcdef", "9999", "SA-77", "471", "2030", "2031", "pks"):
        assert value not in told
    assert all(
        set(finding) == {"rule", "path", "result", "hint"} for finding in result.public_findings()
    )
