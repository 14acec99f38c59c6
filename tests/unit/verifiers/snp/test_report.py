# SPDX-License-Identifier: Apache-2.0
"""ATTESTATION_REPORT: every field where the ABI has it, every reserved byte zero, every other version refused."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.snp_lab import SnpLab, flipped
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Product
from verifiers.snp.claims import CpuModel, FirmwareVersion, SigningKey
from verifiers.snp.report import (
    REPORT_BYTES,
    SnpReport,
    has_fmc,
    parse_report,
    product_of,
    report_tcb,
    tcb_version,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSIONS = (2, 3, 4, 5)


@lru_cache(maxsize=4)
def report(version: int) -> bytes:
    return SnpLab.create().machine.report(bytes(range(64)), version=version)


def refusal(data: bytes) -> Reason:
    with pytest.raises(VerificationError) as caught:
        parse_report(data)
    return caught.value.reason


def written(data: bytes, at: int, value: int, size: int = 4) -> bytes:
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


def numbered() -> bytes:
    """A report in which every field of bytes and every number has a value of its own."""
    data = bytearray(report(5))
    for start, end in ((0x10, 0x30), (0x50, 0x188), (0x1A0, 0x1E8), (0x1F0, 0x208)):
        data[start:end] = bytes(at % 251 for at in range(start, end))
    data[0x188:0x18B] = b"\x19\x11\x02"
    data[0x1E8:0x1EB] = b"\x1d\x37\x01"
    data[0x1EC:0x1EF] = b"\x1c\x36\x02"
    data[0x38:0x40] = b"currTCB1"
    for at, value, size in ((0x4, 7, 4), (0x8, 0x1BF0133, 8), (0x30, 3, 4), (0x40, 0xC5, 8)):
        data[at : at + size] = value.to_bytes(size, "little")
    data[0x48] = 0b101
    return bytes(data)


def test_every_field_is_where_the_abi_has_it() -> None:
    data = numbered()
    parsed = parse_report(data)
    body = parsed.body
    slices = {
        "family_id": (0x010, 0x020),
        "image_id": (0x020, 0x030),
        "report_data": (0x050, 0x090),
        "measurement": (0x090, 0x0C0),
        "host_data": (0x0C0, 0x0E0),
        "id_key_digest": (0x0E0, 0x110),
        "author_key_digest": (0x110, 0x140),
        "report_id": (0x140, 0x160),
        "report_id_ma": (0x160, 0x180),
        "chip_id": (0x1A0, 0x1E0),
    }
    assert {name: getattr(body, name) for name in slices} == {
        name: data[start:end] for name, (start, end) in slices.items()
    }
    assert (body.version, body.guest_svn, body.policy) == (5, 7, 0x1BF0133)
    assert (body.abi_major, body.abi_minor) == (1, 0x33)
    assert (body.vmpl, body.platform_info, body.author_key_en) == (3, 0xC5, True)
    assert body.current_version == FirmwareVersion(1, 55, 29)
    assert body.committed_version == FirmwareVersion(2, 54, 28)
    assert body.launch_mit_vector == int.from_bytes(data[0x1F8:0x200], "little")
    assert body.current_mit_vector == int.from_bytes(data[0x200:0x208], "little")
    assert parsed.cpu == CpuModel(0x19, 0x11, 2)
    assert parsed.signing_key is SigningKey.VLEK
    assert parsed.current_tcb == b"currTCB1"
    assert parsed.reported_tcb == data[0x180:0x188]
    assert parsed.committed_tcb == data[0x1E0:0x1E8]
    assert parsed.launch_tcb == data[0x1F0:0x1F8]
    assert (parsed.raw, parsed.signed) == (data, data[:0x2A0])
    assert parsed.r == int.from_bytes(data[0x2A0:0x2D0], "little")
    assert parsed.s == int.from_bytes(data[0x2E8:0x318], "little")


@pytest.mark.parametrize("version", VERSIONS)
def test_versions(version: int) -> None:
    parsed = parse_report(report(version))
    assert parsed.body.version == version
    assert (parsed.cpu is None) == (version == 2)
    assert parsed.product == (None if version == 2 else Product.GENOA)
    mitigations = (parsed.body.launch_mit_vector, parsed.body.current_mit_vector)
    assert (mitigations == (None, None)) == (version < 5)


@pytest.mark.parametrize("version", [0, 1, 6, 7, 2**31, 0x10002])
def test_other_versions(version: int) -> None:
    assert refusal(written(report(3), 0, version)) is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("algorithm", [0, 2, 0x10001])
def test_other_algorithms(algorithm: int) -> None:
    assert refusal(written(report(3), 0x34, algorithm)) is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("size", [0, 1, 0x2A0, REPORT_BYTES - 1, REPORT_BYTES + 1])
def test_another_length(size: int) -> None:
    assert refusal(report(3)[:size].ljust(size, b"\0")) is Reason.MALFORMED


RESERVED = [
    (version, start, end)
    for version in VERSIONS
    for start, end in (
        (0x4C, 0x50),
        (0x1EB, 0x1EC),
        (0x1EF, 0x1F0),
        (0x208, 0x2A0),
        (0x2D0, 0x2E8),
        (0x318, 0x4A0),
        (0x188 if version == 2 else 0x18B, 0x1A0),
        *(((0x1F8, 0x208),) if version < 5 else ()),
    )
]


@pytest.mark.parametrize(("version", "start", "end"), RESERVED)
def test_reserved_bytes(version: int, start: int, end: int) -> None:
    """Each reserved range, at its first byte and its last; what is beside it is a field."""
    for at in (start, end - 1):
        assert refusal(flipped(report(version), at, 0x80)) is Reason.MALFORMED


@pytest.mark.parametrize("bit", [17, *range(26, 64)])
def test_policy_bits_that_no_guest_can_have(bit: int) -> None:
    assert refusal(flipped(report(5), 8 + bit // 8, 1 << bit % 8)) is Reason.MALFORMED


def test_page_swap_disable_came_with_version_5() -> None:
    assert parse_report(flipped(report(5), 11, 2)).body.policy >> 25 & 1
    for version in (2, 3, 4):
        assert refusal(flipped(report(version), 11, 2)) is Reason.MALFORMED
        assert parse_report(flipped(report(version), 11, 1)).body.policy >> 24 & 1


def test_platform_bits_are_never_refused() -> None:
    assert parse_report(written(report(3), 0x40, 2**64 - 1, 8)).body.platform_info == 2**64 - 1


@pytest.mark.parametrize("bit", range(5, 32))
def test_reserved_flags(bit: int) -> None:
    assert refusal(written(report(5), 0x48, 1 << bit)) is Reason.MALFORMED


@pytest.mark.parametrize("number", range(2, 7))
def test_reserved_signing_keys(number: int) -> None:
    assert refusal(written(report(5), 0x48, number << 2)) is Reason.MALFORMED


@pytest.mark.parametrize("flags", [7 << 2, 1 << 1, 1 << 1 | 1 << 2])
def test_a_report_that_says_nobody_signed_it(flags: int) -> None:
    assert refusal(written(report(5), 0x48, flags)) is Reason.SIGNATURE


def test_a_report_without_a_signature() -> None:
    unsigned = report(5)[:0x2A0] + bytes(0x200)
    assert refusal(unsigned) is Reason.SIGNATURE
    for at in (0x2A0, 0x2E8):  # one number of the two is for the verification to refuse
        assert isinstance(parse_report(flipped(unsigned, at)), SnpReport)


@pytest.mark.parametrize("vmpl", [0, 1, 2, 3, 0xFFFFFFFF])
def test_vmpl(vmpl: int) -> None:
    assert parse_report(written(report(5), 0x30, vmpl)).body.vmpl == vmpl


@pytest.mark.parametrize("vmpl", [4, 0x100, 0xFFFFFFFE])
def test_vmpl_that_no_guest_has(vmpl: int) -> None:
    assert refusal(written(report(5), 0x30, vmpl)) is Reason.MALFORMED


MODELS: dict[int, dict[Product, Sequence[int]]] = {
    0x19: {
        Product.MILAN: range(0x10),
        Product.GENOA: [*range(0x10, 0x20), *range(0xA0, 0xB0)],
    },
    0x1A: {Product.TURIN: range(0x12)},
}


@pytest.mark.parametrize("family", [0x00, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0xFF])
def test_products_by_cpu(family: int) -> None:
    """Whatever is not in the table is refused, Venice (1A-50 and above) too."""
    wanted = {
        model: product for product, models in MODELS.get(family, {}).items() for model in models
    }
    for model in range(256):
        cpu = CpuModel(family, model, 1)
        if model in wanted:
            assert product_of(cpu) is wanted[model]
            continue
        with pytest.raises(VerificationError) as caught:
            product_of(cpu)
        assert caught.value.reason is Reason.PRODUCT_UNKNOWN


def test_tcb_layouts() -> None:
    old = tcb_version(bytes([1, 2, 0, 0, 0, 0, 3, 4]), with_fmc=False)
    assert (old.fmc, old.bootloader, old.tee, old.snp, old.microcode) == (None, 1, 2, 3, 4)
    assert old.components == (0, 1, 2, 3, 4)
    new = tcb_version(bytes([1, 2, 3, 4, 0, 0, 0, 5]), with_fmc=True)
    assert (new.fmc, new.bootloader, new.tee, new.snp, new.microcode) == (1, 2, 3, 4, 5)
    assert [has_fmc(product) for product in Product] == [False, False, True]


@pytest.mark.parametrize(
    ("product", "reserved"),
    [(Product.MILAN, (2, 3, 4, 5)), (Product.GENOA, (2, 3, 4, 5)), (Product.TURIN, (4, 5, 6))],
)
def test_reserved_bytes_of_a_tcb(product: Product, reserved: tuple[int, ...]) -> None:
    for at in range(8):
        raw = flipped(bytes(8), at)
        if at not in reserved:
            assert report_tcb(raw, product).raw == raw
            continue
        with pytest.raises(VerificationError) as caught:
            report_tcb(raw, product)
        assert caught.value.reason is Reason.MALFORMED


@given(st.binary(min_size=REPORT_BYTES, max_size=REPORT_BYTES))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(VerificationError):
        parse_report(data)


@given(st.integers(0, REPORT_BYTES - 1), st.integers(0, 255), st.sampled_from(VERSIONS))
def test_any_byte_changed(at: int, value: int, version: int) -> None:
    """What is parsed is what was sent, to the last byte."""
    data = report(version)
    changed = data[:at] + bytes([value]) + data[at + 1 :]
    try:
        parsed = parse_report(changed)
    except VerificationError:
        return
    assert parsed.raw == changed
    assert (parsed == parse_report(data)) == (changed == data)
