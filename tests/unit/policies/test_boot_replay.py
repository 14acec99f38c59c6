# SPDX-License-Identifier: Apache-2.0
"""What becomes of a log that a policy says nothing about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from policies.appraise import appraise
from policies.result import Decision, RuleResult
from policies.rules import BOOT_RULES, RuleId
from tests import boot_lab
from tests.unit.policies.boot_facts import booted, judged, logged
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import entry, policy

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy
    from policies.result import AttestationResult
    from verifiers.tdx.claims import TdxClaims

HISTORY = boot_lab.grub_boot()


def accepting(claims: TdxClaims) -> LoadedPolicy:
    """A policy that pins what this machine booted, and says nothing of logs."""
    values = {name: getattr(claims.td, name) for name in ("mr_td", "rtmr0", "rtmr1", "rtmr2")}
    return policy(reference_sets={"release": [entry("r1", **values)]})


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
