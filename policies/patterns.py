# SPDX-License-Identifier: Apache-2.0
"""Patterns of a policy: RE2, which matches in time linear in the text, and always the whole of it.

A dot matches no line break. What a pattern may not say (backreferences, lookaround) is what no such engine can.
Syntax: https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import re2
from pydantic import AfterValidator, Field

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PATTERN: Final = (
    8192  # characters; kernel command lines end at 4 KiB, and escaping doubles them at most
)

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 20  # bytes of one compiled pattern
_ANYTHING: Final = (".*", ".+", ".*$", ".+$", ".*)", ".+)")


def _pattern(said: str) -> str:
    try:
        _compiled(said)
    except re2.error as error:
        (why,) = error.args
        raise ValueError(f"no RE2 pattern: {why.decode('utf-8', 'replace')}") from None
    return said


Pattern: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=MAX_PATTERN), AfterValidator(_pattern)
]


def matches(patterns: Iterable[str], text: str) -> bool:
    """Whether one of the patterns matches the whole text."""
    return any(_compiled(one).fullmatch(text) for one in patterns)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:  # noqa: ANN401  the package has no types
    return re2.compile(pattern, _OPTIONS)


def open_ended(pattern: str) -> bool:
    """Whether something of any length may stand behind what the pattern asks for."""
    return pattern.endswith(_ANYTHING) and not pattern.endswith(("\\.*", "\\.+"))
