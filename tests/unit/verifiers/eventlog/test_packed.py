# SPDX-License-Identifier: Apache-2.0
"""MessagePack and CBOR: what is written is read, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.eventlog_lab import cbor, msgpack
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.packed import Packed, parse_cbor, parse_msgpack

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = (0, 23, 24, 127, 128, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32, (1 << 64) - 1)
READERS = pytest.mark.parametrize(
    ("read", "write"), [(parse_msgpack, msgpack), (parse_cbor, cbor)], ids=["msgpack", "cbor"]
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUES = st.recursive(
    st.none() | st.integers(0, (1 << 64) - 1) | TEXT | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(TEXT, inner, max_size=20),
    max_leaves=20,
)


def refusal(read: Callable[[bytes], Packed], data: bytes) -> Reason:
    with pytest.raises(VerificationError) as caught:
        read(data)
    return caught.value.reason


def depth(value: object) -> int:
    match value:
        case list():
            return 1 + max(map(depth, value), default=0)
        case dict():
            return 1 + max(map(depth, value.values()), default=0)
        case _:
            return 1


@READERS
@given(value=VALUES)
def test_what_is_written_is_read(
    read: Callable[[bytes], Packed], write: Callable[[object], bytes], value: object
) -> None:
    if depth(value) > 8:
        assert refusal(read, write(value)) is Reason.TOO_LARGE
    else:
        assert read(write(value)) == value


@READERS
def test_numbers_and_lengths_of_every_size(
    read: Callable[[bytes], Packed], write: Callable[[object], bytes]
) -> None:
    sizes = (0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536)
    values: list[object] = [*NUMBERS, *(bytes(size) for size in sizes)]
    values += ["t" * size for size in sizes]
    values += [[0] * size for size in sizes[:-2]]
    values += [{str(number): 0 for number in range(size)} for size in sizes[:-2]]
    for value in values:
        assert read(write(value)) == value


@READERS
def test_a_key_that_stands_twice(
    read: Callable[[bytes], Packed], write: Callable[[object], bytes]
) -> None:
    head = write({"a": 0, "b": 0})[:1]
    pair = write("a") + write(0)
    assert refusal(read, head + pair + pair) is Reason.MALFORMED
    keys: tuple[object, ...] = (1, b"a", None, [])
    for key in keys:
        assert refusal(read, head + pair + write(key) + write(0)) is Reason.MALFORMED
    assert refusal(read, head + write(["a"]) + write(0)) is Reason.TOO_LARGE


@READERS
def test_limits(read: Callable[[bytes], Packed], write: Callable[[object], bytes]) -> None:
    deep: object = 0
    for _ in range(7):
        deep = [deep]
    assert read(write(deep)) == deep
    assert refusal(read, write([deep])) is Reason.TOO_LARGE
    many = [0] * ((1 << 15) - 1)
    assert read(write(many)) == many
    assert refusal(read, write([*many, 0])) is Reason.TOO_LARGE


@READERS
def test_bytes_too_few_or_too_many(
    read: Callable[[bytes], Packed], write: Callable[[object], bytes]
) -> None:
    data = write({"a": [1, b"x" * 300, "t"]})
    assert refusal(read, data + b"\0") is Reason.MALFORMED
    for end in range(len(data)):
        assert refusal(read, data[:end]) is Reason.MALFORMED


def test_text_is_utf_8() -> None:
    assert refusal(parse_msgpack, b"\xa1\xff") is Reason.MALFORMED
    assert refusal(parse_cbor, b"\x61\xff") is Reason.MALFORMED


@pytest.mark.parametrize("first", [0xC1, 0xC2, 0xC3, 0xC7, 0xCA, 0xD0, 0xD4, 0xE0, 0xFF])
def test_types_of_messagepack_that_are_not_used(first: int) -> None:
    assert refusal(parse_msgpack, bytes([first]) + bytes(20)) is Reason.MALFORMED


@pytest.mark.parametrize(
    "first", [0x1C, 0x1F, 0x20, 0x5F, 0x7F, 0x9F, 0xBF, 0xC0, 0xF4, 0xF5, 0xF7, 0xFB, 0xFF]
)
def test_types_of_cbor_that_are_not_used(first: int) -> None:
    assert refusal(parse_cbor, bytes([first]) + bytes(20)) is Reason.MALFORMED
