# SPDX-License-Identifier: Apache-2.0
"""A boot whose event log is as long as those of real machines: some 80 events, 25 kB, most of it databases of firmware.

Held to the logs of cloud machines that start GRUB with Secure Boot: 35 to 98 events, 20 to 28 kB with their padding.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from struct import pack
from typing import TYPE_CHECKING, Final
from uuid import UUID

from simulator.eventlog import IMAGE_SECURITY, IPL, aael, grub, grub_boot, variable

if TYPE_CHECKING:
    from simulator.eventlog import Boot

CERTIFICATE: Final = b"\x30" + bytes(1500)  # of PK, KEK and db; nobody reads it
FORBIDDEN: Final = 250  # digests of images in dbx
COMMANDS: Final = 55  # of GRUB's configuration
_SHA256: Final = UUID("c1c41626-504c-4092-aca9-41f936934328")  # EFI_CERT_SHA256_GUID


def real_size() -> Boot:
    """The boot."""
    made = grub_boot(certificate=CERTIFICATE)
    forbidden = b"".join(bytes(16) + _digest(number) for number in range(FORBIDDEN))
    size = 28 + len(forbidden)
    dbx = variable("dbx", _SHA256.bytes_le + pack("<III", size, 0, 48) + forbidden, IMAGE_SECURITY)
    empty = variable("dbx", b"", IMAGE_SECURITY)
    events = [dbx if event == empty else event for event in made.events]
    first = next(place for place, event in enumerate(events) if event.type == IPL)
    commands = [grub(f"set menuentry_{number}=a value of it") for number in range(COMMANDS)]
    events[first + 1 : first + 1] = commands
    return replace(made, events=tuple(events))


def with_application(boot: Boot, number: int) -> Boot:
    """The same, and an application of its own: RTMR3 and the log differ from those of every other number."""
    return boot.then(aael("bench.example", "start", f"application {_digest(number).hex()}"))


def _digest(number: int) -> bytes:
    return sha256(b"%d" % number).digest()
