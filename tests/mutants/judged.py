# SPDX-License-Identifier: Apache-2.0
"""Mutants that no test need notice, and why none of them takes out or inverts a check.

Each judgement is a pattern of the function and one of the change ("old -> new", both searched for), so that it outlives
the numbers that mutmut gives. A pattern is as narrow as its reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Judgement:
    """Mutants of functions and changes like these, and why they may survive."""

    why: str
    function: str
    change: str


ANY = ""
JUDGED: tuple[Judgement, ...] = (
    Judgement(
        "equivalent: both sides have one length by construction, `strict` only says so",
        ANY,
        r"strict=True.* -> .*(strict=(None|False)|, \))",
    ),
    Judgement(
        'equivalent: "big" is the default byte order',
        ANY,
        r'(from|to)_bytes\(.*"big"\).* -> .*(from|to)_bytes\([^"]*, \)',
    ),
)


def judgement(function: str, change: str) -> str | None:
    """The reason for a mutant to live, if there is one."""
    return next(
        (
            one.why
            for one in JUDGED
            if re.search(one.function, function) and re.search(one.change, change)
        ),
        None,
    )
