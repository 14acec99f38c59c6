# SPDX-License-Identifier: Apache-2.0
"""A machine that boots: what is extended into its registers, and a log that tells of it, truly or not.

A history is what really happened; its digests make the registers. A log is what the guest sends: the same digests in
the same order within each register, or it does not replay, and every label and the order between registers as it likes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from struct import pack
from typing import TYPE_CHECKING
from uuid import UUID

from tests import eventlog_lab as lab
from verifiers.eventlog import tcg2
from verifiers.eventlog.boot import boot_claims
from verifiers.eventlog.events import RTMRS, Algorithm, EventLog, LogFormat, Register
from verifiers.eventlog.proven import TD, Layout
from verifiers.eventlog.replay import ReplayState, replay

if TYPE_CHECKING:
    from verifiers.eventlog.claims import BootClaims, Subject

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SECURITY = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
X509 = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"
SHA256_HASHES = "c1c41626-504c-4092-aca9-41f936934328"

SEPARATOR, TAG, IPL, FLAGS = 4, 6, 13, 10
DRIVER_CONFIG, VARIABLE_BOOT, APPLICATION = 0x80000001, 0x80000002, 0x80000003
GPT, ACTION, AUTHORITY = 0x80000006, 0x80000007, 0x800000E0
AAEL, INITRD, OPTIONS = 0x4141454C, 0x8F3B22EC, 0x8F3B22ED
CMDLINE = "/vmlinuz root=/dev/vda ro module.sig_enforce=1"


@dataclass(frozen=True)
class Step:
    """One event: what was hashed, and what the log says of it. `index`: CC measurement register, 1 to 4."""

    index: int
    kind: int
    hashed: bytes
    data: bytes

    @property
    def digest(self) -> bytes:
        return hashlib.sha384(self.hashed).digest()

    def told(self, kind: int, data: bytes) -> Step:
        """The same event under another label."""
        return replace(self, kind=kind, data=data)

    @property
    def as_file(self) -> Step:
        """Called a file that GRUB read."""
        return self.told(IPL, b"/boot/file\0")


def whole(index: int, kind: int, data: bytes) -> Step:
    """An event whose digest is of its data."""
    return Step(index, kind, data, data)


def separator(index: int, value: bytes = bytes(4)) -> Step:
    return whole(index, SEPARATOR, value)


def action(text: str, index: int = 2) -> Step:
    return whole(index, ACTION, text.encode())


def variable_data(name: str, value: bytes, vendor: str = GLOBAL) -> bytes:
    encoded = name.encode("utf-16-le")
    return UUID(vendor).bytes_le + pack("<QQ", len(name), len(value)) + encoded + value


def variable(
    name: str, value: bytes, vendor: str = GLOBAL, kind: int = DRIVER_CONFIG, index: int = 1
) -> Step:
    return whole(index, kind, variable_data(name, value, vendor))


def secure_boot(value: bytes = b"\1", index: int = 1) -> Step:
    return variable("SecureBoot", value, index=index)


def signature_list(kind: str, *entries: bytes, header: bytes = b"") -> bytes:
    """EFI_SIGNATURE_LIST of entries of one length, each with an owner of zeros."""
    size = 16 + len(entries[0]) if entries else 16 + 32
    length = 28 + len(header) + size * len(entries)
    head = UUID(kind).bytes_le + pack("<III", length, len(header), size) + header
    return head + b"".join(bytes(16) + entry for entry in entries)


def node(kind: int, subtype: int, data: bytes = b"") -> bytes:
    """A node of a device path."""
    return pack("<BBH", kind, subtype, 4 + len(data)) + data


def file_path(path: str) -> bytes:
    return node(4, 4, (path + "\0").encode("utf-16-le")) + node(0x7F, 0xFF)


def image(content: bytes = b"MZ shim", path: str = "\\EFI\\shim.efi") -> Step:
    """An EFI application; what is hashed begins as its header does."""
    names = file_path(path)
    return Step(2, APPLICATION, content, pack("<QQQQ", 0x1000, 99, 0, len(names)) + names)


def grub(text: str, prefix: str = "grub_cmd: ") -> Step:
    return Step(3, IPL, text.encode(), f"{prefix}{text}".encode() + b"\0")


def cmdline(text: str = CMDLINE) -> Step:
    return grub(text, "kernel_cmdline: ")


def file(content: bytes, path: str = "/vmlinuz") -> Step:
    return Step(3, IPL, content, path.encode() + b"\0")


def section(name: str, content: bytes) -> list[Step]:
    """What systemd-stub measures of one section."""
    label = (name + "\0").encode("utf-16-le")
    return [Step(3, IPL, name.encode() + b"\0", label), Step(3, IPL, content, label)]


def tagged(tag: int, text: bytes, hashed: bytes | None = None, index: int = 3) -> Step:
    data = pack("<II", tag, len(text)) + text
    return Step(index, TAG, data if hashed is None else hashed, data)


def options(text: str = "console=hvc0") -> Step:
    return tagged(OPTIONS, b"LOADED_IMAGE::LoadOptions\0", (text + "\0").encode("utf-16-le"))


def initrd(content: bytes = b"initrd") -> Step:
    return tagged(INITRD, b"Linux initrd\0", content)


def aael(text: str = "example.org start {}", index: int = 4) -> Step:
    return tagged(AAEL, text.encode(), index=index)


EXIT = action("Exit Boot Services Invocation")
EXITED = action("Exit Boot Services Returned with Success")
HOB = Step(1, 0x8000000B, b"hob", b"\x09TdxTable\0")
ACPI = Step(1, FLAGS, b"tables", b"ACPI DATA")
CALLING = action("Calling EFI Application from Boot Option")


def firmware(state: bytes = b"\1") -> list[Step]:
    """Up to the start of the first application."""
    certificates = signature_list(X509, b"0certificate")
    return [
        HOB,
        secure_boot(state),
        variable("PK", certificates),
        variable("KEK", certificates),
        variable("db", certificates, SECURITY),
        variable("dbx", signature_list(SHA256_HASHES, b"h" * 32, b"i" * 32), SECURITY),
        separator(1),
        ACPI,
        CALLING,
        separator(2),
    ]


def grub_boot(text: str = CMDLINE) -> list[Step]:
    """Secure Boot, shim, GRUB, a kernel."""
    return [
        *firmware(),
        image(),
        file(b"mok", "MokList"),
        variable("db", b"entry", SECURITY, AUTHORITY),
        image(b"MZ grub", "\\EFI\\grub.efi"),
        file(b"cfg", "/grub.cfg"),
        grub(f"linux {text}"),
        file(b"kernel"),
        cmdline(text),
        grub("initrd /initrd"),
        file(b"initrd", "/initrd"),
        EXIT,
        EXITED,
    ]


def direct_boot() -> list[Step]:
    """A kernel that firmware starts itself."""
    return [*firmware(), image(b"MZ kernel", "kernel"), options(), initrd(), EXIT, EXITED]


def uki_boot() -> list[Step]:
    """A unified kernel image."""
    named = {".linux": b"MZ kernel", ".cmdline": b"console=hvc0", ".initrd": b"initrd"}
    parts = [step for name, content in named.items() for step in section(name, content)]
    return [
        *firmware(),
        image(b"MZ uki", "\\EFI\\linux.efi"),
        *parts,
        image(b"MZ kernel", ""),
        EXIT,
        EXITED,
    ]


def registers(history: list[Step]) -> dict[Register, bytes]:
    """What the history makes of the registers."""
    values = dict.fromkeys(RTMRS, bytes(48))
    for step in history:
        register = RTMRS[step.index - 1]
        values[register] = hashlib.sha384(values[register] + step.digest).digest()
    return values


def log_of(told: list[Step]) -> EventLog:
    events = (lab.event2(one.index, one.kind, [(0x0C, one.digest)], one.data) for one in told)
    return tcg2.parse(lab.tcg2(*events), LogFormat.CCEL)


def claims(
    told: list[Step],
    history: list[Step] | None = None,
    *more: EventLog,
    mismatch: frozenset[Register] = frozenset(),
) -> BootClaims:
    """Claims from a log, against the registers of a history (of the log itself, where none is given).

    All registers replay but those of `mismatch`: a forgery that does not is none that matters.
    """
    values = registers(told if history is None else history)
    return of_logs([log_of(told), *more], values, mismatch)


def of_logs(
    logs: list[EventLog],
    values: dict[Register, bytes],
    mismatch: frozenset[Register] = frozenset(),
    layout: Layout = TD,
) -> BootClaims:
    replayed = replay(logs, values, Algorithm.SHA384)
    wrong = {one for one, result in replayed.items() if result.state is ReplayState.MISMATCH}
    assert wrong == mismatch
    return boot_claims(logs, replayed, Algorithm.SHA384, layout)


def runtime_registers(history: list[Step], *preimages: bytes) -> dict[Register, bytes]:
    """As `registers`, and what a runtime log put into RTMR3."""
    values = registers(history)
    for preimage in preimages:
        digest = hashlib.sha384(preimage).digest()
        values[Register.RTMR3] = hashlib.sha384(values[Register.RTMR3] + digest).digest()
    return values


def evil_firmware() -> list[Step]:
    """What a machine with Secure Boot off measures."""
    enabled, disabled = secure_boot(b"\1"), secure_boot(b"\0")
    return [disabled if one == enabled else one for one in grub_boot()]


def doubted(found: BootClaims) -> set[Subject]:
    """What nothing is claimed about, though the log spoke of it."""
    return {one.subject for one in found.doubts}
