# SPDX-License-Identifier: Apache-2.0
"""A small strict DER reader (X.690) for vendor extensions that no library knows.

Definite, minimal lengths only; single-byte tags only; nothing may follow the value. It reads one level at a time, so
nesting costs no stack. Raises ValueError; the caller knows what the bytes were and says so.
"""

from __future__ import annotations

BOOLEAN = 0x01
INTEGER = 0x02
OCTET_STRING = 0x04
OID = 0x06
ENUMERATED = 0x0A
SEQUENCE = 0x30


def elements(data: bytes) -> tuple[tuple[int, bytes], ...]:
    """The (tag, content) pairs that make up `data`, all of it."""
    found: list[tuple[int, bytes]] = []
    position = 0
    while position < len(data):
        tag, start, end = _header(data, position)
        found.append((tag, data[start:end]))
        position = end
    return tuple(found)


def only(data: bytes, tag: int) -> bytes:
    """The content of the one element that `data` is, which must have `tag`."""
    match elements(data):
        case ((found, content),) if found == tag:
            return content
    raise ValueError(f"not one element with tag {tag:#04x}")


def unsigned(content: bytes) -> int:
    """A non-negative INTEGER or ENUMERATED in minimal form."""
    minimal = len(content) == 1 or (len(content) > 1 and (content[0] or content[1] & 0x80))
    if not minimal or content[0] & 0x80:
        raise ValueError("not a minimal non-negative INTEGER")
    return int.from_bytes(content, "big")


def boolean(content: bytes) -> bool:
    """A BOOLEAN: 00 or FF."""
    if content not in (b"\x00", b"\xff"):
        raise ValueError("not a DER BOOLEAN")
    return content == b"\xff"


def _header(data: bytes, position: int) -> tuple[int, int, int]:
    """(tag, start, end) of the element at `position`."""
    if len(data) - position < 2:
        raise ValueError("truncated element")
    tag, length = data[position], data[position + 1]
    start = position + 2
    if tag & 0x1F == 0x1F:
        raise ValueError("multi-byte tag")
    if length & 0x80:
        octets = data[start : start + (length & 0x7F)]
        if not 1 <= len(octets) <= 3 or len(octets) != length & 0x7F:
            raise ValueError("indefinite, oversized or truncated length")
        length = int.from_bytes(octets, "big")
        start += len(octets)
        if length < 0x80 or octets[0] == 0:
            raise ValueError("length not minimal")
    if start + length > len(data):
        raise ValueError("element longer than what holds it")
    return tag, start, start + length
