# SPDX-License-Identifier: Apache-2.0
"""R-53, policy side: only listed chips, if a policy says so; and every certificate names its chip by a keyed handle."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.issuance.platform import describe
from policies.appraise import appraise
from policies.result import Decision, log_text
from policies.rules import RuleId
from tests.unit.policies.claims_factory import GOOD, NOW
from tests.unit.policies.documents import faults, policy, snp_policy, snp_text
from tests.unit.policies.snp_claims import GOOD_SNP, REPORT, with_report
from verifiers.evidence import Tee

if TYPE_CHECKING:
    from verifiers.claims import Claims

OURS = REPORT.chip_id
KEY, OTHER_KEY = bytes(32), b"\x01" * 32
LISTED = {"chips": [OURS.hex(), "ab" * 64]}


def test_only_listed_chips() -> None:
    by = snp_policy(LISTED)
    assert appraise(GOOD_SNP, by, NOW).decision is Decision.ACCEPTED
    assert appraise(with_report(chip_id=b"\xab" * 64), by, NOW).decision is Decision.ACCEPTED
    result = appraise(with_report(chip_id=OURS[:-1] + b"\x01"), by, NOW)
    assert [finding.rule for finding in result.denying] == [RuleId.CHIP_LIST]


@given(chip_id=st.binary(min_size=64, max_size=64))
def test_any_other_chip_is_denied(chip_id: bytes) -> None:
    accepted = appraise(with_report(chip_id=chip_id), snp_policy(LISTED), NOW).decision
    assert (accepted is Decision.ACCEPTED) is (chip_id in {OURS, b"\xab" * 64})


@pytest.mark.parametrize("chips", [[], ["00" * 64], ["ab" * 63], ["ab" * 65], ["AB" * 32], [""]])
def test_lists_that_name_no_chip(chips: list[str]) -> None:
    assert faults(snp_text({"chips": chips}))


def test_one_handle_for_each_chip_under_a_key_that_hides_it() -> None:
    """Revoking it takes every certificate of the chip; without the key nobody can tell which chip it is."""
    another = replace(GOOD_SNP, report=replace(REPORT, measurement=bytes(48)))
    elsewhere = with_report(chip_id=b"\xab" * 64)
    ours, again, theirs = (
        describe(claims, KEY, floors_hold=True).chip_ids
        for claims in (GOOD_SNP, another, elsewhere)
    )
    assert ours == again != theirs
    assert len(ours) == len(theirs) == 1
    assert describe(GOOD_SNP, OTHER_KEY, floors_hold=True).chip_ids != ours
    assert OURS not in ours[0]
    assert not describe(with_report(chip_id=bytes(64)), KEY, floors_hold=True).chip_ids


@pytest.mark.parametrize("tee", Tee)
@pytest.mark.parametrize("listed", [True, False])
def test_a_log_is_not_shown_which_machine_it_was(tee: Tee, *, listed: bool) -> None:
    """The record keeps it, for whoever has to add the machine to a list."""
    ppid = b"\xc7" * 16
    tdx = replace(GOOD, pck=replace(GOOD.pck, ppid=ppid))
    claims: Claims = GOOD_SNP if tee is Tee.SNP else tdx
    hardware_id = (OURS if tee is Tee.SNP else ppid).hex()
    entry = hardware_id if listed else "ab" * (len(hardware_id) // 2)
    by = (
        snp_policy({"chips": [entry]})
        if tee is Tee.SNP
        else policy({"platforms": {"ppid": [entry]}})
    )
    record = appraise(claims, by, NOW).to_json()
    shown = log_text(record)
    assert hardware_id in record
    assert hardware_id not in shown
    everything, rest = json.loads(record), json.loads(shown)
    everything["findings"] = [one for one in everything["findings"] if one["result"] != "pass"]
    assert ("chip-list" in {one["rule"] for one in rest["findings"]}) is not listed
    for one in (*everything["findings"], *rest["findings"]):
        if one["rule"] == "chip-list":
            assert one.pop("actual")
    assert everything == rest
