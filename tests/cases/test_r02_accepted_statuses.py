# SPDX-License-Identifier: Apache-2.0
"""R-02, policy side: over all TCB statuses, only UpToDate and what the policy lists, in time, is accepted."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from policies.appraise import appraise
from policies.result import Decision
from policies.rules import RuleId
from tests.unit.policies.claims_factory import NOW, TCB, with_status, with_tcb
from tests.unit.policies.documents import faults, policy, text
from verifiers.tcb import TcbStatus

NEVER = {TcbStatus.REVOKED, TcbStatus.UNKNOWN}
LISTABLE = [status for status in TcbStatus if status not in NEVER | {TcbStatus.UP_TO_DATE}]
LISTED: dict[str, dict[str, Any] | None] = {
    "not listed": None,
    "listed": {},
    "until later": {"until": "2026-06-01T12:00:01Z"},
    "until passed": {"until": "2026-06-01T12:00:00Z"},
}


@pytest.mark.parametrize("how", LISTED)
@pytest.mark.parametrize("listed", LISTABLE)
@pytest.mark.parametrize("status", [*TcbStatus, None])
def test_only_what_is_listed_passes(status: TcbStatus | None, listed: TcbStatus, how: str) -> None:
    terms = LISTED[how]
    accept = [] if terms is None else [{"status": listed.value, **terms}]
    decision = appraise(with_status(status), policy({"tcb": {"accept": accept}}), NOW).decision
    good = status is TcbStatus.UP_TO_DATE or (status is listed and how in ("listed", "until later"))
    assert decision is (Decision.ACCEPTED if good else Decision.DENIED)


@pytest.mark.parametrize("status", [*sorted(NEVER), TcbStatus.UP_TO_DATE])
def test_some_cannot_be_listed(status: TcbStatus) -> None:
    found = faults(text({"tcb": {"accept": [{"status": status.value}]}}))
    assert list(found) == ["tdx.tcb.accept[0].status"]


def test_listing_all_accepts_no_revoked_or_unknown_part() -> None:
    """All combinations of platform, QE and module status under a policy that lists whatever can be listed."""
    lenient = policy(
        {"tcb": {"accept": [{"status": status.value} for status in LISTABLE]}},
        warn={"tcb-out-of-date": "2030-01-01"},
    )
    for platform, qe, module in itertools.product(TcbStatus, TcbStatus, [*TcbStatus, None]):
        tcb = replace(
            TCB, status=platform, platform_status=platform, qe_status=qe, module_status=module
        )
        decision = appraise(with_tcb(tcb), lenient, NOW).decision
        assert (decision is Decision.ACCEPTED) == NEVER.isdisjoint((platform, qe, module))


def test_what_was_accepted_besides_up_to_date_is_visible() -> None:
    lenient = policy({"tcb": {"accept": [{"status": "OutOfDate"}]}})
    result = appraise(with_status(TcbStatus.OUT_OF_DATE), lenient, NOW)
    assert [finding.rule for finding in result.tolerated] == [RuleId.TCB_OUT_OF_DATE]
    assert appraise(with_status(TcbStatus.UP_TO_DATE), lenient, NOW).tolerated == ()
