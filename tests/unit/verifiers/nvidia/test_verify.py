# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA says of an authentic device: revocation, manifests by what they are for, golden values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from cryptography.x509 import ReasonFlags
from cryptography.x509.ocsp import OCSPCertStatus

from simulator.nvidia import devices as fake
from simulator.nvidia.answers import answers
from simulator.nvidia.certificates import DAY, NOW, SECOND, Terms, issue
from simulator.nvidia.reports import FSP, GPU, NONCE, digest
from simulator.nvidia.rims import (
    CHAIN,
    DRIVER,
    RIM_L3,
    SWITCH_BIOS,
    VBIOS,
    Manifest,
    envelope,
    manifest,
    resource,
)
from tests import nvidia_devices as lab
from tests.nvidia_devices import Exhibit, parsed
from verifiers.claims import to_json
from verifiers.endorsements import Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import Coverage, DeviceKind, Family, Mode, RimKind

PLAIN = Exhibit()
MISMATCH, INCOMPLETE = Reason.MEASUREMENT_MISMATCH, Reason.INCOMPLETE


def refused(exhibit: Exhibit) -> VerificationError:
    """The refusal of an authentic report."""
    with pytest.raises(VerificationError) as caught:
        exhibit.verify()
    assert caught.value.authentic
    return caught.value


def refusal(exhibit: Exhibit) -> Reason:
    return refused(exhibit).reason


def test_claims_of_a_gpu() -> None:
    exhibit = PLAIN.answered()
    claims = exhibit.verify()
    assert (claims.kind, claims.family, claims.mode) == (DeviceKind.GPU, Family.GH100, Mode.SPT)
    assert (claims.model, claims.chip_info) == ("GH100 A01 GSP BROM", None)
    assert (claims.driver_version, claims.vbios_version) == ("550.90.07", "96.00.9F.00.01")
    assert claims.device_serial == exhibit.device.levels[1].serial_name
    assert claims.ueid == exhibit.device.parties[0].certificate.serial_number
    assert claims.fwid == fake.FWID
    assert {field.id: field.value for field in claims.opaque} == GPU.fields
    assert claims.measurements == tuple(digest(index) for index in range(1, 65))
    assert claims.coverage == Coverage(
        (*range(13), *range(21, 41)), (*range(13, 21), *range(41, 64))
    )
    assert (claims.nonce, claims.bound, claims.verified_at) == (NONCE, True, NOW)
    assert claims.evidence_sha256 == hashlib.sha256(exhibit.evidence.report).digest()
    assert claims.collateral_sha256 == exhibit.endorsements.sha256
    assert claims.revocation is Revocation.GOOD


def test_claims_of_its_manifests() -> None:
    driver, vbios = PLAIN.answered().verify().rims
    assert (driver.kind, vbios.kind) == (RimKind.DRIVER, RimKind.VBIOS)
    assert driver.rim_id == "NV_GPU_DRIVER_GH100_550.90.07"
    assert vbios.rim_id == "NV_GPU_VBIOS_1010_0200_882_96009F0001"
    assert (driver.tag_id, driver.product, driver.version) == ("tag", "GH100", "550.90.07")
    assert driver.sha256 == hashlib.sha256(DRIVER.xml).digest()
    assert driver.signer_not_after == parsed(CHAIN[0]).not_after
    assert (driver.indexes, vbios.indexes) == (tuple(range(21, 41)), tuple(range(13)))
    assert (driver.revocation, vbios.revocation) == (Revocation.GOOD, Revocation.GOOD)


def test_windows_and_ends() -> None:
    claims = PLAIN.answered().verify()
    parts = [part.part for part in claims.collateral]
    assert parts == [
        *("rim-driver", "rim-vbios"),
        *["ocsp-device"] * 3,
        *["ocsp-rim-driver"] * 3,
        *["ocsp-rim-vbios"] * 3,
    ]
    signer = claims.collateral[0]
    assert (signer.issued, signer.next_update) == (
        parsed(CHAIN[0]).not_before,
        parsed(CHAIN[0]).not_after,
    )
    assert claims.certificates_expire == parsed(CHAIN[0]).not_after
    assert claims.expires == NOW + DAY / 2
    assert claims.expired_parts == ()
    early = PLAIN.but(device=PLAIN.device.on_terms(2, not_after=NOW + DAY)).verify()
    assert early.certificates_expire == early.expires == NOW + DAY


def test_claims_of_a_switch() -> None:
    claims = lab.a_switch().verify()
    assert (claims.kind, claims.family, claims.mode) == (DeviceKind.SWITCH, Family.LS10, None)
    assert (claims.driver_version, claims.vbios_version) == (None, "96.10.55.00.01")
    (bios,) = claims.rims
    assert (bios.kind, bios.rim_id) == (
        RimKind.SWITCH_BIOS,
        "NV_SWITCH_BIOS_5612_0002_890_9610550001",
    )
    assert claims.coverage == Coverage(tuple(range(31)), ())


@pytest.mark.parametrize(
    ("one", "chip", "product"),
    [
        (fake.blackwell(), None, "GB100"),
        (fake.blackwell(), b"GB100\0", "GB100"),
        (fake.workstation(), b"GB202\0", "GB202"),
    ],
)
def test_blackwell(one: fake.Device, chip: bytes | None, product: str) -> None:
    rims = (replace(DRIVER, product=product), replace(VBIOS, product=product))
    exhibit = Exhibit(device=one, rims=rims).having({21: None, 35: chip, 34: b"\1\0", 36: b"\1\0"})
    claims = exhibit.verify()
    assert (claims.family, claims.mode) == (product, Mode.MPT)
    assert claims.rims[0].rim_id == f"NV_GPU_CC_DRIVER_{product}_550.90.07"
    assert refusal(exhibit.but(rims=(DRIVER, VBIOS))) is INCOMPLETE


def test_claims_become_json() -> None:
    text = json.dumps(to_json(PLAIN.answered().verify()))
    claims = json.loads(text)
    assert claims["device_serial"] == PLAIN.device.levels[1].serial_name
    assert claims["opaque"][0] == {"id": 6, "name": "vbios_version", "value": "009f009601000000"}
    assert claims["ueid"] == str(PLAIN.device.parties[0].certificate.serial_number)


def test_no_answers() -> None:
    claims = PLAIN.verify()
    assert claims.revocation is Revocation.NOT_CHECKED
    assert {rim.revocation for rim in claims.rims} == {Revocation.NOT_CHECKED}


@pytest.mark.parametrize("missing", range(6))
def test_an_answer_less(missing: int) -> None:
    whole = PLAIN.answered()
    less = whole.but(ocsp=whole.ocsp[:missing] + whole.ocsp[missing + 1 :]).verify()
    of_device = missing < 3
    assert (less.revocation is Revocation.GOOD) is not of_device
    assert all((rim.revocation is Revocation.GOOD) is of_device for rim in less.rims)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("chain", ["device", "manifest"])
def test_a_revoked_certificate(chain: str, place: int) -> None:
    whole = PLAIN.answered()
    parties = PLAIN.device.parties[1:] if chain == "device" else CHAIN
    for reason in (None, ReasonFlags.key_compromise, ReasonFlags.certificate_hold):
        bad = answers(parties, status=OCSPCertStatus.REVOKED, reason=reason)[place].der
        assert refusal(whole.but(ocsp=(*whole.ocsp, bad))) is Reason.CERTIFICATE_REVOKED


def test_an_unknown_status() -> None:
    bad = answers(PLAIN.device.parties[1:], status=OCSPCertStatus.UNKNOWN)[0].der
    assert refusal(PLAIN.but(ocsp=(bad,))) is Reason.CERTIFICATE_STATUS_UNKNOWN


def test_answers_past_their_time() -> None:
    claims = PLAIN.answered().but(at=NOW + DAY).verify()
    assert len(claims.expired_parts) == 9
    assert claims.expires == NOW + DAY / 2


@pytest.mark.parametrize(
    ("rims", "missing"),
    [
        (
            (),
            "driver manifest NV_GPU_DRIVER_GH100_550.90.07, vbios manifest NV_GPU_VBIOS_1010_0200_882_96009F0001",
        ),
        ((DRIVER,), "vbios manifest NV_GPU_VBIOS_1010_0200_882_96009F0001"),
        ((VBIOS,), "driver manifest NV_GPU_DRIVER_GH100_550.90.07"),
    ],
)
def test_a_missing_manifest(rims: tuple[Manifest, ...], missing: str) -> None:
    error = refused(PLAIN.but(rims=rims))
    assert (error.reason, error.detail) == (INCOMPLETE, f"missing: {missing}")


@pytest.mark.parametrize(
    "changes",
    [
        {"product": "GB100"},
        {"product": "gh100"},
        {"version": "550.90.08"},
        {"version": "550.90.7"},
        {"version": "96.00.9F.00.01"},
        {"edition": "SWITCH"},
    ],
    ids=str,
)
def test_a_manifest_for_something_else(changes: dict[str, str]) -> None:
    """Its golden values are right; it is not for this."""
    assert refusal(PLAIN.but(rims=(replace(DRIVER, **changes), VBIOS))) is INCOMPLETE  # type: ignore[arg-type]  # of its own fields


def test_other_manifests_do_not_matter() -> None:
    others = (SWITCH_BIOS, replace(DRIVER, version="580.178.04"), replace(VBIOS, product="GB100"))
    assert PLAIN.but(rims=(*others, DRIVER, VBIOS)).verify().bound


def test_the_answer_of_the_service() -> None:
    driver, vbios = PLAIN.verify().rims
    wrapped = (envelope(DRIVER.xml, id=driver.rim_id), envelope(VBIOS.xml, id=vbios.rim_id))
    assert PLAIN.but(rims=wrapped).verify().rims == (driver, vbios)


def test_the_manifest_of_another_board() -> None:
    """Same product and version: only the name under which the service has it tells them apart."""
    other = "NV_GPU_VBIOS_1010_0210_886_96009F0001"
    error = refused(PLAIN.but(rims=(DRIVER, envelope(VBIOS.xml, id=other))))
    assert error.reason is INCOMPLETE
    assert error.detail == "missing: vbios manifest NV_GPU_VBIOS_1010_0200_882_96009F0001"
    differing = replace(VBIOS, resources=(resource(3, digest(99).hex()),))
    beside = PLAIN.but(rims=(DRIVER, VBIOS, envelope(differing.xml, id=other)))
    assert beside.verify().bound


def test_a_forged_manifest_refuses_whatever_it_is_for() -> None:
    forged = replace(SWITCH_BIOS, after=lambda text: text.replace("LS10", "LS11"))
    assert refusal(PLAIN.but(rims=(DRIVER, VBIOS, forged))) is Reason.RIM_SIGNATURE


@pytest.mark.parametrize("index", [0, 12, 21, 40])
def test_every_golden_value_is_compared(index: int) -> None:
    blocks = list(GPU.blocks)
    blocks[index] = replace(blocks[index], value=digest(99))
    error = refused(PLAIN.but(written=GPU.but(blocks=tuple(blocks))))
    assert error.reason is MISMATCH
    assert error.detail.startswith(f"measurements {index} differ")


@pytest.mark.parametrize("index", [13, 20, 41, 63])
def test_what_is_not_covered_may_be_anything(index: int) -> None:
    blocks = list(GPU.blocks)
    blocks[index] = replace(blocks[index], value=digest(99))
    claims = PLAIN.but(written=GPU.but(blocks=tuple(blocks))).verify()
    assert index in claims.coverage.not_covered


def test_a_mismatch_where_a_manifest_is_missing() -> None:
    wrong = replace(VBIOS, resources=(resource(3, digest(99).hex()),))
    assert refusal(PLAIN.but(rims=(wrong,))) is MISMATCH


def test_an_index_in_both_manifests() -> None:
    both = manifest(range(12, 22), version=VBIOS.version)
    assert refusal(PLAIN.but(rims=(DRIVER, both))) is Reason.COLLATERAL_MALFORMED


def test_alternatives() -> None:
    several = replace(DRIVER, resources=(resource(30, digest(1).hex(), digest(31).hex()),))
    assert PLAIN.but(rims=(several, VBIOS)).verify().rims[0].indexes == (30,)


def signed_by(terms: Terms, base: Manifest = DRIVER) -> Manifest:
    signer = issue(f"Signer until {terms.not_after}", RIM_L3, terms)
    return replace(base, chain=(signer, *CHAIN[1:]))


OLD = Terms(not_before=NOW - 9 * DAY, not_after=NOW - DAY)
NEW = Terms(not_before=NOW + DAY, not_after=NOW + 9 * DAY)


@pytest.mark.parametrize(
    ("terms", "reason"),
    [(OLD, Reason.CERTIFICATE_EXPIRED), (NEW, Reason.CERTIFICATE_NOT_YET_VALID)],
)
def test_the_dates_of_a_signer(terms: Terms, reason: Reason) -> None:
    limited = PLAIN.but(rims=(signed_by(terms), VBIOS))
    assert refusal(limited) is reason
    for at in (terms.not_before, terms.not_after):
        assert limited.but(at=at).verify().rims[0].signer_not_after == terms.not_after
    for at in (terms.not_before - SECOND, terms.not_after + SECOND):
        with pytest.raises(VerificationError):
            limited.but(at=at).verify()


def test_signers_of_what_is_not_needed_may_be_old() -> None:
    old = signed_by(OLD, replace(DRIVER, version="580.178.04"))
    assert PLAIN.but(rims=(old, DRIVER, VBIOS)).verify().bound


def test_the_issue_that_is_in_date_counts() -> None:
    wrong = replace(DRIVER, resources=(resource(30, digest(99).hex()),))
    for old in (signed_by(OLD, wrong), signed_by(NEW, wrong)):
        for rims in ((old, DRIVER, VBIOS), (DRIVER, VBIOS, old)):
            assert PLAIN.but(rims=rims).verify().bound


def test_issues_that_differ_are_no_reference() -> None:
    other = replace(DRIVER, resources=(resource(30, digest(31).hex()),))
    error = refused(PLAIN.but(rims=(DRIVER, VBIOS, other)))
    assert error.reason is INCOMPLETE
    assert "several genuine manifests that differ" in error.detail


def test_of_equal_issues_the_one_that_is_longest_good_counts() -> None:
    later = Terms(not_after=NOW + 500 * DAY)
    for rims in ((DRIVER, signed_by(later), VBIOS), (signed_by(later), DRIVER, VBIOS)):
        assert PLAIN.but(rims=rims).verify().rims[0].signer_not_after == later.not_after


def test_a_transcript_of_an_fsp() -> None:
    assert refusal(Exhibit(device=fake.fsp(), written=FSP)) is INCOMPLETE
