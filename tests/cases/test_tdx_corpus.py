# SPDX-License-Identifier: Apache-2.0
"""Every line of the list of what a verifier of TDX evidence must reject, or must not: one case or more each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cases.tdx.index import CORPUS, ELSEWHERE, LINES, MEASURED
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from tests.tdx_lab import Case


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in (*CORPUS, *MEASURED)])
def test_case(case: Case) -> None:
    exhibit = case.exhibit()
    assert exhibit.outcome() == case.expect, case.why
    if case.fact is not None:
        assert case.fact(exhibit.verify()), case.why


def test_every_line_is_accounted_for() -> None:
    assert {case.line for case in CORPUS} | set(ELSEWHERE) == set(LINES)
    assert all(case.line in LINES for case in CORPUS)


def test_reasons_are_unique_within_a_line() -> None:
    named = {(case.line, case.why) for case in CORPUS}
    assert len(named) == len(CORPUS)


def test_a_refusal_says_why_in_words() -> None:
    for reason in {case.expect for case in CORPUS} & set(Reason):
        case = next(case for case in CORPUS if case.expect is reason)
        with pytest.raises(VerificationError) as caught:
            case.exhibit().verify()
        assert len(caught.value.detail.split()) >= 3
