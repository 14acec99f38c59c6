# SPDX-License-Identifier: Apache-2.0
"""R-29, policy side: expired collateral is tolerated by part, up to a budget, visibly, and ends the result."""

from __future__ import annotations

from datetime import timedelta

import pytest

from policies.appraise import appraise
from policies.result import Decision
from policies.rules import RuleId
from tests.unit.policies.claims_factory import COLLATERAL, GOOD, NOW, PARTS, late
from tests.unit.policies.documents import faults, policy, text

SECOND = timedelta(seconds=1)
NEXT_UPDATE = COLLATERAL[0].next_update


@pytest.mark.parametrize("part", PARTS)
def test_the_default_budget_is_none(part: str) -> None:
    assert appraise(GOOD, policy(), NEXT_UPDATE).decision is Decision.ACCEPTED
    assert appraise(GOOD, policy(), NEXT_UPDATE + SECOND).decision is Decision.DENIED
    stale = appraise(late(**{part: 1 / 86400}), policy(), NOW)
    assert [(f.rule, f.path) for f in stale.denying] == [
        (RuleId.COLLATERAL_STALE, f"collateral.{part}")
    ]


@pytest.mark.parametrize("part", PARTS)
def test_a_budget_holds_to_its_second(part: str) -> None:
    budget = policy({"tolerate_stale": {part: "36h"}})
    within = appraise(late(**{part: 1.5}), budget, NOW)
    assert within.decision is Decision.ACCEPTED
    assert [(f.rule, f.path) for f in within.tolerated] == [
        (RuleId.COLLATERAL_STALE, f"collateral.{part}")
    ]
    assert within.tolerated[0].hint == "past its next update by 1 day, 12:00:00"
    assert appraise(late(**{part: 1.5}), budget, NOW + SECOND).decision is Decision.DENIED


@pytest.mark.parametrize("days", [0, 0.5, 1])
def test_the_result_ends_with_the_budget(days: float) -> None:
    """notAfter can be at most the earliest next update plus its own budget, stale now or not."""
    budget = policy({"tolerate_stale": dict.fromkeys(PARTS, "1d")})
    end = appraise(late(tcb_info=days), budget, NOW).valid_until
    assert end == NOW + timedelta(days=1 - days)
    one_only = policy({"tolerate_stale": {"tcb_info": "2d"}})
    assert appraise(GOOD, one_only, NOW).valid_until == NEXT_UPDATE


def test_what_was_expired_when_verified_stays_expired() -> None:
    """A `now` before the verification's does not make collateral fresh again."""
    assert appraise(late(pck_crl=1), policy(), NOW - timedelta(days=5)).decision is Decision.DENIED


@pytest.mark.parametrize(
    "entry",
    [
        {"tcb_info": "31d"},
        {"tcb_info": "-1h"},
        {"certificates": "1d"},
        {"all": "1d"},
        {"tcb_info": 5},
    ],
    ids=str,
)
def test_budgets_are_named_and_capped(entry: dict[str, object]) -> None:
    assert list(faults(text({"tolerate_stale": entry}))) == [
        f"tdx.tolerate_stale.{next(iter(entry))}"
    ]


def test_it_is_no_warning_and_cannot_be_relaxed() -> None:
    assert (
        "cannot" in faults(text(warn={"collateral-stale": "2030-01-01"}))["warn.collateral-stale"]
    )
    assert "cannot" in faults(text(relax={"collateral-stale": "because"}))["relax.collateral-stale"]


@pytest.mark.parametrize(
    ("lifetime", "loads"),
    [("7d", True), ("P7D", True), ("168h", True), ("169h", False), ("8d", False)],
)
def test_the_lifetime_has_a_cap_in_code(lifetime: str, loads: bool) -> None:  # noqa: FBT001  a table
    issue = {"lifetime": lifetime, "san": {"uri": ["spiffe://example.org/{mr_config_id}"]}}
    if loads:
        assert policy(issue=issue).document.issue.lifetime == timedelta(days=7)
    else:
        assert list(faults(text(issue=issue))) == ["issue.lifetime"]
