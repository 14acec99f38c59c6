# SPDX-License-Identifier: Apache-2.0
"""What a guest's logs say, as text that may stand in a finding: printable ASCII of bounded length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from policies.event_types import type_name
from verifiers.eventlog.claims import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from verifiers.eventlog.claims import BootClaims, EventClaim, Subject

T = TypeVar("T")

MAX_SHOWN: Final = 300  # characters


def shown(text: str, limit: int = MAX_SHOWN) -> str:
    """Text with a dot for whatever is not printable ASCII, cut where it is too long."""
    clean = "".join(one if " " <= one <= "~" else "." for one in text[: limit + 1])
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}~"


def several(things: Sequence[T], text: Callable[[T], str], limit: int = 5) -> str:
    """A few of them as text, and how many more there are. A log has thousands: the others are not looked at."""
    more = f" and {len(things) - limit} more" if len(things) > limit else ""
    return "; ".join(map(text, things[:limit])) + more


def doubt(claims: BootClaims, subject: Subject) -> str:
    """Why nothing is believed about a subject; empty where no log speaks of it."""
    return shown("; ".join(one.why for one in claims.doubts if one.subject is subject))


def labels(claims: BootClaims) -> Mapping[tuple[str, int], str]:
    """What the log calls the digests that no data explain, by register and place in it."""
    return {
        (one.origin.register, one.origin.ordinal): one.label
        for one in (*claims.opaque, *claims.images)
    }


def named(event: EventClaim, known: Mapping[tuple[str, int], str]) -> str:
    """An event for people: its type, and its name, its label or the text that its digest covers."""
    label = known.get((event.origin.register, event.origin.ordinal), "")
    if event.name is not None:
        label = event.name
    elif event.data is not None:
        label = _text(event.origin.rule, event.data)
    return shown(f"{type_name(event.type)} {label}".rstrip(), 200)


def _text(rule: Rule, data: bytes) -> str:
    """A variable by its name, which UEFI writes behind a GUID and two lengths; other data as they are."""
    if rule is Rule.EVENT_DATA and len(data) >= 32:
        size = 2 * int.from_bytes(data[16:24], "little")
        name = data[32 : 32 + size]
        if 0 < size == len(name) and not any(name[1::2]):
            return name[0::2].decode("latin-1")
    return data[:MAX_SHOWN].decode("latin-1").rstrip("\0")
