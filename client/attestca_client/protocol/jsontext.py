# SPDX-License-Identifier: Apache-2.0
"""JSON that strangers wrote: one object, read within limits that do not depend on the process.

Python's reader goes as deep as the interpreter's recursion limit lets it. Libraries raise that limit for the whole
process, and then a text of brackets ends it. So brackets are counted first. Pure.
"""

from __future__ import annotations

import json
from typing import Any, Final

MAX_BRACKETS: Final = 512  # an object has one, a list has one
_MAX_DIGITS: Final = 20


def read_object(data: bytes) -> dict[str, Any]:
    """The object. Raises ValueError for anything else, whole numbers of more than 20 characters among it."""
    if data.count(b"[") + data.count(b"{") > MAX_BRACKETS:
        raise ValueError("too many lists and objects")
    value = json.loads(data, parse_int=_whole)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one error for all that is not what was to be read
    return value


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("a number is too long")
    return int(digits)
