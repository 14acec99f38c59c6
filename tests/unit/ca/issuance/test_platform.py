# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import pytest

from attestca_client.protocol import chip_id
from ca.issuance import platform
from simulator.products import Tcb
from tests import nvidia_devices
from tests.authority_lab import NOW, digest
from tests.snp_lab import SnpLab
from verifiers.endorsements import Revocation
from verifiers.nvidia.claims import NrasClaims
from verifiers.tcb import TcbReport, TcbStatus
from verifiers.tdx.claims import (
    PckClaims,
    QeClaims,
    QuoteHeader,
    TdReport10,
    TdxClaims,
)

KEY = b"k" * 32
HEADER = QuoteHeader(4, 2, 0x81, 0, 0, bytes(16), bytes(20))
TD = TdReport10(
    tee_tcb_svn=bytes(range(100, 116)),
    mr_seam=bytes(48),
    mrsigner_seam=bytes(48),
    seam_attributes=bytes(8),
    td_attributes=bytes(8),
    xfam=bytes(8),
    mr_td=bytes(48),
    mr_config_id=bytes(48),
    mr_owner=bytes(48),
    mr_owner_config=bytes(48),
    rtmr0=bytes(48),
    rtmr1=bytes(48),
    rtmr2=bytes(48),
    rtmr3=bytes(48),
    report_data=bytes(64),
)
PCK = PckClaims(
    ppid=b"p" * 16,
    sgx_tcb_components=tuple(range(16)),
    pcesvn=0x0102,
    cpusvn=bytes(16),
    pceid=bytes(2),
    fmspc=bytes.fromhex("50806f000000"),
    sgx_type=1,
    platform_instance_id=None,
    dynamic_platform=None,
    cached_keys=None,
    smt_enabled=None,
    ca="platform",
    serial_number=1,
    not_after=NOW,
)
CLAIMS = TdxClaims(
    header=HEADER,
    body_type=2,
    td=TD,
    td15=None,
    td15_ex=None,
    attributes=frozenset(),
    reserved_attributes=0,
    pck=PCK,
    qe=QeClaims(bytes(32), bytes(32), 2, 8),
    tcb=TcbReport(TcbStatus.UP_TO_DATE),
    tdx_module_version=3,
    pck_chain_revocation=Revocation.GOOD,
    tcb_signing_chain_revocation=Revocation.GOOD,
    collateral=(),
    certificates_expire=NOW,
    expires=NOW,
    bound=True,
    evidence_sha256=digest("quote"),
    collateral_sha256=digest("collateral"),
    verified_at=NOW,
)


def test_a_tdx_platform() -> None:
    found = platform.describe(CLAIMS, KEY, floors_hold=False)
    assert (found.tee, found.product) == ("tdx", "fmspc:50806f000000")
    assert (found.tcb_status, found.tcb_current) == ("UpToDate", True)
    assert found.tcb_vector == bytes(range(16)) + b"\x01\x02" + bytes(range(100, 116))
    assert found.chip_ids == (chip_id(KEY, "ppid", b"p" * 16),)
    assert found.evidence_sha256 == digest("quote")
    assert (found.verified_at, found.certificates_expire) == (NOW, NOW)


def test_no_hardware_id_leaves_in_the_clear() -> None:
    assert b"p" * 16 not in b"".join(platform.describe(CLAIMS, KEY, floors_hold=False).chip_ids)


def test_no_chip_where_the_policy_or_the_hardware_says_none() -> None:
    assert platform.describe(CLAIMS, None, floors_hold=False).chip_ids == ()
    nameless = replace(CLAIMS, pck=replace(PCK, ppid=bytes(16)))
    assert platform.describe(nameless, KEY, floors_hold=False).chip_ids == ()


@pytest.mark.parametrize("status", [*TcbStatus, None])
def test_only_the_best_status_is_current(status: TcbStatus | None) -> None:
    rated = replace(CLAIMS, tcb=TcbReport(status))
    found = platform.describe(rated, KEY, floors_hold=True)
    assert found.tcb_current == (status is TcbStatus.UP_TO_DATE)
    assert found.tcb_status == (status or TcbStatus.UNKNOWN)


# SEV-SNP


@pytest.mark.parametrize(
    ("product", "model", "tcb"),
    [
        ("Milan", "190101", "0400000000001dde"),
        ("Genoa", "191101", "0a00000000001b58"),
        ("Turin", "1a0201", "0101010400000051"),
    ],
)
def test_an_snp_platform(product: str, model: str, tcb: str) -> None:
    lab = SnpLab.create(product)
    claims = lab.exhibit().verify()
    found = platform.describe(claims, KEY, floors_hold=True)
    assert (found.tee, found.product) == ("snp", product)
    assert (found.tcb_status, found.tcb_current) == ("NotRated", True)
    assert found.tcb_vector == product.encode() + b"\0" + bytes.fromhex(model + tcb)
    assert found.chip_ids == (chip_id(KEY, "chip_id", lab.machine.chip_id),)
    assert found.evidence_sha256 == claims.evidence_sha256
    assert (found.verified_at, found.certificates_expire) == (lab.at, claims.certificates_expire)


def test_a_version_2_report_names_no_model() -> None:
    lab = SnpLab.create("Milan")
    lab.report(version=2)
    found = platform.describe(lab.exhibit().verify(), KEY, floors_hold=False)
    assert found.tcb_vector[:9] == b"Milan\0" + bytes(3)
    assert not found.tcb_current


def test_reported_tcb_alone_is_in_the_vector() -> None:
    """The other three are the firmware's word, which its key does not prove."""
    lab, lower = SnpLab.create("Milan"), Tcb(bootloader=3, tee=0, snp=8, microcode=0x73)
    lab.report(reported_tcb=lower)
    claims = lab.exhibit().verify()
    vector = platform.describe(claims, KEY, floors_hold=False).tcb_vector
    assert vector.endswith(bytes.fromhex("0300000000000873"))
    assert claims.committed_tcb.raw not in vector


@pytest.mark.parametrize("named", [bytes(64), b"\xc1" * 64])
def test_a_providers_machines_have_no_chip(named: bytes) -> None:
    """Not even where one is named: the key is shared, so the name is anyone's of that provider."""
    lab = SnpLab.create("Milan")
    lab.report(signing_key="vlek", chip_id=named)
    assert lab.exhibit().verify().report.chip_id == named
    assert platform.describe(lab.exhibit().verify(), KEY, floors_hold=False).chip_ids == ()


def test_a_chip_leaves_only_where_the_policy_says_so_and_keyed() -> None:
    lab = SnpLab.create("Turin")
    claims = lab.exhibit().verify()
    assert platform.describe(claims, None, floors_hold=False).chip_ids == ()
    keyed = platform.describe(claims, KEY, floors_hold=False)
    assert lab.machine.hwid not in b"".join((*keyed.chip_ids, keyed.tcb_vector))


# devices


def test_devices_of_a_whole_system() -> None:
    claims = nvidia_devices.ppcie().verify()
    found = platform.devices_of(claims, KEY, minimums_hold=True)
    assert [one.kind for one in found] == ["gpu"] * 8 + ["switch"] * 4
    gpu, switch = found[0], found[-1]
    assert (gpu.product, gpu.model, gpu.mode) == ("nvidia:GH100", "GH100 A01 GSP BROM", "ppcie")
    assert (switch.product, switch.model, switch.mode) == (
        "nvidia:LS10",
        "LS_10 A01 FSP BROM",
        None,
    )
    for device, claim in zip(found, claims.devices, strict=True):
        assert device.evidence_sha256 == claim.evidence_sha256
        assert device.chip_id == chip_id(KEY, "nvidia", claim.device_serial.encode())
        assert (device.driver, device.vbios) == (claim.driver_version, claim.vbios_version)
        assert device.certificates_expire == claim.certificates_expire
        assert (device.appraised_by, device.current) == ("local", True)


def test_firmware_of_a_gpu_and_of_a_switch() -> None:
    claims = nvidia_devices.ppcie().verify()
    gpu, switch = (claims.devices[place] for place in (0, -1))
    found = platform.devices_of(claims, KEY, minimums_hold=False)
    assert found[0].firmware == (
        f"nvidia-driver:{gpu.driver_version}",
        "nvidia-vbios:96.00.9F.00.01",
        *(f"nvidia-rim:{rim.rim_id}:{rim.sha256.hex()}" for rim in gpu.rims),
    )
    assert len(found[0].firmware) == 4
    assert found[-1].firmware == (
        "nvidia-vbios:96.10.55.00.01",
        f"nvidia-rim:{switch.rims[0].rim_id}:{switch.rims[0].sha256.hex()}",
    )
    assert not found[0].current


def test_where_nvidias_service_alone_has_compared_no_manifest_is_named() -> None:
    claims = nvidia_devices.ppcie().verify()
    said = NrasClaims("3.0", digest("token"), NOW, NOW, Revocation.GOOD)
    by_nras = replace(claims.devices[0], rims=(), nras=said)
    by_both = replace(claims.devices[1], nras=said)
    changed = replace(claims, devices=(by_nras, by_both, *claims.devices[2:]))
    first, second, third, *_ = platform.devices_of(changed, KEY, minimums_hold=True)
    assert [one.appraised_by for one in (first, second, third)] == ["nras", "both", "local"]
    assert [len(one.firmware) for one in (first, second, third)] == [2, 4, 4]


def test_no_serial_number_of_a_device_leaves_in_the_clear() -> None:
    claims = nvidia_devices.ppcie().verify()
    withheld = platform.devices_of(claims, None, minimums_hold=True)
    assert {one.chip_id for one in withheld} == {None}
    for devices in (withheld, platform.devices_of(claims, KEY, minimums_hold=True)):
        for claim in claims.devices:
            assert claim.device_serial not in repr(devices)
