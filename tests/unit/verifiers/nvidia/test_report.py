# SPDX-License-Identifier: Apache-2.0
"""SPDM reports: every field by its name, every length exact, newer formats refused as what they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.nvidia.reports import (
    FSP,
    GPU,
    GPU_FIELDS,
    NONCE,
    SIGNATURE,
    SWITCH,
    Block,
    blocks,
    digest,
    tlv,
)
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import Mode, OpaqueId
from verifiers.nvidia.report import (
    MAX_REPORT_BYTES,
    NvidiaReport,
    ReportFields,
    Shape,
    parse_report,
)

if TYPE_CHECKING:
    from simulator.nvidia.reports import Written

MALFORMED, FORMAT = Reason.MALFORMED, Reason.UNSUPPORTED_FORMAT


def parsed(written: Written) -> NvidiaReport:
    return parse_report(written.encoded())


def fields(written: Written) -> ReportFields:
    found = parsed(written).fields
    assert found is not None
    return found


def refusal(written: Written | bytes) -> Reason:
    data = written if isinstance(written, bytes) else written.encoded()
    with pytest.raises(VerificationError) as caught:
        parse_report(data)
    return caught.value.reason


def test_a_gpu() -> None:
    data, report = GPU.encoded(), parsed(GPU)
    assert (report.raw, report.signed) == (data, data[:-96])
    assert (report.shape, report.nonce) == (Shape.GPU, NONCE)
    assert report.measurements == tuple(digest(index) for index in range(1, 65))
    assert report.r == int.from_bytes(SIGNATURE[:48], "big")
    assert report.s == int.from_bytes(SIGNATURE[48:], "big")
    found = fields(GPU)
    assert (found.driver_version, found.board) == ("550.90.07", "1010_0200_882")
    assert (found.vbios_version, found.chip_info) == ("96.00.9F.00.01", None)
    assert (found.fwid, found.mode) == (b"F" * 48, Mode.SPT)
    assert (found.pdi, found.listed) == (None, ())


def test_a_switch() -> None:
    report, found = parsed(SWITCH), fields(SWITCH)
    assert report.shape is Shape.SWITCH
    assert len(report.measurements) == 31
    assert (found.driver_version, found.board, found.fwid, found.mode) == (None, None, None, None)
    assert (found.vbios_version, found.pdi) == ("96.10.55.00.01", b"PDIPDI01")
    assert found.listed == tuple(b"GPU%05d" % number for number in range(8))
    assert fields(SWITCH.having({26: None})).listed == ()


def test_a_transcript_of_an_fsp_has_no_fields() -> None:
    report = parsed(FSP)
    assert (report.shape, report.fields) == (Shape.FSP, None)
    assert report.measurements == (b"\0\0\0\1", digest(2), b"\xff")


def test_opaque_fields_by_name_in_their_order() -> None:
    written = GPU.having({300: b"new", 5: b"sku"})
    opaque = fields(written).opaque
    assert [field.id for field in opaque] == [*GPU_FIELDS, 300, 5]
    assert {field.id: field.value for field in opaque} == GPU_FIELDS | {300: b"new", 5: b"sku"}
    names = {field.id: field.name for field in opaque}
    assert names[300] == "unknown-300"
    assert names[21] == "protected_pcie_status"
    assert all(names[number] == OpaqueId(number).name.lower() for number in (*GPU_FIELDS, 5))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("009f009601000000", "96.00.9F.00.01"),
        ("00d9009735000000", "97.00.D9.00.35"),
        ("0074029801000000", "98.02.74.00.01"),
        ("0a0b0c0dfe000000", "0D.0C.0B.0A.FE"),
    ],
)
def test_vbios_versions(data: str, expected: str) -> None:
    assert fields(GPU.having({6: bytes.fromhex(data)})).vbios_version == expected


@pytest.mark.parametrize(
    ("status", "version", "flag", "mode"),
    [
        (None, None, None, None),
        (None, b"\0\0", None, None),
        (b"\x55", None, None, Mode.SPT),
        (b"\xaa", None, None, Mode.PPCIE),
        (b"\x55", b"\1\0", b"\0\0", Mode.SPT),
        (b"\x55", b"\1\0", b"\1\0", Mode.MPT),
        (None, b"\1\0", b"\1\0", Mode.MPT),
        (None, b"\1\0", b"\2\0", Mode.PPCIE),
        (b"\xaa", b"\1\0", b"\2\0", Mode.PPCIE),
        (None, None, b"\0\0", Mode.SPT),
    ],
)
def test_modes(
    status: bytes | None, version: bytes | None, flag: bytes | None, mode: Mode | None
) -> None:
    """0 is SPT and 1 is MPT."""
    assert fields(GPU.having({21: status, 34: version, 36: flag})).mode is mode


def test_the_switches_of_a_gpu_are_reversed() -> None:
    found = fields(GPU.having({22: b"ABCDEFGH12345678"}))
    assert found.listed == (b"HGFEDCBA", b"87654321")


def test_bytes_after_the_signature() -> None:
    assert refusal(GPU.but(end=SIGNATURE + b"\0")) is Reason.TRAILING_BYTES
    assert refusal(GPU.but(end=SIGNATURE * 2)) is Reason.TRAILING_BYTES
    assert refusal(GPU.but(opaque_length=1)) is Reason.TRAILING_BYTES


@pytest.mark.parametrize("end", [b"", SIGNATURE[:-1]])
def test_a_signature_cut_short(end: bytes) -> None:
    assert refusal(GPU.but(end=end)) is MALFORMED


def test_the_size_is_bounded() -> None:
    most = GPU.encoded().ljust(MAX_REPORT_BYTES, b"\0")
    assert refusal(most) is Reason.TRAILING_BYTES
    assert refusal(most + b"\0") is Reason.TOO_LARGE


@pytest.mark.parametrize(
    "change",
    [
        {"request": bytes.fromhex("12e001ff") + NONCE + b"\0"},
        {"request": bytes.fromhex("11e101ff") + NONCE + b"\0"},
        {"request": bytes.fromhex("11e000ff") + NONCE + b"\0"},
        {"request": bytes.fromhex("11e00101") + NONCE + b"\0"},
        {"request": bytes.fromhex("11e001ff") + NONCE + b"\1"},
        {"response": bytes.fromhex("12600000")},
        {"response": bytes.fromhex("11e00000")},
        {"response": bytes.fromhex("11600100")},
        {"response": bytes.fromhex("11600001")},
    ],
    ids=str,
)
def test_another_request_or_response(change: dict[str, bytes]) -> None:
    assert refusal(GPU.but(**change)) is MALFORMED


def with_block(number: int, **changes: object) -> Written:
    changed = list(blocks(64))
    changed[number] = replace(changed[number], **changes)  # type: ignore[arg-type]  # of its own fields
    return GPU.but(blocks=tuple(changed))


@pytest.mark.parametrize(
    "written",
    [
        GPU.but(count=63),
        GPU.but(count=65),
        GPU.but(record_rest=b"\0"),
        GPU.but(record_rest=Block(65, digest(65)).encoded()),
        GPU.but(record_length=3519),
        GPU.but(record_length=3521),
        GPU.but(opaque_length=0xFFFF),
        with_block(5, index=5),
        with_block(5, index=7),
        with_block(0, index=0),
        with_block(5, specification=2),
        with_block(5, size=50),
        with_block(5, size=52),
        with_block(5, length=47),
        with_block(5, length=49),
        with_block(5, value=bytes(47)),
        with_block(5, value=bytes(32)),
        with_block(5, kind=0),
        with_block(5, kind=2),
        with_block(5, kind=0x81),
        GPU.but(blocks=blocks(63)),
        GPU.but(blocks=blocks(65)),
        GPU.but(blocks=()),
        GPU.but(blocks=blocks(31)),
        SWITCH.but(blocks=blocks(64)),
        SWITCH.but(blocks=blocks(30)),
        FSP.but(opaque=tlv(GPU_FIELDS)),
        FSP.but(blocks=(Block(1, digest(1), kind=2),)),
        FSP.but(blocks=blocks(63)),
        SWITCH.but(blocks=(*blocks(30), Block(31, digest(31), kind=2))),
        SWITCH.but(blocks=(*blocks(30), Block(31, bytes(32)))),
    ],
)
def test_blocks_and_lengths(written: Written) -> None:
    assert refusal(written) is MALFORMED


def test_newer_formats_are_named() -> None:
    manifest = Block(253, b"\xd9\x02\x3a", kind=0x8A)
    assert refusal(GPU.but(blocks=(*blocks(64), manifest))) is FORMAT
    assert refusal(GPU.but(opaque=b"NVDAOD" + bytes(20))) is FORMAT
    assert refusal(FSP.but(opaque=b"NVDAOD" + bytes(20))) is FORMAT


@pytest.mark.parametrize("version", [b"\2\0", b"\0\2", b"\1\1"])
def test_newer_opaque_data(version: bytes) -> None:
    assert refusal(GPU.having({34: version, 36: b"\0\0"})) is FORMAT


@pytest.mark.parametrize("flag", [b"\3\0", b"\0\1", b"\xff\xff"])
def test_unknown_modes(flag: bytes) -> None:
    assert refusal(GPU.having({34: b"\1\0", 36: flag})) is FORMAT


OPAQUE = tlv(GPU_FIELDS)


@pytest.mark.parametrize(
    "opaque",
    [
        OPAQUE + tlv({3: b"580.178.04\0"}),
        OPAQUE + tlv({20: b"F" * 48}),
        OPAQUE + tlv({300: b""}) * 2,
        OPAQUE + tlv({255: b""}),
        OPAQUE + b"\x2c",
        OPAQUE + b"\x2c\1\4\0abc",
        OPAQUE + b"\x2c\1\xff\xff",
        OPAQUE[:-1],
        b"",
    ],
)
def test_opaque_data(opaque: bytes) -> None:
    assert refusal(GPU.but(opaque=opaque)) is MALFORMED


@pytest.mark.parametrize(
    "changes",
    [
        {3: None},
        {6: None},
        {15: None},
        {17: None},
        {18: None},
        {3: b""},
        {3: b"\0\0"},
        {3: b"550"},
        {3: b"550.90.07 "},
        {3: b"550.90\0.07"},
        {3: b"550.90.07\n"},
        {3: b"550..07"},
        {3: b"../../etc"},
        {3: b"550.1.2.3.4"},
        {3: "\uff15\uff15\uff10.90".encode()},
        {6: b"96.00.9F.00.01"},
        {6: bytes.fromhex("009f0096010000")},
        {6: bytes.fromhex("009f009601000100")},
        {15: b"8/2"},
        {17: b"g520"},
        {18: b"A" * 17},
        {20: b"F" * 47},
        {20: b""},
        {21: b"\0"},
        {21: b"\x55\x55"},
        {21: b""},
        {22: b"1234567"},
        {34: b"\1"},
        {34: b"\1\0", 36: b"\0"},
        {34: b"\1\0", 36: None},
        {34: b"\1\0", 36: b"\2\0"},
        {21: b"\xaa", 34: b"\1\0", 36: b"\0\0"},
        {35: b""},
        {35: b"gh100"},
    ],
    ids=str,
)
def test_fields_of_a_gpu(changes: dict[int, bytes | None]) -> None:
    assert refusal(GPU.having(changes)) is MALFORMED


@pytest.mark.parametrize(
    "changes",
    [
        {6: None},
        {22: None},
        {6: bytes.fromhex("009f009601000000")},
        {6: b"96.10.55.00.0a"},
        {6: b"96.10.55.00.01\0"},
        {6: b"96.10.55.00"},
        {22: b"1234567"},
        {22: b"123456789"},
        {26: bytes(64)},
        {26: bytes(129)},
    ],
    ids=str,
)
def test_fields_of_a_switch(changes: dict[int, bytes | None]) -> None:
    assert refusal(SWITCH.having(changes)) is MALFORMED


@given(st.integers(0, len(GPU.encoded()) - 1))
def test_every_cut(length: int) -> None:
    assert refusal(GPU.encoded()[:length]) is MALFORMED


@given(st.sampled_from([GPU, SWITCH, FSP]), st.data())
def test_nothing_else_escapes(written: Written, data: st.DataObject) -> None:
    """A changed byte is refused, or stands in what was parsed: nothing is skipped."""
    whole = bytearray(written.encoded())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        report = parse_report(bytes(whole))
    except VerificationError:
        return
    assert report != parse_report(written.encoded())
    assert report.raw == bytes(whole)
