# SPDX-License-Identifier: Apache-2.0
"""Strict JSON: exact slices, one meaning, ValueError for all else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers import jsontext

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)
SPACE = st.text(" \t\n\r", max_size=2)


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=5), st.data())
def test_members_are_exact_slices(members: dict[str, object], data: st.DataObject) -> None:
    """Whatever the white space: the text of each value as it stood there."""
    texts = {
        name: json.dumps(value, indent=data.draw(st.sampled_from([None, 1]))).encode()
        for name, value in members.items()
    }

    def gap() -> bytes:
        return data.draw(SPACE).encode()

    body = (gap() + b",").join(
        gap() + json.dumps(name).encode() + gap() + b":" + gap() + text
        for name, text in texts.items()
    )
    text = gap() + b"{" + body + gap() + b"}" + gap()
    assert jsontext.member_texts(text) == texts
    assert jsontext.parse(text) == members


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'"text"',
        b"1",
        b"{",
        b"{}x",
        b"\xef\xbb\xbf{}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": "\xff"}',
        b'{"a": 1,}',
        b"{'a': 1}",
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a":' * 200_000,
        b"[" * 200_000,
    ],
    ids=lambda text: repr(text[:24]) + str(len(text)),
)
def test_refused(text: bytes) -> None:
    for read in (jsontext.parse, jsontext.member_texts):
        with pytest.raises(ValueError):  # noqa: PT011 - many messages, one type
            read(text)


@given(VALUES)
def test_any_value(value: object) -> None:
    assert jsontext.parse_any(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", [b"", b"[1", b"NaN", b"[] []", b'[{"a": 1, "a": 1}]', b"[" * 9999])
def test_no_value(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is the library's
        jsontext.parse_any(text)


def test_signed_text_may_repeat_a_key() -> None:
    """All of it is the signer's; everything else is as strict."""
    assert jsontext.parse_signed(b'{"a": 1, "a": 2}') == {"a": 2}
    for text in (b"[]", b'{"a": NaN}', b"{}x", b'{"a":' * 200_000):
        with pytest.raises(ValueError):  # noqa: PT011 - many messages, one type
            jsontext.parse_signed(text)


def test_a_string() -> None:
    assert jsontext.string(b'"\\u0061b"') == "ab"
    for text in (b"1", b"null", b'["a"]', b'{"a": 1}'):
        with pytest.raises(ValueError, match="not a string"):
            jsontext.string(text)


@given(VALUES, st.integers(0, 8))
def test_depth_is_that_of_the_value(value: object, most: int) -> None:
    """Brackets in strings are no nesting."""
    text = json.dumps(value).encode()
    if depth(value) <= most:
        jsontext.check_depth(text, most)
    else:
        with pytest.raises(ValueError, match=f"nested more than {most} deep"):
            jsontext.check_depth(text, most)


def depth(value: object) -> int:
    match value:
        case dict():
            return 1 + max(map(depth, value.values()), default=0)
        case list():
            return 1 + max(map(depth, value), default=0)
        case _:
            return 0


@pytest.mark.parametrize(
    ("text", "deep"),
    [
        (b"", 0),
        (b'"[[["', 0),
        (b'"\\"[[["', 0),
        (b'"\\\\"[', 1),
        (b'"[[[', 0),
        (b"]]][", 0),
        (b"[]" * 1000, 1),
        (b'["[", {"[": "{"}]', 2),
        (b"[" * 100_000, 100_000),
        (b'\\"' * 100_000, 0),
    ],
)
def test_depth_of_any_text(text: bytes, deep: int) -> None:
    jsontext.check_depth(text, deep)
    if deep:
        with pytest.raises(ValueError, match="deep"):
            jsontext.check_depth(text, deep - 1)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b"{}", True),
        (b' {"a": [{"b": null}]}\n', True),
        (b'{"a":' * 16 + b"0" + b"}" * 16, True),
        (b'{"a":' * 17 + b"0" + b"}" * 17, False),
        (b"", False),
        (b"[]", False),
        (b'"text"', False),
        (b"<html>try later</html>", False),
        (b'{"a": [{"b": nu', False),
        (b'{"a": 1, "a": 2}', False),
        (b'{"a": NaN}', False),
        (b'{"a": "\xff"}', False),
        (b"[" * 100_000, False),
    ],
)
def test_an_object_or_none(text: bytes, *, answer: bool) -> None:
    assert jsontext.is_object(text) is answer


@given(st.binary())
def test_any_bytes_for_an_object(text: bytes) -> None:
    assert jsontext.is_object(text) is False or jsontext.parse(text) is not None
