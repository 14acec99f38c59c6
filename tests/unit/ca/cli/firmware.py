# SPDX-License-Identifier: Apache-2.0
"""A firmware file with the tables that an OVMF for SEV-SNP ends with, made from a list of sections.

Layout: edk2 OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm (table of GUIDs, read backwards from 32 bytes before the end)
and X64/OvmfSevMetadata.asm ("ASEV").
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

FOOTER = "96b582de-1fb2-45f7-baea-a366c55a082d"
HASH_TABLE = "7255371f-3a3b-4b04-927b-1da6efa8d454"
RESET_BLOCK = "00f771de-1a7e-4fcb-890e-68c77e2fb44e"
METADATA = "dc886566-984a-4798-a75e-5585a7bf67cc"

SEC_MEM, SECRETS, CPUID, SVSM_CAA, KERNEL_HASHES = 1, 2, 3, 4, 0x10
SIZE = 4096


@dataclass(frozen=True)
class Section:
    gpa: int
    size: int
    kind: int


SECTIONS = (
    Section(0x800000, 0x9000, SEC_MEM),
    Section(0x80D000, 0x1000, SECRETS),
    Section(0x80E000, 0x1000, CPUID),
    Section(0x810000, 0x1000, KERNEL_HASHES),
)


def firmware(
    sections: tuple[Section, ...] = SECTIONS,
    *,
    hash_table_gpa: int = 0x810C00,
    reset_eip: int = 0x80B004,
    size: int = SIZE,
) -> bytes:
    metadata = b"ASEV" + b"".join(
        number.to_bytes(4, "little") for number in (16 + 12 * len(sections), 1, len(sections))
    )
    for one in sections:
        metadata += b"".join(
            number.to_bytes(4, "little") for number in (one.gpa, one.size, one.kind)
        )
    table = (
        _entry(METADATA, size)
        + _entry(HASH_TABLE, hash_table_gpa, 0x400)
        + _entry(RESET_BLOCK, reset_eip)
    )
    table += (len(table) + 18).to_bytes(2, "little") + UUID(FOOTER).bytes_le
    return metadata + bytes(size - 32 - len(metadata) - len(table)) + table + bytes(32)


def _entry(guid: str, *numbers: int) -> bytes:
    data = b"".join(number.to_bytes(4, "little") for number in numbers)
    return data + (len(data) + 18).to_bytes(2, "little") + UUID(guid).bytes_le
