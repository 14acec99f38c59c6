# SPDX-License-Identifier: Apache-2.0
"""Strict JSON whose exact bytes matter: a signature covers the text of one member, not its meaning.

Rules: UTF-8; no duplicate keys anywhere (a second copy of a signed part could be the one that is read); no NaN; nesting
that exhausts the decoder is refused. `member_texts` gives each top-level member's value as the exact slice of the
input, never re-serialised. Raises ValueError.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import NoReturn, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_SPACE = " \t\n\r"
_STRING = re.compile(
    rb'"(?:[^"\\]|\\.)*"?', re.DOTALL
)  # one that does not end too: linear in its length
_ANSWER_DEPTH = 16  # Intel's TCB info has 7, the deepest of all
_STEPS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


def parse(text: bytes) -> dict[str, Json]:
    """The JSON object in `text`, which nobody vouches for."""
    return _parse(text, _DECODER)


def parse_signed(text: bytes) -> dict[str, Json]:
    """The JSON object in `text`, all of which is under a signature that was checked.

    A key that stands twice there is the signer's own doing, and no second reader sees another text: not looked for.
    """
    return _parse(text, _PLAIN_DECODER)


def parse_any(text: bytes) -> Json:
    """The JSON value in `text`, of any type, which nobody vouches for."""
    return _decode(text, _DECODER)


def is_object(text: bytes) -> bool:
    """Whether `text` is a JSON object that `parse` takes, nested at most 16 deep: all that a vendor gives is."""
    try:
        check_depth(text, _ANSWER_DEPTH)
        parse(text)
    except ValueError:
        return False
    return True


def check_depth(text: bytes, most: int) -> None:
    """Demand that arrays and objects are nested at most `most` deep. Nothing else is said of the text."""
    brackets = re.findall(rb"[\[\]{}]", _STRING.sub(b"", text))
    if max(accumulate(_STEPS[one] for one in brackets), default=0) > most:
        raise ValueError(f"nested more than {most} deep")


def _decode(text: bytes, decoder: json.JSONDecoder) -> Json:
    source = text.decode("utf-8")
    try:
        value: Json = decoder.decode(source)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def _parse(text: bytes, decoder: json.JSONDecoder) -> dict[str, Json]:
    value = _decode(text, decoder)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one exception type for bad text
    return value


def member_texts(text: bytes) -> dict[str, bytes]:
    """The top-level members of the JSON object in `text`: name -> exact bytes of the value."""
    parse(text)  # all of it must be well-formed, bounded and without duplicates before it is sliced
    source = text.decode("utf-8")
    members: dict[str, bytes] = {}
    position = _skip(source, source.index("{") + 1)
    while source[position] != "}":
        name, position = _DECODER.raw_decode(source, position)
        start = _skip(source, _skip(source, position) + 1)
        _, end = _DECODER.raw_decode(source, start)
        members[name] = source[start:end].encode("utf-8")
        position = _skip(source, end)
        if source[position] == ",":
            position = _skip(source, position + 1)
    return members


def string(text: bytes) -> str:
    """The JSON string that `text`, a value given by `member_texts`, is."""
    value: Json = _DECODER.decode(text.decode("utf-8"))
    if not isinstance(value, str):
        raise ValueError("not a string")  # noqa: TRY004 - one exception type for bad text
    return value


def _skip(source: str, position: int) -> int:
    while source[position] in _SPACE:
        position += 1
    return position


def _no_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_PLAIN_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
