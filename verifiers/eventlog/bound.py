# SPDX-License-Identifier: Apache-2.0
"""What of an event's data its digest covers: one function for each kind of event, and nothing believed beyond it.

An event's type, name and data stand beside its digest and can be rewritten at will. They are tied to it only where
hashing them, or a known part of them, gives the digest; which part that is differs by the kind of event, because those
who extend registers never agreed on it. Where no rule holds the data are a label.

Even what is tied keeps its ambiguity: a digest says what was hashed and not why, so the same bytes may be a command
line, or a file with that content. `verifiers.eventlog.boot` decides what may be concluded.

Sources: TCG PC Client Platform Firmware Profile 1.06, 10.4 (event types); EDK II, GRUB 2.06 and later (`grub_cmd: `),
Anolis' GRUB (`grub_cmd `), systemd-stub, td-shim, Linux' EFI stub, dstack's cc-eventlog, guest-components' AAEL,
go-tpm-tools (Confidential Space), as their logs show them; each rule was checked against logs of real machines.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from verifiers.errors import VerificationError
from verifiers.eventlog import efi
from verifiers.eventlog.claims import Rule
from verifiers.eventlog.events import HASHES, Algorithm, Event, LogFormat
from verifiers.eventlog.record import record

if TYPE_CHECKING:
    from collections.abc import Callable

EV_SEPARATOR: Final = 0x00000004
EV_ACTION: Final = 0x00000005
EV_EVENT_TAG: Final = 0x00000006
EV_S_CRTM_VERSION: Final = 0x00000008
EV_PLATFORM_CONFIG_FLAGS: Final = 0x0000000A
EV_IPL: Final = 0x0000000D
EV_NONHOST_INFO: Final = 0x00000011
EV_EFI_VARIABLE_DRIVER_CONFIG: Final = 0x80000001
EV_EFI_VARIABLE_BOOT: Final = 0x80000002
EV_EFI_BOOT_SERVICES_APPLICATION: Final = 0x80000003
EV_EFI_GPT_EVENT: Final = 0x80000006
EV_EFI_ACTION: Final = 0x80000007
EV_EFI_VARIABLE_BOOT2: Final = 0x8000000C
EV_EFI_VARIABLE_AUTHORITY: Final = 0x800000E0
DSTACK_RUNTIME_EVENT: Final = 0x08000001

TAG_AAEL: Final = 0x4141454C
TAG_INITRD: Final = 0x8F3B22EC
TAG_LOAD_OPTIONS: Final = 0x8F3B22ED

GRUB_COMMAND: Final = b"grub_cmd: "
GRUB_COMMAND_OLD: Final = b"grub_cmd "
GRUB_CMDLINE: Final = b"kernel_cmdline: "
GRUB_CMDLINE_OLD: Final = b"grub_kernel_cmdline "
GRUB_MODULE: Final = b"module_cmdline: "
_TD_SHIM_NAMES: Final = (b"td_hob".ljust(16, b"\0"), b"td_payload_info".ljust(16, b"\0"))


@record
class Bound:
    """The part of an event's data that its digest covers.

    Attributes:
        data: of the whole-data and suffix rules that part; of a section its name in ASCII; of dstack the payload, with
            the event's name covered too; of a CEL the content's value, with its type covered too.
        hashed: exactly what was hashed.
    """

    rule: Rule
    data: bytes
    hashed: bytes


def bind(event: Event, algorithm: Algorithm = Algorithm.SHA384) -> Bound | None:
    """What the event's digest of that algorithm covers of its data; None where it covers nothing that we know.

    An event that extends nothing has nothing that is covered.
    """
    digest = event.digests.get(algorithm)
    if digest is None or not event.extends:
        return None
    if event.hashed is not None:  # and compared, by the parser
        rule = _BY_SOURCE[event.source]
        if rule is _DSTACK_V1 and event.hashed.startswith(b"{"):
            rule = _DSTACK_V2
        return Bound(rule, event.data, event.hashed)
    read = _BY_TYPE.get(event.type)
    found = read(event) if read is not None else None
    if found is None or digest_of(found.hashed, algorithm) != digest:
        return None
    return found


def digest_of(data: bytes, algorithm: Algorithm) -> bytes:
    """The hash of some bytes. Raises ValueError where the library cannot compute it (SM3, at some places)."""
    made = HASHES[algorithm](data) if algorithm in HASHES else hashlib.new(algorithm, data)
    return made.digest()


def tag(event: Event) -> int | None:
    """The tag id of an EV_EVENT_TAG; None for another event."""
    if event.type != EV_EVENT_TAG or len(event.data) < 8:
        return None
    return int.from_bytes(event.data[:4], "little")


def _whole(event: Event) -> Bound:
    return Bound(_EVENT_DATA, event.data, event.data)


def _variable_value(event: Event) -> Bound | None:
    """EDK II hashes the value alone: which variable it was is not covered."""
    try:
        value = efi.variable_value(event.data)
    except VerificationError:
        return None
    return Bound(Rule.VARIABLE_DATA, value, value)


def _tagged(event: Event) -> Bound | None:
    """AAEL hashes its whole entry; Linux' EFI stub names by its tags what it hashed, and hashes that."""
    return _whole(event) if tag(event) == TAG_AAEL else None


def _ipl(event: Event) -> Bound | None:
    """Texts of GRUB by their prefix, else names of sections. Whatever stands behind the text's NUL is not covered."""
    if not event.data.startswith(_PREFIXES):
        return _section_name(event.data)
    prefix, _, behind = event.data.partition(b" ")
    text, nul, rest = behind.partition(b"\0")
    if len(rest) > 1:  # Anolis' GRUB leaves one byte of memory behind the NUL
        return None
    rule = _GRUB[prefix + b" "]
    return Bound(rule, text, text + nul if rule is _WITH_NUL else text)


def _section_name(data: bytes) -> Bound | None:
    """systemd-stub logs the name in UTF-16 with NUL, and hashes it in ASCII with NUL."""
    if not data.startswith(b".\0") or len(data) % 2 or any(data[1::2]):
        return None
    name = data[0::2]
    if name.find(b"\0") != len(name) - 1:
        return None
    return Bound(Rule.SECTION_NAME, name[:-1], name)


def _td_shim(event: Event) -> Bound | None:
    """A name of 16 bytes and a length of 4, which are not hashed, and what is."""
    if not event.data.startswith(_TD_SHIM_NAMES):
        return None
    return Bound(Rule.SUFFIX_FROM_20, event.data[20:], event.data[20:])


_EVENT_DATA: Final = Rule.EVENT_DATA  # names are found faster than members of an Enum
_WITH_NUL: Final = Rule.IPL_SUFFIX_NUL
_DSTACK_V1: Final = Rule.DSTACK_V1
_DSTACK_V2: Final = Rule.DSTACK_V2
_BY_SOURCE: Final = {
    LogFormat.CEL: Rule.CEL_CONTENT,
    LogFormat.IMA: _EVENT_DATA,
    LogFormat.DSTACK: _DSTACK_V1,
}
_GRUB: Final = {
    GRUB_COMMAND: Rule.IPL_SUFFIX,
    GRUB_CMDLINE: Rule.IPL_SUFFIX,
    GRUB_MODULE: Rule.IPL_SUFFIX,
    GRUB_COMMAND_OLD: Rule.IPL_SUFFIX_NUL,
    GRUB_CMDLINE_OLD: Rule.IPL_SUFFIX,
}
_PREFIXES: Final = tuple(_GRUB)
_BY_TYPE: Final[dict[int | None, Callable[[Event], Bound | None]]] = {
    EV_SEPARATOR: _whole,
    EV_ACTION: _whole,
    EV_EFI_ACTION: _whole,
    EV_EFI_VARIABLE_DRIVER_CONFIG: _whole,
    EV_EFI_VARIABLE_AUTHORITY: _whole,
    EV_EFI_VARIABLE_BOOT2: _whole,
    EV_EFI_GPT_EVENT: _whole,
    EV_S_CRTM_VERSION: _whole,
    EV_NONHOST_INFO: _whole,
    EV_EFI_VARIABLE_BOOT: _variable_value,
    EV_EVENT_TAG: _tagged,
    EV_IPL: _ipl,
    EV_PLATFORM_CONFIG_FLAGS: _td_shim,
}
