# SPDX-License-Identifier: Apache-2.0
"""Reports: what each version has, who signs them, and every lever for tests of verifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from simulator import snp_report
from simulator.amd_keys import P384_ORDER, P384Key, components, malleate
from simulator.layouts import SNP_REPORT, SNP_SIGNATURE, places
from simulator.pki import pem
from simulator.products import Tcb

if TYPE_CHECKING:
    from simulator.amd import FakeAmd
    from simulator.snp import SnpMachine

WHERE = places((*SNP_REPORT, *SNP_SIGNATURE))


@pytest.fixture
def machine(amd: FakeAmd) -> SnpMachine:
    return amd.machine("Genoa")


def number(report: bytes, name: str) -> int:
    return int.from_bytes(report[WHERE[name]], "little")


def check(report: bytes, spki: bytes) -> None:
    """Raise InvalidSignature unless the report is signed by this key."""
    key = load_der_public_key(spki)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    signature = encode_dss_signature(number(report, "signature_r"), number(report, "signature_s"))
    key.verify(signature, report[:0x2A0], ec.ECDSA(hashes.SHA384()))


@pytest.mark.parametrize("version", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["vcek", "vlek"])
def test_versions(machine: SnpMachine, version: int, kind: str) -> None:
    report = machine.report(b"\x07" * 64, version=version, signing_key=kind)
    assert len(report) == 1184
    check(report, machine.vek(kind).key.spki)
    assert number(report, "version") == version
    assert report[WHERE["report_data"]] == b"\x07" * 64
    cpu = tuple(number(report, f"cpuid_{part}") for part in ("family", "model", "stepping"))
    assert cpu == ((0x19, 0x11, 1) if version >= 3 else (0, 0, 0))
    assert (number(report, "launch_mit_vector") != 0) == (version >= 5)
    assert (number(report, "platform_info") & 0x20 != 0) == (version >= 3)
    chip_id = machine.chip_id if kind == "vcek" else bytes(64)
    assert report[WHERE["chip_id"]] == chip_id
    assert number(report, "flags") == (4 if kind == "vlek" else 0)
    for name in ("reserved1", "reserved2", "reserved3", "reserved4", "reserved5", "reserved6"):
        assert not any(report[WHERE[name]])
    assert not any(report[WHERE["signature_r"]][48:] + report[WHERE["signature_s"]][48:])


@pytest.mark.parametrize(
    "level",
    [
        Tcb(bootloader=9, tee=0, snp=20, microcode=80),
        bytes.fromhex("0900000000001450"),
        0x5014000000000009,
    ],
)
def test_the_key_is_that_of_the_reported_level(machine: SnpMachine, level: Tcb | bytes) -> None:
    report = machine.report(reported_tcb=level)
    older = Tcb(bootloader=9, tee=0, snp=20, microcode=80)
    check(report, machine.vek(tcb=older).key.spki)
    assert report[WHERE["reported_tcb"]].hex() == "0900000000001450"
    assert report[WHERE["committed_tcb"]] == machine.product.encode(machine.tcb)


def test_every_field_can_be_set(machine: SnpMachine) -> None:
    computed = {"report_data", "version", "flags"}
    for name, length in SNP_REPORT:
        if name not in computed:
            changes: dict[str, Any] = {name: b"\x55" * length}
            assert machine.report(**changes)[WHERE[name]] == changes[name]
    assert number(machine.report(flags=0xFF), "flags") == 0xFF
    assert number(machine.report(version=9), "version") == 9
    machine.fields["policy"] = 0xB0000
    assert number(machine.report(), "policy") == 0xB0000
    assert number(machine.report(policy=0x30000), "policy") == 0x30000


def test_flags_have_names(machine: SnpMachine) -> None:
    assert number(machine.report(author_key_en=True), "flags") == 1
    assert number(machine.report(mask_chip_key=True, signing_key="vlek"), "flags") == 6


def test_unsigned_reports(machine: SnpMachine) -> None:
    report = machine.report(signing_key="none")
    assert number(report, "flags") == 7 << 2
    assert not any(report[0x2A0:])


def test_sealing(machine: SnpMachine) -> None:
    other = P384Key.derive(b"other", "key")
    check(machine.report(signer=other), other.spki)
    twin = machine.report(signature=malleate)
    assert twin != machine.report()
    check(twin, machine.vek().key.spki)
    odd = components(1, P384_ORDER)
    assert machine.report(signature=odd)[0x2A0:0x330] == odd
    tail = machine.report(reserved6=b"\x01" * 368, trailing=b"more")
    assert tail[0x330:] == b"\x01" * 368 + b"more"
    with pytest.raises(InvalidSignature):
        check(machine.report(signature=components(1, 1)), machine.vek().key.spki)


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"no_such_field": bytes(48)}, TypeError), ({"measurement": bytes(47)}, ValueError)],
)
def test_mistakes_are_told(
    machine: SnpMachine, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        machine.report(**changes)


@pytest.mark.parametrize("kind", ["vcek", "vlek"])
def test_certificates_beside_a_report(machine: SnpMachine, kind: str) -> None:
    table = machine.certificate_table(kind)
    assert len(table) % 4096 == 0
    found = []
    for at in range(0, 72, 24):
        guid = UUID(bytes=table[at : at + 16])
        offset, length = (
            int.from_bytes(table[at + start : at + start + 4], "little") for start in (16, 20)
        )
        found.append((guid, table[offset : offset + length]))
    assert not any(table[72:96])
    leaf = snp_report.VLEK if kind == "vlek" else snp_report.VCEK
    issuer = machine.line.issuer(kind)
    right = [machine.vek(kind).der, issuer.der, machine.line.ark.der]
    assert found == list(zip((leaf, snp_report.ASK, snp_report.ARK), right, strict=True))
    assert machine.certificates_pem(kind).decode("ascii") == pem(*right)
    assert machine.bundle(kind) == {
        "vek": right[0].hex(),
        "crl": machine.line.crl(kind).der.hex(),
    }
