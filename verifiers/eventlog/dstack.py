# SPDX-License-Identifier: Apache-2.0
"""dstack's event log in JSON, version 1 and 2, alone or in the guest agent's reply. Bytes -> `EventLog`.

An array of `{imr, event_type, digest, event, event_payload}`; `imr` is the number of the RTMR. Events of the type
0x08000001 are dstack's own, all in RTMR3. Their digest is SHA-384 of
    version 1   type (u32, LE) || ":" || name || ":" || payload
    version 2   {"name":...,"payload":"<hex>","type":134217729}, canonical by RFC 8785

Rules: strict JSON, no unknown member of an event. The digest of a runtime event is always computed; where the log gives
it, or its preimage, it has to be the same. So name and payload of a runtime event are what its digest covers. Of every
other event the payload is a label, and the name is given to nobody. In version 1 nothing says where the name ends: a
name with ":" in it is not given either (`Event.name` is None, and `Event.data` is all behind the type), so that none
relies on one reading of it. Digests of boot events cannot be left out, their payloads can.
Not done here: which names mean what, and up to which event the names were dstack's own.

Source: Dstack-TEE/dstack, cc-eventlog (event log version 1 and 2) and guest-agent (reply to GetQuote).
"""

from __future__ import annotations

import json
from binascii import unhexlify
from dataclasses import dataclass
from hashlib import sha384
from typing import TYPE_CHECKING, Final

from verifiers import jsontext
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.events import (
    EV_NO_ACTION,
    MAX_APPLICATION_EVENTS,
    RTMRS,
    Algorithm,
    Event,
    EventLog,
    LogFormat,
    Register,
    demand_count,
    demand_size,
)
from verifiers.eventlog.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from verifiers.jsontext import Json

RUNTIME_EVENT: Final = 0x08000001
_TYPE: Final = RUNTIME_EVENT.to_bytes(4, "little")
_MEMBERS: Final = frozenset(
    ("imr", "event_type", "digest", "event", "event_payload", "version", "preimage")
)
_U32: Final = 1 << 32
_COMMAS: Final = 16  # for each event, of which it has 7 at most; a configuration has some too
_DIGEST: Final = Algorithm.SHA384.size
_JSON_STRING: Final = json.JSONEncoder(ensure_ascii=False).encode  # of a string it is RFC 8785's


@record
class Entry:
    """One event as dstack's formats have it, before its digest is known.

    Attributes:
        imr: u32, the number of an RTMR. event_type: u32. digest: 48 bytes, or none.
        preimage: of the digest, where the log gives it.
    """

    imr: int
    event_type: int
    digest: bytes
    name: str
    payload: bytes
    version: int = 1
    preimage: bytes | None = None


@dataclass(frozen=True, slots=True)
class DstackEvidence:
    """A quote with its log.

    Attributes:
        quote: not looked at.
        config: the VM's configuration, JSON text that nothing covers but what a claim compares it with; may be empty.
    """

    quote: bytes
    log: EventLog
    config: str


def parse(data: bytes) -> EventLog:
    """Parse the array of events, or take it from the guest agent's reply.

    Raises:
        VerificationError: `too-large`; `malformed`; `unsupported-format` for a version that is not known.
    """
    value = _parse_json(data)
    return _parse_reply(value).log if isinstance(value, dict) else _parse_events(value)


def parse_reply(data: bytes) -> DstackEvidence:
    """Parse the guest agent's reply: `quote` in hex, `event_log` and `vm_config` as JSON inside of strings.

    Raises:
        VerificationError: as `parse`.
    """
    return _parse_reply(_parse_json(data))


def log_of(entries: Iterable[Entry]) -> EventLog:
    """The log that the entries make.

    Raises:
        VerificationError: `malformed`, `unsupported-format`, `too-large`.
    """
    events: list[Event] = []
    for entry in entries:
        demand_count(len(events) + 1, "dstack log", MAX_APPLICATION_EVENTS)
        events.append(_event(len(events), entry))
    return EventLog(LogFormat.DSTACK, tuple(events), (Algorithm.SHA384,))


def preimage_of(entry: Entry) -> bytes:
    """The bytes whose SHA-384 a runtime event extends.

    Raises:
        VerificationError: `malformed` where the name is no text in UTF-8; `unsupported-format` for an unknown version.
    """
    name = entry.name if entry.version == 1 else _JSON_STRING(entry.name)
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        raise VerificationError(
            Reason.MALFORMED, "dstack log: a name has half of a surrogate pair"
        ) from None
    if entry.version == 1:
        return b":".join((_TYPE, encoded, entry.payload))
    if entry.version == 2:
        payload = entry.payload.hex().encode("ascii")
        return b'{"name":%b,"payload":"%b","type":%d}' % (encoded, payload, RUNTIME_EVENT)
    raise VerificationError(
        Reason.UNSUPPORTED_FORMAT, f"dstack log: version {entry.version}; 1 and 2 are known"
    )


def _event(position: int, entry: Entry) -> Event:
    register = RTMRS[entry.imr] if entry.imr < len(RTMRS) else None
    if register is None and entry.event_type != EV_NO_ACTION:
        raise VerificationError(Reason.MALFORMED, f"dstack event {position}: RTMR {entry.imr}")
    if entry.event_type == RUNTIME_EVENT:
        return _runtime_event(position, register, entry)
    if len(entry.digest) != _DIGEST:
        raise VerificationError(
            Reason.MALFORMED, f"dstack event {position}: a digest of {len(entry.digest)} bytes"
        )
    digests = {Algorithm.SHA384: entry.digest}
    kind, data = entry.event_type, entry.payload
    return Event(position, register, kind, digests, data, None, LogFormat.DSTACK)


def _runtime_event(position: int, register: Register | None, entry: Entry) -> Event:
    if register is not Register.RTMR3:
        raise VerificationError(
            Reason.MALFORMED, f"dstack event {position}: a runtime event outside of RTMR3"
        )
    preimage = preimage_of(entry)
    digest = sha384(preimage).digest()
    if entry.preimage not in (None, preimage) or entry.digest not in (b"", digest):
        raise VerificationError(
            Reason.MALFORMED,
            f"dstack event {position}: digest or preimage is not that of name and payload",
        )
    digests, kind = {Algorithm.SHA384: digest}, entry.event_type
    if entry.version == 1 and ":" in entry.name:
        behind = preimage[len(_TYPE) + 1 :]
        return Event(position, register, kind, digests, behind, None, LogFormat.DSTACK)
    name, data = entry.name, entry.payload
    return Event(position, register, kind, digests, data, name, LogFormat.DSTACK, preimage)


def _parse_json(data: bytes) -> Json:
    demand_size(data, "dstack log")
    demand_count(data.count(b",") // _COMMAS, "dstack log", MAX_APPLICATION_EVENTS)
    try:
        return jsontext.parse_any(data)
    except ValueError as error:
        raise VerificationError(Reason.MALFORMED, f"dstack log: {error}") from error


def _parse_reply(value: Json) -> DstackEvidence:
    if not isinstance(value, dict):
        raise VerificationError(Reason.MALFORMED, "dstack reply: no JSON object")
    events = _parse_json(_text(value, "event_log").encode("utf-8", "surrogatepass"))
    config = _text(value, "vm_config") if "vm_config" in value else ""
    return DstackEvidence(_hex(value, "quote"), _parse_events(events), config)


def _parse_events(value: Json) -> EventLog:
    if not isinstance(value, list):
        raise VerificationError(Reason.MALFORMED, "dstack log: no JSON array")
    return log_of(_parse_entry(one) for one in value)


def _parse_entry(value: Json) -> Entry:
    if not isinstance(value, dict) or not value.keys() <= _MEMBERS:
        raise VerificationError(
            Reason.MALFORMED, "dstack log: an event is no object, or has an unknown member"
        )
    return Entry(
        imr=_number(value, "imr"),
        event_type=_number(value, "event_type"),
        digest=_hex(value, "digest") if "digest" in value else b"",
        name=_text(value, "event"),
        payload=_hex(value, "event_payload"),
        version=_number(value, "version") if "version" in value else 1,
        preimage=_hex(value, "preimage") if "preimage" in value else None,
    )


def _number(value: dict[str, Json], name: str) -> int:
    number = value.get(name)
    if type(number) is not int or not 0 <= number < _U32:
        raise VerificationError(Reason.MALFORMED, f"dstack log: {name} is no u32")
    return number


def _text(value: dict[str, Json], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        raise VerificationError(Reason.MALFORMED, f"dstack log: {name} is no string")
    return text


def _hex(value: dict[str, Json], name: str) -> bytes:
    try:
        return unhexlify(_text(value, name))
    except ValueError:
        raise VerificationError(Reason.MALFORMED, f"dstack log: {name} is not hex") from None
