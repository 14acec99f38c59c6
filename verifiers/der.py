# SPDX-License-Identifier: Apache-2.0
"""A small strict DER reader (X.690) for vendor extensions that no library knows.

Definite, minimal lengths only; single-byte tags only; nothing may follow the value. It reads one level at a time, so
nesting costs no stack. Raises ValueError; the caller knows what the bytes were and says so.
"""

from __future__ import annotations

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OID = 0x06
ENUMERATED = 0x0A
SEQUENCE = 0x30
CONTEXT_0 = 0xA0
CONTEXT_3 = 0xA3

# AlgorithmIdentifier content of ecdsa-with-SHA256 and -SHA384: the OIDs 1.2.840.10045.4.3.2 and .3, and no parameters
# (RFC 5758, 3.2).
ECDSA_WITH_SHA256 = bytes.fromhex("06082a8648ce3d040302")
ECDSA_WITH_SHA384 = bytes.fromhex("06082a8648ce3d040303")


def signed(data: bytes) -> tuple[bytes, bytes, bytes]:
    """The parts of SIGNED { tbs, algorithm, signature } (RFC 5280 4.1, 5.1): exact TBS bytes, algorithm, signature.

    The TBS keeps its header, for that is what the signature covers; the algorithm is the content of its SEQUENCE; the
    signature is the content of the BIT STRING, which must have no unused bits.
    """
    content = only(data, SEQUENCE)
    _, end = _bounds(content, 0, len(content))
    match elements(content[end:]):
        case ((0x30, algorithm), (0x03, bits)) if content[0] == SEQUENCE and bits[:1] == b"\x00":
            return content[:end], algorithm, bits[1:]
    raise ValueError("not SIGNED { tbs, algorithm, signature }")


def elements(data: bytes) -> tuple[tuple[int, bytes], ...]:
    """The (tag, content) pairs that make up `data`, all of it."""
    found: list[tuple[int, bytes]] = []
    end, size = 0, len(data)
    while end < size:
        start = end + 2
        if start > size:
            raise ValueError("truncated element")
        tag, length = data[end], data[end + 1]
        if length & 0x80 or tag & 0x1F == 0x1F:  # seldom; the rest is `_bounds` without the call
            start, end = _bounds(data, end, size)
        else:
            end = start + length
            if end > size:
                raise ValueError("element longer than what holds it")
        found.append((tag, data[start:end]))
    return tuple(found)


def element(data: bytes) -> tuple[int, bytes]:
    """(tag, content) of the one element that `data` is."""
    size = len(data)
    start, end = _bounds(data, 0, size)
    if end != size:
        raise ValueError("more than one element")
    return data[0], data[start:]


def only(data: bytes, tag: int) -> bytes:
    """The content of the one element that `data` is, which must have `tag`."""
    size = len(data)
    if 2 <= size < 0x82 and data[0] == tag and data[1] == size - 2:  # often; the rest says why not
        return data[2:]
    start, end = _bounds(data, 0, size)
    if end != size:
        raise ValueError("more than one element")
    if data[0] != tag:
        raise ValueError(f"element with tag {data[0]:#04x}, not {tag:#04x}")
    return data[start:]


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


def _bounds(data: bytes, position: int, size: int) -> tuple[int, int]:
    """(start, end) of the content of the element at `position`."""
    start = position + 2
    if start > size:
        raise ValueError("truncated element")
    if data[position] & 0x1F == 0x1F:
        raise ValueError("multi-byte tag")
    length = data[position + 1]
    if length > 0x7F:
        octets = length - 0x80  # how many the length has; three are enough for all we read
        start += octets
        if not 1 <= octets <= 3 or start > size:
            raise ValueError("indefinite, oversized or truncated length")
        length = int.from_bytes(data[start - octets : start], "big")
        if length < 0x80 or not length >> 8 * (octets - 1):
            raise ValueError("length not minimal")
    end = start + length
    if end > size:
        raise ValueError("element longer than what holds it")
    return start, end
