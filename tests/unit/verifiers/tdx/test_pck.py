# SPDX-License-Identifier: Apache-2.0
"""Intel's SGX extension in the PCK certificate: every value, every way in which it can be wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from simulator import der, pki
from simulator.pck import SGX_EXTENSION, encode
from tests.tdx_lab import Lab
from verifiers.errors import Reason, VerificationError
from verifiers.tdx.claims import PckClaims
from verifiers.tdx.pck import _SVNS, PckChain, verify_pck_chain

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.pck import Parts


def chain(lab: Lab) -> PckChain:
    return verify_pck_chain(lab.platform.chain, lab.exhibit().anchors.intel_sgx_root)


def claims(lab: Lab) -> PckClaims:
    return chain(lab).claims


def test_every_value_under_the_platform_ca() -> None:
    lab = Lab.create()
    lab.sgx(
        ppid=b"\1" * 16,
        components=tuple(range(16)),
        pcesvn=0x1234,
        cpusvn=bytes(range(16, 32)),
        pceid=b"\x00\x07",
        sgx_type=2,
        platform_instance_id=b"\2" * 16,
        dynamic_platform=False,
        cached_keys=True,
        smt_enabled=False,
    )
    pck = lab.platform.pck
    assert claims(lab) == PckClaims(
        ppid=b"\1" * 16,
        sgx_tcb_components=tuple(range(16)),
        pcesvn=0x1234,
        cpusvn=bytes(range(16, 32)),
        pceid=b"\x00\x07",
        fmspc=bytes.fromhex("b0c06f000000"),
        sgx_type=2,
        platform_instance_id=b"\2" * 16,
        dynamic_platform=False,
        cached_keys=True,
        smt_enabled=False,
        ca="platform",
        serial_number=pck.spec.serial,
        not_after=pck.spec.not_after,
    )


def test_the_processor_ca_has_less() -> None:
    lab = Lab.create(ca="processor")
    found = claims(lab)
    assert found.ca == "processor"
    assert found.platform_instance_id is None
    assert (found.dynamic_platform, found.cached_keys, found.smt_enabled) == (None, None, None)


def test_one_flag_alone() -> None:
    lab = Lab.create()
    lab.sgx(dynamic_platform=None, cached_keys=True, smt_enabled=None)
    found = claims(lab)
    assert (found.dynamic_platform, found.cached_keys, found.smt_enabled) == (None, True, None)


@pytest.mark.parametrize("svn", [0, 1, 0x7F, 0x80, 0xFF])
def test_every_svn_has_its_one_encoding(svn: int) -> None:
    lab = Lab.create()
    lab.sgx(components=(svn,) * 16, pcesvn=svn << 8 | svn)
    found = claims(lab)
    assert found.sgx_tcb_components == (svn,) * 16
    assert found.pcesvn == svn << 8 | svn


def test_the_table_holds_what_the_writer_writes() -> None:
    assert {der.integer(svn): svn for svn in range(256)} == _SVNS


def test_the_order_of_members_is_free_and_new_ones_are_left_aside() -> None:
    lab = Lab.create()
    right = claims(lab)
    parts = lab.platform.sgx.parts()
    lab.platform.pck.put(encode([("9", der.octet_string(b"new")), *reversed(parts)]))
    assert replace(claims(lab), serial_number=right.serial_number) == right


def test_parts_of_the_chain() -> None:
    lab = Lab.create()
    found = chain(lab)
    assert found.leaf.der == lab.platform.pck.der
    assert found.issuer.der == lab.platform.ca.der
    assert found.not_after == min(
        entity.spec.not_after for entity in (lab.platform.pck, lab.platform.ca, lab.intel.root)
    )


def without(arc: str) -> Callable[[Parts], Parts]:
    return lambda parts: [part for part in parts if part[0] != arc]


def with_value(arc: str, value: bytes) -> Callable[[Parts], Parts]:
    return lambda parts: [(name, value if name == arc else old) for name, old in parts]


WRONG: dict[str, Callable[[Parts], Parts]] = {
    **{
        f"without {arc}": without(arc)
        for arc in ("1", "2.1", "2.16", "2.17", "2.18", "3", "4", "5")
    },
    "PPID of 15 bytes": with_value("1", der.octet_string(bytes(15))),
    "PPID as an INTEGER": with_value("1", der.integer(1)),
    "PPID as another string": with_value("1", der.tlv(0x0C, bytes(16))),
    "PPID of 15 bytes and one behind": with_value("1", der.octet_string(bytes(15)) + b"\0"),
    "CPUSVN of 17 bytes": with_value("2.18", der.octet_string(bytes(17))),
    "PCE id of 3 bytes": with_value("3", der.octet_string(bytes(3))),
    "FMSPC of 5 bytes": with_value("4", der.octet_string(bytes(5))),
    "SVN 256": with_value("2.5", der.integer(256)),
    "SVN -1": with_value("2.5", der.integer(-1)),
    "SVN with a leading zero": with_value("2.5", der.tlv(2, b"\0\1")),
    "SVN as OCTET STRING": with_value("2.5", der.octet_string(b"\1")),
    "PCESVN 65536": with_value("2.17", der.integer(65536)),
    "SGX type as an INTEGER": with_value("5", der.integer(1)),
    "instance id of 8 bytes": with_value("6", der.octet_string(bytes(8))),
    "flag 1": with_value("7.2", der.tlv(1, b"\1")),
    "flag as an INTEGER": with_value("7.2", der.integer(1)),
    "FMSPC twice": lambda parts: [*parts, ("4", der.octet_string(bytes(6)))],
    "TCB twice": lambda parts: [*parts, *[part for part in parts if part[0].startswith("2.")]],
    "a component twice": lambda parts: parts[:5] + parts[4:],
    "a member without a value": with_value("1", b""),
    "a member with two values": with_value("1", der.octet_string(bytes(16)) * 2),
    "no member": lambda _: [],
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    lab = Lab.create()
    lab.platform.pck.put(encode(WRONG[name](lab.platform.sgx.parts())))
    with pytest.raises(VerificationError, match="SGX extension") as caught:
        chain(lab)
    assert caught.value.reason is Reason.CHAIN


@pytest.mark.parametrize(
    "value",
    [
        b"",
        der.octet_string(b""),
        der.sequence() + b"\0",
        der.sequence(der.octet_string(b"")),
        der.sequence(der.sequence(der.oid("1.2.3"), der.octet_string(bytes(16)))),
        der.sequence(der.sequence(der.oid(SGX_EXTENSION), der.octet_string(bytes(16)))),
        der.sequence(der.sequence(der.oid(SGX_EXTENSION + ".200"), der.octet_string(bytes(16)))),
    ],
)
def test_no_such_structure(value: bytes) -> None:
    lab = Lab.create()
    lab.platform.pck.put(pki.Extension(SGX_EXTENSION, value))
    with pytest.raises(VerificationError, match="SGX extension"):
        chain(lab)


ARC = der.oid(SGX_EXTENSION)[2:]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (ARC + b"\x04\x04", ARC[:-1] + b"\x02\x04\x04"),  # FMSPC under another arc
        (b"\x30\x14\x06\x0a" + ARC + b"\x04", b"\x31\x14\x06\x0a" + ARC + b"\x04"),  # a SET
    ],
    ids=["arc", "tag"],
)
def test_a_member_that_only_looks_like_one(right: bytes, wrong: bytes) -> None:
    lab = Lab.create()
    value = lab.platform.sgx.extension().value
    assert value.count(right) == 1
    lab.platform.pck.put(pki.Extension(SGX_EXTENSION, value.replace(right, wrong)))
    with pytest.raises(VerificationError, match="unknown or repeated member"):
        chain(lab)


def test_a_member_whose_oid_is_cut() -> None:
    lab = Lab.create()
    cut = der.tlv(0x30, b"\x06" + bytes([len(ARC) + 1]) + ARC)
    lab.platform.pck.put(pki.Extension(SGX_EXTENSION, der.sequence(cut)))
    with pytest.raises(VerificationError, match="SGX extension"):
        chain(lab)


def test_no_extension() -> None:
    lab = Lab.create()
    lab.platform.pck.drop(SGX_EXTENSION)
    with pytest.raises(VerificationError, match="SGX extension"):
        chain(lab)
