# SPDX-License-Identifier: Apache-2.0
"""Makes event logs of every format, well-formed unless told otherwise. Shares no code with the parsers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from struct import pack
from typing import Any

SIZES = {0x04: ("sha1", 20), 0x0B: ("sha256", 32), 0x0C: ("sha384", 48), 0x0D: ("sha512", 64)}
SHA384 = (0x0C,)
ACTION = 0x80000007
NO_ACTION = 3
RUNTIME = 0x08000001


def sha384(data: bytes) -> bytes:
    return hashlib.sha384(data).digest()


def digests(data: bytes, algorithms: tuple[int, ...] = SHA384) -> list[tuple[int, bytes]]:
    return [(one, hashlib.new(SIZES[one][0], data).digest()) for one in algorithms]


# TCG2


def spec_id(banks: list[tuple[int, int]], vendor: bytes = b"") -> bytes:
    """TCG_EfiSpecIDEvent with algorithms and their sizes."""
    table = b"".join(pack("<HH", *bank) for bank in banks)
    head = b"Spec ID Event03\0" + pack("<IBBBBI", 0, 0, 2, 105, 2, len(banks))
    return head + table + bytes([len(vendor)]) + vendor


def first(data: bytes, kind: int = NO_ACTION, digest: bytes = bytes(20)) -> bytes:
    """TCG_PCClientPCREvent."""
    return pack("<II", 1, kind) + digest + pack("<I", len(data)) + data


def event2(index: int, kind: int, values: list[tuple[int, bytes]], data: bytes) -> bytes:
    """TCG_PCR_EVENT2."""
    listed = b"".join(pack("<H", one) + digest for one, digest in values)
    return pack("<III", index, kind, len(values)) + listed + pack("<I", len(data)) + data


def tcg2(*events: bytes, algorithms: tuple[int, ...] = SHA384, end: bytes = b"") -> bytes:
    """A log of these events."""
    return first(spec_id([(one, SIZES[one][1]) for one in algorithms])) + b"".join(events) + end


def action(index: int, text: bytes, algorithms: tuple[int, ...] = SHA384) -> bytes:
    """EV_EFI_ACTION, whose digest is that of its text."""
    return event2(index, ACTION, digests(text, algorithms), text)


def acpi_table(
    cc_type: int = 2, signature: bytes = b"CCEL", length: int = 56, reserved: int = 0
) -> bytes:
    """The ACPI table CCEL, with its checksum."""
    head = signature + pack("<IBB", length, 1, 0) + b"MAKER TABLE   " + pack("<I4sI", 1, b"SELF", 1)
    data = bytearray(head + pack("<BBHQQ", cc_type, 0, reserved, 65536, 0x7F000000))
    data[9] = -sum(data) % 256
    return bytes(data)


# Canonical event log


def tlv(kind: int, value: bytes) -> bytes:
    return pack(">BI", kind, len(value)) + value


def record(
    number: int, content: bytes, *, index: tuple[int, bytes] = (0x6C, b"\x04"), kind: int = 0x50
) -> bytes:
    """A record with its rightful digest. `content` is the value of the content."""
    listed = b"".join(tlv(one, digest) for one, digest in digests(tlv(kind, content)))
    return tlv(0, pack(">Q", number)) + tlv(*index) + tlv(3, listed) + tlv(kind, content)


# dstack


@dataclass
class Runtime:
    """A runtime event."""

    name: str
    payload: bytes = b""
    version: int = 1

    @property
    def preimage(self) -> bytes:
        if self.version == 1:
            return pack("<I", RUNTIME) + b":" + self.name.encode() + b":" + self.payload
        name = json.dumps(self.name, ensure_ascii=False)
        return f'{{"name":{name},"payload":"{self.payload.hex()}","type":{RUNTIME}}}'.encode()

    def json(self, **changes: object) -> dict[str, Any]:
        members = {
            "imr": 3,
            "event_type": RUNTIME,
            "digest": sha384(self.preimage).hex(),
            "event": self.name,
            "event_payload": self.payload.hex(),
        }
        if self.version != 1:
            members |= {"version": self.version, "preimage": self.preimage.hex()}
        return members | changes


def boot_event(imr: object = 0, **changes: object) -> dict[str, Any]:
    """An event of the firmware, stripped of its payload."""
    members: dict[str, Any] = {"imr": imr, "event_type": ACTION, "digest": sha384(b"boot").hex()}
    return members | {"event": "", "event_payload": ""} | changes


def log_text(*events: object) -> bytes:
    return json.dumps(events).encode()


def reply(**changes: object) -> bytes:
    """The guest agent's reply."""
    members: dict[str, Any] = {
        "quote": b"quote".hex(),
        "event_log": log_text(boot_event(), Runtime("app-id", b"\1").json()).decode(),
        "report_data": bytes(64).hex(),
        "vm_config": "{}",
    }
    return json.dumps(members | changes).encode()


def compact(number: int) -> bytes:
    """A length in SCALE."""
    if number < 1 << 6:
        return bytes([number << 2])
    return pack("<H", number << 2 | 1) if number < 1 << 14 else pack("<I", number << 2 | 2)


def scale_bytes(value: bytes) -> bytes:
    return compact(len(value)) + value


def scale_event(event: dict[str, Any]) -> bytes:
    texts = (
        bytes.fromhex(event["digest"]),
        event["event"].encode(),
        bytes.fromhex(event["event_payload"]),
    )
    head = pack("<II", event["imr"], event["event_type"])
    return head + b"".join(map(scale_bytes, texts))


@dataclass
class Attestation:
    """dstack's VersionedAttestation in each of its encodings."""

    quote: bytes = b"q" * 300
    boot: list[dict[str, Any]] = field(default_factory=lambda: [boot_event()])
    runtime: list[Runtime] = field(
        default_factory=lambda: [Runtime("app-id", b"\1\2"), Runtime("system-ready")]
    )
    config: str = "{}"
    kinds: tuple[str, str] = ("tdx", "dstack")
    version: int = 1

    @property
    def events(self) -> list[dict[str, Any]]:
        return self.boot + [one.json() for one in self.runtime]

    def scale(self, platform: int = 0) -> bytes:
        parts = [bytes([0, platform]), scale_bytes(self.quote), compact(len(self.events))]
        parts += [scale_event(event) for event in self.events]
        parts.append(compact(len(self.runtime)))
        parts += [scale_bytes(one.name.encode()) + scale_bytes(one.payload) for one in self.runtime]
        return b"".join([*parts, bytes(64), scale_bytes(self.config.encode())])

    def members(self) -> dict[str, Any]:
        """As serde gives it: a quote is an array of numbers, digests and payloads are byte strings."""
        events = [
            event | {name: bytes.fromhex(event[name]) for name in ("digest", "event_payload")}
            for event in self.events
        ]
        runtime = [{"event": one.name, "payload": one.payload} for one in self.runtime]
        platform = {"quote": list(self.quote), "event_log": events}
        stack = {"report_data": [0] * 64, "runtime_events": runtime, "config": self.config}
        return {
            "version": self.version,
            "platform": {"kind": self.kinds[0], "data": platform},
            "stack": {"kind": self.kinds[1], "data": stack},
        }


def msgpack(value: Any) -> bytes:  # noqa: ANN401 - whatever such a format can say
    """MessagePack of numbers, text, bytes, lists, maps of text and None."""
    match value:
        case None:
            return b"\xc0"
        case int():
            return bytes([value]) if value < 0x80 else _sized(value, (0xCC, 0xCD, 0xCE, 0xCF))
        case str():
            text = value.encode()
            return _counted(len(text), 0xA0, 32, (0xD9, 0xDA, 0xDB)) + text
        case bytes():
            return _sized(len(value), (0xC4, 0xC5, 0xC6)) + value
        case list():
            return _counted(len(value), 0x90, 16, (0, 0xDC, 0xDD)) + b"".join(map(msgpack, value))
        case _:
            pairs = b"".join(msgpack(name) + msgpack(member) for name, member in value.items())
            return _counted(len(value), 0x80, 16, (0, 0xDE, 0xDF)) + pairs


def _counted(number: int, fixed: int, below: int, heads: tuple[int, ...]) -> bytes:
    return bytes([fixed | number]) if number < below else _sized(number, heads)


def _sized(number: int, heads: tuple[int, ...]) -> bytes:
    """The shortest head that there is; 0 where there is none."""
    for head, size in zip(heads, (1, 2, 4, 8), strict=False):
        if head and number < 1 << 8 * size:
            return bytes([head]) + number.to_bytes(size, "big")
    raise ValueError(number)


def cbor(value: Any) -> bytes:  # noqa: ANN401 - as above
    """CBOR of the same."""
    match value:
        case None:
            return b"\xf6"
        case int():
            return _cbor_head(0, value)
        case bytes():
            return _cbor_head(2, len(value)) + value
        case str():
            return _cbor_head(3, len(value.encode())) + value.encode()
        case list():
            return _cbor_head(4, len(value)) + b"".join(map(cbor, value))
        case _:
            pairs = b"".join(cbor(name) + cbor(member) for name, member in value.items())
            return _cbor_head(5, len(value)) + pairs


def _cbor_head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    return _sized(number, tuple(major << 5 | low for low in (24, 25, 26, 27)))


# IMA


def ima_line(
    path: str = "/bin/sh",
    *,
    template: str = "ima-ng",
    prefix: str = "sha256",
    more: bytes | None = None,
    algorithm: str = "sha384",
    pcr: int = 10,
) -> bytes:
    """A line of the list."""
    digest = hashlib.sha256(path.encode()).digest()
    parts = [prefix.encode() + b":\0" + digest, path.encode() + b"\0"]
    if more is not None:
        parts.append(more)
    data = b"".join(pack("<I", len(part)) + part for part in parts)
    hashed = hashlib.new(algorithm, data).hexdigest()
    end = "" if more is None else f" {more.hex()}"
    return f"{pcr:2d} {hashed} {template} {prefix}:{digest.hex()} {path}{end}\n".encode()
