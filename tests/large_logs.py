# SPDX-License-Identifier: Apache-2.0
"""Event logs as long as one may be: what machines could write, and what costs a verifier the most.

Each has 1 MiB, or as many events as are read, or both. All are well-formed and replay, so that every event is looked at
to the end. The bench measures them, and a test holds what they cost to what their hashes cost.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from struct import pack
from typing import TYPE_CHECKING, Final

from tests import eventlog_lab as lab
from verifiers.eventlog.events import (
    MAX_APPLICATION_EVENTS,
    MAX_EVENTS,
    MAX_EVENTS_TOGETHER,
    MAX_LIST_EVENTS,
    MAX_LOG_BYTES,
    Algorithm,
)
from verifiers.eventlog.judge import judge, parse_logs
from verifiers.eventlog.proven import TD, TPM, Layout
from verifiers.eventlog.replay import replay
from verifiers.evidence import Evidence, EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from verifiers.eventlog.events import Register
    from verifiers.eventlog.judged import Boot

IPL: Final = 13
DRIVER_CONFIG: Final = 0x80000001
APPLICATION: Final = 0x80000003
AUTHORITY: Final = 0x800000E0
AAEL: Final = b"LEAA"
GLOBAL: Final = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
DATABASE: Final = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")
X509: Final = bytes.fromhex("a159c0a5e494a74a87b5ab155c2bf072")


@dataclass(frozen=True, slots=True)
class Large:
    """A log, or several of one machine.

    Attributes:
        hashed: by the name of the hash, what has to be hashed to know what the events say.
        events: one hash more for each, which extends a register.
    """

    name: str
    pieces: tuple[Evidence, ...]
    hashed: Mapping[str, Sequence[bytes]]
    events: int
    algorithm: Algorithm = Algorithm.SHA384
    layout: Layout = TD

    def registers(self) -> dict[Register, bytes]:
        """What a quote has to say for the log to replay."""
        logs = parse_logs(self.pieces, self.algorithm, self.layout)
        found = replay(logs, {}, self.algorithm)
        return {register: one.computed for register, one in found.items()}

    def judge(self, registers: Mapping[Register, bytes]) -> Boot:
        """What is measured: parse, replay, bind data to digests, draw claims."""
        return judge(self.pieces, registers, self.algorithm, self.layout)

    def hash(self) -> bytes:
        """What cannot be done without."""
        for name, every_data in self.hashed.items():
            made = getattr(hashlib, name)
            for data in every_data:
                made(data).digest()
        extend = getattr(hashlib, self.algorithm)
        register = bytes(self.algorithm.size)
        for _ in range(self.events):
            register = extend(register + register).digest()
        return register


def every() -> Iterator[Large]:
    """All of them."""
    yield from of_a_td()
    yield from of_a_tpm()
    yield from of_confidential_space()
    yield from of_dstack()
    yield from of_ima()
    yield together()


# TCG2

Told = tuple[int, int, bytes, bytes]  # index, type, data, what of them is hashed


def _tcg2(
    name: str,
    told: Sequence[Told],
    banks: tuple[int, ...] = lab.SHA384,
    kind: EvidenceKind = EvidenceKind.CCEL,
    algorithm: Algorithm = Algorithm.SHA384,
) -> Large:
    events = [
        lab.event2(index, event_type, lab.digests(hashed, banks), data)
        for index, event_type, data, hashed in told
    ]
    data = lab.tcg2(*events, algorithms=banks).ljust(MAX_LOG_BYTES, b"\xff")
    hashed = {str(algorithm): [one[3] for one in told]}
    layout = TD if kind is EvidenceKind.CCEL else TPM
    return Large(name, (Evidence(kind, data),), hashed, len(told), algorithm, layout)


def _room(banks: tuple[int, ...] = lab.SHA384) -> int:
    """Bytes of data that each of as many events as may be can have."""
    return (MAX_LOG_BYTES - 128) // MAX_EVENTS - 16 - sum(2 + lab.SIZES[one][1] for one in banks)


def _whole(index: int, event_type: int, data: bytes) -> Told:
    return index, event_type, data, data


def _variable(vendor: bytes, name: str, value: bytes) -> bytes:
    return vendor + pack("<QQ", len(name), len(value)) + name.encode("utf-16-le") + value


def _boot(after: Sequence[Told], before: Sequence[Told] = ()) -> list[Told]:
    """A boot with Secure Boot, and what stands behind SecureBoot and behind the separator."""
    secure_boot = _whole(1, DRIVER_CONFIG, _variable(GLOBAL, "SecureBoot", b"\1"))
    exit_ = _whole(2, lab.ACTION, b"Exit Boot Services Invocation")
    return [secure_boot, *before, _whole(1, 4, bytes(4)), *after, exit_]


def of_a_td() -> Iterator[Large]:
    """Logs of a TD's firmware."""
    room, numbers = _room(), range(MAX_EVENTS - 3)
    text = b"x" * (room - 20)
    actions = [_whole(1 + one % 4, lab.ACTION, one.to_bytes(room, "big")) for one in numbers]
    yield _tcg2("CCEL", _boot(actions))
    nodes = bytes(32) + b"\4\4\4\0" * 15 + b"\x7f\xff\4\0"
    images = [(2, APPLICATION, nodes, b"%d" % one) for one in numbers]
    yield _tcg2("CCEL, images", _boot(images))
    line = (3, IPL, b"kernel_cmdline: /vmlinuz\0", b"/vmlinuz")
    commands = [b"%d" % one + text[5:] for one in numbers[1:]]
    grub = [(3, IPL, b"grub_cmd: " + one, one) for one in commands]
    yield _tcg2("CCEL, GRUB", _boot([line, *grub]))
    long = "é\n".encode() * (MAX_LOG_BYTES // 3 - 512)
    yield _tcg2("CCEL, one text", _boot([line, (3, IPL, b"grub_cmd: " + long, long)]))
    entries = [b"example.org PullImage %05d" % one + text[30:] for one in numbers]
    tagged = [AAEL + pack("<I", len(one)) + one for one in entries]
    yield _tcg2("CCEL, AAEL", _boot([_whole(4, 6, one) for one in tagged]))
    allowed = [_variable(DATABASE, "db", b"%d" % one + text[40:]) for one in numbers]
    yield _tcg2("CCEL, authorities", _boot([_whole(1, AUTHORITY, one) for one in allowed]))
    certificates = X509 + pack("<III", 28 + 4096 * 60, 0, 60) + bytes(4096 * 60)
    names = ((GLOBAL, "PK"), (GLOBAL, "KEK"), (DATABASE, "db"), (DATABASE, "dbx"))
    keys = [_whole(1, DRIVER_CONFIG, _variable(*one, certificates)) for one in names]
    yield _tcg2("CCEL, databases", _boot([], keys))


def of_a_tpm() -> Iterator[Large]:
    """Logs of a TPM's firmware."""
    for name, banks, algorithm in (
        ("TPM", (0x04, 0x0B), Algorithm.SHA256),
        ("TPM, 4 banks", tuple(lab.SIZES), Algorithm.SHA384),
    ):
        data = [one.to_bytes(_room(banks), "big") for one in range(MAX_EVENTS)]
        told = [_whole(place % 10, lab.ACTION, one) for place, one in enumerate(data)]
        yield _tcg2(name, told, banks, EvidenceKind.TPM_EVENT_LOG, algorithm)


# Confidential Space


def _cel(name: str, contents: Sequence[bytes], banks: tuple[int, ...] = lab.SHA384) -> Large:
    records = []
    for number, content in enumerate(contents):
        whole = lab.tlv(0x50, content)
        digests = b"".join(lab.tlv(one, digest) for one, digest in lab.digests(whole, banks))
        head = lab.tlv(0, pack(">Q", number)) + lab.tlv(0x6C, b"\4")
        records.append(head + lab.tlv(3, digests) + whole)
    hashed = {lab.SIZES[one][0]: [lab.tlv(0x50, each) for each in contents] for one in banks}
    piece = Evidence(EvidenceKind.CEL, b"".join(records))
    return Large(name, (piece,), hashed, len(contents))


def of_confidential_space() -> Iterator[Large]:
    """Canonical event logs."""
    end = lab.tlv(8, b"")
    numbers = range(MAX_APPLICATION_EVENTS - 1)
    yield _cel("CEL", [*(lab.tlv(4, b"%0410d" % one) for one in numbers), end])
    four = tuple(lab.SIZES)
    yield _cel("CEL, 4 digests", [*(lab.tlv(5, b"%0280d" % one) for one in numbers), end], four)


# dstack


def of_dstack() -> Iterator[Large]:
    """dstack's logs in JSON, alone and in a reply, in SCALE, MessagePack and CBOR."""
    for version, size, reply in ((1, 140, False), (2, 20, False), (2, 10, True)):
        told = _application(MAX_APPLICATION_EVENTS, size, version)
        data = json.dumps([one.json() for one in told]).encode()
        if reply:
            members = {"quote": "", "event_log": data.decode(), "vm_config": "{}"}
            data = json.dumps(members).encode()
        name = f"dstack {'reply' if reply else 'JSON'}, version {version}"
        yield _dstack(name, data, told)
    told = _application(MAX_APPLICATION_EVENTS, 200)
    yield _dstack("dstack SCALE", lab.Attestation(boot=[], runtime=told).scale(), told)
    told = _application(1200, 300)
    attestation = lab.Attestation(boot=[], runtime=told, quote=bytes(range(256)) * 19)
    yield _dstack("dstack MessagePack", lab.msgpack(attestation.members()), told)
    yield _dstack("dstack CBOR", lab.cbor(attestation.members()), told)


def _application(count: int, size: int, version: int = 1) -> list[lab.Runtime]:
    numbers = range(count - 1)
    events = [lab.Runtime(f"event-{one}", bytes(size), version) for one in numbers]
    return [*events, lab.Runtime("system-ready", version=version)]


def _dstack(name: str, data: bytes, told: Sequence[lab.Runtime]) -> Large:
    piece = Evidence(EvidenceKind.DSTACK_EVENT_LOG, data)
    return Large(name, (piece,), {"sha384": [one.preimage for one in told]}, len(told))


# IMA


def of_ima() -> Iterator[Large]:
    """Lists of IMA's, by the hash that the kernel lists; the registers are of SHA-384."""
    path = "/usr/lib/x86_64-linux-gnu/libsome-{:05}.so"
    yield _ima("IMA, SHA-384", "sha384", path.format)
    yield _ima("IMA, SHA-1", "sha1", path.format)
    yield _ima("IMA, SHA-1, short paths", "sha1", lambda one: f"/{one:04}")


def _ima(name: str, algorithm: str, path: Callable[[int], str]) -> Large:
    count = min(MAX_LIST_EVENTS, MAX_LOG_BYTES // len(lab.ima_line(path(0), algorithm=algorithm)))
    data = b"".join(lab.ima_line(path(one), algorithm=algorithm) for one in range(count))
    templates = [bytes(52 + len(path(one))) for one in range(count)]
    hashed = {algorithm: templates, "sha384": templates}
    return Large(name, (Evidence(EvidenceKind.IMA_LOG, data),), hashed, count)


def together() -> Large:
    """A TD's logs of every kind, with as many events as all may have."""
    kinds = (
        EvidenceKind.CCEL,
        EvidenceKind.DSTACK_EVENT_LOG,
        EvidenceKind.CEL,
        EvidenceKind.IMA_LOG,
    )
    each = MAX_EVENTS_TOGETHER // len(kinds)
    firmware = _tcg2("", [_whole(1, lab.ACTION, b"%d" % one) for one in range(each)])
    told = _application(each, 0)
    dstack = _dstack("", lab.Attestation(boot=[], runtime=told).scale(), told)
    cel = _cel("", [lab.tlv(4, b"")] * each)
    templates = [bytes(52 + 5)] * each
    lines = b"".join(lab.ima_line(f"/{one:04}", algorithm="sha1") for one in range(each))
    parts = (
        firmware.pieces[0].data.rstrip(b"\xff"),
        dstack.pieces[0].data,
        cel.pieces[0].data,
        lines,
    )
    pieces = tuple(map(Evidence, kinds, parts))
    hashes = [
        *(one for part in (firmware, dstack, cel) for one in part.hashed["sha384"]),
        *templates,
    ]
    return Large(
        "CCEL, dstack, CEL and IMA", pieces, {"sha384": hashes, "sha1": templates}, 4 * each
    )
