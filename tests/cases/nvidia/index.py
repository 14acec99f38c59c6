# SPDX-License-Identifier: Apache-2.0
"""The whole corpus by id, and the lines that other parts of the project answer for.

A chapter is a module with `CASES`. Lines 70 to 72 are about what binds a device to a CPU, lines 75 to 80 about how this
project is made; none is the verifier's or a policy's.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from tests.cases.nvidia import (
    chapter_a,
    chapter_b,
    chapter_c,
    chapter_d,
    chapter_d_asked,
    chapter_d_status,
    chapter_e,
    chapter_e_form,
    chapter_e_values,
    chapter_f,
    chapter_f_claims,
    chapter_f_devices,
    chapter_g,
    chapter_policy,
)

if TYPE_CHECKING:
    from tests.cases.nvidia.case import Case

LINES = {*range(1, 70), 73, 74}

# What is not the verifier's alone: who answers for the line.
ELSEWHERE = {
    49: "addresses come from configuration and signed fields; ca.fetch follows no redirect (R-36)",
}


def _identified(cases: list[Case]) -> list[Case]:
    found = []
    for line, group in groupby(sorted(cases, key=lambda case: case.line), lambda case: case.line):
        same = list(group)
        found += [
            replace(case, id=f"nvidia-{line:02}-{number:02}") for number, case in enumerate(same, 1)
        ]
    return found


_CHAPTERS = (
    chapter_a,
    chapter_b,
    chapter_c,
    chapter_d,
    chapter_d_asked,
    chapter_d_status,
    chapter_e,
    chapter_e_form,
    chapter_e_values,
    chapter_f,
    chapter_f_claims,
    chapter_f_devices,
    chapter_g,
    chapter_policy,
)
CORPUS = _identified([case for chapter in _CHAPTERS for case in chapter.CASES])
