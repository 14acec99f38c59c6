# SPDX-License-Identifier: Apache-2.0
"""The same boots (`simulator.eventlog`) as a virtual TPM's firmware measures and logs them: PCRs by SHA-256.

Which PCR an event goes to is by what it is: TCG PC Client Platform Firmware Profile 1.06, 3.3.4; GRUB takes PCR 8 for
its texts and PCR 9 for files, as Linux' EFI stub does for what it is given.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from struct import pack
from typing import TYPE_CHECKING

from simulator import eventlog

if TYPE_CHECKING:
    from simulator.eventlog import Boot, Measured

KIND = "tpm-event-log"
BANKS = ((0x0004, "sha1"), (0x000B, "sha256"))
PCR_COUNT = 24
_ENDED = range(8)  # PCRs that firmware ends with a separator
_OF_TYPE = {
    eventlog.BLOB2: 0,
    eventlog.HANDOFF2: 1,
    eventlog.FLAGS: 1,
    eventlog.VARIABLE_BOOT: 1,
    eventlog.APPLICATION: 4,
    eventlog.DRIVER_CONFIG: 7,
    eventlog.TAG: 9,
}


@dataclass(frozen=True, slots=True)
class TpmBoot:
    """(PCR, event) of everything, in the order in which it happened."""

    events: tuple[tuple[int, Measured], ...]

    @property
    def pcrs(self) -> list[bytes]:
        """All 24 values of the SHA-256 bank."""
        values = [(b"\xff" if 17 <= pcr <= 22 else b"\0") * 32 for pcr in range(PCR_COUNT)]
        for pcr, event in self.events:
            digest = hashlib.sha256(event.hashed).digest()
            values[pcr] = hashlib.sha256(values[pcr] + digest).digest()
        return values

    @property
    def log(self) -> bytes:
        """binary_bios_measurements, crypto agile, with SHA-1 and SHA-256."""
        banks = b"".join(pack("<HH", one, hashlib.new(name).digest_size) for one, name in BANKS)
        spec_id = b"Spec ID Event03\0" + pack("<IBBBBI", 0, 0, 2, 0, 2, len(BANKS)) + banks + b"\0"
        head = pack("<II20sI", 0, eventlog.NO_ACTION, bytes(20), len(spec_id)) + spec_id
        return head + b"".join(_event2(pcr, event) for pcr, event in self.events)


def of_tpm(boot: Boot) -> TpmBoot:
    """The boot as a TPM has it. What follows the end of boot services is in no log of the firmware, and left out."""
    found: list[tuple[int, Measured]] = []
    for event in boot.events:
        if event.type == eventlog.SEPARATOR and event.index == 1:
            found += [(pcr, event) for pcr in _ENDED]
        elif event.type != eventlog.SEPARATOR and event.log == eventlog.CCEL:
            found.append((_pcr(event), event))
    return TpmBoot(tuple(found))


def _pcr(event: Measured) -> int:
    if event.type == eventlog.EFI_ACTION:
        return 4 if event.data == eventlog.CALLING.encode() else 5
    if event.type == eventlog.IPL:
        return 9 if event.data.startswith(b"/") else 8
    return _OF_TYPE[event.type]


def _event2(pcr: int, event: Measured) -> bytes:
    digests = b"".join(
        pack("<H", one) + hashlib.new(name, event.hashed).digest() for one, name in BANKS
    )
    head = pack("<III", pcr, event.type, len(BANKS))
    return head + digests + pack("<I", len(event.data)) + event.data
