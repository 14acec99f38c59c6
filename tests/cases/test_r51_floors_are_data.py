# SPDX-License-Identifier: Apache-2.0
"""R-51, policy side: advisories map to minimum numbers as data; a newer list wins, versions only rise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from policies.appraise import appraise
from policies.errors import PolicyError
from policies.floors import builtin_floors, load_floors, newest
from policies.result import Decision
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import snp_policy
from tests.unit.policies.snp_claims import GOOD_SNP

if TYPE_CHECKING:
    from policies.floors import Floors

BY = snp_policy({"tcb": {"advisories": ["AMD-SB-3020"]}})


def raised(version: int, snp: int) -> Floors:
    """A list in which AMD-SB-3020 asks for this number."""
    advisory = {
        "title": "a bulletin that was revised",
        "source": "a test",
        "date": "2026-11-01",
        "floors": {"19-11-1": {"reported": {"snp": snp}}},
    }
    text = {"version": version, "date": "2026-11-01", "advisories": {"AMD-SB-3020": advisory}}
    return load_floors(json.dumps(text).encode())


def test_the_same_policy_asks_more_once_the_list_does() -> None:
    assert appraise(GOOD_SNP, BY, NOW).decision is Decision.ACCEPTED
    later = raised(builtin_floors().file.version + 1, 28)
    assert appraise(GOOD_SNP, BY, NOW, later).decision is Decision.DENIED
    assert newest(builtin_floors(), later) is later


def test_an_older_list_does_not_come_back() -> None:
    newer, older = raised(9, 28), raised(8, 1)
    assert newest(older, newer) is newest(newer, older) is newer


def test_a_version_is_one_text() -> None:
    with pytest.raises(PolicyError, match="versions only rise"):
        newest(raised(9, 28), raised(9, 1))


def test_each_result_names_the_list_it_was_judged_by() -> None:
    """So that it can be recomputed, whatever list is in force by then."""
    first, second = raised(8, 27), raised(9, 27)
    texts = [appraise(GOOD_SNP, BY, NOW, one).to_json() for one in (first, second, first)]
    assert texts[0] == texts[2] != texts[1]
    assert json.loads(texts[1])["floors"] == {"version": 9, "sha256": second.sha256.hex()}
