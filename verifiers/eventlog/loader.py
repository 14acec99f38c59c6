# SPDX-License-Identifier: Apache-2.0
"""What boot loaders and the kernel's EFI stub measured: command line, initrd, sections of a unified kernel image.

A booted system can extend the same register, and no event marks in it where boot ended. Two things are believed:

- By place: what stands first in the register was written by the first code that ran, and nothing can be put before it.
  So the EFI stub's two digests of a kernel that firmware itself started, and the run of name and content of a unified
  kernel image, if the register begins with them.
- GRUB's text of the command line, where all logs have one such text, its digest covers it, it stands before the end of
  boot services, and no unified kernel image was measured. The order between registers is the guest's word, and a label
  can hide a text as a file, so this is only as good as what is known of the other digests in its register.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from verifiers.eventlog.bound import (
    EV_EVENT_TAG,
    EV_IPL,
    GRUB_CMDLINE,
    GRUB_CMDLINE_OLD,
    GRUB_COMMAND,
    GRUB_COMMAND_OLD,
    TAG_INITRD,
    TAG_LOAD_OPTIONS,
    digest_of,
    tag,
)
from verifiers.eventlog.claims import (
    CommandLine,
    Digest,
    Doubt,
    Kind,
    Rule,
    Subject,
    Text,
    TextState,
)
from verifiers.eventlog.labels import as_digest

if TYPE_CHECKING:
    from verifiers.eventlog.proven import Logs, Proven

SECTION_CMDLINE: Final = ".cmdline"
SECTION_INITRD: Final = ".initrd"
_FIRST_SECTION: Final = b".linux\0"
_CMDLINES: Final = (GRUB_CMDLINE, GRUB_CMDLINE_OLD)
_COMMANDS: Final = (GRUB_COMMAND, GRUB_COMMAND_OLD)
_RELATIVE: Final = re.compile(
    rb"(linux(16|efi)?|legacy_kernel) [^/(]"
)  # GRUB's commands for kernels
_GRUB_RULES: Final = (Rule.IPL_SUFFIX, Rule.IPL_SUFFIX_NUL)


def command_line(logs: Logs) -> tuple[CommandLine | None, Doubt | None]:
    """GRUB's text, or why there is none that is believed."""
    speaking = [event for event in logs.told if event.data.startswith(_CMDLINES)]
    if not speaking:
        return None, None
    one = logs.find(speaking[0])
    if len(speaking) > 1:
        why = f"{len(speaking)} events speak of it"
    elif one is None:
        why = "its register does not replay"
    else:
        result = _believed(logs, one)
        if isinstance(result, CommandLine):
            return result, None
        why = result
    return (
        CommandLine(TextState.UNDETERMINED, None, None, ()),
        Doubt(Subject.KERNEL_CMDLINE, why),
    )


def commands(logs: Logs) -> tuple[Text, ...]:
    """GRUB's commands before the end of boot services, in their order."""
    return tuple(
        Text(one.bound.data.decode("utf-8", "replace"), one.origin)
        for one in logs.of(logs.layout.loader)
        if one.bound is not None
        and one.bound.rule in _GRUB_RULES
        and one.event.data.startswith(_COMMANDS)
        and logs.before_exit(one)
    )


def stub(logs: Logs, images: tuple[Digest, ...]) -> tuple[Digest | None, Digest | None]:
    """(load options, initrd) of a kernel that is the only image that firmware started."""
    first = logs.of(logs.layout.stub)
    if len(images) != 1 or not first or not _is_tag(first[0], TAG_LOAD_OPTIONS):
        return None, None
    options = _placed(first[0], Kind.LOAD_OPTIONS)
    if len(first) == 1 or not _is_tag(first[1], TAG_INITRD):
        return options, None
    return options, _placed(first[1], Kind.INITRD)


def sections(logs: Logs) -> tuple[Digest, ...]:
    """The contents of a unified kernel image's sections, if its register begins with them."""
    events = logs.of(logs.layout.sections)
    found: dict[str, Digest] = {}
    for name, content in zip(events[0::2], events[1::2], strict=False):
        if name.bound is None or name.bound.rule is not Rule.SECTION_NAME:
            break
        label = name.bound.data.decode("ascii", "replace")
        if label in found:
            break
        found[label] = Digest(Kind.SECTION, content.digest, label, content.by(Rule.PLACE))
    return tuple(found.values())


def _believed(logs: Logs, one: Proven) -> CommandLine | str:
    if one.event.type != EV_IPL or one.origin.register != logs.layout.loader:
        return "its event has another type or register"
    if one.bound is None:
        return "the digest is not that of the text in the log"
    if not logs.before_exit(one):
        return "it does not stand before the end of boot services"
    section = digest_of(_FIRST_SECTION, logs.algorithm)
    if any(other.digest == section for other in logs.of(logs.layout.sections)):
        return "a unified kernel image was measured, which no GRUB text is of"
    try:
        text = one.bound.data.decode("utf-8")
    except UnicodeDecodeError:
        return "it is not UTF-8"
    others = (other for other in logs.of(one.origin.register) if other is not one)
    hidden = tuple(other.digest for other in others if _may_be_another(other))
    return CommandLine(TextState.PROVEN, text, one.origin, hidden)


def _may_be_another(one: Proven) -> bool:
    """Whether what was hashed may be a file, or begins as a command line does: with a path, absolute or on a device.

    So neither the real command line nor a file hides as a command or another text that its digest covers. Some file
    systems take a relative path too: the command that gave it says so, and counts for its command line.
    """
    bound = one.bound
    return (
        bound is None
        or one.may_be_file
        or bound.hashed.startswith((b"/", b"("))
        or _RELATIVE.match(bound.hashed) is not None
    )


def _is_tag(one: Proven, wanted: int) -> bool:
    """Whether an event is labelled so; dstack's short logs have no labels, and the place is what counts."""
    if one.bound is not None or one.event.type != EV_EVENT_TAG:
        return False
    return one.stripped or tag(one.event) == wanted


def _placed(one: Proven, kind: Kind) -> Digest:
    return replace(as_digest(one), kind=kind, origin=one.by(Rule.PLACE))
