# SPDX-License-Identifier: Apache-2.0
"""One policy, or a denial that says why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from policies.document import Match
from policies.result import AttestationResult, Decision, RuleResult
from policies.rules import RuleId
from policies.select import overlaps, select
from tests.unit.policies.claims_factory import GOOD, NOW
from tests.unit.policies.documents import policy
from verifiers.tdx.claims import TdxClaims

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy


def about(name: str, profile: str = "default", provider: str | None = None) -> LoadedPolicy:
    match = {"tee": "tdx"} | ({"provider": provider} if provider else {})
    san = {"uri": ["spiffe://example.org/{mr_config_id}"]}
    return policy(name=name, match=match, issue={"profile": profile, "san": san})


def denial(active: list[LoadedPolicy], profile: str = "default") -> AttestationResult:
    result = select(active, GOOD, profile, NOW)
    assert isinstance(result, AttestationResult)
    return result


def test_the_one_that_matches() -> None:
    web, db = about("web"), about("db", "db")
    assert select([web, db], GOOD, "default", NOW) is web
    assert select([web, db], GOOD, "db", NOW) is db


@pytest.mark.parametrize("active", [[], ["db"]])
def test_none_is_a_denial(active: list[str]) -> None:
    result = denial([about(name, name) for name in active])
    assert result.decision is Decision.DENIED
    assert [(f.rule, f.result) for f in result.findings] == [(RuleId.NO_POLICY, RuleResult.MISSING)]
    assert (result.policy, result.valid_until, result.evidence_sha256) == (
        None,
        None,
        GOOD.evidence_sha256,
    )
    assert result.as_json()["policy"] is None
    assert result.as_json()["valid_until"] is None


def test_several_are_a_denial() -> None:
    result = denial([about("web"), about("db")])
    assert result.decision is Decision.DENIED
    (only,) = result.findings
    assert (only.rule, only.result) == (RuleId.SEVERAL_POLICIES, RuleResult.FAIL)
    assert only.actual == "db, web"
    assert "web" not in str(result.public_findings())


def test_another_provider_is_no_match(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = about("web", provider="direct")
    assert select([direct], GOOD, "default", NOW) is direct
    monkeypatch.setattr(TdxClaims, "provider", "paravisor")
    assert denial([direct]).findings[0].rule is RuleId.NO_POLICY


def test_an_expired_policy_is_selected_and_then_denies() -> None:
    expired = policy(not_after="2020-01-01")
    assert select([expired], GOOD, "default", NOW) is expired


def test_overlaps() -> None:
    any_, direct, other = (
        about("a").document,
        about("b", provider="direct").document,
        about("c", "db").document,
    )
    assert overlaps(any_, any_)
    assert overlaps(any_, direct)
    assert overlaps(direct, any_)
    assert overlaps(direct, direct)
    assert not overlaps(any_, other)


def test_different_ways_of_reporting_do_not_overlap() -> None:
    any_, direct = about("a").document, about("b", provider="direct").document
    elsewhere = Match.model_construct(tee=direct.match.tee, provider="paravisor")
    paravisor = direct.model_copy(update={"match": elsewhere})
    assert not overlaps(direct, paravisor)
    assert not overlaps(paravisor, direct)
    assert overlaps(paravisor, any_)
