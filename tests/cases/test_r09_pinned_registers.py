# SPDX-License-Identifier: Apache-2.0
"""R-09: MRTD and RTMR0 to 2 are pinned, or `unpinned` with a reason; the result says what was pinned."""

from __future__ import annotations

import itertools

import pytest

from policies.appraise import appraise
from policies.lint import lint
from policies.registers import Register
from policies.result import Decision
from policies.rules import RuleId
from tests.unit.policies.claims_factory import GOOD, NOW
from tests.unit.policies.documents import MUST_PIN, RELEASE, faults, policy, text

SUBSETS = [
    subset for size in range(len(MUST_PIN) + 1) for subset in itertools.combinations(MUST_PIN, size)
]
EXTRA = {"rtmr3": GOOD.td.rtmr3.hex()}  # so that an entry is never empty


@pytest.mark.parametrize("open_", SUBSETS, ids=str)
def test_saving_and_appraising_agree(open_: tuple[Register, ...]) -> None:
    values = EXTRA | {name: value for name, value in RELEASE["values"].items() if name not in open_}
    sets = {"release": [{"id": "r1", "values": values}]}

    silent = policy(reference_sets=sets)
    refused = [remark.problem.message.split()[0] for remark in lint(silent, NOW) if remark.is_error]
    denied = [
        finding.path.removeprefix("td.")
        for finding in appraise(GOOD, silent, NOW).denying
        if finding.rule is RuleId.MEASUREMENT
    ]
    assert refused == denied == [register.value for register in open_]

    reasoned = policy({"unpinned": dict.fromkeys(open_, "it varies here")}, reference_sets=sets)
    result = appraise(GOOD, reasoned, NOW)
    assert not any(remark.is_error for remark in lint(reasoned, NOW))
    assert result.decision is Decision.ACCEPTED
    assert {register for register, _ in result.pinned} == set(MUST_PIN) - set(open_) | {
        Register.RTMR3
    }
    assert result.unpinned == tuple((register, "it varies here") for register in open_)
    assert result.all_pinned is not bool(open_)


@pytest.mark.parametrize("reason", ["", "x", None, True])
def test_leaving_a_register_open_needs_a_reason(reason: object) -> None:
    assert list(faults(text({"unpinned": {"rtmr0": reason}}))) == ["tdx.unpinned.rtmr0"]


def test_no_warning_period_stands_in_for_a_pin() -> None:
    assert (
        "cannot be made a warning"
        in faults(text(warn={"measurement": "2030-01-01"}))["warn.measurement"]
    )
    assert (
        "cannot be relaxed" in faults(text(relax={"measurement": "because"}))["relax.measurement"]
    )
