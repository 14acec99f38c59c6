# SPDX-License-Identifier: Apache-2.0
"""Real quotes through the verifier and the strict default policy: exactly the findings that their folders name.

The same quote captured into a first policy is accepted by it if the folder names no finding, and never otherwise.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from policies.appraise import appraise
from policies.capture import capture_policy
from policies.loader import load_default, load_policy
from policies.result import Decision
from policies.rules import RuleId
from tests import tdx_vectors
from verifiers import registry
from verifiers.anchors import builtin
from verifiers.evidence import Tee
from verifiers.files import identify
from verifiers.tdx.claims import TdxClaims


def names() -> list[Any]:
    """Folders that expect verified claims; one parameter that is skipped where there are no folders."""
    return [name for name in tdx_vectors.names() if not isinstance(name, str) or _verifies(name)]


def _verifies(name: str) -> bool:
    expected = json.loads((tdx_vectors.ROOT / "tdx" / name / "expected.json").read_text())
    return bool(expected["expect"]["verdict"] == "verified")


def verified(name: str) -> tuple[TdxClaims, tdx_vectors.Vector]:
    vector = tdx_vectors.load(name)
    parsed = registry.parse(identify([vector.quote]).evidence)
    endorsements = registry.parse_bundle(parsed, json.dumps(vector.bundle).encode())
    claims = registry.verify(parsed, endorsements, builtin(), None, vector.at)
    assert isinstance(claims, TdxClaims)
    return claims, vector


@pytest.mark.parametrize("name", names())
def test_the_strict_default_finds_exactly_what_is_expected(name: str) -> None:
    claims, vector = verified(name)
    result = appraise(claims, load_default(Tee.TDX), vector.at)
    denying = {finding.rule.value for finding in result.denying}
    assert denying == {"measurement", *vector.expected["expect"]["policy_findings"]}
    assert result.decision is Decision.DENIED


@pytest.mark.parametrize("name", names())
def test_a_captured_policy_accepts_its_machine_unless_something_else_is_wrong(name: str) -> None:
    claims, vector = verified(name)
    text = capture_policy([claims], name="first", entry_id="captured", added=vector.at)
    loaded = load_policy(text.encode())
    result = appraise(claims, loaded, vector.at)
    assert {finding.rule.value for finding in result.denying} == set(
        vector.expected["expect"]["policy_findings"]
    )
    assert (result.decision is Decision.ACCEPTED) is not bool(
        vector.expected["expect"]["policy_findings"]
    )
    assert result.all_pinned
    other = replace(claims, td=replace(claims.td, mr_td=bytes(47) + b"\x01"))
    assert RuleId.MEASUREMENT in {
        finding.rule for finding in appraise(other, loaded, vector.at).denying
    }
