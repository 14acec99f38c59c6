# SPDX-License-Identifier: Apache-2.0
"""The single values of a policy document as pydantic types: hexadecimal bytes, instants, durations, identifiers.

Every reader is exact: nothing is trimmed, padded or guessed. Messages say what is wanted; they become `Problem`s.
"""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import AfterValidator, Field, PlainValidator

if TYPE_CHECKING:
    from collections.abc import Callable

_HEX = frozenset(string.hexdigits)
_SLUG = frozenset(string.ascii_lowercase + string.digits + "-")
_ID = frozenset(string.ascii_letters + string.digits + "._-")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_INSTANT_FORMATS = {
    len("2026-01-31"): "%Y-%m-%d",
    len("2026-01-31T12:00:00Z"): "%Y-%m-%dT%H:%M:%S%z",
    len("2026-01-31T12:00:00+01:00"): "%Y-%m-%dT%H:%M:%S%z",
}
MAX_DURATION = timedelta(days=3660)


def hex_of(length: int) -> Callable[[object], bytes]:
    """A reader of exactly `length` bytes as `2 * length` hexadecimal digits of either case."""

    def read(value: object) -> bytes:
        if isinstance(value, str) and len(value) == 2 * length and _HEX.issuperset(value):
            return bytes.fromhex(value)
        raise ValueError(
            f"wants exactly {2 * length} hexadecimal digits in quotes, no 0x, no spaces"
        )

    return read


def read_instant(value: object) -> datetime:
    """RFC 3339 to the second, or a date, which is the instant 00:00:00 UTC at its start. Result in UTC."""
    if isinstance(value, str) and len(value) in _INSTANT_FORMATS:
        try:
            instant = datetime.strptime(value, _INSTANT_FORMATS[len(value)])  # noqa: DTZ007  the zone follows
            return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):  # no such day; before the year 1 in UTC
            pass
    raise ValueError("wants 2026-01-31 or 2026-01-31T12:00:00Z as text")


def read_duration(value: object) -> timedelta:
    """One number with a unit ("90s", "15m", "24h", "7d"), or ISO 8601 of days to seconds ("P7D", "PT12H", "P1DT6H")."""
    if isinstance(value, str) and value.isascii():
        duration = _iso(value) if value.startswith("P") else _fields(value, "dhms", only_one=True)
        if duration is not None and duration <= MAX_DURATION:
            return duration
    raise ValueError('wants a duration such as "24h", "90s" or "P7D"')


def _iso(text: str) -> timedelta | None:
    days, mark, clock = text.removeprefix("P").partition("T")
    parts = [_fields(days.lower(), "d")] if days else []
    parts += [_fields(clock.lower(), "hms")] if mark else []
    known = [part for part in parts if part is not None]
    return sum(known, timedelta()) if parts and len(known) == len(parts) else None


def _fields(text: str, units: str, *, only_one: bool = False) -> timedelta | None:
    """Numbers each followed by one of `units`, in that order, each at most once; None for anything else."""
    total, digits, left = 0, "", units
    for character in text:
        if character.isdigit() and len(digits) < 9:
            digits += character
        elif digits and character in left:
            total += int(digits) * _UNITS[character]
            digits, left = "", "" if only_one else left[left.index(character) + 1 :]
        else:
            return None
    return timedelta(seconds=total) if text and not digits else None


def _slug(value: str) -> str:
    if not _SLUG.issuperset(value) or value.startswith("-") or value.endswith("-"):
        raise ValueError("wants lower-case letters, digits and inner hyphens")
    return value


def _identifier(value: str) -> str:
    if not _ID.issuperset(value):
        raise ValueError("wants letters, digits, '.', '_' and '-'")
    return value


def _not_zero(value: bytes) -> bytes:
    if not any(value):
        raise ValueError("an all-zero id names no hardware")
    return value


Hex6: TypeAlias = Annotated[bytes, PlainValidator(hex_of(6))]
Hex8: TypeAlias = Annotated[bytes, PlainValidator(hex_of(8))]
Hex16: TypeAlias = Annotated[bytes, PlainValidator(hex_of(16))]
Hex32: TypeAlias = Annotated[bytes, PlainValidator(hex_of(32))]
HardwareId: TypeAlias = Annotated[bytes, PlainValidator(hex_of(16)), AfterValidator(_not_zero)]
ChipId: TypeAlias = Annotated[bytes, PlainValidator(hex_of(64)), AfterValidator(_not_zero)]
Instant: TypeAlias = Annotated[datetime, PlainValidator(read_instant)]
Duration: TypeAlias = Annotated[timedelta, PlainValidator(read_duration)]
Slug: TypeAlias = Annotated[str, Field(min_length=1, max_length=63), AfterValidator(_slug)]
Identifier: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=64), AfterValidator(_identifier)
]
Reason: TypeAlias = Annotated[str, Field(min_length=3, max_length=500)]
Text: TypeAlias = Annotated[str, Field(max_length=2000)]
Svn: TypeAlias = Annotated[int, Field(ge=0, le=0xFFFF)]
Spl: TypeAlias = Annotated[int, Field(ge=0, le=0xFF)]
