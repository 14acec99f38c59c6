# SPDX-License-Identifier: Apache-2.0
"""R-51, for NVIDIA's drivers: bulletins map to lowest versions as data; a newer list wins, versions only rise."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from policies.appraise import appraise
from policies.errors import PolicyError
from policies.minimums import builtin_minimums, load_minimums, newest
from policies.result import Decision
from policies.rules import RuleId
from tests.unit.policies.claims_factory import GOOD, NOW
from tests.unit.policies.nvidia_claims import GPU, together, wanting

if TYPE_CHECKING:
    from policies.minimums import Minimums

BY = wanting(driver={"advisories": ["nvidia-5861"]})
DEVICES = together(GPU)


def raised(version: int, driver: str) -> Minimums:
    """A list in which the bulletin asks for this version."""
    advisory = {
        "title": "a bulletin that was revised",
        "source": "a test",
        "date": "2026-11-01",
        "driver": {"580": driver},
    }
    text = {"version": version, "date": "2026-11-01", "advisories": {"nvidia-5861": advisory}}
    return load_minimums(json.dumps(text).encode())


def test_the_same_policy_asks_more_once_the_list_does() -> None:
    assert appraise(GOOD, BY, NOW, devices=DEVICES).decision is Decision.ACCEPTED
    later = raised(builtin_minimums().file.version + 1, "580.200.01")
    result = appraise(GOOD, BY, NOW, devices=DEVICES, minimums=later)
    assert {one.rule for one in result.denying} == {RuleId.DRIVER_MINIMUM}
    assert newest(builtin_minimums(), later) is later


def test_a_branch_that_a_newer_list_leaves_out_is_refused() -> None:
    """NVIDIA no longer fixes it; and one that came after the list wants a newer list."""
    for driver in ("595.91.07", "620.10.01"):
        devices = together(replace(GPU, driver_version=driver))
        result = appraise(GOOD, BY, NOW, devices=devices, minimums=raised(9, "580.200.01"))
        assert {one.rule for one in result.denying} == {RuleId.DRIVER_MINIMUM}


def test_an_older_list_does_not_come_back() -> None:
    newer, older = raised(9, "580.200.01"), raised(8, "580.1.1")
    assert newest(older, newer) is newest(newer, older) is newer


def test_a_version_is_one_text() -> None:
    with pytest.raises(PolicyError, match="versions only rise"):
        newest(raised(9, "580.200.01"), raised(9, "580.1.1"))


def test_each_result_names_the_list_it_was_judged_by() -> None:
    """So that it can be recomputed, whatever list is in force by then."""
    first, second = raised(8, "580.1.1"), raised(9, "580.1.1")
    texts = [
        appraise(GOOD, BY, NOW, devices=DEVICES, minimums=one).to_json()
        for one in (first, second, first)
    ]
    assert texts[0] == texts[2] != texts[1]
    assert json.loads(texts[1])["minimums"] == {"version": 9, "sha256": second.sha256.hex()}
