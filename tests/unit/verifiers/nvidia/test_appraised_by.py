# SPDX-License-Identifier: Apache-2.0
"""Whose comparison counts: ours, that of NVIDIA's service, or both, which must agree."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from simulator.nvidia.certificates import NOW
from simulator.nvidia.vendor import REVOKED, UNKNOWN, FakeNvidia
from tests import nvidia_tokens as lab
from tests.nvidia_tokens import Hearing, having
from verifiers.endorsements import PartValidity, Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import AppraisedBy, Mode, Topology
from verifiers.nvidia.endorsements import NvidiaEndorsements

if TYPE_CHECKING:
    from verifiers.nvidia.claims import NvidiaSetClaims

LOCAL, NRAS, BOTH = AppraisedBy
HOUR = NOW + timedelta(hours=1)
GOOD = Hearing()
TWO = Hearing(nvidia=lab.two_gpus())
TOKEN = PartValidity("nras", NOW, HOUR, None)
FALSE = having({"x-nvidia-overall-att-result": False})


def refusal(
    hearing: Hearing, by: AppraisedBy, endorsements: NvidiaEndorsements | None = None
) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        hearing.verify(by, endorsements)
    return caught.value


def test_without_the_service() -> None:
    """Its tokens are not even looked at."""
    (one,) = GOOD.but(answers=(b"rubbish",)).verify(LOCAL).devices
    assert (one.nras, one.appraised_by) == (None, LOCAL)
    assert len(one.rims) == 2


def test_by_the_service_alone() -> None:
    found = GOOD.verify(NRAS)
    (one,) = found.devices
    assert one.appraised_by is NRAS
    assert one.nras == GOOD.judge()[0].claims
    assert one.rims == ()
    assert one.coverage.compared == ()
    assert one.coverage.not_covered == tuple(range(64))
    assert one.revocation is Revocation.GOOD
    assert one.collateral == (TOKEN,)
    assert (one.certificates_expire.year, one.expires) == (9999, HOUR)
    assert (one.bound, found.bound) == (True, True)
    assert one.collateral_sha256 == GOOD.endorsements.sha256


def test_what_the_report_says_is_the_same_whoever_compares() -> None:
    ours, theirs = (GOOD.verify(by).devices[0] for by in (LOCAL, NRAS))
    same = {
        name: getattr(ours, name)
        for name in ("rims", "coverage", "collateral", "expires", "certificates_expire")
    }
    assert replace(theirs, **same, nras=None) == ours


def test_the_service_alone_needs_nothing_else() -> None:
    given = NvidiaEndorsements(nras=GOOD.said, jwks=GOOD.key_set)
    (one,) = GOOD.verify(NRAS, given).devices
    assert one.appraised_by is NRAS


@pytest.mark.parametrize("by", [NRAS, BOTH])
@pytest.mark.parametrize("days", [3, -3])
def test_a_key_of_the_service_out_of_its_dates_says_nothing_of_devices(
    by: AppraisedBy, days: int
) -> None:
    error = refusal(GOOD.but(at=NOW + timedelta(days=days)), by)
    assert (error.reason, error.authentic) == (Reason.TOKEN_INVALID, True)
    assert "service's key" in error.detail


def test_claims_of_version_2_say_nothing_of_revocation() -> None:
    (one,) = GOOD.edited(claims_version="2.0").verify(NRAS).devices
    assert one.revocation is Revocation.NOT_CHECKED


def test_by_both() -> None:
    (ours,), (one,) = (GOOD.verify(by).devices for by in (LOCAL, BOTH))
    assert one.appraised_by is BOTH
    assert one.nras == GOOD.judge()[0].claims
    assert (one.rims, one.coverage) == (ours.rims, ours.coverage)
    assert one.collateral == (*ours.collateral, TOKEN)
    assert one.expires == HOUR < ours.expires


def test_both_end_with_what_ends_first() -> None:
    """A token that outlives an OCSP answer does not lengthen it."""
    late = having({"exp": int((NOW + timedelta(days=9)).timestamp())})
    long = GOOD.edited(edit_device=late, edit_overall=late)
    assert long.verify(BOTH).devices[0].expires == GOOD.verify(LOCAL).devices[0].expires


@pytest.mark.parametrize("by", [NRAS, BOTH])
def test_a_token_that_has_just_ended(by: AppraisedBy) -> None:
    """Clocks differ: it counts, and its window says that it is over."""
    (one,) = GOOD.but(at=HOUR).verify(by).devices
    assert "nras" not in {part.part for part in one.expired_parts}
    (one,) = GOOD.but(at=HOUR + timedelta(seconds=60)).verify(by).devices
    assert one.collateral[-1] == replace(TOKEN, expired_since=HOUR)
    late = refusal(GOOD.but(at=HOUR + timedelta(seconds=61)), by)
    assert late.reason is Reason.TOKEN_INVALID


def facts(found: NvidiaSetClaims) -> object:
    return found.mode, found.topology, [one.device_serial for one in found.devices]


@pytest.mark.parametrize("by", [NRAS, BOTH])
def test_a_whole_system(by: AppraisedBy) -> None:
    """The service says nothing of topology: that stays ours."""
    whole = Hearing(nvidia=lab.system())
    found = whole.verify(by)
    assert (found.mode, found.topology) == (Mode.PPCIE, Topology.PPCIE)
    assert facts(found) == facts(whole.verify(LOCAL))
    turned = whole.but(present=whole.devices[::-1])
    tokens = {one.device_serial: one.nras for one in found.devices}
    assert {one.device_serial: one.nras for one in turned.verify(by).devices} == tokens
    assert refusal(whole.but(present=whole.devices[:11]), by).reason is Reason.TOPOLOGY


@pytest.mark.parametrize("by", [NRAS, BOTH])
def test_faults_of_tokens_are_of_authentic_devices(by: AppraisedBy) -> None:
    for hearing, reason in (
        (GOOD.but(answers=()), Reason.INCOMPLETE),
        (GOOD.but(jwks=lambda _: None), Reason.TOKEN_KEY_UNKNOWN),
        (GOOD.edited(write=lab.unsigned), Reason.TOKEN_ALG),
        (GOOD.but(pins=()), Reason.UNTRUSTED_ROOT),
        (GOOD.edited(edit_device=having({"measres": None})), Reason.TOKEN_INVALID),
        (GOOD.edited(edit_device=having({"hwmodel": "GB100"})), Reason.VERIFIERS_DISAGREE),
        (GOOD.but(answers=(b"rubbish",)), Reason.TOKEN_INVALID),
    ):
        error = refusal(hearing, by)
        assert (error.reason, error.authentic) == (reason, True)


def test_a_forged_device_is_refused_before_any_token_is_read() -> None:
    bad = GOOD.but(nonce=bytes(32), answers=(b"rubbish",))
    for by in (NRAS, BOTH):
        error = refusal(bad, by)
        assert (error.reason, error.authentic) == (Reason.BINDING_MISMATCH, False)


def test_the_services_refusal() -> None:
    error = refusal(GOOD.edited(edit_overall=FALSE), NRAS)
    assert (error.reason, error.authentic) == (Reason.NRAS_REFUSED, True)


def differing(nvidia: FakeNvidia, place: int = 0) -> None:
    """A device whose first measurement is no golden value."""
    gpu = nvidia.devices[place]
    first, *others = gpu.written.blocks
    gpu.written = gpu.written.but(blocks=(replace(first, value=b"x" * 48), *others))


def revoked(nvidia: FakeNvidia) -> None:
    nvidia.status(nvidia.devices[0].device.parties[1], REVOKED)


def unknown(nvidia: FakeNvidia) -> None:
    nvidia.status(nvidia.devices[0].device.parties[1], UNKNOWN)


PAIRS = [
    (differing, Reason.MEASUREMENT_MISMATCH),
    (revoked, Reason.CERTIFICATE_REVOKED),
    (unknown, Reason.CERTIFICATE_STATUS_UNKNOWN),
]


def altered(*alter: object) -> Hearing:
    nvidia = lab.vendor(gpus=1)
    for one in alter:
        assert callable(one)
        one(nvidia)
    return Hearing(nvidia=nvidia)


@pytest.mark.parametrize(("alter", "reason"), PAIRS)
def test_both_refuse(alter: object, reason: Reason) -> None:
    """Our reason is told, which says what is wrong."""
    hearing = altered(alter)
    assert refusal(hearing, NRAS).reason is Reason.NRAS_REFUSED
    for by in (LOCAL, BOTH):
        error = refusal(hearing, by)
        assert (error.reason, error.authentic) == (reason, True)
        assert error.detail.startswith("device 0: ")


def good_word(hearing: Hearing) -> tuple[bytes, ...]:
    """What the service says of the same devices as they were before."""
    return Hearing(nvidia=lab.vendor(gpus=len(hearing.devices))).said


@pytest.mark.parametrize(("alter", "reason"), PAIRS)
def test_the_service_accepts_what_we_refuse(alter: object, reason: Reason) -> None:
    hearing = altered(alter)
    error = refusal(hearing.but(answers=good_word(hearing)), BOTH)
    assert (error.reason, error.authentic) == (Reason.VERIFIERS_DISAGREE, True)
    assert error.detail.startswith(
        f"NVIDIA's service accepts what is refused here: {reason}: device 0: "
    )


def test_we_accept_what_the_service_refuses() -> None:
    error = refusal(GOOD.edited(edit_overall=FALSE), BOTH)
    assert (error.reason, error.authentic) == (Reason.VERIFIERS_DISAGREE, True)
    assert error.detail == (
        "NVIDIA's service refuses what is accepted here: nras-refused:"
        " NVIDIA's service refuses GPU-0: measres is success"
    )


def test_one_device_of_two() -> None:
    nvidia = lab.vendor(gpus=2)
    differing(nvidia, 1)
    hearing = Hearing(nvidia=nvidia)
    assert refusal(hearing, BOTH).detail.startswith("device 1: measurements 0 differ")
    error = refusal(hearing.but(answers=good_word(hearing)), BOTH)
    assert error.reason is Reason.VERIFIERS_DISAGREE
    assert "device 1: " in error.detail


def without_rims(hearing: Hearing) -> NvidiaEndorsements:
    return NvidiaEndorsements(nras=hearing.said, jwks=hearing.key_set)


def of_a_stranger() -> tuple[bytes, ...]:
    """Manifests for the same device, of another vendor."""
    nvidia = FakeNvidia.create(NOW, seed=b"a stranger")
    nvidia.gpu()
    return nvidia.bundle()[0]


def test_collateral_that_is_missing_is_no_disagreement() -> None:
    error = refusal(GOOD, BOTH, without_rims(GOOD))
    assert (error.reason, error.authentic) == (Reason.INCOMPLETE, True)
    unfounded = replace(GOOD.endorsements, rims=of_a_stranger())
    assert refusal(GOOD, BOTH, unfounded).reason is Reason.RIM_SIGNATURE
    bad_ocsp = replace(GOOD.endorsements, ocsp=(b"rubbish",))
    assert refusal(GOOD, BOTH, bad_ocsp).reason is Reason.OCSP_INVALID


def test_what_we_cannot_decide_the_service_may_refuse() -> None:
    refused = GOOD.edited(edit_overall=FALSE)
    assert refusal(refused, BOTH, without_rims(refused)).reason is Reason.NRAS_REFUSED
    unsigned = GOOD.edited(write=lab.unsigned)
    assert refusal(unsigned, BOTH, without_rims(unsigned)).reason is Reason.TOKEN_ALG
    assert refusal(GOOD, BOTH, NvidiaEndorsements()).reason is Reason.INCOMPLETE


def collateral_faults(hearing: Hearing) -> list[NvidiaEndorsements]:
    """Endorsements on which no word of ours can be founded."""
    given = hearing.endorsements
    return [
        replace(given, rims=()),
        replace(given, rims=of_a_stranger()),
        replace(given, ocsp=(b"rubbish",)),
    ]


def test_no_fault_of_our_collateral_hides_what_the_service_says() -> None:
    for edit, reason in (
        (having({"measres": "fail"}), Reason.NRAS_REFUSED),
        (having({"hwmodel": "GB100"}), Reason.VERIFIERS_DISAGREE),
    ):
        refused = GOOD.edited(edit_device=edit)
        for given in collateral_faults(refused):
            error = refusal(refused, BOTH, given)
            assert (error.reason, error.authentic) == (reason, True)


def test_no_fault_of_a_token_hides_our_refusal() -> None:
    hearing = altered(differing)
    for other in (
        hearing.but(answers=()),
        hearing.but(answers=(b"rubbish",)),
        hearing.but(answers=good_word(hearing), jwks=lambda _: None),
        hearing.but(answers=good_word(hearing), issuer="https://other.test"),
        hearing.edited(write=lab.unsigned),
    ):
        assert refusal(other, NRAS).reason not in {Reason.NRAS_REFUSED, Reason.VERIFIERS_DISAGREE}
        assert refusal(other, BOTH).reason is Reason.MEASUREMENT_MISMATCH


def test_our_refusal_goes_before_a_token_that_contradicts_the_report() -> None:
    """Both speak against the device; ours says what is wrong with it."""
    hearing = altered(differing)
    nvidia = lab.vendor(gpus=1)
    said = Hearing(nvidia=nvidia).edited(edit_device=having({"hwmodel": "GB100"})).said
    error = refusal(hearing.but(answers=said), BOTH)
    assert error.reason is Reason.MEASUREMENT_MISMATCH


def test_a_fault_of_both_is_ours() -> None:
    spoiled = GOOD.but(answers=(b"rubbish",))
    given = replace(spoiled.endorsements, rims=of_a_stranger())
    assert refusal(spoiled, BOTH, given).reason is Reason.RIM_SIGNATURE


def test_every_choice_is_judged() -> None:
    judged = {by: partial(GOOD.verify, by)().devices[0].appraised_by for by in AppraisedBy}
    assert judged == {by: by for by in AppraisedBy}
