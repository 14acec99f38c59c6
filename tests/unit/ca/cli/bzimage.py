# SPDX-License-Identifier: Apache-2.0
"""A kernel as QEMU and firmware read it: a PE header, a setup header, two sections and what stands behind them."""

from __future__ import annotations

from struct import pack_into

SIZE = 0x3000
CHECKSUM, CERTIFICATES, SECTIONS = 0x58 + 64, 0x58 + 112 + 8 * 4, 0x148  # where these stand


def bzimage(protocol: int = 0x20F, loadflags: int = 1, xloadflags: int = 0x3F) -> bytearray:
    """A kernel: PE header, setup header, two sections and what stands behind them."""
    data = bytearray(bytes(number * 7 % 251 for number in range(SIZE)))
    data[0:0x200] = bytes(0x200)
    data[0:2], data[0x40:0x44] = b"MZ", b"PE\0\0"
    pack_into("<I", data, 0x3C, 0x40)
    pack_into("<HHIIIHH", data, 0x44, 0x8664, 2, 0, 0, 0, 240, 0x206)
    pack_into("<H", data, 0x58, 0x20B)
    pack_into("<II", data, 0x58 + 32, 0x1000, 0x200)
    pack_into("<II", data, 0x58 + 56, 0x4000, 0x200)
    pack_into("<I", data, 0x58 + 108, 16)
    for number, (offset, size) in enumerate(((0x1000, 0x1000), (0x200, 0xE00))):
        pack_into("<II", data, SECTIONS + 40 * number + 16, size, offset)
    data[0x1F1] = 7
    data[0x202:0x206] = b"HdrS"
    pack_into("<H", data, 0x206, protocol)
    data[0x210], data[0x211] = 0, loadflags
    pack_into("<I", data, 0x22C, 0x7FFFFFFF)
    pack_into("<H", data, 0x236, xloadflags)
    return data
