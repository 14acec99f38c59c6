# SPDX-License-Identifier: Apache-2.0
"""A reader over bytes that cannot run past their end. Lengths come from the bytes themselves, so none is believed."""

from __future__ import annotations

from verifiers.errors import Reason, VerificationError


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
        start, end = self.position, self.position + count
        if end > self._end:
            raise VerificationError(
                Reason.MALFORMED, f"{field}: {count} bytes wanted, {self.remaining} left"
            )
        self.position = end
        return self._data[start:end]

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
