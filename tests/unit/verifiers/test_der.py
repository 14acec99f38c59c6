# SPDX-License-Identifier: Apache-2.0
"""The DER reader: what it reads it could have written, and everything else is a ValueError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import der as writer
from verifiers import der

TAGS = st.integers(0, 255).filter(lambda tag: tag & 0x1F != 0x1F)


@given(st.lists(st.tuples(TAGS, st.binary(max_size=300)), max_size=6))
def test_what_is_written_is_read(items: list[tuple[int, bytes]]) -> None:
    data = b"".join(writer.tlv(tag, content) for tag, content in items)
    assert der.elements(data) == tuple(items)


@given(st.binary(max_size=60))
def test_what_is_read_is_written_so(data: bytes) -> None:
    """There is one encoding of everything that is accepted."""
    try:
        items = der.elements(data)
    except ValueError:
        return
    assert b"".join(writer.tlv(tag, content) for tag, content in items) == data


def test_long_lengths() -> None:
    for size in (0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000):
        content = bytes(size)
        assert der.only(writer.octet_string(content), der.OCTET_STRING) == content


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("04", "truncated element"),
        ("0402aa", "longer than what holds it"),
        ("1f0100", "multi-byte tag"),
        ("048103aabbcc", "not minimal"),
        ("04830000ff" + "00" * 0xFF, "not minimal"),
        ("0480", "indefinite"),
        ("0484000000010a", "oversized"),
        ("048200", "truncated length"),
        ("048180", "longer than what holds it"),
        ("04817f" + "00" * 0x7F, "not minimal"),
        ("04820080" + "00" * 0x80, "not minimal"),
    ],
)
def test_no_element(data: str, message: str) -> None:
    for read in (der.elements, der.element):
        with pytest.raises(ValueError, match=message):
            read(bytes.fromhex(data))


@given(st.binary(max_size=8) | st.builds(writer.tlv, TAGS, st.binary(max_size=300)))
def test_one_element_is_read_alike_by_all(data: bytes) -> None:
    try:
        items = der.elements(data)
    except ValueError:
        items = ()
    if len(items) == 1:
        assert der.element(data) == items[0]
        assert der.only(data, items[0][0]) == items[0][1]
    else:
        for read in (der.element, lambda data: der.only(data, data[0] if data else 0)):
            with pytest.raises(ValueError, match=r"element|length|tag"):
                read(data)


@pytest.mark.parametrize("data", ["", "02000200", "040100", "02010002"])
def test_not_only_one(data: str) -> None:
    with pytest.raises(ValueError, match="element"):
        der.only(bytes.fromhex(data), der.INTEGER)


@given(st.integers(0, 1 << 80))
def test_unsigned(number: int) -> None:
    content = der.only(writer.integer(number), der.INTEGER)
    assert der.unsigned(content) == number


@pytest.mark.parametrize("content", ["", "80", "ff", "8000", "0001", "0000", "007f"])
def test_no_unsigned(content: str) -> None:
    with pytest.raises(ValueError, match="minimal"):
        der.unsigned(bytes.fromhex(content))


def test_boolean() -> None:
    assert [der.boolean(b"\x00"), der.boolean(b"\xff")] == [False, True]
    for content in (b"", b"\x01", b"\x00\x00"):
        with pytest.raises(ValueError, match="BOOLEAN"):
            der.boolean(content)


def signed(tbs: bytes, algorithm: bytes, signature: bytes) -> bytes:
    return writer.sequence(tbs, algorithm, signature)


TBS = writer.sequence(writer.integer(1), writer.octet_string(bytes(200)))
ALGORITHM = writer.sequence(writer.oid("1.2.840.10045.4.3.2"))
BITS = writer.bit_string(b"signature")


def test_signed() -> None:
    data = signed(TBS, ALGORITHM, BITS)
    assert der.signed(data) == (TBS, der.ECDSA_WITH_SHA256, b"signature")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        signed(TBS, ALGORITHM, BITS) + b"\0",
        signed(TBS, ALGORITHM, BITS)[:-1],
        writer.set_of(TBS, ALGORITHM, BITS),
        signed(writer.octet_string(TBS), ALGORITHM, BITS),
        signed(TBS, writer.octet_string(b""), BITS),
        signed(TBS, ALGORITHM, writer.octet_string(b"\0")),
        signed(TBS, ALGORITHM, writer.bit_string(b"signature", unused=1)),
        signed(TBS, ALGORITHM, writer.tlv(0x03, b"")),
        signed(TBS, ALGORITHM, BITS + BITS),
        writer.sequence(TBS, ALGORITHM),
        writer.sequence(TBS),
        writer.sequence(),
    ],
)
def test_not_signed(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"SIGNED|SEQUENCE|element"):
        der.signed(data)


def test_two_elements_are_not_one() -> None:
    for read in (der.element, lambda data: der.only(data, 0x05)):
        with pytest.raises(ValueError, match="more than one element"):
            read(bytes.fromhex("05000500"))
