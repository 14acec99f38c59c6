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
    from collections.abc import Mapping

Packed: TypeAlias = "int | str | bytes | list[Packed] | dict[str, Packed] | None"

_MAX_DEPTH: Final = 8  # dstack nests 6 deep
_MAX_VALUES: Final = 1 << 15  # it writes a quote of some 5,000 bytes as an array of numbers


class _Kind(Enum):
    NUMBER = auto()
    BYTES = auto()
    TEXT = auto()
    ARRAY = auto()
    MAP = auto()
    NULL = auto()


_NUMBER: Final = _Kind.NUMBER  # names are found faster than members of an Enum
_BYTES: Final = _Kind.BYTES
_TEXT: Final = _Kind.TEXT
_ARRAY: Final = _Kind.ARRAY
_MAP: Final = _Kind.MAP

_Head: TypeAlias = tuple[_Kind, int, int]
"""What a first byte says: a kind and its number, or how many bytes (1 to 8) behind it the number has."""


def _fixed(first: int, count: int, kind: _Kind) -> dict[int, _Head]:
    """First bytes that have the number in them."""
    return {first + number: (kind, number, 0) for number in range(count)}


def _sized(first: int, sizes: tuple[int, ...], kind: _Kind) -> dict[int, _Head]:
    """First bytes that have the number behind them, in so many bytes."""
    return {first + index: (kind, 0, size) for index, size in enumerate(sizes)}


_MSGPACK: Final = (
    _fixed(0x00, 0x80, _Kind.NUMBER)
    | _fixed(0x80, 0x10, _Kind.MAP)
    | _fixed(0x90, 0x10, _Kind.ARRAY)
    | _fixed(0xA0, 0x20, _Kind.TEXT)
    | _fixed(0xC0, 1, _Kind.NULL)
    | _sized(0xC4, (1, 2, 4), _Kind.BYTES)
    | _sized(0xCC, (1, 2, 4, 8), _Kind.NUMBER)
    | _sized(0xD9, (1, 2, 4), _Kind.TEXT)
    | _sized(0xDC, (2, 4), _Kind.ARRAY)
    | _sized(0xDE, (2, 4), _Kind.MAP)
)


def _major(number: int, kind: _Kind) -> dict[int, _Head]:
    """First bytes of one of CBOR's major types."""
    return _fixed(number << 5, 24, kind) | _sized(number << 5 | 24, (1, 2, 4, 8), kind)


_CBOR: Final = (
    _major(0, _Kind.NUMBER)
    | _major(2, _Kind.BYTES)
    | _major(3, _Kind.TEXT)
    | _major(4, _Kind.ARRAY)
    | _major(5, _Kind.MAP)
    | _fixed(0xF6, 1, _Kind.NULL)
)


def parse_msgpack(data: bytes) -> Packed:
    """The one MessagePack value that `data` is.

    Raises:
        VerificationError: `malformed`, `too-large`.
    """
    return _Reader(data, _MSGPACK).all()


def parse_cbor(data: bytes) -> Packed:
    """The one CBOR value that `data` is.

    Raises:
        VerificationError: `malformed`, `too-large`.
    """
    return _Reader(data, _CBOR).all()


class _Reader:
    """Reads values until they are too many."""

    __slots__ = ("_cursor", "_heads", "_left")

    def __init__(self, data: bytes, heads: Mapping[int, _Head]) -> None:
        self._cursor = Cursor(data)
        self._heads = heads
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
        first = self._cursor.u8("packed value")
        head = self._heads.get(first)
        if head is None:
            raise VerificationError(Reason.MALFORMED, f"packed type {first:#04x} is not used")
        kind, number, size = head
        if size:
            number = int.from_bytes(self._cursor.take(size, "packed number"), "big")
        if kind is _NUMBER:
            return number
        return self._counted(kind, number, depth)

    def _counted(self, kind: _Kind, number: int, depth: int) -> Packed:
        if kind is _TEXT:
            return self._text(number)
        if kind is _BYTES:
            return self._cursor.take(number, "byte string")
        if kind is _ARRAY:
            return [self._value(depth - 1) for _ in range(number)]
        return self._map(number, depth - 1) if kind is _MAP else None

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
