# SPDX-License-Identifier: Apache-2.0
"""dstack's VersionedAttestation: quote, event log and configuration in one. Bytes -> `DstackEvidence`.

    version 0   SCALE; begins with 00
    version 1   a map {version, platform {kind, data}, stack {kind, data}}; MessagePack, or CBOR as some releases wrote

Rules: TDX on bare metal only (`tdx`); other platforms are a format to refuse. The runtime events stand there twice, in
the log and in a list of their own: both have to tell the same. Lengths in SCALE have their shortest form. No byte may
follow. Of the map, members that this module needs are demanded and others are let pass: the map is dstack's to extend,
and nothing in it is believed that a digest does not cover.

Source: Dstack-TEE/dstack, dstack-attest (attestation.rs, v1.rs); SCALE codec (Polkadot specification, appendix A.2.2).
"""

from __future__ import annotations

from binascii import unhexlify
from struct import Struct
from typing import Final

from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.dstack import RUNTIME_EVENT, DstackEvidence, Entry, log_of
from verifiers.eventlog.events import MAX_APPLICATION_EVENTS, demand_count, demand_size
from verifiers.eventlog.packed import Packed, parse_cbor, parse_msgpack

_SCALE: Final = 0x00
_SCALE_EVENT: Final = Struct("<II")  # imr, type
_MSGPACK_MAPS: Final = range(0x80, 0x90)
_CBOR_MAPS: Final = range(0xA0, 0xB8)
_REPORT_DATA: Final = 64
_U32: Final = 1 << 32
_STACKS: Final = ("dstack", "dstack-pod")


def parse(data: bytes) -> DstackEvidence:
    """Parse an attestation, at most 1 MiB.

    Raises:
        VerificationError: `too-large`; `malformed`; `unsupported-format` for another version, encoding or platform.
    """
    demand_size(data, "dstack attestation")
    first = data[0] if data else -1
    if first == _SCALE:
        return _parse_scale(Cursor(data, 1))
    if first in _MSGPACK_MAPS:
        return _parse_map(parse_msgpack(data))
    if first in _CBOR_MAPS:
        return _parse_map(parse_cbor(data))
    raise VerificationError(
        Reason.UNSUPPORTED_FORMAT, "dstack attestation: neither SCALE, MessagePack nor CBOR"
    )


def _evidence(
    quote: bytes, entries: list[Entry], runtime: list[tuple[str, bytes]], config: str
) -> DstackEvidence:
    logged = [(one.name, one.payload) for one in entries if one.event_type == RUNTIME_EVENT]
    if logged != runtime:
        raise VerificationError(
            Reason.MALFORMED, "dstack attestation: its two lists of runtime events differ"
        )
    return DstackEvidence(quote, log_of(entries), config)


# Version 0


def _parse_scale(cursor: Cursor) -> DstackEvidence:
    platform = cursor.u8("platform")
    if platform != 0:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"dstack attestation: platform {platform} is not TDX"
        )
    quote = _scale_bytes(cursor, "quote")
    entries = [_scale_entry(cursor) for _ in range(_scale_count(cursor))]
    runtime = [
        (_scale_text(cursor, "event"), _scale_bytes(cursor, "payload"))
        for _ in range(_scale_count(cursor))
    ]
    cursor.take(_REPORT_DATA, "report data")  # the quote has it, signed
    config = _scale_text(cursor, "config")
    cursor.nothing_left("dstack attestation")
    return _evidence(quote, entries, runtime, config)


def _scale_entry(cursor: Cursor) -> Entry:
    imr, event_type = cursor.unpack(_SCALE_EVENT, "event")
    return Entry(
        imr=imr,
        event_type=event_type,
        digest=_scale_bytes(cursor, "digest"),
        name=_scale_text(cursor, "event"),
        payload=_scale_bytes(cursor, "payload"),
    )


def _scale_count(cursor: Cursor) -> int:
    count = _compact(cursor, "number of events")
    demand_count(count, "dstack attestation", MAX_APPLICATION_EVENTS)
    return count


def _scale_bytes(cursor: Cursor, field: str) -> bytes:
    return cursor.take(_compact(cursor, field), field)


def _scale_text(cursor: Cursor, field: str) -> str:
    try:
        return _scale_bytes(cursor, field).decode("utf-8")
    except UnicodeDecodeError:
        raise VerificationError(Reason.MALFORMED, f"{field}: not UTF-8") from None


def _compact(cursor: Cursor, field: str) -> int:
    """A length: the two low bits of its first byte say whether it has 1, 2 or 4 bytes (3: more, never needed here)."""
    first = cursor.u8(field)
    mode = first & 3
    if mode == 0:
        return first >> 2
    if mode == 3:
        raise VerificationError(Reason.MALFORMED, f"{field}: a length of more than 30 bits")
    rest = cursor.take((1, 3)[mode - 1], field)
    number = int.from_bytes(rest, "little") << 6 | first >> 2
    if number < (1 << 6, 1 << 14)[mode - 1]:
        raise VerificationError(Reason.MALFORMED, f"{field}: a length that is not the shortest")
    return number


# Version 1


def _parse_map(value: Packed) -> DstackEvidence:
    top = _map(value, "attestation")
    if top.get("version") != 1:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, "dstack attestation: a map of another version than 1"
        )
    platform = _kind(top, "platform", ("tdx",))
    stack = _kind(top, "stack", _STACKS)
    entries = [_entry(_map(one, "event")) for one in _list(platform, "event_log")]
    events = [_map(one, "event") for one in _list(stack, "runtime_events")]
    runtime = [(_text(one, "event"), _bytes(one, "payload")) for one in events]
    return _evidence(_bytes(platform, "quote"), entries, runtime, _text(stack, "config"))


def _kind(top: dict[str, Packed], name: str, known: tuple[str, ...]) -> dict[str, Packed]:
    part = _map(top.get(name), name)
    if part.get("kind") not in known:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"dstack attestation: {name} is none of {', '.join(known)}"
        )
    return _map(part.get("data"), name)


def _entry(event: dict[str, Packed]) -> Entry:
    preimage = event.get("preimage")
    return Entry(
        imr=_number(event, "imr"),
        event_type=_number(event, "event_type"),
        digest=_bytes(event, "digest"),
        name=_text(event, "event"),
        payload=_bytes(event, "event_payload"),
        version=_number(event, "version") if "version" in event else 1,
        preimage=None if preimage is None else _unhex(_text(event, "preimage")),
    )


def _unhex(text: str) -> bytes:
    try:
        return unhexlify(text)
    except ValueError:
        raise _wrong("preimage") from None


def _map(value: Packed, name: str) -> dict[str, Packed]:
    if not isinstance(value, dict):
        raise _wrong(name)
    return value


def _list(members: dict[str, Packed], name: str) -> list[Packed]:
    value = members.get(name)
    if not isinstance(value, list):
        raise _wrong(name)
    return value


def _number(members: dict[str, Packed], name: str) -> int:
    value = members.get(name)
    if not isinstance(value, int) or value >= _U32:
        raise _wrong(name)
    return value


def _text(members: dict[str, Packed], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise _wrong(name)
    return value


def _bytes(members: dict[str, Packed], name: str) -> bytes:
    """A byte string, or an array of numbers: serde writes either, by the attributes of the field."""
    value = members.get(name)
    if isinstance(value, list):
        numbers = [one for one in value if isinstance(one, int) and one < 256]
        if len(numbers) == len(value):
            return bytes(numbers)
    if not isinstance(value, bytes):
        raise _wrong(name)
    return value


def _wrong(name: str) -> VerificationError:
    return VerificationError(
        Reason.MALFORMED, f"dstack attestation: {name} is not what it should be"
    )
