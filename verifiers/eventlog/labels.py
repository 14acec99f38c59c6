# SPDX-License-Identifier: Apache-2.0
"""What a log calls its events: for people to read, believed by nobody.

Labels are printable ASCII of bounded length, so that what a guest wrote can stand in a terminal or a log line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from verifiers.eventlog import efi
from verifiers.eventlog.bound import (
    EV_EFI_BOOT_SERVICES_APPLICATION,
    EV_EVENT_TAG,
    EV_IPL,
    TAG_INITRD,
    TAG_LOAD_OPTIONS,
    tag,
)
from verifiers.eventlog.claims import Digest, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from verifiers.eventlog.events import Event
    from verifiers.eventlog.proven import Proven

MAX_LABEL: Final = 120  # characters
MAX_LABELS: Final = (
    512  # nobody reads more, and a device path takes longer than all else of an event
)
_UNPRINTABLE: Final = re.compile(r"[^ -~]")
_IMAGES: Final = range(EV_EFI_BOOT_SERVICES_APPLICATION, EV_EFI_BOOT_SERVICES_APPLICATION + 3)
_TAGS: Final = {TAG_LOAD_OPTIONS: Kind.LOAD_OPTIONS, TAG_INITRD: Kind.INITRD}


def as_digests(events: Iterable[Proven]) -> tuple[Digest, ...]:
    """Events as `as_digest` gives them; of more than 512 the others without a label."""
    return tuple(
        as_digest(one)
        if place < MAX_LABELS
        else Digest(kind_of(one.event), one.digest, "", one.origin)
        for place, one in enumerate(events)
    )


def as_digest(one: Proven) -> Digest:
    """A proven event whose data its digest does not explain, under its label."""
    return Digest(kind_of(one.event), one.digest, label_of(one.event), one.origin)


def kind_of(event: Event) -> Kind:
    """What the log says that the event's digest is of."""
    if event.type in _IMAGES:
        return Kind.IMAGE
    if event.type == EV_EVENT_TAG:
        return _TAGS.get(tag(event) or 0, Kind.OTHER)
    if event.type == EV_IPL and event.data.startswith((b"/", b"(")):
        return Kind.FILE
    if event.type == EV_IPL and event.data.startswith(b".\0"):
        return Kind.SECTION
    return Kind.OTHER


def label_of(event: Event) -> str:
    """What the log calls the event: dstack's name, an image's device path, else the text in the data."""
    if event.name is not None:
        return printable(event.name)
    if event.type in _IMAGES:
        return printable(efi.image_path(event.data))
    if event.type == EV_EVENT_TAG:
        return _text(event.data[8:])
    return _text(event.data)


def _text(data: bytes) -> str:
    """UTF-16 where every other byte is zero, else one byte a character; up to the NUL."""
    data = data[: 2 * MAX_LABEL]
    wide = len(data) > 1 and not any(data[1::2])
    text = data.decode("utf-16-le" if wide else "latin-1", "replace")
    return printable(text.partition("\0")[0])


def printable(text: str) -> str:
    """Text with every character that is not printable ASCII as a dot, cut where it is too long."""
    return _UNPRINTABLE.sub(".", text[:MAX_LABEL])
