# SPDX-License-Identifier: Apache-2.0
"""Facts of NVIDIA's products that a report, a certificate or the name of a manifest shows.

Boards, chips and the fields of a report are those of real devices; the values of measurements are made up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.nvidia.reports import GPU_FIELDS, SWITCH_FIELDS, Block

if TYPE_CHECKING:
    from collections.abc import Mapping

SPT, MPT, PPCIE = "spt", "mpt", "ppcie"
FEATURE_FLAGS = {SPT: b"\0\0", MPT: b"\1\0", PPCIE: b"\2\0"}
ON, OFF = b"\xaa", b"\x55"

DRIVER_VERSION, VBIOS_VERSION, CHIP_SKU, PROJECT, PROJECT_SKU, FWID = 3, 6, 15, 17, 18, 20
PROTECTED_PCIE_STATUS, SWITCH_PDI, SWITCH_GPU_PDIS = 21, 22, 26
SYS_ENABLE_STATUS, OPAQUE_DATA_VERSION, CHIP_INFO, FEATURE_FLAG = 33, 34, 35, 36

GPU_BLOCKS, SWITCH_BLOCKS = 64, 31
DRIVER_INDEXES, VBIOS_INDEXES = range(21, 41), range(13)  # that a manifest has golden values for


@dataclass(frozen=True, slots=True)
class Product:
    """One kind of device.

    Attributes:
        chip: in the common names of its certificates. provisioner, identity: in those of L3 and L2.
        family: as manifests name it. arch: as requests to the attestation service name it.
        board: PROJECT, PROJECT_SKU and CHIP_SKU; of a switch only the name of its manifest has it.
        driver: None for a switch. vbios: of a switch its BIOS.
        dice: whether the leaf has DiceTcbInfo and not CompositeDeviceID. chip_info: whether reports have it.
    """

    chip: str
    provisioner: str
    identity: str
    family: str
    arch: str
    board: tuple[str, str, str]
    driver: str | None
    vbios: str
    engine: str = "GSP"
    dice: bool = False
    chip_info: bool = False

    @property
    def is_switch(self) -> bool:
        """Whether it is no GPU."""
        return self.driver is None

    def rim_ids(self, driver: str | None, vbios: str) -> tuple[str, ...]:
        """The names of its manifests: driver and VBIOS, or the BIOS of a switch."""
        firmware = f"{'_'.join(self.board)}_{vbios.replace('.', '')}".upper()
        if driver is None:
            return (f"NV_SWITCH_BIOS_{firmware}",)
        by_chip = "DRIVER_GH100" if self.family == "GH100" else f"CC_DRIVER_{self.family}"
        return (f"NV_GPU_{by_chip}_{driver}", f"NV_GPU_VBIOS_{firmware}")


DRIVER = "580.178.04"
PRODUCTS = {
    "H100": Product(
        *("GH100", "GH100", "GH100", "GH100", "HOPPER"),
        board=("1010", "0200", "882"),
        driver=DRIVER,
        vbios="96.00.CF.00.01",
    ),
    "B200": Product(
        *("GB100", "GB100", "GB100", "GB100", "BLACKWELL"),
        board=("G525", "0220", "886"),
        driver=DRIVER,
        vbios="97.00.D9.00.35",
        dice=True,
        chip_info=True,
    ),
    "RTX PRO 6000": Product(
        *("GB20X", "GB202", "GB20X", "GB202", "BLACKWELL"),
        board=("G153", "0210", "895"),
        driver=DRIVER,
        vbios="98.02.74.00.01",
        dice=True,
        chip_info=True,
    ),
    "NVSwitch": Product(
        *("LS_10", "LS_10", "GH100", "LS10", "LS10"),
        board=("5612", "0002", "890"),
        driver=None,
        vbios="96.10.6D.00.01",
        engine="FSP",
    ),
}


def gpu_fields(
    product: Product, driver: str, vbios: str, mode: str, fwid: bytes
) -> dict[int, bytes]:
    """The opaque data of a GPU. `mode`: "spt", "mpt" or "ppcie"; `fwid`: 48 bytes."""
    project, project_sku, chip_sku = (part.encode("ascii") for part in product.board)
    fields = GPU_FIELDS | {
        VBIOS_VERSION: vbios_field(vbios),
        CHIP_SKU: chip_sku.ljust(9, b"\0"),
        PROJECT: project + b"\0",
        PROJECT_SKU: project_sku + b"\0",
        DRIVER_VERSION: driver.encode("ascii") + b"\0",
        FWID: fwid,
        PROTECTED_PCIE_STATUS: ON if mode == PPCIE else OFF,
        OPAQUE_DATA_VERSION: b"\1\0",
        FEATURE_FLAG: FEATURE_FLAGS[mode],
    }
    if product.chip_info:
        del fields[PROTECTED_PCIE_STATUS]
        fields |= {SYS_ENABLE_STATUS: b"\x07\x07", CHIP_INFO: product.family.encode() + b"\0"}
    return fields


def switch_fields(bios: str, pdi: bytes) -> dict[int, bytes]:
    """The opaque data of a switch; `pdi`: its own identity, 8 bytes."""
    return SWITCH_FIELDS | {VBIOS_VERSION: bios.encode("ascii"), SWITCH_PDI: pdi}


def vbios_field(version: str) -> bytes:
    """The 8 bytes of "96.00.CF.00.01" in a GPU's report."""
    numbers = [int(part, 16) for part in version.split(".")]
    return bytes((*numbers[3::-1], numbers[4])).ljust(8, b"\0")


def golden(rim_id: str, index: int) -> bytes:
    """What a device measures at an index that this manifest has a value for, 48 bytes."""
    return hashlib.sha384(f"{rim_id} {index}".encode()).digest()


def indexes(rim_id: str) -> range:
    """Of the measurements that a manifest of this name has golden values for, from 0."""
    if rim_id.startswith("NV_SWITCH"):
        return range(SWITCH_BLOCKS)
    return VBIOS_INDEXES if "_VBIOS_" in rim_id else DRIVER_INDEXES


def measured(count: int, rim_ids: tuple[str, ...]) -> tuple[Block, ...]:
    """The blocks of a device with this driver and firmware; nobody has golden values for the rest."""
    values: Mapping[int, bytes] = {
        index: golden(rim_id, index) for rim_id in rim_ids for index in indexes(rim_id)
    }
    return tuple(Block(index + 1, values.get(index, bytes([index]) * 48)) for index in range(count))
