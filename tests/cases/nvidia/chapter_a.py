# SPDX-License-Identifier: Apache-2.0
"""Lines 1 to 11: the bytes of a report, and what is one at all."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from simulator.nvidia import devices as fake
from simulator.nvidia.reports import FSP, GPU, GPU_FIELDS, NONCE, SWITCH, Block, blocks, tlv
from tests import nvidia_devices as lab
from tests import nvidia_vectors as vectors
from tests.cases.nvidia.case import Case
from tests.nvidia_devices import Exhibit
from verifiers.anchors import builtin
from verifiers.errors import Reason
from verifiers.evidence import MAX_DEVICES
from verifiers.nvidia.claims import DeviceKind, Mode
from verifiers.nvidia.device import authenticate
from verifiers.nvidia.evidence import NvidiaEvidence, parse_evidence_json
from verifiers.nvidia.report import MAX_REPORT_BYTES, parse_report
from verifiers.nvidia.verify import verify

if TYPE_CHECKING:
    from simulator.nvidia.reports import Written

MALFORMED, FORMAT, MISMATCH = (
    Reason.MALFORMED,
    Reason.UNSUPPORTED_FORMAT,
    Reason.ENDORSEMENT_MISMATCH,
)
BOUND = True
TRAILING, TOO_LARGE = Reason.TRAILING_BYTES, Reason.TOO_LARGE
PLAIN = Exhibit()


def signed(written: Written) -> Exhibit:
    """A report as it is written, rightly signed by a Hopper GPU."""
    return PLAIN.but(written=written)


def case(line: int, why: str, expect: object, written: Written) -> Case:
    return Case(line, why, expect, lambda: signed(written).verify().bound)


def real(name: str) -> object:
    """The verdict on the first device of a folder."""
    vector = vectors.load(name)
    return verify(vector.devices[0], vector.endorsements, builtin(), vector.nonce, vector.at).kind


def end(*pieces: bytes) -> Exhibit:
    """A signed report with another end."""
    return PLAIN.but(report=PLAIN.evidence.report[:-96] + b"".join(pieces))


LAST = PLAIN.evidence.report[-96:]
ENDS = [
    Case(1, "nothing but the report", BOUND, lambda: PLAIN.verify().bound),
    Case(1, "a zero byte behind the signature", TRAILING, lambda: end(LAST, b"\0").verify()),
    Case(1, "the signature twice", TRAILING, lambda: end(LAST, LAST).verify()),
    Case(1, "a byte in front of the signature", TRAILING, lambda: end(b"\0", LAST).verify()),
    Case(1, "95 bytes of signature", MALFORMED, lambda: end(LAST[:-1]).verify()),
    Case(1, "no signature", MALFORMED, lambda: end().verify()),
    Case(
        1,
        "a real report with one byte more",
        TRAILING,
        lambda: real("h100-580.95.05-trailing-byte"),
    ),
]

REQUEST, RESPONSE = "request", "response"
HEADERS = [
    case(2, f"{part} {value}", MALFORMED, GPU.but(**{part: bytes.fromhex(value) + rest}))
    for part, value, rest in (
        (REQUEST, "10e001ff", NONCE + b"\0"),
        (REQUEST, "12e001ff", NONCE + b"\0"),
        (REQUEST, "118101ff", NONCE + b"\0"),
        (REQUEST, "11e000ff", NONCE + b"\0"),
        (REQUEST, "11e00100", NONCE + b"\0"),
        (REQUEST, "11e00101", NONCE + b"\0"),
        (RESPONSE, "12600000", b""),
        (RESPONSE, "11610000", b""),
        (RESPONSE, "117f0000", b""),
        (RESPONSE, "11600100", b""),
        (RESPONSE, "11600001", b""),
    )
]
HEADERS.append(case(2, "slot 1", MALFORMED, GPU.but(request=GPU.request[:-1] + b"\1")))


def with_block(at: int, **changes: Any) -> Written:  # noqa: ANN401 - of a block
    changed = list(blocks(64))
    changed[at] = replace(changed[at], **changes)
    return GPU.but(blocks=tuple(changed))


SWAPPED = (*blocks(64)[1::-1], *blocks(64)[2:])
BLOCKS = [
    case(3, why, MALFORMED, written)
    for why, written in {
        "a block more than there are": GPU.but(count=65),
        "a block less": GPU.but(count=63),
        "63 blocks": GPU.but(blocks=blocks(63)),
        "65 blocks": GPU.but(blocks=blocks(65)),
        "no block": GPU.but(blocks=()),
        "a byte behind the last block": GPU.but(record_rest=b"\0"),
        "a record longer than its blocks": GPU.but(record_length=64 * 55 + 1),
        "a record shorter than its blocks": GPU.but(record_length=64 * 55 - 1),
        "an index twice": with_block(1, index=1),
        "an index missing": with_block(9, index=11),
        "indexes from 0": with_block(0, index=0),
        "blocks in another order": GPU.but(blocks=SWAPPED),
        "another specification than DMTF": with_block(4, specification=0),
        "a size that is not the value's and three": with_block(4, size=48),
        "a value of 32 bytes": with_block(4, value=bytes(32)),
        "a value longer than its block": with_block(4, length=49),
        "a type that no GPU gives": with_block(4, kind=3),
    }.items()
]

OPAQUE = tlv(GPU_FIELDS)
FIELDS = [
    case(4, why, expect, written)
    for why, expect, written in (
        ("an unknown field", BOUND, GPU.having({999: b"anything"})),
        ("a driver version twice", MALFORMED, GPU.but(opaque=OPAQUE + tlv({3: b"999.0\0"}))),
        ("the same field twice", MALFORMED, GPU.but(opaque=OPAQUE + tlv({21: b"\x55"}))),
        ("an unknown field twice", MALFORMED, GPU.but(opaque=OPAQUE + tlv({999: b""}) * 2)),
        ("a field beyond the end", MALFORMED, GPU.but(opaque=OPAQUE + b"\x0e\0\5\0abcd")),
        ("a rest of one byte", MALFORMED, GPU.but(opaque=OPAQUE + b"\0")),
        ("a rest of three bytes", MALFORMED, GPU.but(opaque=OPAQUE + b"\x0e\0\0")),
        ("the field INVALID", MALFORMED, GPU.but(opaque=OPAQUE + tlv({255: b""}))),
        ("no opaque data", MALFORMED, GPU.but(opaque=b"")),
        ("more opaque data than bytes", MALFORMED, GPU.but(opaque_length=60_000)),
        ("less opaque data than fields", TRAILING, GPU.but(opaque_length=len(OPAQUE) - 5)),
    )
]

MANIFEST = Block(253, b"\xd9\x02\x3a\xa0", kind=0x8A)
NEWER = [
    case(5, "a structured manifest", FORMAT, GPU.but(blocks=(*blocks(64), MANIFEST))),
    case(5, "a structured manifest among 64", FORMAT, with_block(63, kind=0x8A)),
    case(5, "NVDAOD opaque data", FORMAT, GPU.but(opaque=b"NVDAOD" + bytes(300))),
    case(5, "NVDAOD and fields", FORMAT, GPU.but(opaque=b"NVDAOD" + OPAQUE)),
    case(5, "opaque data of version 2", FORMAT, GPU.having({34: b"\2\0", 36: b"\0\0"})),
    Case(5, "a real report of a GR100", FORMAT, lambda: real("gr100-620.54-structured-manifest")),
]


def fsp_real() -> object:
    """Its signature and chain hold."""
    vector = vectors.load("gb100-fsp-mixed-blocks")
    return authenticate(vector.devices[0], builtin(), vector.nonce, vector.at).chain.family


TRANSCRIPTS = [
    Case(6, "a real transcript is authentic", "GB100", fsp_real),
    Case(6, "and nothing more", Reason.INCOMPLETE, lambda: real("gb100-fsp-mixed-blocks")),
    Case(6, "a transcript signed by a GSP", MISMATCH, lambda: signed(FSP).verify()),
    Case(
        6,
        "a transcript signed by the GSP of a Blackwell",
        MISMATCH,
        lambda: Exhibit(device=fake.blackwell(), written=FSP).verify(),
    ),
    Case(
        6,
        "a GPU's report signed by an FSP",
        MISMATCH,
        lambda: Exhibit(device=fake.fsp(), written=GPU).verify(),
    ),
]


def named(arch: str) -> DeviceKind:
    """What we make of a GPU that a sender calls something else."""
    evidence = PLAIN.evidence
    text = json.dumps(
        [
            {
                "arch": arch,
                "driver_version": "999.99.99",
                "evidence": base64.b64encode(evidence.report).decode(),
                "certificate": base64.b64encode(evidence.chain_pem).decode(),
            }
        ]
    )
    (parsed,) = parse_evidence_json(text.encode())
    claims = verify(parsed, PLAIN.endorsements, PLAIN.anchors, PLAIN.nonce, PLAIN.at)
    assert claims.driver_version == "550.90.07"
    return claims.kind


KINDS = [
    Case(7, "a switch's report signed by a GPU", MISMATCH, lambda: signed(SWITCH).verify()),
    Case(
        7,
        "a GPU's report signed by a switch",
        MISMATCH,
        lambda: Exhibit(device=fake.switch(), written=GPU).verify(),
    ),
    *(
        Case(7, f"a GPU that is called {arch}", DeviceKind.GPU, partial(named, arch))
        for arch in ("LS10", "BLACKWELL", "")
    ),
]


def listed(**changes: object) -> tuple[NvidiaEvidence, ...]:
    """A list of one device whose members are changed."""
    device: dict[str, object] = {"evidence": "YQ==", "certificate": "YQ=="}
    return parse_evidence_json(json.dumps([device | changes]).encode())


def many(count: int) -> int:
    device = {"evidence": "YQ==", "certificate": "YQ=="}
    return len(parse_evidence_json(json.dumps([device] * count).encode()))


CAPS = [
    Case(
        8,
        "a report of 16 KiB and one byte",
        TOO_LARGE,
        lambda: parse_report(bytes(MAX_REPORT_BYTES + 1)),
    ),
    Case(8, "the same as evidence", TOO_LARGE, lambda: NvidiaEvidence(bytes(16 * 1024 + 1), b"")),
    Case(
        8,
        "a chain of 16 KiB and one byte",
        TOO_LARGE,
        lambda: NvidiaEvidence(b"", bytes(16 * 1024 + 1)),
    ),
    Case(8, "16 devices", MAX_DEVICES, lambda: many(16)),
    Case(8, "17 devices", TOO_LARGE, lambda: many(17)),
    Case(8, "Base64 with padding", (NvidiaEvidence(b"a", b"a"),), listed),
    *(
        Case(8, why, MALFORMED, partial(listed, evidence=text))
        for why, text in {
            "Base64 without padding": "YQ",
            "Base64 with bits left over": "YR==",
            "Base64 with a line end": "YQ==\n",
            "Base64 for addresses": "_-8=",
            "two texts of Base64": "YQ==YQ==",
            "a number": 7,
        }.items()
    ),
]


def bios(value: bytes) -> str:
    return lab.a_switch().having({6: value}).verify().vbios_version


def vbios(value: bytes) -> str:
    fields = parse_report(GPU.having({6: value}).encoded()).fields
    assert fields is not None
    return fields.vbios_version


VERSIONS = [
    Case(9, "binary in a GPU", "96.00.9F.00.01", partial(vbios, GPU_FIELDS[6])),
    Case(
        9,
        "digits in upper case",
        "97.00.D9.00.AB",
        partial(vbios, bytes.fromhex("00d90097ab000000")),
    ),
    Case(9, "text in a GPU", MALFORMED, partial(vbios, b"96.00.9F.00.01")),
    Case(
        9,
        "bytes that belong to no version",
        MALFORMED,
        partial(vbios, bytes.fromhex("009f009601000001")),
    ),
    Case(9, "text in a switch", "96.10.55.00.01", lambda: lab.a_switch().verify().vbios_version),
    *(
        Case(9, f"{value!r} in a switch", MALFORMED, partial(bios, value))
        for value in (GPU_FIELDS[6], b"96.10.55.00.0a", b"9610550001", b"96.10.55.00.01\0")
    ),
    Case(
        9,
        "names of manifests have no dots",
        ["NV_GPU_DRIVER_GH100_550.90.07", "NV_GPU_VBIOS_1010_0200_882_96009F0001"],
        lambda: [rim.rim_id for rim in PLAIN.verify().rims],
    ),
]


def mode(flag: int | None, status: bytes | None = None, version: int | None = 1) -> Mode | None:
    number = None if version is None else version.to_bytes(2, "little")
    value = None if flag is None else flag.to_bytes(2, "little")
    return PLAIN.having({21: status, 34: number, 36: value}).verify().mode


MODES = [
    Case(10, "0", Mode.SPT, partial(mode, 0)),
    Case(10, "1", Mode.MPT, partial(mode, 1)),
    Case(10, "2", Mode.PPCIE, partial(mode, 2)),
    Case(10, "3", FORMAT, partial(mode, 3)),
    Case(10, "256", FORMAT, partial(mode, 256)),
    Case(10, "no flag where there must be one", MALFORMED, partial(mode, None)),
    Case(10, "no flag, protected PCIe on", Mode.PPCIE, partial(mode, None, b"\xaa", None)),
    Case(10, "no flag, protected PCIe off", Mode.SPT, partial(mode, None, b"\x55", None)),
    Case(10, "neither", None, partial(mode, None, None, None)),
    Case(10, "0 with protected PCIe on", MALFORMED, partial(mode, 0, b"\xaa")),
    Case(10, "2 with protected PCIe off", MALFORMED, partial(mode, 2, b"\x55")),
]


def decoder(status: bytes) -> object:
    """A GPU whose measurement of it differs, with its video decoder enabled or disabled."""
    changed = list(blocks(64))
    changed[35] = replace(changed[35], value=bytes(48))
    return PLAIN.but(written=GPU.but(blocks=tuple(changed)).having({11: status})).verify()


DECODERS = [
    Case(
        11,
        f"measurement 35 differs, NVDEC0_STATUS {status.hex()}",
        Reason.MEASUREMENT_MISMATCH,
        partial(decoder, status),
    )
    for status in (b"\xaa", b"\x55")
]

CASES = [
    *ENDS,
    *HEADERS,
    *BLOCKS,
    *FIELDS,
    *NEWER,
    *TRANSCRIPTS,
    *KINDS,
    *CAPS,
    *VERSIONS,
    *MODES,
    *DECODERS,
]
