# SPDX-License-Identifier: Apache-2.0
"""MessagePack and CBOR, as far as dstack writes them: both are a head (kind and number) and what the head counts.

Rules: unsigned integers, byte strings, text, arrays, maps of text and null, nothing else; definite lengths; no key
twice; nothing behind the value; bounded depth and number of values. How long a head is does not matter: no signature
covers these bytes, and what they hold is believed by digest only.

Sources: MessagePack specification (2013); RFC 8949, 3.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeAlias

from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable

Packed: TypeAlias = "int | str | bytes | list[Packed] | dict[str, Packed] | None"

_MAX_DEPTH: Final = 8  # dstack nests 6 deep
_MAX_VALUES: Final = 1 << 16  # it writes a quote as an array of numbers


class _Kind(Enum):
    NUMBER = auto()
    BYTES = auto()
    TEXT = auto()
    ARRAY = auto()
    MAP = auto()
    NULL = auto()


_MSGPACK_FIXED: Final = (  # first byte below, kind, bits of the number
    (0x80, _Kind.NUMBER, 0x7F),
    (0x90, _Kind.MAP, 0x0F),
    (0xA0, _Kind.ARRAY, 0x0F),
    (0xC0, _Kind.TEXT, 0x1F),
)
_MSGPACK_SIZED: Final = {  # kind, bytes of the number behind
    0xC0: (_Kind.NULL, 0),
    0xC4: (_Kind.BYTES, 1),
    0xC5: (_Kind.BYTES, 2),
    0xC6: (_Kind.BYTES, 4),
    0xCC: (_Kind.NUMBER, 1),
    0xCD: (_Kind.NUMBER, 2),
    0xCE: (_Kind.NUMBER, 4),
    0xCF: (_Kind.NUMBER, 8),
    0xD9: (_Kind.TEXT, 1),
    0xDA: (_Kind.TEXT, 2),
    0xDB: (_Kind.TEXT, 4),
    0xDC: (_Kind.ARRAY, 2),
    0xDD: (_Kind.ARRAY, 4),
    0xDE: (_Kind.MAP, 2),
    0xDF: (_Kind.MAP, 4),
}
_CBOR_KINDS: Final = {
    0: _Kind.NUMBER,
    2: _Kind.BYTES,
    3: _Kind.TEXT,
    4: _Kind.ARRAY,
    5: _Kind.MAP,
}
_CBOR_SIZES: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_CBOR_NULL: Final = 0xF6


def parse_msgpack(data: bytes) -> Packed:
    """The one MessagePack value that `data` is.

    Raises:
        VerificationError: `malformed`, `too-large`.
    """
    return _Reader(data, _msgpack_head).all()


def parse_cbor(data: bytes) -> Packed:
    """The one CBOR value that `data` is.

    Raises:
        VerificationError: `malformed`, `too-large`.
    """
    return _Reader(data, _cbor_head).all()


def _msgpack_head(cursor: Cursor) -> tuple[_Kind, int]:
    first = cursor.take(1, "MessagePack")[0]
    for below, kind, bits in _MSGPACK_FIXED:
        if first < below:
            return kind, first & bits
    if first not in _MSGPACK_SIZED:
        raise VerificationError(Reason.MALFORMED, f"MessagePack: type {first:#04x} is not used")
    kind, size = _MSGPACK_SIZED[first]
    return kind, int.from_bytes(cursor.take(size, "MessagePack"), "big")


def _cbor_head(cursor: Cursor) -> tuple[_Kind, int]:
    first = cursor.take(1, "CBOR")[0]
    if first == _CBOR_NULL:
        return _Kind.NULL, 0
    major, number = first >> 5, first & 0x1F
    if major not in _CBOR_KINDS or number > 27:
        raise VerificationError(Reason.MALFORMED, f"CBOR: type {first:#04x} is not used")
    if number in _CBOR_SIZES:
        number = int.from_bytes(cursor.take(_CBOR_SIZES[number], "CBOR"), "big")
    return _CBOR_KINDS[major], number


class _Reader:
    """Reads values until they are too many."""

    __slots__ = ("_cursor", "_head", "_left")

    def __init__(self, data: bytes, head: Callable[[Cursor], tuple[_Kind, int]]) -> None:
        self._cursor = Cursor(data)
        self._head = head
        self._left = _MAX_VALUES

    def all(self) -> Packed:
        value = self._value(_MAX_DEPTH)
        self._cursor.nothing_left("packed value")
        return value

    def _value(self, depth: int) -> Packed:
        self._left -= 1
        if self._left < 0 or not depth:
            raise VerificationError(
                Reason.TOO_LARGE,
                f"more than {_MAX_VALUES} packed values, or more than {_MAX_DEPTH} deep",
            )
        kind, number = self._head(self._cursor)
        if kind is _Kind.NUMBER:
            return number
        if kind is _Kind.BYTES:
            return self._cursor.take(number, "byte string")
        if kind is _Kind.TEXT:
            return self._text(number)
        if kind is _Kind.ARRAY:
            return [self._value(depth - 1) for _ in range(number)]
        return self._map(number, depth - 1) if kind is _Kind.MAP else None

    def _text(self, size: int) -> str:
        try:
            return self._cursor.take(size, "text").decode("utf-8")
        except UnicodeDecodeError:
            raise VerificationError(Reason.MALFORMED, "packed text is not UTF-8") from None

    def _map(self, size: int, depth: int) -> dict[str, Packed]:
        members: dict[str, Packed] = {}
        for _ in range(size):
            name = self._value(1)
            if not isinstance(name, str) or name in members:
                raise VerificationError(
                    Reason.MALFORMED, "a packed key is no text, or stands twice"
                )
            members[name] = self._value(depth)
        return members
