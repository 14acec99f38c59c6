# SPDX-License-Identifier: Apache-2.0
"""What the logs of a measured boot prove, each fact with the event that it comes from. Vocabulary only.

Made by `verifiers.eventlog.boot.boot_claims` alone; read by policies. What replay proves is a list of digests per
register, in their order. So three things are told apart here:

- A fact, whose text a digest covers (`secure_boot`, `kernel_cmdline`, the databases, the applications).
- A digest that stands where nothing else can stand (`cmdline_digest`, `initrd_digest`, `sections`): the order inside a
  register is proven, so what the first code to write a register wrote first cannot be moved.
- A digest with a label (`images`, `opaque`). The label is the guest's word: whoever writes the log may call an evil
  image a configuration file, and add the digest of a good one at the end. A rule over these has to hold of all of them
  ("every image is one of …"), never of one ("there is an image …").

A fact is as good as the code that extended the register: firmware and boot loader have to be pinned for it to mean
anything. Texts of GRUB share their register with the contents of files, and nothing tells the two apart but the label;
see `CommandLine.unexplained`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from verifiers.eventlog.record import record

if TYPE_CHECKING:
    from verifiers.eventlog.events import LogFormat, Register


class Rule(StrEnum):
    """How an event's data are tied to its digest: what exactly the digest is the hash of."""

    EVENT_DATA = "event-data"  # all of the data
    VARIABLE_DATA = "variable-data"  # the variable's value; its name and GUID are not covered
    IPL_SUFFIX = "ipl-suffix-nonul"  # the text behind the prefix, without NUL
    IPL_SUFFIX_NUL = "ipl-suffix-nul"  # the text behind the prefix, with one NUL
    SECTION_NAME = "utf16-as-ascii-nul"  # the UTF-16 name as ASCII with one NUL
    SUFFIX_FROM_20 = "suffix-from-offset-20"  # what follows a name of 16 bytes and a length of 4
    DSTACK_V1 = "dstack-v1"  # LE32(type) ":" name ":" payload
    DSTACK_V2 = "dstack-v2"  # canonical JSON of name, payload, type
    CEL_CONTENT = "cel-content"  # the content with its type and length
    KNOWN_DIGEST = (
        "known-digest"  # the digest of one of few possible values; the log need not give the data
    )
    PLACE = "place"  # its place in the register: a digest, no data
    LABEL = "label"  # none: the digest stands alone, its label is the guest's word


@record
class Origin:
    """The event that something comes from.

    Attributes:
        position: from 0 in its log. The order between registers is the guest's word.
        ordinal: from 0 among the events of its register, over all logs. This order is proven.
        rule: why it is believed.
    """

    format: LogFormat
    position: int
    register: Register
    ordinal: int
    rule: Rule


class SecureBoot(StrEnum):
    """State of Secure Boot. Where no log says anything about it there is none of these."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    ABSENT = "absent"  # firmware without that variable
    UNDETERMINED = "undetermined"  # a log says something that must not be believed


class TextState(StrEnum):
    """Whether a text is believed."""

    PROVEN = "proven"
    UNDETERMINED = "undetermined"  # a log gives a text that must not be believed


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The kernel's command line in GRUB's words: path of the kernel, then its arguments.

    Attributes:
        text, origin: None where `undetermined`.
        unexplained: digests of its register that may be of a file, whatever data the log gives for them: those that
            GRUB read are here; and those of other texts that begin as a command line does, or give a kernel by a
            relative path. GRUB hashes a file as it hashes a text, and the booted system can extend the register too; so
            the text here may be a file's content or have been added later, and one of these may be the command line
            that was really used. A rule over the text is sound where every one of these is a digest that is known, or
            where there are none.
    """

    state: TextState
    text: str | None
    origin: Origin | None
    unexplained: tuple[bytes, ...]


class Kind(StrEnum):
    """What an event says that its digest is of. A label, unless `Origin.rule` says more."""

    IMAGE = "image"  # a PE image that firmware loaded; the digest is its Authenticode hash
    LOAD_OPTIONS = "load-options"  # UTF-16LE with NUL, as the kernel's EFI stub got them
    INITRD = "initrd"
    SECTION = "section"  # of a unified kernel image
    FILE = "file"
    OTHER = "other"


@record
class Digest:
    """A digest of something that the log does not hold.

    Attributes:
        digest: of the register's algorithm.
        label: what the log calls it, printable ASCII; of a section its name. "" where a log has hundreds before it.
    """

    kind: Kind
    digest: bytes
    label: str
    origin: Origin


@record
class EventClaim:
    """One event that replays, with what its digest covers.

    Attributes:
        type: as in the log, believed where the rule is of dstack or a CEL; elsewhere a label, as data are under a rule.
        name: of dstack's runtime events and of IMA's files, where the digest covers it; else None.
        data: what the digest covers of the event's data, see `Rule`; None where that is nothing.
        may_be_file: whether it may be the digest of a file or table under another label; see `proven.Proven`.
    """

    origin: Origin
    type: int | None
    name: str | None
    digest: bytes
    data: bytes | None
    may_be_file: bool


@dataclass(frozen=True, slots=True)
class SignatureDatabase:
    """One of PK, KEK, db and dbx (UEFI 2.11, 32.4.1), as firmware measured it before it started anything.

    Attributes:
        certificates: X.509 certificates, DER, as they stand there; nobody has checked them.
        certificate_sha256: SHA-256 of each, 32 bytes.
        hashes: (algorithm or type in words, hash) of images, or of certificates' TBS where the type begins `x509-`.
        unknown: entries of other types.
    """

    certificates: tuple[bytes, ...]
    certificate_sha256: tuple[bytes, ...]
    hashes: tuple[tuple[str, bytes], ...]
    unknown: int
    origin: Origin


@record
class Authority:
    """A variable that an image was allowed by: an entry of db, shim's SbatLevel and the like."""

    guid: str
    name: str
    value: bytes
    origin: Origin


@record
class Text:
    """A text that a digest covers: a command of GRUB's."""

    text: str
    origin: Origin


@record
class Value:
    """Bytes that a digest covers."""

    value: bytes
    origin: Origin


@dataclass(frozen=True, slots=True)
class DstackIdentity:
    """What dstack's guest measured of the application before `system-ready`. None: it measured no such event."""

    app_id: Value | None  # 20 bytes
    compose_hash: Value | None  # 32
    instance_id: Value | None  # 20, or empty
    os_image_hash: Value | None  # 32
    key_provider: Value | None  # JSON
    others: tuple[tuple[str, Value], ...]  # other events before `system-ready`, by name


@record
class AaelClaim:
    """One entry of Confidential Containers' attestation agent. `content` may be JSON, and may hold spaces."""

    domain: str
    operation: str
    content: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class ConfidentialSpace:
    """What Google's Confidential Space launcher measured of its one container before it started it."""

    image_reference: Text | None
    image_digest: Text | None
    image_id: Text | None
    restart_policy: Text | None
    memory_monitor: Value | None
    gpu_cc_mode: Text | None
    args: tuple[Text, ...]
    env: tuple[Text, ...]
    override_args: tuple[Text, ...]
    override_env: tuple[Text, ...]
    gpu_bindings: tuple[Value, ...]


class Subject(StrEnum):
    """What a doubt is about: a field of `BootClaims`."""

    SECURE_BOOT = "secure_boot"
    PK = "pk"
    KEK = "kek"
    DB = "db"
    DBX = "dbx"
    KERNEL_CMDLINE = "kernel_cmdline"
    DSTACK = "dstack"
    AAEL = "aael"
    CONFIDENTIAL_SPACE = "confidential_space"


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that a log says and that is not believed, and in one line why."""

    subject: Subject
    why: str


@dataclass(frozen=True, slots=True)
class BootClaims:
    """What replayed logs prove. None and () mean: they say nothing about it, or a doubt says why it is not believed.

    Attributes:
        secure_boot: None where no log speaks of it. It says nothing of whose keys are trusted: see `db`.
        secure_boot_origin: None where it is None or undetermined.
        authorities: in the order of measuring. Their register has no mark of the end of boot: a kernel can add to them.
        images: everything in the register of boot applications that may be an EFI image, whatever its label.
        kernel_cmdline: GRUB's text; None for kernels that were started in another way, see `cmdline_digest`.
        cmdline_digest: of the kernel's load options (UTF-16LE with NUL), where they are the first thing in their
            register, or of the section .cmdline of a unified kernel image; compare with the hash of the text in that
            form, or the plain hash of the section.
        initrd_digest: likewise.
        sections: of a unified kernel image, in their order.
        grub: GRUB's commands before the boot loader ended; their place relative to that end is the guest's word.
        opaque: everything that replays and that no data explain, of all registers, in the order of the registers.
        events: everything that replays, in the same order.
        aael: None where the register is in another language; complete where it is not None.
    """

    secure_boot: SecureBoot | None
    secure_boot_origin: Origin | None
    pk: SignatureDatabase | None
    kek: SignatureDatabase | None
    db: SignatureDatabase | None
    dbx: SignatureDatabase | None
    authorities: tuple[Authority, ...]
    images: tuple[Digest, ...]
    kernel_cmdline: CommandLine | None
    cmdline_digest: Digest | None
    initrd_digest: Digest | None
    sections: tuple[Digest, ...]
    grub: tuple[Text, ...]
    opaque: tuple[Digest, ...]
    events: tuple[EventClaim, ...]
    dstack: DstackIdentity | None
    aael: tuple[AaelClaim, ...] | None
    confidential_space: ConfidentialSpace | None
    doubts: tuple[Doubt, ...]
