# SPDX-License-Identifier: Apache-2.0
"""Every line of the list of what a verifier of SEV-SNP evidence must reject, or must not: one case or more each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simulator.amd_keys import malleate
from tests.cases.snp.index import CORPUS, ELSEWHERE, JUDGED, LINES, REFUSED
from tests.snp_lab import SnpLab
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from tests.cases.snp.case import Case
    from tests.cases.snp.judged import Judged, Refused

TOP = Path(__file__).parents[2]
EVERY: tuple[Case | Judged | Refused, ...] = (*CORPUS, *JUDGED.values(), *REFUSED.values())


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CORPUS])
def test_case(case: Case) -> None:
    exhibit = case.exhibit()
    assert exhibit.outcome() == case.expect, case.why
    if case.fact is not None:
        assert case.fact(exhibit.verify()), case.why


@pytest.mark.parametrize("name", JUDGED)
def test_what_the_policy_says(name: str) -> None:
    judged = JUDGED[name]
    assert judged.rules() == judged.denied, judged.why


@pytest.mark.parametrize("name", REFUSED)
def test_documents_that_cannot_be_saved(name: str) -> None:
    refused = REFUSED[name]
    assert refused.path in refused.faults(), refused.why


def test_every_line_is_accounted_for() -> None:
    assert {case.line for case in EVERY} | set(ELSEWHERE) == set(LINES)
    assert all(case.line in LINES for case in EVERY)


@pytest.mark.parametrize("line", ELSEWHERE)
def test_who_answers_for_a_line_is_there(line: int) -> None:
    for name in ELSEWHERE[line]:
        assert (TOP / name).is_file(), name


def test_reasons_are_unique_within_a_line() -> None:
    named = {(case.line, case.why) for case in EVERY}
    assert len(named) == len(EVERY)


def test_the_twin_of_a_signature_is_the_same_statement() -> None:
    """Line 12: with (r, n-s) nothing is claimed that (r, s) does not claim, but the digest of the bytes is another."""
    lab = SnpLab.create()
    ours = lab.exhibit().verify()
    lab.report(signature=malleate)
    twin = lab.exhibit().verify()
    fields = ours.__dataclass_fields__
    differing = {name for name in fields if getattr(ours, name) != getattr(twin, name)}
    assert differing == {"evidence_sha256"}


def test_the_documents_say_what_a_measurement_leaves_open() -> None:
    """Line 58: nothing in a report shows that the image takes ACPI tables from the host unmeasured."""
    assert "does not cover ACPI tables" in (TOP / "THREAT_MODEL.md").read_text()


def test_a_refusal_says_why_in_words() -> None:
    for reason in {case.expect for case in CORPUS} & set(Reason):
        case = next(case for case in CORPUS if case.expect is reason)
        with pytest.raises(VerificationError) as caught:
            case.exhibit().verify()
        assert len(caught.value.detail.split()) >= 3
