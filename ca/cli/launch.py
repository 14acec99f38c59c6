# SPDX-License-Identifier: Apache-2.0
"""The launch digest (MEASUREMENT) of an SEV-SNP guest, from the files and settings that it is started with.

The package sev-snp-measure computes it (extra `snp-measure`), imported when it is wanted. It asserts little and leaves
a section list that is not there out of the digest: what it is given is looked at here first. Coconut-SVSM and firmware
with a separate variable store are not measured by this command. Source: AMD publication 56860, SNP_LAUNCH_UPDATE.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import typer

from ca.cli.exits import UnreadableError

if TYPE_CHECKING:
    from pathlib import Path

EXTRA: Final = "snp-measure"
MAX_VCPUS: Final = 4096
_PAGE: Final = 4096
_FEATURE_SNP: Final = 1  # SEV_FEATURES bit 0: the guest is an SNP guest
_SHOWN_COMMAND_LINE: Final = 1000  # characters; a longer one is named by its digest


class Vmm(StrEnum):
    """Who starts the guest. Each sets the first registers of a virtual CPU in its own way."""

    QEMU = "qemu"
    EC2 = "ec2"
    GCE = "gce"


@dataclass(frozen=True, slots=True)
class Launch:
    """All that the digest depends on.

    Attributes:
        kernel, initrd, cmdline: with direct boot, where the firmware holds the kernel to its hash; else None, None, "".
        vcpu_type: in QEMU's words; it counts under QEMU alone.
        guest_features: SEV_FEATURES of the guest, 64 bits: 0x1 SNP, 0x21 with debug swap.
    """

    ovmf: Path
    kernel: Path | None
    initrd: Path | None
    cmdline: str
    vcpus: int
    vcpu_type: str | None
    vmm: Vmm
    guest_features: int


@dataclass(frozen=True, slots=True)
class Measured:
    """The digest, 48 bytes; SHA-256 of the firmware, 32 bytes; and every input in words."""

    measurement: bytes
    ovmf_sha256: bytes
    inputs: str


def measure(launch: Launch) -> Measured:
    """Compute the digest.

    Raises:
        typer.BadParameter: for settings that do not go together, or that the package does not know.
        UnreadableError: for files that cannot be read, or are not such firmware; where the package is missing.
    """
    _check_settings(launch)
    signature = _signature_of(launch)
    digests = {
        what: _sha256(path)
        for what, path in (
            ("firmware", launch.ovmf),
            ("kernel", launch.kernel),
            ("initrd", launch.initrd),
        )
        if path is not None
    }
    measurement = _compute(launch, signature)
    return Measured(measurement, digests["firmware"], _in_words(launch, digests))


def _check_settings(launch: Launch) -> None:
    if launch.kernel is None and (launch.initrd is not None or launch.cmdline):
        raise typer.BadParameter("--initrd and --cmdline are measured with a --kernel alone")
    if launch.vmm is Vmm.QEMU and launch.vcpu_type is None:
        raise typer.BadParameter("under QEMU the digest depends on it: give --vcpu-type")
    if launch.guest_features >> 64 or not launch.guest_features & _FEATURE_SNP:
        raise typer.BadParameter("--guest-features is a 64-bit number with bit 0 (SNP) set")


def _signature_of(launch: Launch) -> int:
    """CPUID signature of the virtual CPUs; 0 where it is not measured."""
    try:
        from sevsnpmeasure.vcpu_types import CPU_SIGS
    except ImportError as error:
        raise UnreadableError(
            "the package sev-snp-measure is not installed: it computes launch digests."
            f" Install attestca with its extra: pip install 'attestca[{EXTRA}]'"
        ) from error
    if launch.vcpu_type is None:
        return 0
    if launch.vcpu_type not in CPU_SIGS:
        known = ", ".join(sorted(CPU_SIGS))
        raise typer.BadParameter(f"{launch.vcpu_type!r} is no type of virtual CPU; known: {known}")
    signature: int = CPU_SIGS[launch.vcpu_type]
    return signature


def _sha256(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}") from error


def _compute(launch: Launch, signature: int) -> bytes:
    from sevsnpmeasure.guest import calc_launch_digest
    from sevsnpmeasure.sev_mode import SevMode
    from sevsnpmeasure.vmm_types import VMMType

    vmms = {Vmm.QEMU: VMMType.QEMU, Vmm.EC2: VMMType.ec2, Vmm.GCE: VMMType.gce}
    try:
        _check_firmware(launch)
        digest: bytes = calc_launch_digest(
            SevMode.SEV_SNP,
            launch.vcpus,
            signature,
            str(launch.ovmf),
            str(launch.kernel) if launch.kernel else "",
            str(launch.initrd) if launch.initrd else "",
            launch.cmdline,
            launch.guest_features,
            vmm_type=vmms[launch.vmm],
        )
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:  # all that it raises
        raise UnreadableError(f"{launch.ovmf}: {error}") from error
    return digest


def _check_firmware(launch: Launch) -> None:
    """Raises ValueError for a file that is no OVMF for SEV-SNP, or none that measures a kernel where one is given."""
    from sevsnpmeasure.ovmf import OVMF, SectionType

    ovmf = OVMF(str(launch.ovmf))
    sections = [(one.section_type(), one.size) for one in ovmf.metadata_items()]
    if not sections:
        raise ValueError("no OVMF with SEV metadata: a guest with it cannot be started under SNP")
    if ovmf.size() % _PAGE or any(size % _PAGE for _, size in sections):
        raise ValueError(
            "the firmware or a section of it is no whole number of pages of 4096 bytes"
        )
    if launch.vcpus > 1 and not ovmf.sev_es_reset_eip():
        raise ValueError("the firmware does not say where further virtual CPUs start")
    tables = [size for kind, size in sections if kind is SectionType.SNP_KERNEL_HASHES]
    if launch.kernel is None:
        return  # such a page, if there is one, is measured as zeros
    if tables != [_PAGE] or not ovmf.is_sev_hashes_table_supported():
        raise ValueError(
            "the firmware has no page for the hashes of kernel, initrd and command line:"
            " a kernel that is given to it is not measured"
        )


def _in_words(launch: Launch, digests: dict[str, bytes]) -> str:
    from importlib.metadata import version

    parts = [f"{what} sha256 {digest.hex()}" for what, digest in digests.items()]
    if launch.kernel is not None:
        parts.append(f"command line {shown(launch.cmdline)}")
    parts += [
        f"{launch.vcpus} vCPU" + ("s" if launch.vcpus > 1 else ""),
        f"CPU type {launch.vcpu_type if launch.vmm is Vmm.QEMU else 'not measured'}",
        f"guest features {launch.guest_features:#x}",
        f"VMM {launch.vmm}",
        f"by sev-snp-measure {version('sev-snp-measure')}",
    ]
    return ", ".join(parts)


def shown(cmdline: str) -> str:
    """A command line in words: as it is where that is fit to be read, else by its digest."""
    if len(cmdline) <= _SHOWN_COMMAND_LINE and cmdline.isascii() and cmdline.isprintable():
        return json.dumps(cmdline)
    data = cmdline.encode()
    return f"of {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}"
