# SPDX-License-Identifier: Apache-2.0
"""The independent verifier dcap_qvl accepts simulated quotes under the fake root, with the status they are made for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import dcap_qvl
import pytest

from simulator import pki
from simulator.intel import FakeIntel
from simulator.pki import Key, malleate

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from simulator.machine import Platform

    Judge = Callable[..., dcap_qvl.VerifiedReport]

MODULE_01 = bytes((11, 1, 4)) + bytes(13)


@pytest.mark.parametrize(("version", "body_type"), [(4, 2), (5, 2), (5, 3), (5, 4)])
@pytest.mark.parametrize("ca", ["platform", "processor"])
def test_every_kind_is_up_to_date(
    judge: Judge, now: datetime, version: int, body_type: int, ca: str
) -> None:
    intel = FakeIntel.create(now, ca=ca)
    platform = intel.platform()
    quote = platform.quote(version=version, body_type=body_type, report_data=bytes(range(64)))
    report = judge(intel, quote, intel.bundle(platform))
    assert (report.status, report.advisory_ids) == ("UpToDate", [])
    assert report.ppid == platform.sgx.ppid
    assert bytes(range(64)).hex() in report.to_json()


def test_only_its_own_root_vouches_for_it(
    judge: Judge, intel: FakeIntel, platform: Platform, now: datetime
) -> None:
    bundle = intel.bundle(platform)
    with pytest.raises(ValueError, match="InvalidCrlSignatureForPublicKey"):
        judge(FakeIntel.create(now), platform.quote(), bundle)
    collateral = dcap_qvl.QuoteCollateralV3.from_json(json.dumps(bundle))
    with pytest.raises(ValueError, match="InvalidCrlSignatureForPublicKey"):
        dcap_qvl.verify(platform.quote(), collateral, int(now.timestamp()))  # Intel's root


@pytest.mark.parametrize(
    ("tee_tcb_svn", "status"),
    [
        (MODULE_01, "UpToDate"),
        (bytes((5, 3, 4)), "UpToDate"),
        (bytes((4, 3, 4)), "OutOfDate"),
        (bytes((10, 1, 4)), "OutOfDate"),
        (bytes((11, 1, 3)), "OutOfDate"),
        (bytes((5, 0, 4)), "UpToDate"),
        (bytes((255, 1, 255)), "UpToDate"),
    ],
)
def test_module_and_platform_levels(
    judge: Judge, intel: FakeIntel, platform: Platform, tee_tcb_svn: bytes, status: str
) -> None:
    quote = platform.quote(tee_tcb_svn=tee_tcb_svn.ljust(16, b"\0"))
    assert judge(intel, quote, intel.bundle(platform)).status == status


def test_levels_of_the_quoting_enclave(judge: Judge, intel: FakeIntel, platform: Platform) -> None:
    report = judge(intel, platform.quote(qe_isvsvn=3), intel.bundle(platform))
    assert (report.status, report.advisory_ids) == ("OutOfDate", ["INTEL-SA-01245"])


@pytest.mark.parametrize("change", [{"pcesvn": 10}, {"components": (3, 3, 2, 2, 4, 1, 0, 5)}])
def test_levels_of_the_certificate(
    judge: Judge, intel: FakeIntel, platform: Platform, change: dict[str, int | tuple[int, ...]]
) -> None:
    sgx = replace(platform.sgx, **change)  # type: ignore[arg-type] # one of two fields
    platform.certify(replace(sgx, components=sgx.components[:8] + (0,) * 8))
    assert judge(intel, platform.quote(), intel.bundle(platform)).status == "OutOfDate"


@pytest.mark.parametrize(
    "status",
    [
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
        "OutOfDate",
        "OutOfDateConfigurationNeeded",
    ],
)
def test_statuses_can_be_set(
    judge: Judge, intel: FakeIntel, platform: Platform, status: str
) -> None:
    intel.tcb_info["tcbLevels"][0] |= {"tcbStatus": status, "advisoryIDs": ["INTEL-SA-1"]}
    report = judge(intel, platform.quote(), intel.bundle(platform))
    assert (report.status, report.advisory_ids) == (status, ["INTEL-SA-1"])


def test_relaunch_is_advised_where_only_the_launch_was_out_of_date(
    judge: Judge, intel: FakeIntel, platform: Platform
) -> None:
    quote = platform.quote(version=5, body_type=3, tee_tcb_svn=bytes((6, 1, 3)) + bytes(13))
    assert judge(intel, quote, intel.bundle(platform)).status == "TDRelaunchAdvised"


def test_what_this_verifier_lets_pass(judge: Judge, intel: FakeIntel, platform: Platform) -> None:
    """Known leniencies of dcap_qvl: the alteration is there, and nothing else is broken."""
    quotes = [
        platform.quote(signature=malleate, qe_signature=malleate),
        platform.quote(trailing=bytes(70)),
        platform.quote(trailing=b"junk"),
        platform.quote(outer_type=5),
        platform.quote(certification_data=lambda text: text.replace(b"\n", b"\r\n")),
        platform.quote(certification_data=lambda text: text + b"junk"),
        platform.quote(after_inner=b"junk"),
        platform.quote(after_outer=b"junk"),
    ]
    for quote in quotes:
        assert judge(intel, quote, intel.bundle(platform)).status == "UpToDate"


def test_another_attestation_key_with_its_binding(
    judge: Judge, intel: FakeIntel, platform: Platform
) -> None:
    platform.attestation_key = Key.generate()
    assert judge(intel, platform.quote(), intel.bundle(platform)).status == "UpToDate"


def test_a_negative_serial_revokes_no_positive_one(
    judge: Judge, intel: FakeIntel, platform: Platform
) -> None:
    platform.pck.alter(serial=255)
    intel.platform_crl.revoke(-1)
    assert judge(intel, platform.quote(), intel.bundle(platform)).status == "UpToDate"


def test_unchecked_by_this_verifier(judge: Judge, intel: FakeIntel, platform: Platform) -> None:
    intel.tcb_info["pceId"] = "0001"
    intel.tcb_info["fmspc"] = intel.fmspc.upper()
    intel.platform_crl.drop(pki.CRL_NUMBER)
    intel.root_crl.drop(pki.AUTHORITY_KEY_IDENTIFIER)
    platform.pck.alter(subject=pki.name("Another Certificate"))
    assert judge(intel, platform.quote(), intel.bundle(platform)).status == "UpToDate"
