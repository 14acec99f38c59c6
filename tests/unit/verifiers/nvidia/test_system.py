# SPDX-License-Identifier: Apache-2.0
"""Devices of one system: none twice, one nonce, one mode; in PPCIE lists that equal what is certified, both ways."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.x509.ocsp import OCSPCertStatus

from simulator.nvidia import devices as fake
from simulator.nvidia.answers import Answer, responder
from simulator.nvidia.certificates import DAY, NOW, Terms, issue
from simulator.nvidia.reports import FSP, GPU, NONCE
from simulator.nvidia.rims import CHAIN, DRIVER, RIM_L3, VBIOS
from tests import nvidia_devices as lab
from tests.nvidia_devices import Exhibit, System
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_DEVICES
from verifiers.nvidia.claims import AppraisedBy, Mode, Topology
from verifiers.nvidia.endorsements import NvidiaEndorsements
from verifiers.nvidia.system import appraise_set, authenticate_set

WHOLE = lab.ppcie()
TOPOLOGY = Reason.TOPOLOGY
OLD_SIGNER = issue("Old signer", RIM_L3, Terms(not_before=NOW - 9 * DAY, not_after=NOW - DAY))
REFUSALS_OF_DEVICES = {
    Reason.MEASUREMENT_MISMATCH,
    Reason.CERTIFICATE_REVOKED,
    Reason.CERTIFICATE_STATUS_UNKNOWN,
}


def gpus(count: int, mode: int = 0) -> System:
    written = GPU.having({21: None, 34: b"\1\0", 36: bytes([mode, 0])})
    return System(tuple(Exhibit(device=fake.device(n), written=written) for n in range(count)))


def refused(system: System) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        system.verify()
    return caught.value


def test_a_whole_system() -> None:
    claims = WHOLE.verify()
    assert (claims.mode, claims.topology) == (Mode.PPCIE, Topology.PPCIE)
    assert (len(claims.gpus), len(claims.switches)) == (8, 4)
    assert [one.device_serial for one in claims.devices] == [
        one.device.levels[1].serial_name for one in WHOLE.exhibits
    ]
    assert (claims.nonce, claims.bound) == (NONCE, True)
    assert not replace(WHOLE, nonce=None).verify().bound


@pytest.mark.parametrize(("mode", "name"), [(0, Mode.SPT), (1, Mode.MPT)])
@pytest.mark.parametrize("count", [1, 2, 8, MAX_DEVICES])
def test_independent_gpus(count: int, mode: int, name: Mode) -> None:
    claims = gpus(count, mode).verify()
    assert (claims.mode, claims.topology) == (name, Topology.INDEPENDENT)
    assert (len(claims.gpus), claims.switches) == (count, ())


def test_switches_alone() -> None:
    claims = System((lab.a_switch(0), lab.a_switch(1))).verify()
    assert (claims.mode, claims.topology) == (None, Topology.INDEPENDENT)


def test_how_many() -> None:
    assert refused(System(())).reason is Reason.EVIDENCE
    assert refused(gpus(MAX_DEVICES + 1)).reason is Reason.TOO_LARGE


def test_a_device_twice() -> None:
    one = gpus(2).exhibits
    error = refused(System((*one, one[0])))
    assert (error.reason, error.authentic) == (Reason.DUPLICATE_DEVICE, True)
    assert error.detail == "devices 0 and 2 are one device"


def test_a_device_twice_with_different_reports_and_keys() -> None:
    """The board counts: its attestation key is another after an update, and so is the leaf's serial number."""
    one = gpus(1).exhibits[0]
    leaf = one.device.levels[0]
    updated = one.device.having(0, terms=replace(leaf.terms, key="after an update"), number=5)
    assert refused(System((one, one.but(device=updated)))).reason is Reason.DUPLICATE_DEVICE


def test_an_older_nonce() -> None:
    system = gpus(3)
    request = bytes.fromhex("11e001ff") + bytes(32) + b"\0"
    old = system.exhibits[2].but(written=system.exhibits[2].written.but(request=request))
    error = refused(system.having(2, old))
    assert (error.reason, error.authentic) == (Reason.BINDING_MISMATCH, False)
    assert error.detail.startswith("device 2: ")
    unasked = refused(replace(system.having(2, old), nonce=None))
    assert (unasked.reason, unasked.authentic) == (Reason.BINDING_MISMATCH, True)


def test_modes_that_differ() -> None:
    system = gpus(2)
    for other in (gpus(2, 1), WHOLE):
        assert refused(system.having(1, other.exhibits[1])).reason is TOPOLOGY
    silent = system.exhibits[1].having({34: None, 36: None})
    error = refused(system.having(1, silent))
    assert (error.reason, error.detail) == (TOPOLOGY, "GPUs in different modes: None, spt")


def test_switches_beside_gpus_in_another_mode() -> None:
    assert refused(System((*gpus(1).exhibits, lab.a_switch()))).reason is TOPOLOGY


@pytest.mark.parametrize(
    "missing", [(0,), (8,), (0, 8), (8, 9, 10, 11), tuple(range(1, 12)), (4, 5, 6, 7)]
)
def test_parts_of_a_system(missing: tuple[int, ...]) -> None:
    error = refused(WHOLE.without(*missing))
    assert (error.reason, error.authentic) == (TOPOLOGY, True)
    assert "takes 8 GPUs and 4 switches" in error.detail


def test_a_gpu_of_another_system() -> None:
    other = WHOLE.exhibits[3].but(device=fake.device(77))
    assert refused(WHOLE.having(3, other)).reason is TOPOLOGY


def test_a_switch_of_another_system() -> None:
    one = fake.switch(77)
    other = WHOLE.exhibits[9].but(device=one).having({22: one.pdi})
    assert refused(WHOLE.having(9, other)).reason is TOPOLOGY


SWITCHES = [one.device.pdi for one in WHOLE.exhibits[8:]]
GPUS = [one.device.pdi for one in WHOLE.exhibits[:8]]


@pytest.mark.parametrize(
    "listed",
    [
        None,
        b"",
        b"".join(pdi[::-1] for pdi in SWITCHES[:3]) * 6,
        b"".join(SWITCHES),
        b"".join(pdi[::-1] for pdi in [*SWITCHES, GPUS[0]]),
        b"".join(pdi[::-1] for pdi in SWITCHES) + bytes(8),
    ],
)
def test_a_gpu_that_names_others(listed: bytes | None) -> None:
    """Switches say that they are connected to it; it does not say so, or names more."""
    error = refused(WHOLE.having(5, WHOLE.exhibits[5].having({22: listed})))
    assert error.reason is TOPOLOGY
    assert error.detail.startswith("device 5 is connected to others")


@pytest.mark.parametrize(
    "listed",
    [
        None,
        b"".join([*GPUS[:7], GPUS[0]]) + bytes(64),
        b"".join([*GPUS[:7], bytes(8)]) + bytes(64),
        b"".join([*GPUS[:7], b"\xff" * 8]) + bytes(64),
        b"".join(pdi[::-1] for pdi in GPUS) + bytes(64),
        bytes(64) + b"".join(GPUS),
    ],
)
def test_a_switch_that_names_others(listed: bytes | None) -> None:
    error = refused(WHOLE.having(10, WHOLE.exhibits[10].having({26: listed})))
    assert error.reason is TOPOLOGY
    assert error.detail.startswith("device 10 is connected to others")


def test_the_order_of_devices_does_not_matter() -> None:
    turned = System(tuple(reversed(WHOLE.exhibits)))
    assert turned.verify().topology is Topology.PPCIE


def test_a_refusal_of_one_names_its_place() -> None:
    system = gpus(3)
    wrong = system.exhibits[1].having({20: bytes(48)})
    error = refused(system.having(1, wrong))
    assert (error.reason, error.authentic) == (Reason.ENDORSEMENT_MISMATCH, False)
    assert error.detail.startswith("device 1: FWID")
    blocks = tuple(replace(block, value=b"x" * 48) for block in GPU.blocks)
    differing = system.exhibits[2].but(written=system.exhibits[2].written.but(blocks=blocks))
    error = refused(system.having(2, differing))
    assert (error.reason, error.authentic) == (Reason.MEASUREMENT_MISMATCH, True)
    assert error.detail.startswith("device 2: measurements 0, 1, 2")


def test_a_refusal_goes_before_what_is_missing_for_others() -> None:
    """Whoever is undetermined may be asked for more; a set with a device that is refused is refused at once."""
    system = gpus(3)
    of_no_manifest = system.exhibits[0].having({3: b"551.1"})
    for place in (0, 1):
        system = system.having(place, of_no_manifest.but(device=fake.device(place)))
    error = refused(system)
    assert (error.reason, error.authentic) == (Reason.INCOMPLETE, True)
    assert error.detail.startswith("device 0: missing: driver manifest")
    blocks = tuple(replace(block, value=b"x" * 48) for block in GPU.blocks)
    differing = system.exhibits[2].but(written=system.exhibits[2].written.but(blocks=blocks))
    error = refused(system.having(2, differing))
    assert (error.reason, error.authentic) == (Reason.MEASUREMENT_MISMATCH, True)
    assert error.detail.startswith("device 2: ")


def test_no_fault_of_one_hides_the_refusal_of_a_later_one() -> None:
    """A manifest that has expired, an answer that is none, a manifest that is missing: all of devices before it."""
    alone, (leaf, issuer) = gpus(3), gpus(3).exhibits[2].device.parties[1:3]
    blocks = tuple(replace(block, value=b"x" * 48) for block in GPU.blocks)
    differing = alone.exhibits[2].but(written=alone.exhibits[2].written.but(blocks=blocks))
    expired = replace(DRIVER, version="551.1", chain=(OLD_SIGNER, *CHAIN[1:]))
    first = alone.exhibits[0].having({3: b"551.1"}).but(rims=(expired, VBIOS))
    second = alone.exhibits[1].having({3: b"551.2"})
    answered = {
        status: Answer(leaf, issuer, responder(issuer), status).der
        for status in (OCSPCertStatus.REVOKED, OCSPCertStatus.UNKNOWN)
    }
    strange = Answer(first.device.parties[1], issuer, responder(issuer), signer=CHAIN[0].key).der

    def judged(last: Exhibit, *ocsp: bytes) -> Reason:
        system = alone.having(0, first).having(1, second).having(2, last)
        rims = {rim for one in system.exhibits for rim in one.endorsements.rims}
        given = NvidiaEndorsements(tuple(sorted(rims)), ocsp)
        evidence = [one.evidence for one in system.exhibits]
        found = authenticate_set(evidence, lab.anchors(), NONCE, NOW)
        with pytest.raises(VerificationError) as caught:
            appraise_set(found, given, lab.anchors(), AppraisedBy.LOCAL, NOW)
        assert caught.value.authentic
        assert caught.value.detail.startswith("device 2: ") is (
            caught.value.reason in REFUSALS_OF_DEVICES
        )
        return caught.value.reason

    plain = alone.exhibits[2]
    assert judged(plain) is Reason.CERTIFICATE_EXPIRED
    assert judged(plain, strange) is Reason.OCSP_INVALID
    assert judged(differing) is Reason.MEASUREMENT_MISMATCH
    assert judged(differing, strange) is Reason.MEASUREMENT_MISMATCH
    revoked, unknown = answered.values()
    assert judged(plain, strange, revoked) is Reason.CERTIFICATE_REVOKED
    assert judged(plain, strange, unknown) is Reason.CERTIFICATE_STATUS_UNKNOWN


def test_the_second_responder_of_a_gpu_is_no_device_that_is_verified() -> None:
    transcript = Exhibit(device=fake.fsp(), written=FSP)
    assert refused(System((transcript,))).reason is Reason.INCOMPLETE


@pytest.mark.parametrize("nonce", [NONCE, None])
def test_the_first_half_needs_nothing_fetched(nonce: bytes | None) -> None:
    evidence = [one.evidence for one in WHOLE.exhibits]
    found = authenticate_set(evidence, lab.anchors(), nonce, NOW)
    assert [one.chain.serial for one in found.devices] == [
        one.device.levels[1].serial_name for one in WHOLE.exhibits
    ]
    assert (found.mode, found.topology) == (Mode.PPCIE, Topology.PPCIE)
    assert (found.nonce, found.bound) == (NONCE, nonce is not None)


def test_the_second_half_is_of_what_nvidia_says() -> None:
    evidence = [one.evidence for one in WHOLE.exhibits]
    found = authenticate_set(evidence, lab.anchors(), NONCE, NOW)
    documents = tuple({rim for one in WHOLE.exhibits for rim in one.endorsements.rims})
    claims = appraise_set(
        found, NvidiaEndorsements(documents), lab.anchors(), AppraisedBy.LOCAL, NOW
    )
    assert claims.devices[0].nonce == NONCE
    assert len(claims.devices) == len(found.devices)
    with pytest.raises(VerificationError) as caught:
        appraise_set(found, NvidiaEndorsements(), lab.anchors(), AppraisedBy.LOCAL, NOW)
    assert (caught.value.reason, caught.value.authentic) == (Reason.INCOMPLETE, True)


@pytest.mark.parametrize("by", [AppraisedBy.NRAS, AppraisedBy.BOTH])
def test_the_word_of_the_service_that_is_not_there(by: AppraisedBy) -> None:
    one = gpus(1).exhibits[0]
    found = authenticate_set([one.evidence], lab.anchors(), NONCE, NOW)
    with pytest.raises(VerificationError) as caught:
        appraise_set(found, one.endorsements, lab.anchors(), by, NOW)
    assert (caught.value.reason, caught.value.authentic) == (Reason.INCOMPLETE, True)
