# SPDX-License-Identifier: Apache-2.0
"""What a simulated machine measures while it boots, and the logs that tell of it; registers are computed by extends.

A boot is a list of `Measured` in the order in which it happens: what is hashed into which register, and what a log says
of it, which may be another thing. `registers` gives the values that a quote then has, `logs` the logs of these very
events. A test that wants a lying log writes one for other events than those that made the registers.

    direct_boot     firmware starts a kernel that the host gave it (QEMU's -kernel)
    grub_boot       Secure Boot, shim, GRUB, a command line in GRUB's words
    dstack_boot     dstack's guest on top of a direct boot, told in its own JSON
    confidential_space, aael, ima     what is measured after the boot, in the register of applications or of the kernel

Sources: UEFI 2.11, 38 (event log of confidential computing); TCG PC Client Platform Firmware Profile 1.06, 10; TCG
Canonical Event Log Format 1.0; Dstack-TEE/dstack, cc-eventlog; Linux, security/integrity/ima.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from struct import pack
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EFI_GLOBAL = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
IMAGE_SECURITY = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
X509 = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")

NO_ACTION, SEPARATOR, TAG, FLAGS, IPL = 3, 4, 6, 10, 13
DRIVER_CONFIG, VARIABLE_BOOT, APPLICATION = 0x80000001, 0x80000002, 0x80000003
EFI_ACTION, BLOB2, HANDOFF2 = 0x80000007, 0x8000000A, 0x8000000B
DSTACK_RUNTIME = 0x08000001
AAEL, INITRD, LOAD_OPTIONS = 0x4141454C, 0x8F3B22EC, 0x8F3B22ED
IMAGE_REF, IMAGE_DIGEST, RESTART_POLICY, LAUNCH_SEPARATOR = 0, 1, 2, 8

CALLING = "Calling EFI Application from Boot Option"
EXIT = "Exit Boot Services Invocation"
EXITED = "Exit Boot Services Returned with Success"
CCEL, DSTACK, CEL, IMA = "ccel", "dstack-event-log", "cel", "ima-log"


@dataclass(frozen=True, slots=True)
class Measured:
    """One event.

    Attributes:
        index: CC measurement register, 1 to 4: RTMR0 to RTMR3.
        type: TCG's type of the event, where its log has one.
        hashed: what is hashed. data: what the log says.
        log: the kind of evidence that its log is sent as.
        name: of dstack's runtime events, and of IMA's files.
    """

    index: int
    type: int
    hashed: bytes
    data: bytes
    log: str = CCEL
    name: str = ""

    @property
    def digest(self) -> bytes:
        """SHA-384, 48 bytes."""
        return hashlib.sha384(self.hashed).digest()


@dataclass(frozen=True, slots=True)
class Boot:
    """All that a machine has measured."""

    events: tuple[Measured, ...]

    @property
    def registers(self) -> dict[str, bytes]:
        """rtmr0 to rtmr3."""
        values = [bytes(48)] * 4
        for event in self.events:
            extended = values[event.index - 1] + event.digest
            values[event.index - 1] = hashlib.sha384(extended).digest()
        return {f"rtmr{number}": value for number, value in enumerate(values)}

    def logs(self) -> list[tuple[str, bytes]]:
        """(kind of evidence, bytes) of every log that these events stand in, that of the firmware first."""
        writers = {CCEL: ccel, DSTACK: dstack, CEL: cel, IMA: ima}
        of_kind = {kind: [one for one in self.events if one.log == kind] for kind in writers}
        return [(kind, writers[kind](events)) for kind, events in of_kind.items() if events]

    def then(self, *events: Measured) -> Boot:
        """With what was measured later."""
        return Boot((*self.events, *events))


# what is measured


def whole(index: int, kind: int, data: bytes) -> Measured:
    """An event whose digest is of its data."""
    return Measured(index, kind, data, data)


def action(text: str) -> Measured:
    """EV_EFI_ACTION in RTMR1."""
    return whole(2, EFI_ACTION, text.encode())


def variable(name: str, value: bytes, vendor: UUID = EFI_GLOBAL) -> Measured:
    """A variable that configures firmware, in RTMR0."""
    encoded = name.encode("utf-16-le")
    head = vendor.bytes_le + pack("<QQ", len(name), len(value))
    return whole(1, DRIVER_CONFIG, head + encoded + value)


def boot_variable(name: str, value: bytes) -> Measured:
    """A boot option in RTMR0: its value alone is hashed."""
    return Measured(1, VARIABLE_BOOT, value, variable(name, value).data)


def image(content: bytes, path: str) -> Measured:
    """An EFI application in RTMR1; `content` stands for what its Authenticode hash covers."""
    encoded = (path + "\0").encode("utf-16-le")
    names = pack("<BBH", 4, 4, 4 + len(encoded)) + encoded + pack("<BBH", 0x7F, 0xFF, 4)
    return Measured(2, APPLICATION, content, pack("<QQQQ", 0x1000, 99, 0, len(names)) + names)


def tagged(index: int, tag: int, text: bytes, hashed: bytes | None = None) -> Measured:
    """EV_EVENT_TAG."""
    data = pack("<II", tag, len(text)) + text
    return Measured(index, TAG, data if hashed is None else hashed, data)


def grub(text: str, prefix: str = "grub_cmd: ") -> Measured:
    """A text of GRUB's in RTMR2: what follows the prefix is hashed."""
    return Measured(3, IPL, text.encode(), f"{prefix}{text}\0".encode())


def file(content: bytes, path: str) -> Measured:
    """A file that GRUB read, in RTMR2."""
    return Measured(3, IPL, content, f"{path}\0".encode())


def aael(domain: str, operation: str, content: str) -> Measured:
    """An entry of Confidential Containers' attestation agent, in RTMR3."""
    return tagged(4, AAEL, f"{domain} {operation} {content}".encode())


def runtime(name: str, payload: bytes = b"") -> Measured:
    """An event of dstack's guest, version 1, in RTMR3."""
    hashed = b":".join((pack("<I", DSTACK_RUNTIME), name.encode(), payload))
    return Measured(4, DSTACK_RUNTIME, hashed, payload, DSTACK, name)


def content(kind: int, value: bytes) -> Measured:
    """A content of Confidential Space, in RTMR3."""
    data = _tlv(kind, value)
    return Measured(4, 0x50, _tlv(0x50, data), data, CEL)


def measured_file(path: str, content: bytes) -> Measured:
    """A file that IMA measured before it was used, in RTMR2."""
    digest = b"sha256:\0" + hashlib.sha256(content).digest()
    fields = (digest, path.encode() + b"\0")
    template = b"".join(pack("<I", len(field)) + field for field in fields)
    return Measured(3, 0, template, hashlib.sha256(content).digest(), IMA, path)


# boots


def firmware(secure_boot: bytes = b"", database: bytes = b"") -> list[Measured]:
    """What OVMF measures before it starts anything. `secure_boot`: value of that variable; empty: it has none."""
    signatures = b""
    if database:
        size = 28 + 16 + len(database)
        signatures = X509.bytes_le + pack("<III", size, 0, 16 + len(database))
        signatures += bytes(16) + database
    name = b"\x29Fv(00000000-0000-0000-0000-000000000000)\0"
    return [
        Measured(1, HANDOFF2, b"simulated memory map", b"\x09TdxTable\0" + bytes(24)),
        Measured(1, BLOB2, b"simulated variable store", name + pack("<QQ", 0xFFC84000, 0x3C000)),
        variable("SecureBoot", secure_boot),
        variable("PK", signatures),
        variable("KEK", signatures),
        variable("db", signatures, IMAGE_SECURITY),
        variable("dbx", b"", IMAGE_SECURITY),
        whole(1, SEPARATOR, bytes(4)),
        *(Measured(1, FLAGS, f"simulated table {n}".encode(), b"ACPI DATA") for n in range(3)),
    ]


def direct_boot(
    kernel: bytes = b"simulated kernel",
    initrd: bytes = b"simulated initrd",
    cmdline: str = "console=hvc0 ro",
) -> Boot:
    """A kernel that the host gave to the firmware, and what its EFI stub measures."""
    options = (cmdline + "\0").encode("utf-16-le")
    return Boot(
        (
            *firmware(),
            image(kernel, "kernel"),
            boot_variable("BootOrder", bytes(2)),
            boot_variable("Boot0000", b"\x09\x01\0\0" + bytes(60)),
            action(CALLING),
            whole(2, SEPARATOR, bytes(4)),
            tagged(3, LOAD_OPTIONS, b"LOADED_IMAGE::LoadOptions\0", options),
            tagged(3, INITRD, b"Linux initrd\0", initrd),
            action(EXIT),
            action(EXITED),
        )
    )


def grub_boot(
    secure_boot: bytes = b"\1",
    certificate: bytes = b"\x30simulated certificate of db",
    cmdline: str = "/vmlinuz root=/dev/vda1 ro",
) -> Boot:
    """Secure Boot (`secure_boot`: its variable's value, 1 is on), shim, GRUB, a kernel and its initrd from a disk."""
    return Boot(
        (
            *firmware(secure_boot, certificate),
            boot_variable("BootOrder", bytes(2)),
            action(CALLING),
            whole(2, SEPARATOR, bytes(4)),
            image(b"simulated shim", "\\EFI\\BOOT\\BOOTX64.EFI"),
            image(b"simulated GRUB", "\\EFI\\BOOT\\grubx64.efi"),
            file(b"simulated configuration", "/boot/grub/grub.cfg"),
            grub(f"linux {cmdline}"),
            file(b"simulated kernel", "/vmlinuz"),
            grub(cmdline, "kernel_cmdline: "),
            grub("initrd /initrd.img"),
            file(b"simulated initrd", "/initrd.img"),
            action(EXIT),
            action(EXITED),
        )
    )


def dstack_boot(
    app_id: bytes = bytes(range(20)), compose_hash: bytes = bytes(range(32)), *after: Measured
) -> Boot:
    """A guest of dstack: a direct boot in dstack's log, the application's identity, what the application adds."""
    events = (
        Measured(one.index, one.type, one.hashed, one.data, DSTACK) for one in direct_boot().events
    )
    return Boot(
        (
            *events,
            runtime("system-preparing"),
            runtime("app-id", app_id),
            runtime("compose-hash", compose_hash),
            runtime("instance-id", bytes(range(20, 40))),
            runtime("boot-mr-done"),
            runtime("os-image-hash", hashlib.sha256(b"simulated image").digest()),
            runtime("key-provider", b'{"name":"none","id":""}'),
            runtime("system-ready"),
            *after,
        )
    )


def confidential_space(
    digest: str = "sha256:" + "ab" * 32, reference: str = "registry.example/app:1"
) -> tuple[Measured, ...]:
    """What Confidential Space's launcher measures of its container."""
    return (
        content(IMAGE_REF, reference.encode()),
        content(IMAGE_DIGEST, digest.encode()),
        content(RESTART_POLICY, b"Never"),
        content(LAUNCH_SEPARATOR, b""),
    )


# logs


def ccel(events: Iterable[Measured], padding: int = 0) -> bytes:
    """A crypto agile log of a TD, with so many bytes of 0xFF behind it."""
    vendor = pack("<IBBBBI", 0, 0, 2, 0, 2, 1) + pack("<HH", 0x0C, 48) + b"\0"
    spec_id = b"Spec ID Event03\0" + vendor
    head = pack("<II20sI", 1, NO_ACTION, bytes(20), len(spec_id)) + spec_id
    return head + b"".join(map(_event2, events)) + b"\xff" * padding


def dstack(events: Sequence[Measured]) -> bytes:
    """The JSON of dstack, version 1."""
    return json.dumps(
        [
            {
                "imr": one.index - 1,
                "event_type": one.type,
                "digest": one.digest.hex(),
                "event": one.name,
                "event_payload": one.data.hex(),
            }
            for one in events
        ]
    ).encode()


def cel(events: Sequence[Measured]) -> bytes:
    """TCG's canonical event log in TLV."""
    records = (
        _tlv(0, pack(">Q", number))
        + _tlv(0x6C, bytes([one.index]))
        + _tlv(3, _tlv(0x0C, one.digest))
        + one.hashed
        for number, one in enumerate(events)
    )
    return b"".join(records)


def ima(events: Sequence[Measured]) -> bytes:
    """ascii_runtime_measurements of a kernel with ima_hash=sha384."""
    lines = (f"10 {one.digest.hex()} ima-ng sha256:{one.data.hex()} {one.name}\n" for one in events)
    return "".join(lines).encode()


def _event2(one: Measured) -> bytes:
    head = pack("<IIIH", one.index, one.type, 1, 0x0C)
    return head + one.digest + pack("<I", len(one.data)) + one.data


def _tlv(kind: int, value: bytes) -> bytes:
    return pack(">BI", kind, len(value)) + value
