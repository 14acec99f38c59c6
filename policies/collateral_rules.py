# SPDX-License-Identifier: Apache-2.0
"""How fresh one part of the collateral is, and what is known of one chain's revocation: alike for every vendor.

Which parts and chains there must be is the business of the rules of each technology.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from policies.case import passed
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from verifiers.endorsements import Revocation

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.claims import Claims
    from verifiers.endorsements import PartValidity


def part_of(claims: Claims, name: str) -> PartValidity | None:
    """The part of this name, if the claims rest on one."""
    return next((part for part in claims.collateral if part.part == name), None)


def missing_part(name: str, owner: str = "") -> Finding:
    """`collateral-stale`: a part that must be there is not. `owner`: begins the path, where that is not the CPU."""
    return Finding(
        RuleId.COLLATERAL_STALE,
        f"{owner}collateral.{name}",
        RuleResult.MISSING,
        expected="its next update",
        hint=f"{name} is not part of the collateral",
    )


def freshness(part: PartValidity, budget: timedelta, instant: datetime, owner: str = "") -> Finding:
    """`collateral-stale`: at `instant` the part is not past its next update by more than `budget`."""
    late = max(instant - part.next_update, timedelta())
    stale = bool(late) or part.expired_since is not None
    tolerated = RuleResult.WARNED if budget and late <= budget else RuleResult.FAIL
    return Finding(
        RuleId.COLLATERAL_STALE,
        f"{owner}collateral.{part.part}",
        tolerated if stale else RuleResult.PASS,
        expected=f"at most {budget} past its next update",
        actual=f"next update {part.next_update:%Y-%m-%dT%H:%M:%SZ}",
        hint=f"past its next update by {late}" if stale else "",
        until=part.next_update + budget,
    )


def revocation(path: str, state: Revocation) -> Finding:
    """`revocation-unknown`: the chain was checked against the vendor's lists and is good."""
    good, unknown = state is Revocation.GOOD, state is Revocation.NOT_CHECKED
    return Finding(
        RuleId.REVOCATION_UNKNOWN,
        path,
        RuleResult.MISSING if unknown else passed(good),
        expected="good",
        actual=state.value,
        hint="" if good else f"revocation of the chain: {state}",
    )
