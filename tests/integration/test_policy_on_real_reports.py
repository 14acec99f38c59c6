# SPDX-License-Identifier: Apache-2.0
"""Real SEV-SNP reports through the verifier and the strict default policy: exactly what their folders expect.

The same report captured into a first policy denies by these findings alone.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from policies.appraise import appraise
from policies.capture import capture_policy
from policies.floors import builtin_floors
from policies.loader import load_default, load_policy
from policies.result import Decision
from policies.rules import RuleId
from tests.cases.snp import vectors
from verifiers import registry
from verifiers.anchors import builtin
from verifiers.endorsements import Revocation
from verifiers.evidence import Provider, Tee
from verifiers.files import identify
from verifiers.snp.claims import SnpClaims


def names() -> list[Any]:
    """Folders that expect verified claims; one parameter that is skipped where there are no folders."""
    return [name for name in vectors.names() if not isinstance(name, str) or _verifies(name)]


def _verifies(name: str) -> bool:
    expected = json.loads((vectors.SNP / name / "expected.json").read_text())
    return bool(expected["expect"]["verdict"] == "verified")


def verified(name: str) -> tuple[SnpClaims, vectors.Vector]:
    vector = vectors.load(name)
    files = [vector.hcl or vector.report, vector.vek, *([vector.crl] if vector.crl else [])]
    identified = identify(files)
    parsed = registry.parse(identified.evidence)
    endorsements = registry.no_endorsements(parsed)
    for crl in identified.collateral:
        endorsements = registry.parse_bundle(parsed, crl)
    claims = registry.verify(parsed, endorsements, builtin(), None, vector.at)
    assert isinstance(claims, SnpClaims)
    return claims, vector


def expected_of(vector: vectors.Vector) -> set[str]:
    unknown = set() if vector.crl else {RuleId.REVOCATION_UNKNOWN.value}
    return {*vector.expected["expect"]["policy_findings"], *unknown}


@pytest.mark.parametrize("name", names())
def test_the_strict_default_finds_exactly_what_is_expected(name: str) -> None:
    claims, vector = verified(name)
    result = appraise(claims, load_default(Tee.SNP), vector.at)
    denying = {finding.rule.value for finding in result.denying}
    assert denying == {"measurement", *expected_of(vector)}
    assert [finding.rule for finding in result.tolerated] == [RuleId.TCB_FLOOR]
    assert (claims.provider is Provider.AZURE) is (vector.hcl is not None)


@pytest.mark.parametrize("name", names())
def test_a_captured_policy_denies_by_the_expected_alone(name: str) -> None:
    claims, vector = verified(name)
    if claims.provider is Provider.AZURE:  # no folder has the quote that belongs to its envelope
        with pytest.raises(ValueError, match="does not report pcr4"):
            capture_policy([claims], name="first", entry_id="captured", added=vector.at)
        claims = replace(claims, provider=Provider.DIRECT)
    text = capture_policy([claims], name="first", entry_id="captured", added=vector.at)
    loaded = load_policy(text.encode())
    result = appraise(claims, loaded, vector.at)
    assert {finding.rule.value for finding in result.denying} == expected_of(vector)
    assert result.all_pinned
    other = replace(claims, report=replace(claims.report, measurement=bytes(47) + b"\x01"))
    assert RuleId.MEASUREMENT in {
        finding.rule for finding in appraise(other, loaded, vector.at).denying
    }
    checked = replace(claims, revocation=Revocation.GOOD)
    accepted = not vector.expected["expect"]["policy_findings"]
    without_list = replace(checked, collateral=())
    still = {finding.rule for finding in appraise(without_list, loaded, vector.at).denying}
    assert (still == {RuleId.COLLATERAL_STALE}) is accepted
    assert appraise(without_list, loaded, vector.at).decision is Decision.DENIED


# By the list of the package; the numbers of the folders stand beside.
FLOORS = {
    "milan-v3-azure-aci": {"AMD-SB-3020", "AMD-SB-3027"},  # snp 18, microcode db
    "milan-v3-reported-below-committed": {"AMD-SB-3019", "AMD-SB-3020", "AMD-SB-3027"},  # 17, d5
    "genoa-v3-azure-aci": {"AMD-SB-3020", "AMD-SB-3027"},  # 17, 54
    "genoa-v3-baremetal": {"AMD-SB-3019", "AMD-SB-3020", "AMD-SB-3027"},  # 17, 48
    "genoa-v5-mitigation-vector": set[str](),  # 1b, 58
    "genoa-v5-siena-bergamo-model-a0": set[str](),  # 1b, 1b
    "turin-v5-azure-aci": {"AMD-SB-3019"},  # 04, 51; no floor for Turin in that bulletin
    "milan-v2-google": {"AMD-SB-3005", "AMD-SB-3015", "AMD-SB-3019", "AMD-SB-3020", "AMD-SB-3027"},
}


@pytest.mark.parametrize("name", sorted(FLOORS))
def test_the_floors_of_the_package_on_real_machines(name: str) -> None:
    claims, vector = verified(name)
    by = {
        "name": "floors",
        "version": 1,
        "match": {"tee": "snp"},
        "snp": {"tcb": {"advisories": list(builtin_floors().file.advisories)}},
    }
    result = appraise(claims, load_policy(json.dumps(by).encode()), vector.at)
    found = {
        finding.path.removeprefix("advisories.")
        for finding in result.denying
        if finding.rule is RuleId.TCB_FLOOR
    }
    assert found == FLOORS[name]
