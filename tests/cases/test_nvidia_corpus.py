# SPDX-License-Identifier: Apache-2.0
"""Every line of the list of what a verifier of NVIDIA evidence must reject, or must not: one case or more each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cases.nvidia.index import CORPUS, ELSEWHERE, LINES
from verifiers.errors import VerificationError

if TYPE_CHECKING:
    from tests.cases.nvidia.case import Case


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CORPUS])
def test_case(case: Case) -> None:
    assert case.outcome() == case.expect, case.why


def test_a_refusal_says_why_in_words() -> None:
    for reason in {case.expect for case in CORPUS if case.refuses}:
        case = next(case for case in CORPUS if case.expect == reason)
        with pytest.raises(VerificationError) as caught:
            case.run()
        assert len(caught.value.detail.split()) >= 3


def test_every_line_is_accounted_for() -> None:
    assert {case.line for case in CORPUS} | set(ELSEWHERE) == LINES


def test_reasons_are_unique_within_a_line() -> None:
    assert len({(case.line, case.why) for case in CORPUS}) == len(CORPUS)
