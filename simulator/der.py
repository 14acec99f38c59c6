# SPDX-License-Identifier: Apache-2.0
"""Writes DER: the few ASN.1 types that Intel's and AMD's certificates, revocation lists and extensions use.

It writes what it is told, valid or not (negative serial numbers, empty names), because tests need wrong structures as
much as right ones. It reads nothing. Source: ITU-T X.690.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

TRUE = b"\x01\x01\xff"
FALSE = b"\x01\x01\x00"
NULL = b"\x05\x00"


def tlv(tag: int, content: bytes) -> bytes:
    """One element: tag byte, definite length in its shortest form, content."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(value: int) -> bytes:
    """INTEGER, two's complement in its shortest form; negative values too."""
    return tlv(0x02, _twos_complement(value))


def enumerated(value: int) -> bytes:
    """ENUMERATED."""
    return tlv(0x0A, _twos_complement(value))


def boolean(*, value: bool) -> bytes:
    """BOOLEAN."""
    return TRUE if value else FALSE


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER from its dotted form."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    return tlv(0x06, b"".join(map(_base128, (first * 40 + second, *rest))))


def octet_string(content: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(0x04, content)


def bit_string(content: bytes, unused: int = 0) -> bytes:
    """BIT STRING whose last `unused` bits do not count."""
    return tlv(0x03, bytes((unused,)) + content)


def utf8_string(text: str) -> bytes:
    """UTF8String."""
    return tlv(0x0C, text.encode())


def printable_string(text: str) -> bytes:
    """PrintableString."""
    return tlv(0x13, text.encode("ascii"))


def ia5_string(text: str) -> bytes:
    """IA5String."""
    return tlv(0x16, text.encode("ascii"))


def sequence(*items: bytes) -> bytes:
    """SEQUENCE of encoded items."""
    return tlv(0x30, b"".join(items))


def set_of(*items: bytes) -> bytes:
    """SET OF encoded items, in the order given."""
    return tlv(0x31, b"".join(items))


def explicit(number: int, content: bytes) -> bytes:
    """[number] EXPLICIT, or a constructed IMPLICIT one."""
    return tlv(0xA0 | number, content)


def implicit(number: int, content: bytes) -> bytes:
    """[number] IMPLICIT of a primitive type."""
    return tlv(0x80 | number, content)


def time(instant: datetime) -> bytes:
    """UTCTime before 2050 and GeneralizedTime from then on (RFC 5280, 4.1.2.5); `instant` is UTC."""
    if instant.year < 2050:
        return tlv(0x17, f"{instant:%y%m%d%H%M%S}Z".encode())
    return tlv(0x18, f"{instant:%Y%m%d%H%M%S}Z".encode())


def _twos_complement(value: int) -> bytes:
    magnitude = value if value >= 0 else ~value
    return value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)


def _base128(value: int) -> bytes:
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | value & 0x7F)
    return bytes(reversed(digits))
