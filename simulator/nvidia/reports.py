# SPDX-License-Identifier: Apache-2.0
"""Reports of a fake NVIDIA's devices, written byte by byte: every part of them settable, nothing signed.

Source: DMTF DSP0274 1.1 (GET_MEASUREMENTS); the opaque data as NVIDIA's devices send it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

NONCE = bytes(range(32))
SIGNATURE = bytes(range(1, 97))

GPU_FIELDS: dict[int, bytes] = {
    6: bytes.fromhex("009f009601000000"),
    14: b"\xb1\x03\0\0",
    15: b"882\0\0\0\0\0\0",
    16: b"0\0\0\0\0",
    17: b"1010\0",
    18: b"0200\0",
    19: b"00",
    3: b"550.90.07\0",
    4: bytes.fromhex("8001000000000000"),
    12: bytes(256),
    13: b"\0\xc0\1\0",
    11: b"\x55",
    20: b"F" * 48,
    21: b"\x55",
}
SWITCH_FIELDS: dict[int, bytes] = {
    6: b"96.10.55.00.01",
    22: b"PDIPDI01",
    12: bytes(104),
    26: b"".join(b"GPU%05d" % number for number in range(8)) + bytes(64),
    23: b"\xec\0",
    24: b"\2\0",
    25: b"\1\0",
}


def digest(index: int) -> bytes:
    """What the block of this index measured, 48 bytes."""
    return bytes([index]) * 48


@dataclass(frozen=True)
class Block:
    """One measurement block. `size` and `length` as they are unless given."""

    index: int
    value: bytes
    kind: int = 1
    specification: int = 1
    size: int | None = None
    length: int | None = None

    def encoded(self) -> bytes:
        """The block."""
        length = len(self.value) if self.length is None else self.length
        size = len(self.value) + 3 if self.size is None else self.size
        head = bytes([self.index, self.specification]) + size.to_bytes(2, "little")
        return head + bytes([self.kind]) + length.to_bytes(2, "little") + self.value


def blocks(count: int) -> tuple[Block, ...]:
    """So many blocks, from index 1."""
    return tuple(Block(index, digest(index)) for index in range(1, count + 1))


def tlv(fields: dict[int, bytes]) -> bytes:
    """Opaque data."""
    return b"".join(
        number.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value
        for number, value in fields.items()
    )


@dataclass(frozen=True)
class Written:
    """A report of a GPU, every part of it settable."""

    fields: dict[int, bytes] = field(default_factory=lambda: dict(GPU_FIELDS))
    blocks: tuple[Block, ...] = field(default_factory=lambda: blocks(64))
    request: bytes = bytes.fromhex("11e001ff") + NONCE + b"\0"
    response: bytes = bytes.fromhex("11600000")
    count: int | None = None
    record_rest: bytes = b""
    record_length: int | None = None
    opaque: bytes | None = None
    opaque_length: int | None = None
    end: bytes = SIGNATURE

    def but(self, **changes: Any) -> Written:  # noqa: ANN401 - of its own fields
        """The same with other fields."""
        return replace(self, **changes)

    def having(self, fields: dict[int, bytes | None]) -> Written:
        """The same with these opaque fields; None takes one away."""
        merged = self.fields | fields
        return self.but(fields={key: value for key, value in merged.items() if value is not None})

    def encoded(self) -> bytes:
        """Request, response and what stands in for the signature."""
        record = b"".join(block.encoded() for block in self.blocks) + self.record_rest
        opaque = tlv(self.fields) if self.opaque is None else self.opaque
        count = len(self.blocks) if self.count is None else self.count
        length = len(record) if self.record_length is None else self.record_length
        opaque_length = len(opaque) if self.opaque_length is None else self.opaque_length
        return (
            self.request
            + self.response
            + bytes([count])
            + length.to_bytes(3, "little")
            + record
            + b"R" * 32
            + opaque_length.to_bytes(2, "little")
            + opaque
            + self.end
        )


GPU = Written()
SWITCH = Written(fields=dict(SWITCH_FIELDS), blocks=blocks(31))
FSP = Written(
    fields={},
    blocks=(
        Block(1, b"\0\0\0\1", kind=0x83),
        Block(2, digest(2), kind=2),
        Block(3, b"\xff", kind=0x81),
    ),
)
