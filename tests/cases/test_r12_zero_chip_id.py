# SPDX-License-Identifier: Apache-2.0
"""R-12, policy side: an all-zero hardware id matches no list, and stands in none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.appraise import appraise
from policies.result import Decision
from policies.rules import RuleId
from policies.tdx_document import Platforms
from tests.unit.policies.claims_factory import GOOD, NOW, PCK
from tests.unit.policies.documents import faults, policy, tdx_rules, text

ZERO = bytes(16)


@pytest.mark.parametrize("kind", ["ppid", "platform_instance_id"])
def test_it_cannot_be_listed(kind: str) -> None:
    path = f"tdx.platforms.{kind}[0]"
    assert faults(text({"platforms": {kind: [ZERO.hex()]}})) == {
        path: "an all-zero id names no hardware"
    }


@pytest.mark.parametrize("kind", ["ppid", "platform_instance_id"])
def test_it_matches_no_list_even_one_that_holds_it(kind: str) -> None:
    loaded = policy({"platforms": {kind: ["01" * 16]}})
    lists = Platforms.model_construct(
        fmspc=None, ppid=frozenset(), platform_instance_id=frozenset()
    )
    holding = lists.model_copy(update={kind: frozenset({ZERO, b"\x01" * 16})})
    tdx = tdx_rules(loaded).model_copy(update={"platforms": holding})
    forced = replace(loaded, document=loaded.document.model_copy(update={"tdx": tdx}))
    zero = replace(GOOD, pck=replace(PCK, ppid=ZERO, platform_instance_id=ZERO))
    assert [finding.rule for finding in appraise(zero, forced, NOW).denying] == [RuleId.CHIP_LIST]
    listed = replace(GOOD, pck=replace(PCK, **{kind: b"\x01" * 16}))  # type: ignore[arg-type]  # the name of the field is a parameter here
    assert appraise(listed, forced, NOW).decision is Decision.ACCEPTED
