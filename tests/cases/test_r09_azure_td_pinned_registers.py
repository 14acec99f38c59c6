# SPDX-License-Identifier: Apache-2.0
"""R-09, TDX on Azure: RTMRs are zero there, so MRTD (the paravisor) and PCRs are pinned, or PCRs left open by name."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from policies.appraise import appraise
from policies.lint import lint
from policies.loader import load
from policies.registers import Register
from policies.result import Decision, RuleResult
from policies.rules import RuleId
from tests.unit.policies.claims_factory import GOOD, NOW, TD
from tests.unit.policies.documents import RELEASE, faults, policy, text
from tests.unit.policies.td_claims import AZURE_TD, MATCH, MUST, RELAX, VALUES, td_policy
from verifiers.evidence import Provider

SUBSETS = [subset for size in range(len(MUST) + 1) for subset in itertools.combinations(MUST, size)]
EXTRA = {"mr_config_id": TD.mr_config_id.hex()}  # so that an entry is never empty


def errors(loaded: object) -> list[str]:
    return [one.problem.path for one in lint(loaded, NOW) if one.is_error]  # type: ignore[arg-type]  # a policy


def test_what_must_be_pinned() -> None:
    assert [one.value for one in MUST] == ["mr_td", "pcr4", "pcr8", "pcr9", "pcr11", "pcr12"]
    assert appraise(AZURE_TD, td_policy(), NOW).decision is Decision.ACCEPTED


@pytest.mark.parametrize("open_", SUBSETS, ids=str)
def test_saving_and_appraising_agree(open_: tuple[Register, ...]) -> None:
    pinned = {one.value: VALUES[one] for one in MUST if one not in open_}
    sets = {"release": [{"id": "r1", "values": EXTRA | pinned}]}
    silent = td_policy(reference_sets=sets)
    refused = [one.problem.message.split()[0] for one in lint(silent, NOW) if one.is_error]
    denied = [
        finding.path.rpartition(".")[2]
        for finding in appraise(AZURE_TD, silent, NOW).denying
        if finding.rule is RuleId.MEASUREMENT
    ]
    assert refused == denied == [register.value for register in open_]

    reasoned = td_policy({"unpinned": dict.fromkeys(open_, "it varies here")}, reference_sets=sets)
    result = appraise(AZURE_TD, reasoned, NOW)
    if Register.MR_TD in open_:  # no reason will do: nothing else names the paravisor
        assert errors(reasoned) == ["tdx.unpinned.mr_td"]
        (denying,) = result.denying
        assert (denying.path, denying.result) == ("td.mr_td", RuleResult.MISSING)
        assert denying.expected == "a reference value in every entry of a used set"
        return
    assert errors(reasoned) == []
    assert result.decision is Decision.ACCEPTED
    assert result.unpinned == tuple((register, "it varies here") for register in open_)


def test_a_policy_of_rtmrs_does_not_accept_a_td_under_a_paravisor() -> None:
    """One about any provider that leaves RTMRs open: what the guest booted is in PCRs, which it does not pin."""
    open_ = dict.fromkeys(("rtmr0", "rtmr1", "rtmr2"), "a research cluster")
    sets = {"release": [{"id": "r1", "values": {"mr_td": TD.mr_td.hex()}}]}
    loaded = policy({"unpinned": open_}, reference_sets=sets, relax=RELAX)
    assert appraise(GOOD, loaded, NOW).decision is Decision.ACCEPTED
    found = {one.path: one.result for one in appraise(AZURE_TD, loaded, NOW).denying}
    assert found == dict.fromkeys(
        (f"tpm.{one}" for one in MUST if one is not Register.MR_TD), RuleResult.MISSING
    )


def test_zero_rtmrs_are_no_match_for_those_of_a_release() -> None:
    result = appraise(AZURE_TD, policy(reference_sets={"release": [RELEASE]}), NOW)
    (nearest,) = (one for one in result.denying if one.path == "reference_sets.release")
    assert "differs in rtmr0, rtmr1, rtmr2" in nearest.hint


def test_another_pcr_is_another_system() -> None:
    tpm = AZURE_TD.tpm
    assert tpm is not None
    for index in (4, 8, 9, 11, 12):
        other = tuple((b, i, bytes(32) if i == index else v) for b, i, v in tpm.pcrs)
        claims = replace(AZURE_TD, tpm=replace(tpm, pcrs=other))
        (denying,) = appraise(claims, td_policy(), NOW).denying
        assert f"differs in pcr{index}" in denying.hint


def test_a_pcr_that_was_not_quoted_is_none() -> None:
    tpm = AZURE_TD.tpm
    assert tpm is not None
    without = replace(tpm, pcrs=tuple(one for one in tpm.pcrs if one[1] != 9))
    for claims in (replace(AZURE_TD, tpm=without), replace(AZURE_TD, tpm=None)):
        assert appraise(claims, td_policy(), NOW).decision is Decision.DENIED


def test_pcrs_of_tdx_come_from_a_virtual_tpm_alone() -> None:
    sets = {"release": [{"id": "r1", "values": RELEASE["values"] | {"pcr4": "00" * 32}}]}
    assert faults(text(match={"tee": "tdx", "provider": "direct"}, reference_sets=sets)) == {
        "reference_sets.release[0].values.pcr4": "evidence of tdx from direct has no pcr4"
    }
    assert load(text(match=MATCH, reference_sets=sets)).match.provider is Provider.AZURE


@pytest.mark.parametrize("match", [MATCH, {"tee": "tdx"}])
def test_no_reason_leaves_a_paravisor_open(match: dict[str, str]) -> None:
    """A TD of anybody's that poses as one chooses the key that signs the PCRs, and so the PCRs."""
    pcrs = {name: value for name, value in VALUES.items() if name != "mr_td"}
    rest = {} if match == MATCH else dict.fromkeys(("rtmr0", "rtmr1", "rtmr2"), "zero in Azure")
    loaded = td_policy(
        {"unpinned": {"mr_td": "the cloud changes it"} | rest},
        match=match,
        reference_sets={"release": [{"id": "r1", "values": pcrs}]},
    )
    (error,) = (one.problem for one in lint(loaded, NOW) if one.is_error)
    assert error.path == "tdx.unpinned.mr_td"
    assert "anyone's TDX guest" in error.message
    (denying,) = appraise(AZURE_TD, loaded, NOW).denying
    assert (denying.rule, denying.path) == (RuleId.MEASUREMENT, "td.mr_td")
