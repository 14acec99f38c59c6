# SPDX-License-Identifier: Apache-2.0
"""The event log of this machine's firmware: what was measured at boot, for the authority to replay.

Linux shows the log of a TD below the ACPI table CCEL that names it, as the whole area of memory that firmware kept for
it, padding and all; no more than the events is sent. That of a virtual TPM it shows as it is, to root. A log
proves nothing by itself, and an authority whose policy asks nothing about the boot does well without it. So it fails no
enrollment: where there is none, nothing is sent; where it cannot be read, or is none that an authority takes, that is
said and nothing is sent. What it holds is no secret of this program's, but may be one of its owner's: the kernel's
command line stands in it as text where GRUB started the kernel.

Source: Linux, drivers/acpi/sysfs.c (data of ACPI tables), drivers/char/tpm/eventlog/common.c; TCG PC Client Platform
Firmware Profile 1.06, 10.2.

Tested with logs of real machines in files. Not run on TDX hardware, on Azure, or on Google's cloud, yet.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from attestca_client.tsm import KernelFiles
from attestca_client.wire import Evidence

if TYPE_CHECKING:
    from attestca_client.runtime import Runtime

CCEL = Path("/sys/firmware/acpi/tables/data/CCEL")
TPM_LOG = Path("/sys/kernel/security/tpm0/binary_bios_measurements")
MAX_LOG = 1024 * 1024  # the authority's limits
MAX_EVENTS = 4096
MAX_AREA = 16 * 1024 * 1024  # what is read of a file whose size the kernel does not say
_PADDING = (b"\xff" * 8, bytes(8))  # what stands behind the last event
_NO_ACTION = b"\x03\0\0\0" + bytes(20)  # type and SHA-1 of the first event
_SPEC_ID = b"Spec ID Event03\0"
_KNOWN = {(0x04, 20), (0x0B, 32), (0x0C, 48), (0x0D, 64), (0x12, 32)}  # TPM_ALG_ID, bytes
_BANKS = {"ccel": ("SHA-384", (0x0C, 48)), "tpm-event-log": ("SHA-256", (0x0B, 32))}


class LogFault(Exception):
    """An authority would refuse this log; the text says why, in words that follow its name."""


@dataclass(frozen=True, slots=True)
class EventLogSource:
    """Callable: the log as evidence, one piece or none. Raises nothing.

    `kind`: of evidence that the log at `path` is.
    """

    runtime: Runtime
    path: Path = CCEL
    files: KernelFiles = field(default_factory=KernelFiles)
    kind: str = "ccel"

    @classmethod
    def of_a_tpm(cls, runtime: Runtime, path: Path = TPM_LOG) -> EventLogSource:
        """That of this machine's TPM."""
        return cls(runtime, path, kind="tpm-event-log")

    def __call__(self) -> list[Evidence]:
        """The log without its padding."""
        try:
            area = self.files.read(self.path, MAX_AREA)
        except FileNotFoundError:
            return []
        except OSError as error:
            return self._left_out(f"cannot be read: {error.strerror or error}")
        try:
            return [Evidence(self.kind, without_padding(area, self.kind))]
        except LogFault as fault:
            return self._left_out(str(fault))

    def _left_out(self, why: str) -> list[Evidence]:
        self.runtime.say(f"the event log {self.path} {why}; going on without it")
        return []


def is_crypto_agile(data: bytes) -> bool:
    """Whether it begins as a log in this format does, however it goes on."""
    return data[4:28] == _NO_ACTION and data.startswith(_SPEC_ID, 32)


def without_padding(area: bytes, kind: str) -> bytes:
    """The log in an area of memory or a file, as an authority takes it as evidence of this kind. Raises LogFault."""
    extent = _extent(area)
    if extent is None:
        raise LogFault("is not in the format of event logs")
    end, events, sizes = extent
    if end > MAX_LOG or events > MAX_EVENTS:
        raise LogFault(f"has more than {MAX_LOG} bytes or {MAX_EVENTS} events")
    name, bank = _BANKS[kind]
    if bank not in sizes.items() or not sizes.items() <= _KNOWN:
        raise LogFault(f"has no digests of {name}, or some that nobody knows")
    return area[:end]


def end_of_log(area: bytes) -> int | None:
    """Where the last event ends; None where this is no crypto agile log."""
    extent = _extent(area)
    return extent[0] if extent is not None else None


def _extent(area: bytes) -> tuple[int, int, dict[int, int]] | None:
    """(where the last event ends, number of events, sizes of digests by algorithm); None where this is no such log."""
    events = 0
    try:
        position, sizes = _header(area)
        while position < len(area) and area[position : position + 8] not in _PADDING:
            position = _after_event(area, position, sizes)
            events += 1
    except (struct.error, KeyError):
        return None
    return (position, events, sizes) if position <= len(area) else None


def _header(area: bytes) -> tuple[int, dict[int, int]]:
    """(where the first event begins, sizes of digests by algorithm). Raises struct.error, KeyError."""
    kind, length = struct.unpack_from("<4xI20xI", area)
    fields = area[32 : 32 + length]
    if kind != 3 or not fields.startswith(_SPEC_ID):
        raise KeyError(kind)
    (count,) = struct.unpack_from("<I", fields, 24)
    listed = struct.iter_unpack("<HH", fields[28 : 28 + 4 * count])
    return 32 + length, dict(listed)


def _after_event(area: bytes, position: int, sizes: dict[int, int]) -> int:
    """Where the event at `position` ends. Raises struct.error, KeyError."""
    (count,) = struct.unpack_from("<I", area, position + 8)
    position += 12
    for _ in range(count):
        (algorithm,) = struct.unpack_from("<H", area, position)
        position += 2 + sizes[algorithm]
    (length,) = struct.unpack_from("<I", area, position)
    return position + 4 + int(length)
