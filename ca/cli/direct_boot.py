# SPDX-License-Identifier: Apache-2.0
"""RTMR1 and RTMR2 of a TD that QEMU starts with a kernel of its own (`-kernel`), from the files that it is given.

What is measured, in this order (each as SHA-384):
    RTMR1   the kernel's Authenticode hash; three marks of the firmware and two of the kernel's EFI stub, constants
    RTMR2   the command line in UTF-16LE with NUL; the initrd

Three things stand between the files and these:
- QEMU before 10.2 writes into the kernel's setup header, as a boot loader would: its own number, the place of the
  command line, the place and size of the initrd. That place depends on the guest's memory below 2.75 GiB; from there
  on, and at exactly 2 GiB, it is the same. QEMU 10.2 leaves the header of confidential guests alone.
- OVMF adds ` initrd=initrd` to the command line where there is an initrd.
- QEMU before 10.2 writes the video mode of a `vga=` into the header too, which is not computed.

Not computed: MRTD and RTMR0, which depend on firmware, memory and devices. Where a file is not at hand, its digest from
a log of such a boot will do.

Sources: QEMU, hw/i386/x86-common.c (x86_load_linux) and a7542a38f399; Linux, Documentation/arch/x86/boot.rst;
Windows Authenticode Portable Executable Signature Format 1.0; EDK II, DxeTpm2MeasureBootLib (PE image) and
GenericQemuLoadImageLib (command line); TCG PC Client Platform Firmware Profile 1.06 (marks).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha384
from struct import Struct, error, unpack_from
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKS: Final = (
    b"Calling EFI Application from Boot Option",
    bytes(4),
    b"Exit Boot Services Invocation",
    b"Exit Boot Services Returned with Success",
)
INITRD_ARGUMENT: Final = " initrd=initrd"

_ACPI_BYTES: Final = 0x28000  # what QEMU's q35 keeps at the end of low memory
_SPLIT, _LOW, _SPLIT_LOW = 0xB0000000, 0xB0000000, 0x80000000  # memory below 4 GiB of q35
_OLD_INITRD_MAX: Final = 0x37FFFFFF
_HEADER_MAGIC: Final = b"HdrS"
_ABOVE_4G: Final = 2  # XLF_CAN_BE_LOADED_ABOVE_4G
_REAL, _COMMAND_LINE = 0x10000, 0x20000  # where QEMU puts setup code and command line
_LOADER: Final = 0xB0  # QEMU, version 0
_U16, _U32 = Struct("<H"), Struct("<I")
_SECURITY: Final = 4  # index of the certificate table among the data directories
_PE32_PLUS: Final = 0x20B


@dataclass(frozen=True, slots=True)
class Digests:
    """What is measured, 48 bytes each: the kernel's Authenticode hash, load options, initrd (None without one)."""

    kernel: bytes
    cmdline: bytes
    initrd: bytes | None

    @property
    def rtmr1(self) -> bytes:
        """The register after a boot."""
        return extended(self.kernel, *(sha384(mark).digest() for mark in MARKS))

    @property
    def rtmr2(self) -> bytes:
        """The register after a boot, before the system extends it."""
        return extended(self.cmdline, *([] if self.initrd is None else [self.initrd]))


def extended(*digests: bytes) -> bytes:
    """A register of zeros, extended by these."""
    register = bytes(48)
    for digest in digests:
        register = sha384(register + digest).digest()
    return register


def load_options(cmdline: str, *, initrd: bool) -> bytes:
    """What the kernel's EFI stub measures of its command line. Raises UnicodeEncodeError for half of a surrogate."""
    text = cmdline + (INITRD_ARGUMENT if initrd else "") + "\0"
    return text.encode("utf-16-le")


def patched(kernel: bytes, initrd_bytes: int, memory: int) -> bytes:
    """The kernel with the setup header as QEMU before 10.2 writes it.

    Args:
        kernel: bzImage, boot protocol 2.02 or later, loaded high.
        initrd_bytes: length of the initrd, 0 without one.
        memory: of the guest, bytes.

    Raises:
        ValueError: a kernel or initrd that QEMU does not start so.
    """
    if len(kernel) < 0x1000 or kernel[0x202:0x206] != _HEADER_MAGIC:
        raise ValueError("no bzImage: it has no setup header")
    (protocol,) = _U16.unpack_from(kernel, 0x206)
    if protocol < 0x202 or not kernel[0x211] & 1:
        raise ValueError("a kernel of a boot protocol before 2.02, or one that is loaded low")
    image = bytearray(kernel)
    image[0x210] = _LOADER
    image[0x211] |= 0x80  # a heap is there
    _U16.pack_into(image, 0x224, _COMMAND_LINE - _REAL - 0x200)
    _U32.pack_into(image, 0x228, _COMMAND_LINE)
    if initrd_bytes:
        highest = min(_highest(kernel, protocol), _below_4g(memory) - _ACPI_BYTES - 1)
        if initrd_bytes >= highest:
            raise ValueError("the initrd has no place below 4 GiB in this memory")
        _U32.pack_into(image, 0x218, (highest - initrd_bytes) & ~0xFFF)
        _U32.pack_into(image, 0x21C, initrd_bytes)
    return bytes(image)


def _highest(kernel: bytes, protocol: int) -> int:
    """The highest address that the kernel takes an initrd at."""
    if protocol >= 0x20C and _U16.unpack_from(kernel, 0x236)[0] & _ABOVE_4G:
        return 0xFFFFFFFF
    highest: int = _U32.unpack_from(kernel, 0x22C)[0] if protocol >= 0x203 else _OLD_INITRD_MAX
    return highest


def _below_4g(memory: int) -> int:
    lowmem = _SPLIT_LOW if memory >= _SPLIT else _LOW
    return min(memory, lowmem)


def authenticode(image: bytes) -> bytes:
    """SHA-384 of a PE image as firmware measures it: without its checksum, its certificates and what names them.

    Raises:
        ValueError: no PE image, or one whose parts lie outside of the file.
    """
    digest = sha384()
    try:
        for start, end in _hashed(image):
            if not 0 <= start <= end <= len(image):
                raise ValueError("no PE image: a part of it lies outside of the file")
            digest.update(image[start:end])
    except error as wrong:
        raise ValueError("no PE image: it ends within its headers") from wrong
    return digest.digest()


def _hashed(image: bytes) -> Iterator[tuple[int, int]]:
    """(start, end) of every part that is hashed, in order. Raises struct.error, ValueError."""
    (start,) = _U32.unpack_from(image, 0x3C)
    if image[:2] != b"MZ" or image[start : start + 4] != b"PE\0\0":
        raise ValueError("no PE image")
    sections, optional_size = unpack_from("<H12xH", image, start + 6)
    optional = start + 24
    (kind,) = _U16.unpack_from(image, optional)
    directories = optional + (112 if kind == _PE32_PLUS else 96)
    (headers,) = _U32.unpack_from(image, optional + 60)
    (count,) = _U32.unpack_from(image, directories - 4)
    yield 0, optional + 64
    certificates = 0
    if count > _SECURITY:
        entry = directories + 8 * _SECURITY
        (certificates,) = _U32.unpack_from(image, entry + 4)
        yield optional + 68, entry
        yield entry + 8, headers
    else:
        yield optional + 68, headers
    hashed = headers
    for offset, size in _sections(image, optional + optional_size, sections):
        yield offset, offset + size
        hashed += size
    if len(image) > hashed + certificates:
        yield hashed, len(image) - certificates


def _sections(image: bytes, table: int, count: int) -> list[tuple[int, int]]:
    """(offset, size) of each section that has data in the file, by offset."""
    found = [unpack_from("<II", image, table + 40 * number + 16) for number in range(count)]
    return sorted((offset, size) for size, offset in found if size)
