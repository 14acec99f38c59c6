# SPDX-License-Identifier: Apache-2.0
"""Quotes: every field lies where the specification puts it, and every part can be replaced or falsified."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import dcap_qvl
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from simulator import layouts
from simulator.pki import Key, malleate

if TYPE_CHECKING:
    from simulator.intel import FakeIntel
    from simulator.machine import Platform

KINDS = [(4, 2), (5, 2), (5, 3), (5, 4)]
# Offset of the body's end, and thereby of the signature data's length field.
ENDS = {(3, 1): 432, (4, 2): 632, (5, 2): 638, (5, 3): 702, (5, 4): 939}


def holds(key: Key, signature: bytes, data: bytes) -> None:
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    public = key.private.public_key()
    public.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize(
    ("version", "body_type", "field", "start", "length"),
    [
        (4, 2, "att_key_type", 2, 2),
        (4, 2, "tee_type", 4, 4),
        (4, 2, "qe_svn", 8, 2),
        (4, 2, "pce_svn", 10, 2),
        (4, 2, "vendor_id", 12, 16),
        (4, 2, "user_data", 28, 20),
        (4, 2, "tee_tcb_svn", 48, 16),
        (4, 2, "seam_attributes", 160, 8),
        (4, 2, "td_attributes", 168, 8),
        (4, 2, "xfam", 176, 8),
        (4, 2, "mr_td", 184, 48),
        (4, 2, "rtmr0", 376, 48),
        (4, 2, "report_data", 568, 64),
        (5, 2, "mr_td", 190, 48),
        (5, 3, "tee_tcb_svn2", 638, 16),
        (5, 3, "mr_service_td", 654, 48),
        (5, 4, "vm_id", 702, 1),
        (5, 4, "td_id", 703, 32),
        (5, 4, "init_tee_fmspc", 871, 12),
        (5, 4, "cur_service_td_attributes", 931, 8),
        (3, 1, "report_data", 368, 64),
    ],
)
def test_fields_lie_where_the_specification_puts_them(
    platform: Platform, version: int, body_type: int, field: str, start: int, length: int
) -> None:
    value = bytes(range(1, length + 1))
    quote = platform.quote(version=version, body_type=body_type, **{field: value})
    assert quote[start : start + length] == value
    assert layouts.offsets(version, body_type)[field] == slice(start, start + length)


@pytest.mark.parametrize(("version", "body_type"), KINDS)
def test_an_independent_parser_reads_the_fields(
    platform: Platform, version: int, body_type: int
) -> None:
    quote = platform.quote(
        version=version,
        body_type=body_type,
        report_data=bytes(range(64)),
        mr_td=b"\1" * 48,
        mr_config_id=b"\2" * 48,
        rtmr3=b"\3" * 48,
        user_data=b"\4" * 20,
    )
    read = dcap_qvl.parse_quote(quote)
    assert read.is_tdx()
    assert (read.header.version, read.header.user_data) == (version, b"\4" * 20)
    report = read.report
    assert report.report_data == bytes(range(64))
    assert (report.mr_td, report.mr_config_id, report.rt_mr3) == (
        b"\1" * 48,
        b"\2" * 48,
        b"\3" * 48,
    )
    assert read.fmspc().lower() == platform.fmspc
    assert read.ca() == "platform"


@pytest.mark.parametrize(("version", "body_type"), [(3, 1), *KINDS])
def test_signatures_cover_what_they_must(platform: Platform, version: int, body_type: int) -> None:
    quote = platform.quote(version=version, body_type=body_type)
    end = ENDS[version, body_type]
    assert int.from_bytes(quote[end : end + 4], "little") == len(quote) - end - 4
    data = quote[end + 4 :]
    holds(platform.attestation_key, data[:64], quote[:end])
    assert data[64:128] == platform.attestation_key.point
    report = data[128:] if version == 3 else data[134:]
    holds(platform.pck.key, report[384:448], report[:384])
    bound = platform.attestation_key.point + platform.qe_auth_data
    assert report[320:384] == hashlib.sha256(bound).digest() + bytes(32)
    assert report[448:482] == b"\x20\0" + platform.qe_auth_data
    assert report[488:] == platform.chain


def test_integers_are_little_endian(platform: Platform) -> None:
    assert platform.quote(td_attributes=0x1020)[168:176] == b"\x20\x10" + bytes(6)


def test_wrong_names_lengths_and_numbers_are_refused(platform: Platform) -> None:
    with pytest.raises(TypeError, match="no field mrtd"):
        platform.quote(mrtd=bytes(48))
    with pytest.raises(TypeError, match="no field mr_service_td"):
        platform.quote(mr_service_td=bytes(48))
    with pytest.raises(ValueError, match="mr_td has 48 bytes, not 32"):
        platform.quote(mr_td=bytes(32))
    with pytest.raises(OverflowError):
        platform.quote(att_key_type=0x10000)
    platform.fields["mrtd"] = bytes(48)
    with pytest.raises(TypeError, match="no field mrtd"):
        platform.quote()


def test_defaults_of_a_machine_and_of_one_quote(platform: Platform) -> None:
    platform.fields["mr_td"] = b"\1" * 48
    assert platform.quote()[184:232] == b"\1" * 48
    assert platform.quote(mr_td=b"\2" * 48)[184:232] == b"\2" * 48
    assert platform.quote()[184:232] == b"\1" * 48


def test_what_is_written_can_differ_from_the_layout(platform: Platform) -> None:
    right = platform.quote(version=5, body_type=3)
    false = platform.quote(
        version=5, body_type=3, version_field=6, body_type_field=9, body_size=649
    )
    assert false[:2] == b"\6\0"
    assert false[48:54] == b"\x09\0\x89\x02\0\0"
    assert false[54:702] == right[54:702]
    assert len(false) == len(right)


def test_lengths_and_types_of_the_signature_data(platform: Platform) -> None:
    quote = platform.quote(
        signature_data_length=0xFFFFFFFF,
        outer_type=7,
        outer_length=1,
        qe_auth_data_length=2,
        inner_type=3,
        inner_length=0x01020304,
    )
    assert quote[632:636] == b"\xff" * 4
    assert quote[764:770] == b"\7\0\1\0\0\0"
    assert quote[1218:1220] == b"\2\0"
    assert quote[1252:1258] == b"\3\0\4\3\2\1"
    assert len(quote) == len(platform.quote())


def test_parts_are_replaced_or_edited(platform: Platform) -> None:
    right = platform.quote()
    assert platform.quote(signature=bytes(64))[636:700] == bytes(64)
    assert platform.quote(signature=malleate)[636:700] == malleate(right[636:700])
    assert platform.quote(qe_signature=malleate)[1154:1218] == malleate(right[1154:1218])
    crlf = platform.quote(certification_data=lambda text: text.replace(b"\n", b"\r\n"))
    assert crlf.endswith(platform.chain.replace(b"\n", b"\r\n"))
    assert platform.quote(body=lambda body: body[:-1])[:631] == right[:631]


def test_the_binding_follows_the_embedded_key_and_data(platform: Platform) -> None:
    other = Key.generate()
    quote = platform.quote(attestation_key=other.point, signer=other, qe_auth_data=b"abc")
    holds(other, quote[636:700], quote[:632])
    assert quote[1090:1154] == hashlib.sha256(other.point + b"abc").digest() + bytes(32)
    assert platform.quote(qe_report_data=bytes(64))[1090:1154] == bytes(64)


def test_bytes_can_be_added_at_every_level(platform: Platform) -> None:
    right = platform.quote()
    inner = platform.quote(after_inner=b"in")
    outer = platform.quote(after_outer=b"out")
    assert inner[632:636] == (len(right) - 636 + 2).to_bytes(4, "little")
    assert inner[766:770] == (len(right) - 770 + 2).to_bytes(4, "little")
    assert inner.endswith(platform.chain + b"in")
    assert outer[632:636] == (len(right) - 636 + 3).to_bytes(4, "little")
    assert outer[766:770] == right[766:770]
    assert outer.endswith(platform.chain + b"out")
    assert platform.quote(trailing=bytes(70)) == right + bytes(70)


def test_layout_of_the_signature_data_can_be_that_of_version_3(platform: Platform) -> None:
    quote = platform.quote(version=5, auth_layout=3)
    assert len(quote) == len(platform.quote(version=5)) - 6
    report = quote[638 + 4 + 128 :]
    holds(platform.pck.key, report[384:448], report[:384])


def test_quotes_are_deterministic_and_machines_differ(intel: FakeIntel) -> None:
    one, two = intel.platform(), intel.platform()
    assert one.quote() == one.quote()
    assert one.sgx.ppid != two.sgx.ppid
    assert one.attestation_key.point != two.attestation_key.point
    assert one.pck.key.point != two.pck.key.point
