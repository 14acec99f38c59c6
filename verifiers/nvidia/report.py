# SPDX-License-Identifier: Apache-2.0
"""SPDM 1.1 GET_MEASUREMENTS and its answer MEASUREMENTS, one behind the other, as NVIDIA's devices sign them.

To the byte: what is not exactly one of the known shapes is refused, and nothing is believed before the signature over
all of it holds. Integers are little-endian, r and s of the signature big-endian. Structured manifests (a block of type
0x8A, opaque data that begins with `NVDAOD`) are a newer format, recognised and refused. Source: DMTF DSP0274 1.1
(GET_MEASUREMENTS, MEASUREMENTS, DMTF measurement blocks); the opaque data as NVIDIA's devices send it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from struct import Struct
from typing import Final

from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import MEASUREMENT_BYTES, Mode, OpaqueField, OpaqueId

MAX_REPORT_BYTES: Final = 16 * 1024
SIGNATURE_BYTES: Final = 96
PDI_BYTES: Final = 8

_REQUEST: Final = bytes.fromhex("11e001ff")  # all measurements, signed; the nonce and slot 0 follow
_RESPONSE: Final = bytes.fromhex("11600000")
_NONCE_BYTES: Final = 32
_GPU_BLOCKS: Final = 64
_SWITCH_BLOCKS: Final = 31
_HEADER: Final = Struct(
    "<BBHBH"
)  # index, specification, size; of the DMTF's: type, size of the value
_DMTF: Final = 1
_DIGEST: Final = 1  # the type of every block of GPUs and switches, whatever it measures
_RAW: Final = 0x80  # this bit of a type: no digest
_MANIFEST: Final = 0x8A
_NEWER_OPAQUE: Final = b"NVDAOD"

_ON_OFF: Final = {b"\xaa": True, b"\x55": False}
_MODES: Final = {0: Mode.SPT, 1: Mode.MPT, 2: Mode.PPCIE}
_DATA_VERSIONS: Final = (0, 1)  # from 1 on there is a FEATURE_FLAG
_WORD: Final = re.compile(rb"[A-Z0-9]{1,16}")
_DRIVER: Final = re.compile(rb"[0-9]{1,5}(\.[0-9]{1,5}){1,3}")
_SWITCH_BIOS: Final = re.compile(rb"[0-9A-F]{2}(\.[0-9A-F]{2}){4}")


class Shape(StrEnum):
    """Which of the known reports one is."""

    GPU = "gpu"  # 64 digests, opaque data
    SWITCH = "switch"  # 31 digests, opaque data
    FSP = "fsp"  # transcript of a GPU's second responder: digests and raw values, no opaque data


@dataclass(frozen=True, slots=True)
class ReportFields:
    """What the opaque data says, under the names of `OpaqueId`.

    Attributes:
        driver_version, board: of a GPU. `board` is PROJECT, PROJECT_SKU and CHIP_SKU with "_" between.
        vbios_version: "96.00.9F.00.01"; of a switch its BIOS.
        fwid: 48 bytes.
        pdi: of a switch, its own identity, 8 bytes.
        listed: 8 bytes each, in the order of the certificates' serials. Of a GPU the switch behind each of its links,
            of a switch eight GPUs; empty where it does not say.
    """

    opaque: tuple[OpaqueField, ...]
    driver_version: str | None
    board: str | None
    vbios_version: str
    chip_info: str | None
    fwid: bytes | None
    mode: Mode | None
    pdi: bytes | None
    listed: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NvidiaReport:
    """One parsed report, trusted by nobody.

    Attributes:
        raw: all of it. signed: what the signature covers, exactly as received.
        nonce: of the request, 32 bytes. The answer's own is random and means nothing.
        measurements: values in the order of their index; 48 bytes each but in an FSP transcript.
        fields: None in an FSP transcript.
        r, s: the signature as numbers, of any size.
    """

    raw: bytes
    signed: bytes
    shape: Shape
    nonce: bytes
    measurements: tuple[bytes, ...]
    fields: ReportFields | None
    r: int
    s: int


def parse_report(data: bytes) -> NvidiaReport:
    """Parse one report.

    Raises:
        VerificationError: `too-large`, `malformed`, `trailing-bytes`, `unsupported-format`.
    """
    if len(data) > MAX_REPORT_BYTES:
        raise VerificationError(
            Reason.TOO_LARGE, f"report: {len(data)} bytes, at most {MAX_REPORT_BYTES}"
        )
    cursor = Cursor(data)
    nonce = _request(cursor)
    blocks = _blocks(cursor)
    cursor.take(_NONCE_BYTES, "nonce of the responder")
    opaque = cursor.take(cursor.u16("length of the opaque data"), "opaque data")
    signed, signature = data[: cursor.position], cursor.take(SIGNATURE_BYTES, "signature")
    if cursor.remaining:
        raise VerificationError(
            Reason.TRAILING_BYTES, f"{cursor.remaining} bytes follow the signature"
        )
    shape = _shape(blocks, opaque)
    return NvidiaReport(
        raw=data,
        signed=signed,
        shape=shape,
        nonce=nonce,
        measurements=tuple(value for _, value in blocks),
        fields=None if shape is Shape.FSP else _fields(_opaque_fields(opaque), shape),
        r=int.from_bytes(signature[:48], "big"),
        s=int.from_bytes(signature[48:], "big"),
    )


def _request(cursor: Cursor) -> bytes:
    """The nonce of the request, which asks for all measurements, signed, of slot 0. The answer's header is next."""
    head = cursor.take(4, "request")
    nonce, slot = cursor.take(_NONCE_BYTES, "nonce"), cursor.take(1, "slot")
    if (head, slot, cursor.take(4, "response")) != (_REQUEST, b"\x00", _RESPONSE):
        raise _malformed("not GET_MEASUREMENTS of everything with MEASUREMENTS, SPDM 1.1, slot 0")
    return nonce


def _blocks(cursor: Cursor) -> tuple[tuple[int, bytes], ...]:
    """(type, value) of each block; their indexes are 1, 2, 3 and so on, and fill the record exactly."""
    count = cursor.take(1, "number of blocks")[0]
    length = int.from_bytes(cursor.take(3, "length of the record"), "little")
    record = Cursor(cursor.take(length, "measurement record"))
    blocks = tuple(_block(record, index) for index in range(1, count + 1))
    record.nothing_left("measurement record")
    return blocks


def _block(record: Cursor, index: int) -> tuple[int, bytes]:
    found, specification, size, kind, length = _HEADER.unpack(record.take(_HEADER.size, "block"))
    if kind == _MANIFEST:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, "the report has a structured manifest (block type 0x8a)"
        )
    if (found, specification, size) != (index, _DMTF, length + 3):
        raise _malformed(f"block {index} is not a DMTF measurement with this index and these sizes")
    return kind, record.take(length, "block")


def _shape(blocks: tuple[tuple[int, bytes], ...], opaque: bytes) -> Shape:
    if opaque.startswith(_NEWER_OPAQUE):
        raise VerificationError(Reason.UNSUPPORTED_FORMAT, "the opaque data is of a newer format")
    digests = all(kind == _DIGEST and len(value) == MEASUREMENT_BYTES for kind, value in blocks)
    if digests and len(blocks) == _GPU_BLOCKS:
        return Shape.GPU
    if digests and len(blocks) == _SWITCH_BLOCKS:
        return Shape.SWITCH
    if not opaque and any(kind & _RAW for kind, _ in blocks):
        return Shape.FSP
    raise _malformed(f"no known device has these {len(blocks)} blocks")


def _opaque_fields(opaque: bytes) -> dict[int, bytes]:
    cursor = Cursor(opaque)
    found: dict[int, bytes] = {}
    while cursor.remaining:
        number = cursor.u16("opaque data")
        value = cursor.take(cursor.u16("opaque data"), f"opaque field {number}")
        if number in found or number == OpaqueId.INVALID:
            raise _malformed(f"opaque field {number} stands twice or is invalid")
        found[number] = value
    return found


def _fields(found: dict[int, bytes], shape: Shape) -> ReportFields:
    """The fields of a GPU or a switch. Each has others, and what it cannot do without must be there."""
    gpu = shape is Shape.GPU
    vbios = _sized(found, OpaqueId.VBIOS_VERSION)
    board = (OpaqueId.PROJECT, OpaqueId.PROJECT_SKU, OpaqueId.CHIP_SKU)
    chip_info = _optional(found, OpaqueId.CHIP_INFO)
    return ReportFields(
        opaque=tuple(_named(number, value) for number, value in found.items()),
        driver_version=_text(found, OpaqueId.DRIVER_VERSION, _DRIVER) if gpu else None,
        board="_".join(_text(found, part, _WORD) for part in board) if gpu else None,
        vbios_version=_vbios_version(vbios) if gpu else _switch_bios_version(vbios),
        chip_info=None if chip_info is None else _text(found, OpaqueId.CHIP_INFO, _WORD),
        fwid=_optional(found, OpaqueId.FWID, MEASUREMENT_BYTES),
        mode=_mode(found),
        pdi=None if gpu else _sized(found, OpaqueId.SWITCH_PDI, PDI_BYTES),
        listed=_switches(found) if gpu else _gpus(found),
    )


def _named(number: int, value: bytes) -> OpaqueField:
    known = number in OpaqueId.__members__.values()
    return OpaqueField(
        number, OpaqueId(number).name.lower() if known else f"unknown-{number}", value
    )


def _optional(found: dict[int, bytes], name: OpaqueId, size: int | None = None) -> bytes | None:
    """The value of a field, of `size` bytes if that is given; None where it is absent."""
    value = found.get(name)
    if value is not None and size not in (None, len(value)):
        raise _malformed(f"{name.name} has {len(value)} bytes, not {size}")
    return value


def _sized(found: dict[int, bytes], name: OpaqueId, size: int | None = None) -> bytes:
    """The value of a field that must be there."""
    value = _optional(found, name, size)
    if value is None:
        raise _malformed(f"{name.name} is missing")
    return value


def _text(found: dict[int, bytes], name: OpaqueId, pattern: re.Pattern[bytes]) -> str:
    """A field of text, filled up with NULs. Parts of names of manifests: nothing but what such names consist of."""
    text = _sized(found, name).rstrip(b"\x00")
    if not pattern.fullmatch(text):
        raise _malformed(f"{name.name} is not a text as devices write it")
    return text.decode("ascii")


def _vbios_version(value: bytes) -> str:
    """8 bytes of a GPU: two little-endian words, 96.00.9F.00 and the number that follows."""
    if len(value) != 8 or any(value[5:]):
        raise _malformed("VBIOS_VERSION is not that of a GPU")
    return ".".join(f"{byte:02X}" for byte in (*value[3::-1], value[4]))


def _switch_bios_version(value: bytes) -> str:
    if not _SWITCH_BIOS.fullmatch(value):
        raise _malformed("VBIOS_VERSION is not that of a switch")
    return value.decode("ascii")


def _mode(found: dict[int, bytes]) -> Mode | None:
    """FEATURE_FLAG; before it existed PROTECTED_PCIE_STATUS. Where both stand they agree."""
    version = int.from_bytes(_optional(found, OpaqueId.OPAQUE_DATA_VERSION, 2) or b"", "little")
    if version not in _DATA_VERSIONS:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"OPAQUE_DATA_VERSION {version} is unknown"
        )
    status, flag = _on_off(found), _optional(found, OpaqueId.FEATURE_FLAG, 2)
    if flag is None and version:
        raise _malformed("FEATURE_FLAG is missing")
    if flag is None:
        return {True: Mode.PPCIE, False: Mode.SPT, None: None}[status]
    mode = _MODES.get(int.from_bytes(flag, "little"))
    if mode is None:
        raise VerificationError(Reason.UNSUPPORTED_FORMAT, f"FEATURE_FLAG {flag.hex()} is unknown")
    if status is not None and status != (mode is Mode.PPCIE):
        raise _malformed("FEATURE_FLAG and PROTECTED_PCIE_STATUS contradict each other")
    return mode


def _on_off(found: dict[int, bytes]) -> bool | None:
    value = found.get(OpaqueId.PROTECTED_PCIE_STATUS)
    if value is not None and value not in _ON_OFF:
        raise _malformed("PROTECTED_PCIE_STATUS is neither on nor off")
    return None if value is None else _ON_OFF[value]


def _switches(found: dict[int, bytes]) -> tuple[bytes, ...]:
    """A GPU's list: bytes reversed against what the switches are certified for."""
    value = found.get(OpaqueId.SWITCH_PDI, b"")
    if len(value) % PDI_BYTES:
        raise _malformed("SWITCH_PDI is no list of 8-byte identities")
    return tuple(
        value[start : start + PDI_BYTES][::-1] for start in range(0, len(value), PDI_BYTES)
    )


def _gpus(found: dict[int, bytes]) -> tuple[bytes, ...]:
    """A switch's list, if it gives one: eight identities in front of the map of its ports."""
    value = _optional(found, OpaqueId.SWITCH_GPU_PDIS, 128) or b""
    return tuple(value[start : start + PDI_BYTES] for start in range(0, len(value) // 2, PDI_BYTES))


def _malformed(detail: str) -> VerificationError:
    return VerificationError(Reason.MALFORMED, detail)
