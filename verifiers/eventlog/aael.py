# SPDX-License-Identifier: Apache-2.0
"""Entries of Confidential Containers' attestation agent (AAEL) in a TCG2 log: event data -> `AaelEntry`.

An EV_EVENT_TAG whose tag is "AAEL" and whose data is the text `domain SP operation SP content`. The content may have
spaces of its own. The digest covers the whole event data, tag and length included; whoever believes an entry has to
check that, and that the entry is one of RTMR3.

Source: confidential-containers/guest-components, attestation-agent/src/eventlog; TCG PC Client Platform Firmware
Profile 1.06, 10.4.2.1 (tagged event).
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.record import record

if TYPE_CHECKING:
    from verifiers.eventlog.events import Event

EV_EVENT_TAG: Final = 0x00000006
AAEL_TAG: Final = 0x4141454C
_HEAD: Final = Struct("<II")  # tag, length
_TAG: Final = AAEL_TAG.to_bytes(4, "little")


@record
class AaelEntry:
    """What an entry says. `content` may be JSON, and may be empty."""

    domain: str
    operation: str
    content: str


def is_aael(event: Event) -> bool:
    """Whether the event's type and tag are those of an entry. Neither is covered by a digest alone."""
    return event.type == EV_EVENT_TAG and event.data.startswith(_TAG)


def parse_entry(data: bytes) -> AaelEntry:
    """Parse the data of such an event: tag (u32), length (u32), text in UTF-8.

    Raises:
        VerificationError: `malformed`.
    """
    cursor = Cursor(data)
    tag, length = cursor.unpack(_HEAD, "tagged event")
    text = cursor.take(length, "tagged event")
    cursor.nothing_left("tagged event")
    if tag != AAEL_TAG:
        raise VerificationError(Reason.MALFORMED, f"tagged event: tag {tag:#010x} is not AAEL")
    try:
        parts = text.decode("utf-8").split(" ", 2)
    except UnicodeDecodeError:
        raise VerificationError(Reason.MALFORMED, "AAEL entry: not UTF-8") from None
    if len(parts) != 3 or not parts[0] or not parts[1]:
        raise VerificationError(
            Reason.MALFORMED, "AAEL entry: not a domain, an operation and a content"
        )
    return AaelEntry(*parts)
