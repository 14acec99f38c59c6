# SPDX-License-Identifier: Apache-2.0
"""Rules over Google's vTPM: whose VM has it, whether its certificate still holds, and what else speaks of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from policies.appraise import GOOGLE_CHECKS, appraise
from policies.registers import PCRS, Register, boot_registers
from policies.result import Decision, RuleResult
from policies.rules import RuleId
from tests.unit.policies.claims_factory import GOOD, NOW
from tests.unit.policies.documents import policy, snp_policy
from tests.unit.policies.findings import denying, finding, findings
from tests.unit.policies.google_claims import (
    GCE,
    GOOGLE_SNP,
    GOOGLE_TD,
    INSTANCE,
    PROJECT,
    ROOT_CRL,
    SECTION,
    ZONE,
    google_policy,
    match,
    release,
)
from tests.unit.policies.snp_claims import AZURE, GOOD_SNP
from tests.unit.policies.td_claims import AZURE_TD, td_policy
from verifiers.endorsements import Revocation
from verifiers.evidence import Provider, Tee

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy
    from verifiers.claims import Claims

BOTH = pytest.mark.parametrize("claims", [GOOGLE_SNP, GOOGLE_TD], ids=["snp", "tdx"])


@BOTH
def test_a_vm_of_a_listed_project_is_accepted(claims: Claims) -> None:
    result = appraise(claims, google_policy(claims), NOW)
    assert (result.denying, result.decision) == ((), Decision.ACCEPTED)
    found, *_ = (one for one in result.findings if one.rule is RuleId.GOOGLE_VM)
    assert (found.path, found.expected, found.actual) == (
        "gce.project_id",
        f"one of {PROJECT}",
        PROJECT,
    )
    order = list(RuleId)
    places = [order.index(one.rule) for one in result.findings]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("claims", "also", "said"),
    [
        (GOOGLE_SNP, (), [(RuleId.GOOGLE_VM, "tpm.pcrs")]),
        (GOOGLE_TD, (), []),
        (GOOGLE_TD, ("pcr7",), [(RuleId.GOOGLE_VM, "tpm.pcrs")]),
    ],
    ids=["snp", "tdx", "tdx by a PCR"],
)
def test_a_certificate_says_that_pcrs_which_count_are_googles_word(
    claims: Claims, also: tuple[str, ...], said: list[tuple[RuleId, str]]
) -> None:
    accepted = google_policy(claims, reference_sets=release(claims, *also))
    result = appraise(claims, accepted, NOW)
    assert result.decision is Decision.ACCEPTED
    assert [(one.rule, one.path) for one in result.tolerated] == said


LISTS: dict[str, tuple[list[Any], list[Any], str]] = {
    "projects": ([PROJECT, "other-project"], ["other-project"], "project_id"),
    "zones": ([ZONE], ["us-central1-b"], "zone"),
    "instances": ([INSTANCE, 1], [INSTANCE + 1], "instance_id"),
}


@BOTH
@pytest.mark.parametrize("key", LISTS)
def test_each_list_names_the_vm_or_denies(claims: Claims, key: str) -> None:
    good, bad, field = LISTS[key]
    accepted = google_policy(claims, google=SECTION | {key: good})
    assert appraise(claims, accepted, NOW).decision is Decision.ACCEPTED
    result = appraise(claims, google_policy(claims, google=SECTION | {key: bad}), NOW)
    (found,) = result.denying
    assert (found.rule, found.path) == (RuleId.GOOGLE_VM, f"gce.{field}")
    assert found.result is RuleResult.FAIL
    assert found.actual == str(getattr(GCE, field))
    assert str(bad[0]) in found.expected
    assert str(bad[0]) not in str(result.public_findings())
    assert field in found.hint


@BOTH
def test_without_the_section_no_vm_of_googles_is_known(claims: Claims) -> None:
    """Whatever registers match: they are those of anybody's VM."""
    for by in (
        google_policy(claims, google=None),
        google_policy(claims, google=None, match={"tee": claims.tee.value}),
    ):
        result = appraise(claims, by, NOW)
        (found,) = result.denying
        assert (found.rule, found.path) == (RuleId.GOOGLE_VM, "gce")
        assert found.result is RuleResult.MISSING
        assert "name projects" in found.hint
        assert found.actual == f"project {PROJECT}, instance {INSTANCE}"
        assert PROJECT not in str(result.public_findings())


@BOTH
def test_without_a_certificate_no_vm_is_known(claims: Claims) -> None:
    without = replace(claims, gce=None)  # type: ignore[type-var, unused-ignore] # both have it
    found = finding(without, RuleId.GOOGLE_VM, google_policy(claims))
    assert (found.path, found.result, found.actual) == ("gce", RuleResult.MISSING, "none")
    assert "certificate" in found.hint


@pytest.mark.parametrize(
    ("claims", "by"),
    [
        (GOOD, policy(google=SECTION)),
        (GOOD_SNP, snp_policy(google=SECTION)),
        (AZURE_TD, td_policy()),
        (AZURE, snp_policy(reference_sets=release(AZURE))),
    ],
    ids=["td", "snp guest", "azure td", "azure guest"],
)
def test_of_other_evidence_the_rules_say_nothing(claims: Claims, by: LoadedPolicy) -> None:
    result = appraise(claims, by, NOW)
    assert result.decision is Decision.ACCEPTED
    assert not [one for one in result.findings if one.rule is RuleId.GOOGLE_VM]
    assert not [one for one in result.findings if "google" in one.path or "gce" in one.path]


def test_a_document_about_any_provider_judges_a_machine_with_and_without_its_vtpm() -> None:
    by = google_policy(GOOGLE_TD, match={"tee": "tdx"})
    assert appraise(GOOGLE_TD, by, NOW).decision is Decision.ACCEPTED
    assert appraise(GOOD, by, NOW).decision is Decision.ACCEPTED
    strangers = replace(GOOGLE_TD, gce=replace(GCE, project_id="strangers"))
    assert denying(strangers, by) == {RuleId.GOOGLE_VM: RuleResult.FAIL}


def test_a_document_about_google_takes_no_machine_without_its_vtpm() -> None:
    assert denying(GOOD, google_policy(GOOGLE_TD)) == {RuleId.MATCH: RuleResult.FAIL}
    assert RuleId.MATCH in denying(GOOD_SNP, google_policy(GOOGLE_SNP))


# collateral


def late(claims: Claims, days: float) -> Claims:
    part = replace(ROOT_CRL, next_update=NOW - timedelta(days=days))
    part = replace(part, expired_since=part.next_update)
    return replace(claims, collateral=(*claims.collateral[:-1], part))


@BOTH
def test_the_list_of_the_root_must_be_in_date_but_for_the_budget(claims: Claims) -> None:
    path = "collateral.google_root_crl"
    strict = google_policy(claims)
    (found,) = appraise(late(claims, 1), strict, NOW).denying
    assert (found.rule, found.path) == (RuleId.COLLATERAL_STALE, path)
    lenient = google_policy(claims, google=SECTION | {"tolerate_stale_crl": "2d"})
    result = appraise(late(claims, 1), lenient, NOW)
    assert (RuleId.COLLATERAL_STALE, path) in [(one.rule, one.path) for one in result.tolerated]
    assert result.valid_until == NOW + timedelta(days=1)
    assert denying(late(claims, 3), lenient) == {RuleId.COLLATERAL_STALE: RuleResult.FAIL}


@BOTH
def test_the_list_is_judged_at_the_later_of_two_instants(claims: Claims) -> None:
    """When it was verified, and now."""
    by, hour = google_policy(claims), timedelta(hours=1)
    ends = replace(ROOT_CRL, next_update=NOW + hour)
    claims = replace(claims, collateral=(*claims.collateral[:-1], ends))
    later = replace(claims, verified_at=NOW + 2 * hour)
    for one, now in ((claims, NOW + 2 * hour), (later, NOW)):
        result = appraise(one, by, now)
        assert [found.path for found in result.denying] == ["collateral.google_root_crl"]


@BOTH
def test_a_certificate_ends_with_the_list_at_the_latest(claims: Claims) -> None:
    soon = replace(ROOT_CRL, next_update=NOW + timedelta(hours=1))
    claims = replace(claims, collateral=(*claims.collateral[:-1], soon))
    assert appraise(claims, google_policy(claims), NOW).valid_until == soon.next_update
    later = google_policy(claims, google=SECTION | {"tolerate_stale_crl": "2h"})
    assert appraise(claims, later, NOW).valid_until == soon.next_update + timedelta(hours=2)


@BOTH
def test_a_list_that_is_not_there_is_missing(claims: Claims) -> None:
    without = replace(claims, collateral=claims.collateral[:-1])
    by = google_policy(claims)
    assert denying(without, by) == {RuleId.COLLATERAL_STALE: RuleResult.MISSING}
    unknown = replace(without, gce=replace(GCE, revocation=Revocation.NOT_CHECKED))
    (found,) = appraise(unknown, by, NOW).denying
    assert (found.rule, found.path) == (RuleId.REVOCATION_UNKNOWN, "gce.revocation")
    assert (found.result, found.actual) == (RuleResult.MISSING, "not-checked")
    everyone = [one.path for one in findings(unknown, RuleId.COLLATERAL_STALE, by)]
    assert "collateral.google_root_crl" not in everyone


@BOTH
def test_the_list_is_judged_without_the_section_too(claims: Claims) -> None:
    by = google_policy(claims, google=None)
    assert denying(late(claims, 1), by) == {
        RuleId.GOOGLE_VM: RuleResult.MISSING,
        RuleId.COLLATERAL_STALE: RuleResult.FAIL,
    }


# registers


def test_where_a_boot_is_measured() -> None:
    rtmrs = {Register.RTMR0, Register.RTMR1, Register.RTMR2, Register.RTMR3}
    assert {(tee, one): boot_registers(tee, one) for tee in Tee for one in Provider} == {
        (Tee.TDX, Provider.DIRECT): rtmrs,
        (Tee.TDX, Provider.AZURE): set(PCRS),
        (Tee.TDX, Provider.GOOGLE): rtmrs,
        (Tee.SNP, Provider.DIRECT): set(),
        (Tee.SNP, Provider.AZURE): set(PCRS),
        (Tee.SNP, Provider.GOOGLE): set(PCRS),
    }


@pytest.mark.parametrize("index", [4, 8, 9, 11, 12])
def test_another_pcr_is_another_system(index: int) -> None:
    tpm = GOOGLE_SNP.tpm
    assert tpm is not None
    pcrs = tuple((bank, one, b"\7" * 32 if one == index else old) for bank, one, old in tpm.pcrs)
    other = replace(GOOGLE_SNP, tpm=replace(tpm, pcrs=pcrs))
    assert denying(other, google_policy(GOOGLE_SNP)) == {RuleId.MEASUREMENT: RuleResult.FAIL}
    td = replace(GOOGLE_TD, tpm=replace(tpm, pcrs=pcrs))
    assert denying(td, google_policy(GOOGLE_TD)) == {}  # the CPU signs its RTMRs
    pinned = google_policy(GOOGLE_TD, reference_sets=release(GOOGLE_TD, f"pcr{index}"))
    assert denying(GOOGLE_TD, pinned) == {}
    assert denying(td, pinned) == {RuleId.MEASUREMENT: RuleResult.FAIL}


def test_what_must_be_pinned() -> None:
    values = {"measurement": GOOD_SNP.report.measurement.hex()}
    by = snp_policy(
        match=match(Tee.SNP),
        google=SECTION,
        reference_sets={"release": [{"id": "r1", "values": values}]},
    )
    missing = [one.path for one in appraise(GOOGLE_SNP, by, NOW).denying]
    assert missing == [f"tpm.pcr{one}" for one in (4, 8, 9, 11, 12)]
    words = [one.path for one in findings(GOOGLE_SNP, RuleId.GOOGLE_VM, by)]
    assert words == [
        "gce.project_id",
        "tpm.pcrs",
    ]  # what they boot is read from PCRs, pinned or not


def test_no_check_stands_twice() -> None:
    assert len(set(GOOGLE_CHECKS)) == len(GOOGLE_CHECKS)
