# SPDX-License-Identifier: Apache-2.0
"""R-60, policy side: exactly one active policy judges; overlap is seen beforehand, none is `no-policy`."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from policies.result import AttestationResult, Decision
from policies.rules import RuleId
from policies.select import overlaps, select
from tests.unit.policies.claims_factory import GOOD, NOW
from tests.unit.policies.documents import policy

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy


def about(name: str, profile: str, provider: str | None) -> LoadedPolicy:
    match = {"tee": "tdx"} | ({"provider": provider} if provider else {})
    return policy(name=name, match=match, issue={"profile": profile})


KINDS = [
    about(f"p{i}", *kind)
    for i, kind in enumerate(itertools.product(["web", "db"], [None, "direct"]))
]


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(range(len(KINDS)), 2)))
def test_overlap_is_exactly_that_both_could_be_selected(a: int, b: int) -> None:
    active = [KINDS[a], KINDS[b]]
    results = [select(active, GOOD, profile, NOW) for profile in ("web", "db")]
    clash = [
        result
        for result in results
        if isinstance(result, AttestationResult)
        and result.findings[0].rule is RuleId.SEVERAL_POLICIES
    ]
    assert overlaps(active[0].document, active[1].document) == bool(clash)
    assert overlaps(active[1].document, active[0].document) == bool(clash)


def test_every_policy_overlaps_itself() -> None:
    assert all(overlaps(kind.document, kind.document) for kind in KINDS)


def test_none_is_a_denial_with_its_own_name() -> None:
    result = select(KINDS, GOOD, "other", NOW)
    assert isinstance(result, AttestationResult)
    assert result.decision is Decision.DENIED
    assert [finding["rule"] for finding in result.public_findings()] == ["no-policy"]


def test_the_profile_is_compared_exactly() -> None:
    for profile in ("", "Web", "web ", "we", "webb"):
        assert isinstance(select([KINDS[0]], GOOD, profile, NOW), AttestationResult)
    assert select([KINDS[0]], GOOD, "web", NOW) is KINDS[0]
