# SPDX-License-Identifier: Apache-2.0
"""AMD's product lines as facts: names, numbers and layouts that certificates and reports of each line have.

Read off real certificates and reports. A `Tcb` is written by the layout of a line; it may hold anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Version: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Tcb:
    """Security patch levels of one TCB_VERSION. `fmc` is written on Turin only."""

    bootloader: int
    tee: int
    snp: int
    microcode: int
    fmc: int = 0


@dataclass(frozen=True, slots=True)
class Product:
    """One product line.

    Attributes:
        ark_serial, ask_serial, asvk_serial: serial numbers of the real authorities.
        vcek_name, vlek_name: productName (extension .2) of the two kinds of certificates.
        struct_version: extension .1.
        spl_order: the SPL extensions (last arcs below .3) in the order of the real certificates.
        tcb_bytes: what each byte of a TCB_VERSION is, "" for zero.
        hwid_size: bytes of the chip's id that count.
        cpu: family, model and stepping of a common machine. tcb, firmware: what it runs, up to date in 2026.
    """

    name: str
    ark_serial: int
    ask_serial: int
    asvk_serial: int
    vcek_name: str
    vlek_name: str
    struct_version: int
    spl_order: tuple[int, ...]
    tcb_bytes: tuple[str, ...]
    hwid_size: int
    cpu: Version
    tcb: Tcb
    firmware: Version

    def encode(self, tcb: Tcb) -> bytes:
        """TCB_VERSION, 8 bytes."""
        return bytes(getattr(tcb, part) if part else 0 for part in self.tcb_bytes)

    def decode(self, raw: bytes) -> Tcb:
        """What `encode` gave; bytes without a meaning are left aside."""
        parts = {part: value for part, value in zip(self.tcb_bytes, raw, strict=True) if part}
        return Tcb(**parts)


_LEGACY_SPLS = (1, 2, 4, 5, 6, 7, 3, 8)
_LEGACY_TCB = ("bootloader", "tee", "", "", "", "", "snp", "microcode")

MILAN = Product(
    name="Milan",
    ark_serial=0x010000,
    ask_serial=0x010001,
    asvk_serial=0x010101,
    vcek_name="Milan-B0",
    vlek_name="Milan",
    struct_version=0,
    spl_order=_LEGACY_SPLS,
    tcb_bytes=_LEGACY_TCB,
    hwid_size=64,
    cpu=(0x19, 0x01, 1),
    tcb=Tcb(bootloader=4, tee=0, snp=0x1D, microcode=0xDE),
    firmware=(1, 58, 1),
)
GENOA = Product(
    name="Genoa",
    ark_serial=0x020000,
    ask_serial=0x020002,
    asvk_serial=0x020101,
    vcek_name="Genoa",
    vlek_name="Genoa",
    struct_version=0,
    spl_order=_LEGACY_SPLS,
    tcb_bytes=_LEGACY_TCB,
    hwid_size=64,
    cpu=(0x19, 0x11, 1),
    tcb=Tcb(bootloader=10, tee=0, snp=0x1B, microcode=0x58),
    firmware=(1, 55, 49),
)
TURIN = Product(
    name="Turin",
    ark_serial=0x030000,
    ask_serial=0x030001,
    asvk_serial=0x030101,
    vcek_name="Turin",
    vlek_name="Turin",
    struct_version=1,
    spl_order=(9, 1, 2, 3, 5, 6, 7, 8),
    tcb_bytes=("fmc", "bootloader", "tee", "snp", "", "", "", "microcode"),
    hwid_size=8,
    cpu=(0x1A, 0x02, 1),
    tcb=Tcb(fmc=1, bootloader=1, tee=1, snp=4, microcode=0x51),
    firmware=(1, 55, 65),
)
PRODUCTS = {product.name: product for product in (MILAN, GENOA, TURIN)}
