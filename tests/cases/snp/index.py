# SPDX-License-Identifier: Apache-2.0
"""The whole corpus by id, and for every line that is not the verifier's alone: which tests answer for it."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from tests.cases.snp import (
    chapter_azure,
    chapter_chain,
    chapter_chips,
    chapter_levels,
    chapter_lists,
    chapter_policy,
    chapter_products,
    chapter_report,
    chapter_tcb,
)

if TYPE_CHECKING:
    from tests.cases.snp.case import Case

LINES = range(1, 61)

# What is not the verifier's or the policy's alone: the files, below the checkout, that answer for the line too.
ELSEWHERE = {
    20: ("tests/cases/test_snp_kds.py", "tests/cases/test_tdx_113_older_evaluations.py"),
    32: ("tests/cases/test_snp_kds.py", "tests/unit/ca/fetch/test_cache.py"),
    51: ("tests/unit/ca/cli/test_compute.py",),
    56: (
        "tests/cases/test_snp_kds.py",
        "tests/cases/test_r36_outbound.py",
        "tests/unit/ca/fetch/test_backoff.py",
    ),
    58: ("THREAT_MODEL.md",),
}

_CHAPTERS = (
    chapter_report,
    chapter_chain,
    chapter_lists,
    chapter_chips,
    chapter_levels,
    chapter_products,
    chapter_policy,
    chapter_tcb,
    chapter_azure,
)


def _suffix(number: int, count: int) -> str:
    return f"-{number:02}" if count > 1 else ""


def _identified(cases: list[Case]) -> list[Case]:
    ordered = sorted(cases, key=lambda case: case.line)
    found = []
    for line, group in groupby(ordered, key=lambda case: case.line):
        same = list(group)
        found += [
            replace(case, id=f"snp-{line:02}{_suffix(number, len(same))}")
            for number, case in enumerate(same, 1)
        ]
    return found


CORPUS = _identified([case for chapter in _CHAPTERS for case in chapter.CASES])
JUDGED = {
    f"policy-{one.line}-{number:02}": one
    for number, one in enumerate((*chapter_policy.JUDGED, *chapter_tcb.JUDGED), 1)
}
REFUSED = {
    f"document-{one.line}-{number:02}": one
    for number, one in enumerate((*chapter_policy.REFUSED, *chapter_tcb.REFUSED), 1)
}
