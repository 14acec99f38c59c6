# SPDX-License-Identifier: Apache-2.0
"""The fake NVIDIA's devices, manifests and answers: genuine as they come, and each lever turns what it is for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from simulator.amd_keys import RsaKeys
from simulator.intel import FakeIntel
from simulator.nvidia.rims import resource
from simulator.nvidia.vendor import (
    DEVICE_ROOT,
    ON_HOLD,
    REVOKED,
    RIM_ROOT,
    UNKNOWN,
    FakeNvidia,
)
from verifiers.anchors import Anchor, Anchors, NvidiaRoots
from verifiers.endorsements import Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import DeviceKind, Mode, NvidiaSetClaims, Topology
from verifiers.nvidia.endorsements import NvidiaEndorsements
from verifiers.nvidia.evidence import parse_piece
from verifiers.nvidia.system import verify_set

if TYPE_CHECKING:
    from simulator.nvidia.hardware import NvidiaDevice

NONCE = bytes(range(32))


def judged(
    nvidia: FakeNvidia, *devices: NvidiaDevice, anchored: FakeNvidia | None = None
) -> NvidiaSetClaims:
    """The verdict on devices with all that NVIDIA says of them, under the roots of `anchored`."""
    roots = anchored or nvidia
    anchors = Anchors(
        Anchor.from_der(FakeIntel.create(nvidia.now, seed=b"any").root_der),
        nvidia=NvidiaRoots.from_ders(roots.device_root_der, roots.rim_root_der),
    )
    evidence = [parse_piece(one.evidence(NONCE)) for one in devices]
    endorsements = NvidiaEndorsements(*nvidia.bundle(devices))
    return verify_set(evidence, endorsements, anchors, NONCE, nvidia.now)


def refusal(nvidia: FakeNvidia, *devices: NvidiaDevice) -> Reason:
    with pytest.raises(VerificationError) as caught:
        judged(nvidia, *devices)
    return caught.value.reason


@pytest.mark.parametrize(
    ("model", "family", "mode"),
    [("H100", "GH100", "spt"), ("B200", "GB100", "mpt"), ("RTX PRO 6000", "GB202", "spt")],
)
def test_gpus(nvidia: FakeNvidia, model: str, family: str, mode: str) -> None:
    gpus = [nvidia.gpu(model, mode=mode), nvidia.gpu(model, driver="590.48.01", mode=mode)]
    claims = judged(nvidia, *gpus)
    assert (claims.mode, claims.topology) == (Mode(mode), Topology.INDEPENDENT)
    for gpu, said in zip(gpus, claims.devices, strict=True):
        assert (said.kind, said.family.value, said.device_serial) == (
            DeviceKind.GPU,
            family,
            gpu.serial,
        )
        assert (said.revocation, [one.rim_id for one in said.rims]) == (
            Revocation.GOOD,
            list(gpu.rim_ids),
        )
        assert {one.revocation for one in said.rims} == {Revocation.GOOD}
        assert len(said.coverage.compared) == 33
    assert [one.driver_version for one in claims.devices] == ["580.178.04", "590.48.01"]


def test_a_ppcie_machine(nvidia: FakeNvidia) -> None:
    machine = nvidia.ppcie()
    claims = judged(nvidia, *machine)
    assert (claims.topology, len(claims.devices)) == (Topology.PPCIE, 12)
    other = nvidia.ppcie()
    assert refusal(nvidia, *machine[:7], other[7], *machine[8:]) is Reason.TOPOLOGY


def test_one_seed_gives_one_vendor(nvidia: FakeNvidia) -> None:
    first, second = (FakeNvidia.create(nvidia.now, seed=b"s", keys=RsaKeys()) for _ in range(2))
    assert first.device_root_der == second.device_root_der
    assert first.rim_root_der == second.rim_root_der
    assert first.gpu().evidence(NONCE) == second.gpu().evidence(NONCE)
    assert first.nras_pins != second.nras_pins  # RSA keys come from no seed
    with pytest.raises(VerificationError) as caught:
        judged(nvidia, nvidia.gpu(), anchored=first)
    assert caught.value.reason is Reason.UNTRUSTED_ROOT


def test_anchors_are_told_apart_by_their_names(nvidia: FakeNvidia) -> None:
    found = x509.load_pem_x509_certificates(nvidia.pem.encode())
    names = [one.subject.rfc4514_string().split(",")[0] for one in found]
    assert names == [
        f"CN={DEVICE_ROOT}",
        f"CN={RIM_ROOT}",
        "CN=Simulated NVIDIA Attestation Service GPU Intermediate 001",
    ]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (REVOKED, Reason.CERTIFICATE_REVOKED),
        (ON_HOLD, Reason.CERTIFICATE_REVOKED),
        (UNKNOWN, Reason.CERTIFICATE_STATUS_UNKNOWN),
    ],
)
def test_a_status_of_one_certificate(
    nvidia: FakeNvidia, status: dict[str, object], reason: Reason
) -> None:
    gpu = nvidia.gpu()
    for about in (gpu.device.parties[1], nvidia.signers["GH100"][0]):
        nvidia.status(about, status)
        assert refusal(nvidia, gpu) is reason
        nvidia.status(about, {})
    assert judged(nvidia, gpu).devices[0].revocation is Revocation.GOOD


def test_a_stale_answer(nvidia: FakeNvidia) -> None:
    gpu = nvidia.gpu()
    nvidia.status(gpu.device.parties[2], nvidia.stale())
    expired = [one.part for one in judged(nvidia, gpu).devices[0].collateral if one.expired_since]
    assert expired == ["ocsp-device"]


def test_whatever_a_device_says_is_settable(nvidia: FakeNvidia) -> None:
    gpu = nvidia.gpu()
    right = gpu.written
    gpu.written = right.having({20: b"x" * 48})
    assert refusal(nvidia, gpu) is Reason.ENDORSEMENT_MISMATCH
    first, *rest = right.blocks
    gpu.written = right.but(blocks=(replace(first, value=bytes(48)), *rest))
    assert refusal(nvidia, gpu) is Reason.MEASUREMENT_MISMATCH
    gpu.written = right
    gpu.device = gpu.device.having(1, common_name="GH100 A01 XSP BROM")
    assert refusal(nvidia, gpu) is Reason.CHAIN


def test_a_manifest_is_settable(nvidia: FakeNvidia) -> None:
    gpu = nvidia.gpu()
    driver, _ = gpu.rim_ids
    right = nvidia.manifests[driver]
    nvidia.manifests[driver] = replace(right, resources=(resource(21, "00" * 48),))
    assert refusal(nvidia, gpu) is Reason.MEASUREMENT_MISMATCH
    nvidia.manifests[driver] = replace(right, after=lambda text: text.replace("tagId", "tagid"))
    assert refusal(nvidia, gpu) is Reason.RIM_SIGNATURE


def test_answers_are_of_the_instant_of_answering(nvidia: FakeNvidia) -> None:
    """Like real ones: so they may be of a moment after the question, and count all the same."""
    gpu = nvidia.gpu()
    about, issuer = gpu.device.parties[1:3]
    at = nvidia.now + timedelta(seconds=2, microseconds=7)
    nvidia.clock = lambda: at
    assert nvidia.answer(about, issuer).this_update == at.replace(microsecond=0) > nvidia.now
    assert judged(nvidia, gpu).devices[0].revocation is Revocation.GOOD


def test_the_clock_moves_answers(nvidia: FakeNvidia) -> None:
    gpu = nvidia.gpu()
    about, issuer = gpu.device.parties[1:3]
    first = nvidia.answer(about, issuer)
    later = nvidia.now.replace(day=nvidia.now.day + 1)
    nvidia.clock = lambda: later
    assert nvidia.answer(about, issuer).this_update > first.this_update
