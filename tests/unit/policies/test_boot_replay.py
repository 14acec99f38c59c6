# SPDX-License-Identifier: Apache-2.0
"""What becomes of a log that a policy says nothing about."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from policies.appraise import appraise
from policies.result import Decision, RuleResult
from policies.rules import BOOT_RULES, RuleId
from tests import boot_lab
from tests.unit.policies.boot_facts import accepting, booted, judged, logged
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import snp_entry, snp_policy
from tests.unit.policies.google_claims import GOOGLE_SNP, GOOGLE_TD, google_policy, release
from tests.unit.policies.snp_claims import AZURE, TPM
from verifiers.eventlog.events import Algorithm, LogFormat, Register
from verifiers.eventlog.judged import Boot
from verifiers.eventlog.replay import Replayed, ReplayState
from verifiers.vtpm.claims import PcrBank

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy
    from policies.result import AttestationResult
    from verifiers.snp.claims import SnpClaims

HISTORY = boot_lab.grub_boot()


def replays(result: AttestationResult) -> dict[str, RuleResult]:
    found = [one for one in result.findings if one.rule is RuleId.BOOT_REPLAY]
    return {one.path.removeprefix("boot.replayed."): one.result for one in found}


def test_without_a_log_no_rule_speaks_of_one() -> None:
    claims = booted(HISTORY)
    result = appraise(claims, accepting(claims), NOW)
    assert result.decision is Decision.ACCEPTED
    assert not {finding.rule for finding in result.findings} & BOOT_RULES


def test_a_log_that_explains_the_registers_passes() -> None:
    claims, boot = logged(HISTORY)
    result = appraise(claims, accepting(claims), NOW, boot=boot)
    assert result.decision is Decision.ACCEPTED
    assert replays(result) == dict.fromkeys(("rtmr0", "rtmr1", "rtmr2"), RuleResult.PASS)


@pytest.mark.parametrize("index", [1, 2, 3])
def test_a_log_that_contradicts_the_quote_denies(index: int) -> None:
    told = [*HISTORY, boot_lab.separator(index)]
    claims, boot = logged(HISTORY, told)
    result = appraise(claims, accepting(claims), NOW, boot=boot)
    wrong = f"rtmr{index - 1}"
    assert replays(result)[wrong] is RuleResult.FAIL
    assert [finding.path for finding in result.denying] == [f"boot.replayed.{wrong}"]
    assert result.denying[0].hint == f"{wrong}: the logs give another value than the quote"


def test_a_register_that_no_log_speaks_of_is_missing() -> None:
    told = [step for step in HISTORY if step.index != 3]
    claims, boot = logged(HISTORY, told)
    result = appraise(claims, accepting(claims), NOW, boot=boot)
    assert replays(result)["rtmr2"] is RuleResult.MISSING
    assert result.decision is Decision.DENIED


def test_the_register_of_applications_may_stay_unexplained() -> None:
    claims = booted([*HISTORY, boot_lab.aael()])
    boot = judged(claims, boot_lab.log_of(HISTORY))
    assert appraise(claims, accepting(claims), NOW, boot=boot).decision is Decision.ACCEPTED


def test_the_policy_says_which_registers_logs_have_to_explain() -> None:
    claims, boot = logged(HISTORY, [*HISTORY, boot_lab.separator(3)])
    fewer = accepting(claims, {"require_replay": ["rtmr0", "rtmr1"]})
    result = appraise(claims, fewer, NOW, boot=boot)
    assert replays(result) == dict.fromkeys(("rtmr0", "rtmr1"), RuleResult.PASS)
    assert result.decision is Decision.ACCEPTED
    none = appraise(claims, accepting(claims, {"require_replay": []}), NOW, boot=boot)
    assert (replays(none), none.decision) == ({}, Decision.ACCEPTED)
    as_ever = appraise(claims, accepting(claims, {"reference_logs": {}}), NOW, boot=boot)
    assert replays(as_ever)["rtmr2"] is RuleResult.FAIL


def test_a_register_that_the_evidence_does_not_have_is_missing() -> None:
    claims, boot = logged(HISTORY)
    boot = replace(
        boot, replayed={one: boot.replayed[one] for one in boot.replayed if one != "rtmr1"}
    )
    result = appraise(claims, accepting(claims), NOW, boot=boot)
    assert replays(result)["rtmr1"] is RuleResult.MISSING
    assert result.denying[0].hint == "rtmr1: the evidence has no value of it"


@pytest.mark.parametrize(
    ("section", "wants"),
    [
        ({"require_replay": ["rtmr0"]}, True),
        ({"secure_boot": "enabled"}, True),
        ({"require_replay": []}, False),
        ({"reference_logs": {"good": {"rtmr1": [{"digest": "00" * 48}]}}}, False),
        ({"coco": {"init_data": "00" * 48}}, False),
        ({"coco": {"aael": [{"domain": "a", "operation": "b"}]}}, True),
    ],
)
def test_whoever_asks_what_was_booted_wants_a_log(section: dict[str, Any], *, wants: bool) -> None:
    claims = booted(HISTORY)
    rules = [
        one
        for one in appraise(claims, accepting(claims, section), NOW).findings
        if one.rule is RuleId.BOOT_LOG
    ]
    assert [one.result for one in rules] == ([RuleResult.MISSING] if wants else [])
    assert [one.actual for one in rules] == (["none"] if wants else [])
    sent = appraise(claims, accepting(claims, section), NOW, boot=logged(HISTORY)[1])
    passed = [one for one in sent.findings if one.rule is RuleId.BOOT_LOG]
    assert [(one.result, one.actual) for one in passed] == (
        [(RuleResult.PASS, "ccel")] if wants else []
    )


def test_without_a_log_nothing_is_said_of_what_one_would_prove() -> None:
    claims = booted(HISTORY)
    result = appraise(
        claims, accepting(claims, {"secure_boot": "enabled", "images": "00" * 48}), NOW
    )
    assert [one.rule for one in result.denying] == [RuleId.BOOT_LOG]
    assert result.boot is None
    assert "boot" not in result.as_json()


def test_a_result_names_the_logs() -> None:
    claims, boot = logged([*HISTORY, boot_lab.aael()], HISTORY)
    result = appraise(claims, accepting(claims), NOW, boot=boot)
    states = {"rtmr0": "replayed", "rtmr1": "replayed", "rtmr2": "replayed", "rtmr3": "unexplained"}
    assert result.as_json()["boot"] == {"logs": ["ccel"], "registers": states}


PCR = {number: bytes([number]) * 32 for number in range(24)}


def on_azure(*pinned: int) -> tuple[LoadedPolicy, SnpClaims]:
    """A policy that pins these PCRs and the paravisor, and the machine."""
    tpm = replace(TPM, pcrs=tuple((PcrBank.SHA256, number, value) for number, value in PCR.items()))
    unpinned = {f"pcr{one}": "a reason" for one in (4, 8, 9, 11, 12) if one not in pinned}
    values = {f"pcr{one}": PCR[one] for one in pinned}
    loaded = snp_policy(
        {"unpinned": unpinned},
        match={"tee": "snp", "provider": "azure"},
        reference_sets={"release": [snp_entry("s1", **values)]},
    )
    return loaded, replace(AZURE, tpm=tpm)


def test_of_a_virtual_tpm_the_pinned_registers_of_firmware_and_boot_loaders() -> None:
    loaded, claims = on_azure(4, 7, 9, 11)
    named = (Register.PCR4, Register.PCR5, Register.PCR7, Register.PCR11)
    states = {one: Replayed(ReplayState.MISMATCH, b"", b"", 1, ()) for one in named}
    silent = {Register.PCR9: Replayed(ReplayState.UNEXPLAINED, b"", b"", 0, ())}
    claims_of_logs = boot_lab.claims([])
    boot = Boot((LogFormat.TCG2,), Algorithm.SHA256, states | silent, claims_of_logs)
    result = appraise(claims, loaded, NOW, boot=boot)
    assert replays(result) == dict.fromkeys(("pcr4", "pcr7"), RuleResult.FAIL)
    assert {one.rule for one in result.denying} == {RuleId.BOOT_REPLAY}


@pytest.mark.parametrize("name", ["pcr4", "rtmr1"])
def test_beside_a_vtpm_of_googles_registers_of_the_cpu_come_first(name: str) -> None:
    """Of a TD its own are to be explained, whatever PCRs say; a guest of SEV-SNP has none."""
    registers = {Register(name): Replayed(ReplayState.MISMATCH, b"", b"", 1, ())}
    boot = Boot((LogFormat.TCG2,), Algorithm.SHA256, registers, boot_lab.claims([]))
    of_a_td = dict.fromkeys(("rtmr0", "rtmr1", "rtmr2"), RuleResult.MISSING)
    of_a_td |= {name: RuleResult.FAIL} if name in of_a_td else {}
    pinned = google_policy(GOOGLE_TD, reference_sets=release(GOOGLE_TD, "pcr4"))
    assert replays(appraise(GOOGLE_TD, pinned, NOW, boot=boot)) == of_a_td
    of_a_guest = {name: RuleResult.FAIL} if name == "pcr4" else {}
    assert replays(appraise(GOOGLE_SNP, google_policy(GOOGLE_SNP), NOW, boot=boot)) == of_a_guest
