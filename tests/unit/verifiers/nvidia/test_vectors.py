# SPDX-License-Identifier: Apache-2.0
"""All real NVIDIA cases: the verdict that their folder expects, at its instant, and every decoded field one by one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests import nvidia_vectors as vectors
from verifiers.anchors import builtin
from verifiers.endorsements import Revocation
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.nvidia.chain import verify_device_chain
from verifiers.nvidia.claims import Mode, NvidiaSetClaims, Topology
from verifiers.nvidia.device import authenticate
from verifiers.nvidia.report import NvidiaReport, parse_report
from verifiers.nvidia.system import verify_set

if TYPE_CHECKING:
    from tests.nvidia_vectors import Vector
    from verifiers.nvidia.claims import NvidiaClaims
    from verifiers.nvidia.evidence import NvidiaEvidence

SYSTEM = "hgx-h100x8-ls10x4-590.12-ppcie"
COMPLETE = "h100-550.90.07"
SWITCH = "ls10-96.10.55.00.01"


def judged(vector: Vector) -> NvidiaSetClaims:
    return verify_set(vector.devices, vector.endorsements, builtin(), vector.nonce, vector.at)


def refusal(vector: Vector) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        judged(vector)
    return caught.value


def check(vector: Vector) -> None:
    expect = vector.expect
    if expect["code"] is None:
        assert expect["verdict"] == Verdict.VERIFIED
        assert facts(judged(vector)) == set(expect["policy_findings"])
        return
    error = refusal(vector)
    assert (error.reason.verdict, error.reason) == (expect["verdict"], expect["code"])
    assert known(vector, error) == set(expect["policy_findings"])


def facts(claims: NvidiaSetClaims) -> set[str]:
    """What a strict policy would refuse."""
    return {"fwid-missing" for one in claims.gpus if one.fwid is None}


def known(vector: Vector, error: VerificationError) -> set[str]:
    """What is known already of evidence that is genuine and yet not verified."""
    if not error.authentic or error.reason is Reason.DUPLICATE_DEVICE:
        return set()
    if error.reason is Reason.MEASUREMENT_MISMATCH:
        return {"measurement-mismatch"}
    if error.reason.verdict is Verdict.REJECTED:
        return set()
    devices = [authenticate(one, builtin(), vector.nonce, vector.at) for one in vector.devices]
    fields = [one.report.fields for one in devices if one.chain.family.kind == "gpu"]
    return {"fwid-missing" for one in fields if one is not None and one.fwid is None}


@pytest.mark.parametrize("name", vectors.names())
def test_the_expected_verdict(name: str) -> None:
    check(vectors.load(name))


@pytest.mark.parametrize(("name", "file"), vectors.variants())
def test_the_expected_verdict_of_a_variant(name: str, file: str) -> None:
    check(vectors.variant(name, file))


def described(vector: Vector) -> list[tuple[NvidiaEvidence, dict[str, Any]]]:
    """Each device with what its folder says of it."""
    expected = vector.expected
    listed = [*expected.get("gpus", ()), *expected.get("switches", ())] or [expected]
    return list(zip(vector.devices, listed, strict=True))


def decoded(report: NvidiaReport) -> dict[str, Any]:
    assert report.fields is not None
    fields = report.fields
    opaque = {field.name: field.value for field in fields.opaque}
    flag, status = opaque.get("feature_flag"), opaque.get("protected_pcie_status")
    nvdec = opaque.get("nvdec0_status")
    return {
        "driver_version": fields.driver_version,
        "vbios_version": fields.vbios_version,
        "chip_info": fields.chip_info,
        "nonce": report.nonce.hex(),
        "report_nonce": report.nonce.hex(),
        "measurement_count": len(report.measurements),
        "report_length": len(report.raw),
        "report_sha256": hashlib.sha256(report.raw).hexdigest(),
        "feature_flag": None if flag is None else int.from_bytes(flag, "little"),
        "protected_pcie_status": None if status is None else status.hex(),
        "nvdec0_status": None if nvdec is None else nvdec.hex(),
        "fwid": None if fields.fwid is None else fields.fwid.hex(),
        "mode": None if fields.mode is None else fields.mode.upper(),
        "project": fields.board and fields.board.split("_")[0],
        "project_sku": fields.board and fields.board.split("_")[1],
        "chip_sku": fields.board and fields.board.split("_")[2],
    }


READABLE = [
    name
    for name in vectors.names()
    if not isinstance(name, str) or not name.startswith(("gr100", "gb100-fsp", "h100-580.95"))
]


@pytest.mark.parametrize("name", READABLE)
def test_decoded_fields(name: str) -> None:
    for evidence, expected in described(vectors.load(name)):
        found = decoded(parse_report(evidence.report))
        if expected.get("mode") == "single (no feature flag)":
            assert found.pop("mode") == "SPT"
        shown = {key: value for key, value in found.items() if key in expected}
        assert len(shown) >= 10
        assert shown == {key: expected[key] for key in shown}


@pytest.mark.parametrize("name", READABLE)
def test_chains(name: str) -> None:
    for evidence, expected in described(vectors.load(name)):
        chain = verify_device_chain(evidence.chain_pem, _root())
        assert chain.serial == expected["device_serial"]
        assert str(chain.leaf.serial_number) == expected["leaf_serial_decimal"]
        if expected["fwid_in_leaf_matches"]:
            assert chain.fwid.hex() == expected["fwid"]


def _root() -> Any:  # noqa: ANN401 - an anchor
    roots = builtin().nvidia
    assert roots is not None
    return roots.device


def test_the_trailing_byte_is_all_that_is_wrong() -> None:
    vector = vectors.load("h100-580.95.05-trailing-byte")
    (device,) = vector.devices
    cut = replace(device, report=device.report[:-1])
    whole = (vectors.NVIDIA / vector.name / "report_without_last_byte.bin").read_bytes()
    assert cut.report == whole
    authenticate(cut, builtin(), vector.nonce, vector.at)
    error = refusal(replace(vector, devices=(cut,)))
    assert error.reason is Reason.MEASUREMENT_MISMATCH
    assert "measurements 9 differ" in error.detail


@pytest.mark.parametrize(
    ("name", "index"), [("h100-580.159.03-feature-flag-spt", 9), ("h100-535.86.09-old-claims", 9)]
)
def test_a_mismatch_names_device_and_index(name: str, index: int) -> None:
    vector = vectors.load(name)
    if "negatives" in vector.expected:
        vector = vectors.variant(name, "negative/vbios_rim_reissued_2023-12.xml")
    assert refusal(vector).detail.startswith(f"device 0: measurements {index} differ")


def verified(name: str) -> NvidiaClaims:
    (claims,) = judged(vectors.load(name)).devices
    return claims


def test_claims_of_the_complete_gpu() -> None:
    vector = vectors.load(COMPLETE)
    claims = verified(COMPLETE)
    driver, vbios = claims.rims
    assert [driver.rim_id, vbios.rim_id] == vector.expected["rim_ids"]
    assert [(rim.tag_id, rim.version, rim.product, rim.sha256.hex()) for rim in claims.rims] == [
        (rim["tag_id"], rim["colloquial_version"], rim["product"], rim["sha256"])
        for rim in vector.expected["rims"]
    ]
    assert [list(rim.indexes) for rim in claims.rims] == [
        rim["active_indexes"] for rim in vector.expected["rims"]
    ]
    assert len(claims.coverage.compared) == vector.expected["active_golden_values"]
    assert claims.coverage.not_covered == (*range(13, 21), *range(41, 64))
    assert (claims.kind, claims.mode, claims.bound) == ("gpu", Mode.SPT, True)
    assert claims.device_serial == vector.expected["device_serial"]
    assert claims.model == "GH100 A01 GSP BROM"
    # the answers about the signers are dated later than the instant
    assert claims.revocation is Revocation.GOOD
    assert {rim.revocation for rim in claims.rims} == {Revocation.NOT_CHECKED}
    assert claims.expired_parts == ()


def test_without_answers_revocation_is_not_checked() -> None:
    vector = replace(vectors.load(COMPLETE), ocsp={})
    (claims,) = judged(vector).devices
    assert claims.revocation is Revocation.NOT_CHECKED
    assert {rim.revocation for rim in claims.rims} == {Revocation.NOT_CHECKED}


def test_other_instants_of_the_complete_gpu() -> None:
    vector = vectors.load(COMPLETE)
    later = replace(vector, at=datetime.fromisoformat("2025-10-24T12:00:00+00:00"))
    (claims,) = judged(later).devices
    assert {rim.revocation for rim in claims.rims} == {Revocation.GOOD}
    assert {part.part for part in claims.expired_parts} == {"ocsp-device"}
    today = replace(vector, at=datetime.fromisoformat("2026-11-22T00:00:00+00:00"))
    assert refusal(today).reason is Reason.CERTIFICATE_EXPIRED


def test_another_nonce_of_the_complete_gpu() -> None:
    nonce = bytes.fromhex("4cff7f5380ead8fad8ec2c531c110aca4302a88f603792801a8ca29ee151af2e")
    error = refusal(replace(vectors.load(COMPLETE), nonce=nonce))
    assert (error.reason, error.authentic) == (Reason.BINDING_MISMATCH, False)


def test_the_manifest_of_another_version_is_none() -> None:
    vector = vectors.load(COMPLETE)
    other = (
        vectors.NVIDIA / "rims" / "driver-gh100-550.144.03" / "NV_GPU_DRIVER_GH100_550.144.03.xml"
    )
    rims = {"vbios": vector.rims["vbios_rim.xml"], "other": other.read_bytes()}
    error = refusal(replace(vector, rims=rims))
    assert error.reason is Reason.INCOMPLETE
    assert error.detail == "device 0: missing: driver manifest NV_GPU_DRIVER_GH100_550.90.07"


def test_three_issues_of_one_manifest_are_no_reference() -> None:
    """All are genuine; which are in date decides."""
    vector = vectors.load("h100-535.86.09-old-claims")
    folder = vectors.NVIDIA / "rims" / "vbios-96005E0001-three-issues"
    rims = {path.name: path.read_bytes() for path in folder.glob("*.xml")}
    assert len(rims) == 3
    error = refusal(replace(vector, rims=rims))
    assert error.reason is Reason.INCOMPLETE
    assert error.detail.endswith("several genuine manifests that differ")
    later = replace(vector, rims=rims, at=datetime.fromisoformat("2025-09-01T00:00:00+00:00"))
    assert refusal(later).reason is Reason.MEASUREMENT_MISMATCH  # the issue of 2023-12 alone


def test_claims_of_the_switch() -> None:
    vector = vectors.load(SWITCH)
    claims = verified(SWITCH)
    (bios,) = claims.rims
    assert [bios.rim_id] == vector.expected["rim_ids"]
    assert claims.coverage.compared == tuple(range(31))
    assert claims.coverage.not_covered == ()
    assert (claims.kind, claims.mode, claims.driver_version) == ("switch", None, None)


def authentic(vector: Vector) -> VerificationError:
    """The refusal of a set whose manifests nobody has; what the set itself is wrong in comes before."""
    return refusal(vector)


def test_the_fabric_of_a_real_system() -> None:
    error = authentic(vectors.load(SYSTEM))
    assert error.reason is Reason.INCOMPLETE
    assert error.detail.startswith("device 0: missing: ")


@pytest.mark.parametrize(
    ("reason", "chosen"),
    [
        (Reason.TOPOLOGY, slice(1, None)),
        (Reason.TOPOLOGY, slice(0, 11)),
        (Reason.TOPOLOGY, slice(0, 8)),
        (Reason.INCOMPLETE, slice(8, 12)),
    ],
    ids=["a GPU less", "a switch less", "no switch", "switches alone"],
)
def test_parts_of_a_real_system(reason: Reason, chosen: slice) -> None:
    vector = vectors.load(SYSTEM)
    assert refusal(replace(vector, devices=vector.devices[chosen])).reason is reason


def test_a_gpu_stands_twice() -> None:
    vector = vectors.load(SYSTEM)
    devices = (*vector.devices[:7], vector.devices[0], *vector.devices[8:])
    error = refusal(replace(vector, devices=devices))
    assert (error.reason, error.authentic) == (Reason.DUPLICATE_DEVICE, True)


def test_a_switch_of_another_system() -> None:
    """Its nonce is another; where no nonce is compared, the set has two."""
    vector, other = vectors.load(SYSTEM), vectors.load(SWITCH)
    devices = (*vector.devices[:11], other.devices[0])
    error = refusal(replace(vector, devices=devices))
    assert (error.reason, error.detail[:10]) == (Reason.BINDING_MISMATCH, "device 11:")
    with pytest.raises(VerificationError, match="different nonces") as caught:
        verify_set(devices, vector.endorsements, builtin(), None, vector.at)
    assert caught.value.reason is Reason.BINDING_MISMATCH


def test_eight_independent_gpus() -> None:
    vector = vectors.load("b200x8-590.48.01-mpt")
    devices = [authenticate(one, builtin(), vector.nonce, vector.at) for one in vector.devices]
    assert {one.fields.mode for one in devices} == {Mode.MPT}
    assert refusal(vector).reason is Reason.INCOMPLETE


def test_a_switch_alone_is_independent() -> None:
    claims = judged(vectors.load(SWITCH))
    assert (claims.topology, claims.mode, claims.bound) == (Topology.INDEPENDENT, None, True)
    assert (len(claims.switches), claims.gpus) == (1, ())
