# SPDX-License-Identifier: Apache-2.0
"""Files, digests and settings of `attestca refvalues compute tdx` -> what `ca.cli.direct_boot` computes, and in words.

Each of kernel, initrd and command line is given once: as it is, or by its digest. The words name every input, since the
values depend on all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256, sha384
from typing import TYPE_CHECKING, Final

import typer

from ca.cli import direct_boot
from ca.cli.exits import UnreadableError
from ca.cli.launch import shown

if TYPE_CHECKING:
    from pathlib import Path

LEAVES_THE_HEADER: Final = (10, 2)
MAX_FILE: Final = 2 << 30
_DIGEST: Final = re.compile("[0-9a-fA-F]{96}")
_UNITS: Final = {"M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line names; `memory` in bytes."""

    kernel: Path | None
    initrd: Path | None
    cmdline: str
    kernel_digest: str | None
    initrd_digest: str | None
    cmdline_digest: str | None
    qemu: tuple[int, int]
    memory: int | None


@dataclass(frozen=True, slots=True)
class Measured:
    """The digests; SHA-256 of the kernel's file (None where there is none); every input in words."""

    digests: direct_boot.Digests
    kernel_sha256: bytes | None
    inputs: str


def qemu_version(text: str) -> tuple[int, int]:
    """Major and minor number. Raises BadParameter."""
    match = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})(\..*)?", text)
    if match is None:
        raise typer.BadParameter(f"--qemu {text!r}: a version is wanted, e.g. 9.2")
    return int(match[1]), int(match[2])


def memory_size(text: str | None) -> int | None:
    """Bytes. Raises BadParameter."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,8})([MGT])", text)
    if match is None:
        raise typer.BadParameter(f"--memory {text!r}: a size is wanted, e.g. 512M or 4G")
    return int(match[1]) * _UNITS[match[2]]


def measure(given: Given) -> Measured:
    """Compute.

    Raises:
        BadParameter: what is missing, or there twice; a digest that is none.
        UnreadableError: files that cannot be read, or are no such kernel.
    """
    if (given.kernel is None) == (given.kernel_digest is None):
        raise typer.BadParameter("one of --kernel and --kernel-digest is wanted")
    if given.initrd is not None and given.initrd_digest is not None:
        raise typer.BadParameter("--initrd or --initrd-digest, not both")
    if given.cmdline and given.cmdline_digest is not None:
        raise typer.BadParameter("--cmdline or --cmdline-digest, not both")
    initrd = None if given.initrd is None else _read(given.initrd)
    words = [f"QEMU {given.qemu[0]}.{given.qemu[1]}"]
    kernel_sha256 = None
    if given.kernel is None:
        kernel = _digest("--kernel-digest", given.kernel_digest)
        words.append(f"kernel authenticode sha384 {kernel.hex()}")
    else:
        data = _read(given.kernel)
        kernel_sha256 = sha256(data).digest()
        kernel = _kernel(given, data, initrd, words)
    options = _cmdline(given, words)
    return Measured(
        direct_boot.Digests(kernel, options, _initrd(given, initrd, words)),
        kernel_sha256,
        ", ".join(words),
    )


def _kernel(given: Given, data: bytes, initrd: bytes | None, words: list[str]) -> bytes:
    """The hash of the kernel as firmware gets it from QEMU."""
    words.append(f"kernel sha256 {sha256(data).hexdigest()}")
    try:
        if given.qemu < LEAVES_THE_HEADER:
            data = _patched(given, data, initrd, words)
        return direct_boot.authenticode(data)
    except ValueError as error:
        raise UnreadableError(f"{given.kernel}: {error}") from error


def _patched(given: Given, data: bytes, initrd: bytes | None, words: list[str]) -> bytes:
    """Raises ValueError, BadParameter."""
    if "vga=" in given.cmdline:
        raise typer.BadParameter("QEMU before 10.2 writes vga= into the kernel: not computed")
    if given.cmdline_digest is not None:
        words.append("a command line without vga=")
    if given.initrd_digest is not None:
        raise typer.BadParameter("QEMU before 10.2 writes the initrd's size: give --initrd")
    if initrd is None:
        return direct_boot.patched(data, 0, 0)
    if given.memory is None:
        raise typer.BadParameter("QEMU before 10.2 places the initrd by it: give --memory")
    words.append(f"memory {given.memory >> 20} MiB")
    return direct_boot.patched(data, len(initrd), given.memory)


def _cmdline(given: Given, words: list[str]) -> bytes:
    if given.cmdline_digest is not None:
        digest = _digest("--cmdline-digest", given.cmdline_digest)
        words.append(f"load options sha384 {digest.hex()}")
        return digest
    has_initrd = given.initrd is not None or given.initrd_digest is not None
    try:
        options = direct_boot.load_options(given.cmdline, initrd=has_initrd)
    except UnicodeEncodeError as error:
        raise typer.BadParameter("--cmdline is no text in UTF-8") from error
    added = f" with{direct_boot.INITRD_ARGUMENT}" if has_initrd else ""
    words.append(f"command line {shown(given.cmdline)}{added}")
    return sha384(options).digest()


def _initrd(given: Given, data: bytes | None, words: list[str]) -> bytes | None:
    if data is not None:
        words.append(f"initrd sha256 {sha256(data).hexdigest()}")
        return sha384(data).digest()
    if given.initrd_digest is None:
        words.append("no initrd")
        return None
    digest = _digest("--initrd-digest", given.initrd_digest)
    words.append(f"initrd sha384 {digest.hex()}")
    return digest


def _digest(name: str, text: str | None) -> bytes:
    if text is None or _DIGEST.fullmatch(text) is None:
        raise typer.BadParameter(f"{name}: SHA-384 has 96 hexadecimal digits")
    return bytes.fromhex(text)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE:
            raise UnreadableError(f"{path}: larger than {MAX_FILE} bytes")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}") from error
