# SPDX-License-Identifier: Apache-2.0
"""A reader over bytes that cannot run past their end. Lengths come from the bytes themselves, so none is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from struct import Struct


class Cursor:
    """Reads forward over `data`; every overrun is `malformed` and names the field that did not fit."""

    __slots__ = ("_data", "_end", "position")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._end = len(data) if end is None else end
        self.position = start

    @property
    def remaining(self) -> int:
        """Bytes left."""
        return self._end - self.position

    def take(self, count: int, field: str) -> bytes:
        """The next `count` bytes."""
        start = self.position
        end = start + count
        if end > self._end:
            raise self._overrun(count, field)
        self.position = end
        return self._data[start:end]

    def unpack(self, layout: Struct, field: str) -> tuple[Any, ...]:
        """The next bytes as the layout's values."""
        start = self.position
        end = start + layout.size
        if end > self._end:
            raise self._overrun(layout.size, field)
        self.position = end
        return layout.unpack_from(self._data, start)

    def u8(self, field: str) -> int:
        """The next byte."""
        start = self.position
        if start >= self._end:
            raise self._overrun(1, field)
        self.position = start + 1
        return self._data[start]

    def u16(self, field: str) -> int:
        """The next two bytes, little endian."""
        return int.from_bytes(self.take(2, field), "little")

    def u32(self, field: str) -> int:
        """The next four bytes, little endian."""
        return int.from_bytes(self.take(4, field), "little")

    def nothing_left(self, field: str) -> None:
        """Demand that all was read."""
        if self.remaining:
            raise VerificationError(
                Reason.MALFORMED, f"{field}: {self.remaining} bytes more than its content needs"
            )

    def _overrun(self, count: int, field: str) -> VerificationError:
        return VerificationError(
            Reason.MALFORMED, f"{field}: {count} bytes wanted, {self.remaining} left"
        )
