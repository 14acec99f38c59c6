# SPDX-License-Identifier: Apache-2.0
"""The whole corpus by id, and the lines that other parts of the project answer for, alone or beside the verifier."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from tests.cases.tdx import (
    chapter_a,
    chapter_a_collateral,
    chapter_b,
    chapter_c,
    chapter_c_tcb,
    chapter_d,
    chapter_e,
    chapter_f,
    chapter_g,
)

if TYPE_CHECKING:
    from tests.tdx_lab import Case

LINES = range(1, 119)

# What is not the verifier's alone: who else answers for the line.
ELSEWHERE = {
    107: "ca.fetch: TLS to the collateral service is always checked",
    111: "ca.enrollment and ca.store: a nonce is used once",
    113: "ca.enrollment and ca.store: the highest evaluation numbers that decided",
    115: "ca.issuance: notAfter of the certificate",
    117: "policies: lists of platforms",
}


def _identified(cases: list[Case]) -> list[Case]:
    ordered = sorted(cases, key=lambda case: case.line)
    found = []
    for line, group in groupby(ordered, key=lambda case: case.line):
        same = list(group)
        letters = [""] if len(same) == 1 else [chr(ord("a") + i) for i in range(len(same))]
        assert len(letters) <= 26, f"line {line} has too many cases"
        found += [
            replace(case, id=f"tdx-{line:03}{letter}")
            for case, letter in zip(same, letters, strict=True)
        ]
    return found


_CHAPTERS = (
    chapter_a,
    chapter_a_collateral,
    chapter_b,
    chapter_c,
    chapter_c_tcb,
    chapter_d,
    chapter_e,
    chapter_f,
)
CORPUS = _identified([case for chapter in _CHAPTERS for case in chapter.CASES])
MEASURED = [replace(case, id=f"tdx-g{i:02}") for i, case in enumerate(chapter_g.CASES, 1)]
