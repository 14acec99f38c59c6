# SPDX-License-Identifier: Apache-2.0
"""Keccak-256 as Ethereum has it: the padding of the competition, not that of SHA-3, which `hashlib` has.

For one short field of a report. It is not made for speed, and takes no secrets.

Source: The Keccak reference 3.0, sections 1.1 and 1.2 (the permutation f[1600], rate 1088, capacity 512).
"""

from __future__ import annotations

from operator import xor
from struct import iter_unpack, pack
from typing import Final

_RATE: Final = 136  # bytes
_MASK: Final = (1 << 64) - 1
_ROUNDS: Final = 24


def _round_constants() -> tuple[int, ...]:
    """By the linear shift register of the reference: bits at 2^j - 1 of each round's lane."""
    state, constants = 1, []
    for _ in range(_ROUNDS):
        constant = 0
        for power in range(7):
            constant |= (state & 1) << ((1 << power) - 1)
            state = state << 1 ^ (0x171 if state & 0x80 else 0)
        constants.append(constant)
    return tuple(constants)


_CONSTANTS: Final = _round_constants()


def _rotated(lane: int, by: int) -> int:
    return (lane << by | lane >> (64 - by)) & _MASK


def _permuted(lanes: list[int]) -> list[int]:
    """f[1600] over 25 lanes, the one at (x, y) at x + 5 y."""
    for constant in _CONSTANTS:
        columns = [
            lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]
            for x in range(5)
        ]
        mixed = [columns[x - 1] ^ _rotated(columns[(x + 1) % 5], 1) for x in range(5)]
        lanes = [lane ^ mixed[place % 5] for place, lane in enumerate(lanes)]
        moved, (x, y), lane = [lanes[0]] * 25, (1, 0), lanes[1]
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            place = x + 5 * y
            moved[place], lane = _rotated(lane, (step + 1) * (step + 2) // 2 % 64), lanes[place]
        lanes = [
            moved[row + x] ^ (~moved[row + (x + 1) % 5] & moved[row + (x + 2) % 5])
            for row in range(0, 25, 5)
            for x in range(5)
        ]
        lanes[0] ^= constant
    return lanes


def keccak256(data: bytes) -> bytes:
    """The hash of any bytes, 32 bytes."""
    padding = bytearray(_RATE - len(data) % _RATE)
    padding[0] |= 0x01
    padding[-1] |= 0x80
    lanes = [0] * 25
    padded = data + padding
    for start in range(0, len(padded), _RATE):
        block = [lane for (lane,) in iter_unpack("<Q", padded[start : start + _RATE])]
        lanes = [*map(xor, lanes, block), *lanes[len(block) :]]
        lanes = _permuted(lanes)
    return pack("<4Q", *lanes[:4])
