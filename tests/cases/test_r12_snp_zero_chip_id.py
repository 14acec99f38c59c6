# SPDX-License-Identifier: Apache-2.0
"""R-12, SEV-SNP: an all-zero CHIP_ID matches no list and stands in none; a VLEK is no chip's."""

from __future__ import annotations

from dataclasses import replace

from policies.appraise import appraise
from policies.result import Decision
from policies.rules import RuleId
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import faults, snp_policy, snp_text
from tests.unit.policies.snp_claims import GOOD_SNP, REPORT, VLEK, with_report

ZERO = bytes(64)


def test_it_cannot_be_listed() -> None:
    assert faults(snp_text({"chips": [ZERO.hex()]})) == {
        "snp.chips[0]": "an all-zero id names no hardware"
    }
    assert list(faults(snp_text({"chips": []}))) == ["snp.chips"]


def test_it_matches_no_list_even_one_that_holds_it() -> None:
    loaded = snp_policy({"chips": [REPORT.chip_id.hex()]})
    assert loaded.document.snp is not None
    snp = loaded.document.snp.model_copy(update={"chips": frozenset({ZERO, REPORT.chip_id})})
    forced = replace(loaded, document=loaded.document.model_copy(update={"snp": snp}))
    denied = appraise(with_report(chip_id=ZERO), forced, NOW)
    assert [one.rule for one in denied.denying] == [RuleId.CHIP_LIST]
    assert appraise(GOOD_SNP, forced, NOW).decision is Decision.ACCEPTED


def test_a_vlek_is_on_no_list_of_chips() -> None:
    both = snp_policy({"chips": [REPORT.chip_id.hex()], "vlek": {"csp_ids": [VLEK.csp_id]}})
    shared = appraise(replace(GOOD_SNP, vek=VLEK), both, NOW)
    assert [one.rule for one in shared.denying] == [RuleId.CHIP_LIST]
