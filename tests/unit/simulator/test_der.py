# SPDX-License-Identifier: Apache-2.0
"""The DER writer against an independent reader (asn1crypto) and openssl's well-known encodings."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from asn1crypto import core
from hypothesis import given
from hypothesis import strategies as st

from simulator import der


@given(st.integers(min_value=-(2**200), max_value=2**200))
def test_integers_are_read_back_and_shortest(value: int) -> None:
    encoded = der.integer(value)
    assert core.Integer.load(encoded, strict=True).native == value
    assert encoded == core.Integer(value).dump()


@given(
    st.integers(0, 2),
    st.integers(0, 39),
    st.lists(st.integers(min_value=0, max_value=2**70), max_size=8),
)
def test_object_identifiers_are_read_back(first: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(map(str, (first, second, *rest)))
    assert core.ObjectIdentifier.load(der.oid(dotted), strict=True).native == dotted


@given(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000)))
def test_lengths_are_read_back(size: int) -> None:
    content = bytes(size)
    encoded = der.octet_string(content)
    assert core.OctetString.load(encoded, strict=True).native == content
    assert encoded == core.OctetString(content).dump()


@pytest.mark.parametrize(
    ("encoded", "hexadecimal"),
    [
        (der.integer(0), "020100"),
        (der.integer(127), "02017f"),
        (der.integer(128), "02020080"),
        (der.integer(-1), "0201ff"),
        (der.integer(-128), "020180"),
        (der.enumerated(1), "0a0101"),
        (der.boolean(value=True), "0101ff"),
        (der.boolean(value=False), "010100"),
        (der.oid("1.2.840.10045.4.3.2"), "06082a8648ce3d040302"),
        (der.bit_string(b"\x06", 1), "03020106"),
        (der.utf8_string("é"), "0c02c3a9"),
        (der.printable_string("US"), "13025553"),
        (der.sequence(der.TRUE, der.FALSE), "30060101ff010100"),
        (der.set_of(der.TRUE), "31030101ff"),
        (der.explicit(3, der.TRUE), "a3030101ff"),
        (der.implicit(6, b"a"), "860161"),
        (der.tlv(0x04, bytes(200))[:3], "0481c8"),
    ],
)
def test_known_encodings(encoded: bytes, hexadecimal: str) -> None:
    assert encoded.hex() == hexadecimal


def test_times_change_their_type_in_2050() -> None:
    assert der.time(datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)) == b"\x17\x0d491231235959Z"
    assert der.time(datetime(2050, 1, 1, tzinfo=UTC)) == b"\x18\x0f20500101000000Z"
