# SPDX-License-Identifier: Apache-2.0
"""A reader of protocol buffers, as far as evidence of other tools needs one: numbers and bytes by field number.

Source: protobuf.dev, "Encoding". Rules: a message is read to its end or refused; groups and numbers of more than 64
bits are refused; fields that nobody asks for are skipped, since later versions may add some; a field that is one and
stands twice is refused, for two readers could choose differently. Nothing is known here of any message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError

Value: TypeAlias = int | bytes

MAX_FIELDS: Final = 1024  # of one message; the largest that is read here has 31
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_MAX_VARINT_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `name`: for errors. All methods raise VerificationError (`malformed`)."""

    name: str
    fields: dict[int, list[Value]] = field(default_factory=dict)

    def has(self, number: int) -> bool:
        """Whether the field is there at all."""
        return number in self.fields

    def number(self, number: int, size: int) -> bytes:
        """A number as `size` bytes, little endian; 0 where it is absent, as encoders leave it out."""
        value = self._one(number, 0)
        if not isinstance(value, int) or value >> 8 * size:
            raise malformed(f"{self.name}: field {number} is no number of {size} bytes")
        return value.to_bytes(size, "little")

    def data(self, number: int, size: int | None = None) -> bytes:
        """Bytes, of this size if one is named; b"" where they are absent."""
        value = self._one(number, b"")
        if not isinstance(value, bytes):
            raise malformed(f"{self.name}: field {number} is a number, not bytes")
        if size is not None and len(value) != size:
            raise malformed(f"{self.name}: field {number} has {len(value)} bytes, not {size}")
        return value

    def repeated(self, number: int, most: int) -> list[bytes]:
        """All bytes of a repeated field, in order; at most `most`."""
        values = self.fields.get(number, [])
        if len(values) > most:
            raise malformed(f"{self.name}: field {number} stands {len(values)} times")
        found = [value for value in values if isinstance(value, bytes)]
        if len(found) != len(values):
            raise malformed(f"{self.name}: field {number} is a number, not bytes")
        return found

    def message(self, number: int, name: str) -> Message:
        """A message in this one; an empty one where it is absent."""
        return parse(self.data(number), name)

    def _one(self, number: int, default: Value) -> Value:
        values = self.fields.get(number, [default])
        if len(values) > 1:
            raise malformed(f"{self.name}: field {number} stands {len(values)} times")
        return values[0]


def parse(data: bytes, name: str) -> Message:
    """The fields of one message.

    Raises:
        VerificationError: `malformed`, `too-large` for more than 1024 fields.
    """
    cursor = Cursor(data)
    found = Message(name)
    for _ in range(MAX_FIELDS):
        if not cursor.remaining:
            return found
        key = _varint(cursor, name)
        number, wire = key >> 3, key & 7
        if not number:
            raise malformed(f"{name}: a field without a number")
        found.fields.setdefault(number, []).append(_value(cursor, wire, name))
    if not cursor.remaining:
        return found
    raise VerificationError(Reason.TOO_LARGE, f"{name}: more than {MAX_FIELDS} fields")


def malformed(detail: str) -> VerificationError:
    """The error for a message that is none."""
    return VerificationError(Reason.MALFORMED, detail)


def _value(cursor: Cursor, wire: int, name: str) -> Value:
    match wire:
        case _ if wire == _VARINT:
            return _varint(cursor, name)
        case _ if wire == _BYTES:
            return cursor.take(_varint(cursor, name), name)
        case _ if wire == _FIXED64:
            return int.from_bytes(cursor.take(8, name), "little")
        case _ if wire == _FIXED32:
            return int.from_bytes(cursor.take(4, name), "little")
        case _:
            raise malformed(f"{name}: wire type {wire}")


def _varint(cursor: Cursor, name: str) -> int:
    value = 0
    for place in range(_MAX_VARINT_BYTES):
        (byte,) = cursor.take(1, name)
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            break
    else:
        raise malformed(f"{name}: a number of more than {_MAX_VARINT_BYTES} bytes")
    if value >> 64:
        raise malformed(f"{name}: a number of more than 64 bits")
    return value
