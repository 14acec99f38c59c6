# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA is asked about devices: each thing once, at configured addresses; and no answer is taken but its own."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from simulator.nvidia import devices as fake
from simulator.nvidia.answers import Answer, responder
from simulator.nvidia.certificates import DAY, NOW, Terms, issue
from simulator.nvidia.reports import FSP, NONCE
from simulator.nvidia.rims import (
    CHAIN,
    DRIVER,
    RIM_L3,
    SIGNER,
    VBIOS,
    document,
    envelope,
)
from tests import nvidia_devices as lab
from tests.nvidia_desk import (
    DRIVER_ID,
    JWKS,
    RIMS,
    SOURCE,
    VBIOS_ID,
    Desk,
    found,
    gathered,
    wrapped,
)
from tests.nvidia_devices import Exhibit, System
from verifiers.endorsements import MAX_FETCHES, Response, Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import AppraisedBy
from verifiers.nvidia.evidence import parse_evidence_json
from verifiers.nvidia.gather import gather
from verifiers.nvidia.ocsp import is_answer, next_update
from verifiers.nvidia.ocsp import refusal as why_not
from verifiers.nvidia.system import appraise_set

if TYPE_CHECKING:
    from collections.abc import Callable

NRAS, BOTH, LOCAL = AppraisedBy.NRAS, AppraisedBy.BOTH, AppraisedBy.LOCAL
WHOLE = lab.ppcie()
ONE = System((Exhibit(),))
FOUND = found(ONE)
TRY_LATER = ocsp.OCSPResponseStatus.TRY_LATER
BLACKWELL_FIELDS: dict[int, bytes | None] = {
    21: None,
    34: b"\1\0",
    35: b"GB100\0\0\0",
    36: b"\0\0",
}


def refused(system: System, desk: Desk | None = None, by: AppraisedBy = LOCAL) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        gathered(system, desk, by)
    assert caught.value.authentic
    return caught.value


def changed(part: str, change: Callable[[Response], Response]) -> Desk:
    desk = Desk.of(ONE.exhibits)
    desk.changed[part] = change
    return desk


def body(data: bytes) -> Callable[[Response], Response]:
    return lambda _: Response(200, data, {})


def status(number: int) -> Callable[[Response], Response]:
    return lambda _: Response(number, b"", {})


def test_what_is_asked_about_one_gpu() -> None:
    desk = Desk.of(ONE.exhibits)
    endorsements = gathered(ONE, desk)
    first, second = desk.rounds
    assert [fetch.part for fetch in first] == ["rim"] * 2 + ["ocsp-device"] * 3
    assert [fetch.part for fetch in second] == ["ocsp-rim"] * 3
    assert [fetch.url for fetch in first[:2]] == [
        f"https://rim.test/v1/rim/{DRIVER_ID}",
        f"https://rim.test/v1/rim/{VBIOS_ID}",
    ]
    assert {fetch.url for fetch in (*first[2:], *second)} == {"https://ocsp.test/ocsp"}
    assert endorsements.rims == (wrapped(DRIVER_ID, DRIVER), wrapped(VBIOS_ID, VBIOS))
    assert (len(endorsements.ocsp), endorsements.nras, endorsements.jwks) == (6, (), None)
    assert not any(fetch.fresh for fetch in desk.asked)


def test_what_is_got_is_what_a_verdict_takes() -> None:
    claims = appraise_set(found(WHOLE), gathered(WHOLE), lab.anchors(), LOCAL, NOW)
    for one in claims.devices:
        assert one.revocation is Revocation.GOOD
        assert {rim.revocation for rim in one.rims} == {Revocation.GOOD}


def test_nothing_is_asked_twice() -> None:
    """Eight GPUs and four switches: their L4 differ, all else is shared."""
    desk = Desk.of(WHOLE.exhibits)
    gathered(WHOLE, desk, BOTH)
    assert len({fetch.key for fetch in desk.asked}) == len(desk.asked)
    count = {part: desk.parts.count(part) for part in dict.fromkeys(desk.parts)}
    assert count == {
        "rim": 3,
        "ocsp-device": 12 + 2 + 1,
        "nras-gpu": 1,
        "nras-switch": 1,
        "nras-jwks": 1,
        "ocsp-rim": 3,
    }
    assert len(desk.rounds) == 2


def test_a_request_about_a_certificate() -> None:
    desk = Desk.of(ONE.exhibits)
    gathered(ONE, desk)
    questions = [fetch.question for fetch in desk.asked if fetch.part.startswith("ocsp")]
    serials = []
    for question in questions:
        assert question is not None
        assert question.media_type == "application/ocsp-request"
        asked = ocsp.load_der_ocsp_request(question.body)
        assert asked.hash_algorithm.name == "sha384"
        assert not asked.extensions, "an answer with a nonce could not be kept"
        serials.append(asked.serial_number)
    parties = (*ONE.exhibits[0].device.parties[1:4], *CHAIN[:3])
    assert serials == [one.certificate.serial_number for one in parties]


def test_an_answer_says_when_it_ends() -> None:
    desk = Desk.of(ONE.exhibits)
    gathered(ONE, desk)
    fetch = next(fetch for fetch in desk.asked if fetch.part == "ocsp-device")
    assert fetch.ends is not None
    assert fetch.ends(desk.answer(fetch).body) == NOW + DAY / 2
    endless = Answer(SIGNER, RIM_L3, responder(RIM_L3), next_update=None).der
    assert fetch.ends(endless) is None
    assert fetch.ends(b"no answer") is None
    assert fetch.ends(refusal(ocsp.OCSPResponseStatus.TRY_LATER)) is None


@given(st.binary(max_size=64))
def test_any_bytes_for_an_answer(data: bytes) -> None:
    assert next_update(data) is None
    assert not is_answer(data)
    assert why_not(data) in {None, *ocsp.OCSPResponseStatus.__members__}


def test_every_kept_answer_is_known_to_be_one() -> None:
    """So that a page for people, or a refusal, takes the place of none."""
    desk = Desk.of(WHOLE.exhibits)
    gathered(WHOLE, desk, BOTH)
    for fetch in desk.asked:
        if fetch.fresh:
            assert fetch.is_answer is None
            continue
        assert fetch.is_answer is not None, fetch.part
        real = desk.answer(fetch).body
        assert fetch.is_answer(real)
        for other in (b"", b"<html>try later</html>", real[:-2], refusal(TRY_LATER)):
            assert not fetch.is_answer(other), fetch.part


@pytest.mark.parametrize("by", [NRAS, BOTH])
def test_what_the_service_is_asked(by: AppraisedBy) -> None:
    desk = Desk.of(WHOLE.exhibits)
    endorsements = gathered(WHOLE, desk, by)
    gpu, switch = (fetch for fetch in desk.asked if fetch.fresh)
    assert gpu.url == "https://nras.test/v4/attest/gpu"
    assert switch.url == "https://nras.test/v4/attest/switch"
    keys = next(fetch for fetch in desk.asked if fetch.part == "nras-jwks")
    assert (keys.url, keys.question) == ("https://nras.test/.well-known/jwks.json", None)
    for fetch, arch, exhibits in (
        (gpu, "HOPPER", WHOLE.exhibits[:8]),
        (switch, "LS10", WHOLE.exhibits[8:]),
    ):
        assert fetch.question is not None
        assert fetch.question.media_type == "application/json"
        said = json.loads(fetch.question.body)
        assert set(said) == {"nonce", "arch", "evidence_list", "claims_version"}
        assert (said["nonce"], said["arch"], said["claims_version"]) == (NONCE.hex(), arch, "3.0")
        devices = parse_evidence_json(fetch.question.body)
        assert devices == tuple(one.evidence for one in exhibits)
    assert endorsements.nras == tuple(desk.answer(fetch).body for fetch in (gpu, switch))
    assert endorsements.jwks == JWKS


def test_where_the_service_alone_counts_nothing_else_is_asked() -> None:
    desk = Desk.of(ONE.exhibits)
    endorsements = gathered(ONE, desk, NRAS)
    assert desk.parts == ["nras-gpu", "nras-jwks"]
    assert (endorsements.rims, endorsements.ocsp) == ((), ())


def test_one_request_for_each_architecture() -> None:
    """The architecture is that of the certificates."""
    mixed = System(
        (
            Exhibit(device=fake.blackwell(0)).having(BLACKWELL_FIELDS),
            Exhibit(),
            Exhibit(device=fake.workstation()).having(BLACKWELL_FIELDS | {35: b"GB202"}),
        )
    )
    desk = Desk.of(mixed.exhibits)
    endorsements = gathered(mixed, desk, NRAS)
    assert desk.parts == ["nras-gpu", "nras-gpu", "nras-jwks"]
    questions = [fetch.question for fetch in desk.asked[:2]]
    said = [json.loads(one.body) for one in questions if one]
    assert [one["arch"] for one in said] == ["BLACKWELL", "HOPPER"]
    assert [len(one["evidence_list"]) for one in said] == [2, 1]
    first = said[0]["evidence_list"][1]
    assert base64.b64decode(first["evidence"]) == mixed.exhibits[2].evidence.report
    assert len(endorsements.nras) == 2


def test_a_manifest_that_nvidia_does_not_have() -> None:
    """It is left out, and so are its signers; what is missing then is for the appraisal to say."""
    for number in (404, 410):
        desk = changed("rim", status(number))
        had = gathered(ONE, desk)
        assert len(had.rims) == 1
        assert VBIOS_ID.encode() not in had.rims[0]
        assert len(had.ocsp) == 2 * 3


@pytest.mark.parametrize("number", [404, 410])
@pytest.mark.parametrize(
    ("part", "by"),
    [
        ("ocsp-device", LOCAL),
        ("ocsp-rim", LOCAL),
        ("nras-gpu", NRAS),
        ("nras-jwks", BOTH),
    ],
)
def test_answers_that_are_missing(part: str, by: AppraisedBy, number: int) -> None:
    error = refused(ONE, changed(part, status(number)), by)
    assert error.reason is Reason.INCOMPLETE
    assert error.detail.endswith(f"answered {number}")


def refusal(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


@pytest.mark.parametrize("part", ["ocsp-device", "ocsp-rim"])
@pytest.mark.parametrize("why", ["TRY_LATER", "UNAUTHORIZED", "INTERNAL_ERROR"])
def test_a_responder_that_does_not_answer(part: str, why: str) -> None:
    """It is asked again: that is no word on the device."""
    error = refused(ONE, changed(part, body(refusal(ocsp.OCSPResponseStatus[why]))))
    assert error.reason is Reason.INCOMPLETE
    assert error.detail.endswith(why)


@pytest.mark.parametrize(("part", "rounds"), [("ocsp-device", 1), ("ocsp-rim", 2)])
def test_an_answer_of_nobody(part: str, rounds: int) -> None:
    """It is found in the round in which it came, so that whoever keeps it knows which to ask for anew."""
    elsewhere = Answer(SIGNER, RIM_L3, responder(CHAIN[-1])).der
    other = Answer(CHAIN[-1], CHAIN[-1], responder(CHAIN[-1])).der
    for data in (b"", b"\x30\x03\x0a\x01\x00", elsewhere, other):
        desk = changed(part, body(data))
        assert refused(ONE, desk).reason is Reason.OCSP_INVALID
        assert len(desk.rounds) == rounds


def test_a_status_is_not_judged_here() -> None:
    """A revoked device is refused by `verify_set`, of the same answers at any time."""
    leaf = ONE.exhibits[0].device.parties[3]
    issuer = ONE.exhibits[0].device.parties[4]
    revoked = Answer(
        leaf,
        issuer,
        responder(issuer),
        ocsp.OCSPCertStatus.REVOKED,
        x509.ReasonFlags.key_compromise,
    )
    endorsements = gathered(ONE, changed("ocsp-device", body(revoked.der)))
    with pytest.raises(VerificationError) as caught:
        appraise_set(found(ONE), endorsements, lab.anchors(), LOCAL, NOW)
    assert caught.value.reason is Reason.CERTIFICATE_REVOKED


XML = document(VBIOS)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (XML, Reason.COLLATERAL_MALFORMED),
        (b"", Reason.COLLATERAL_MALFORMED),
        (b"{", Reason.COLLATERAL_MALFORMED),
        (b"{}", Reason.COLLATERAL_MALFORMED),
        (envelope(XML, id=VBIOS_ID, sha256="00" * 32), Reason.COLLATERAL_MALFORMED),
        (envelope(XML, id=VBIOS_ID, rim=None), Reason.COLLATERAL_MALFORMED),
        (envelope(XML, id=DRIVER_ID), Reason.COLLATERAL_MALFORMED),
        (envelope(XML, id=None), Reason.COLLATERAL_MALFORMED),
        (envelope(XML, id=VBIOS_ID, x="." * 256 * 1024), Reason.COLLATERAL_MALFORMED),
        (wrapped(VBIOS_ID, b"<a/>"), Reason.COLLATERAL_MALFORMED),
        (wrapped(VBIOS_ID, XML.replace(b"GPU", b"gpu")), Reason.RIM_SIGNATURE),
        (wrapped(VBIOS_ID, b"<" * 129 * 1024), Reason.COLLATERAL_MALFORMED),
        (wrapped(VBIOS_ID, replace(VBIOS, chain=CHAIN[:3])), Reason.RIM_SIGNATURE),
        (wrapped(VBIOS_ID, replace(VBIOS, edition="TOASTER")), Reason.COLLATERAL_MALFORMED),
        (wrapped(VBIOS_ID, DRIVER), Reason.INCOMPLETE),
        (wrapped(VBIOS_ID, replace(VBIOS, product="GB100")), Reason.INCOMPLETE),
        (wrapped(VBIOS_ID, replace(VBIOS, version="96.00.9F.00.02")), Reason.INCOMPLETE),
        (wrapped(VBIOS_ID, replace(VBIOS, edition="SWITCH")), Reason.INCOMPLETE),
    ],
)
def test_an_answer_that_is_not_the_manifest(answer: bytes, reason: Reason) -> None:
    desk = changed("rim", body(answer))
    error = refused(ONE, desk)
    assert error.reason is reason
    assert VBIOS_ID in error.detail
    assert len(desk.rounds) == 1, "nobody is asked about signers of what is not authentic"


@given(st.binary(max_size=200))
def test_any_bytes_for_a_manifest(data: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        changed("rim", body(data)).run(gather(FOUND, SOURCE, lab.anchors()))
    assert caught.value.reason is Reason.COLLATERAL_MALFORMED


def test_manifests_with_signers_of_their_own() -> None:
    """Each signer is asked about, what they share once."""
    other = issue("Another RIM L4 Signer", RIM_L3, Terms())
    driver = replace(DRIVER, chain=(other, *CHAIN[1:]))
    desk = Desk((ONE.exhibits[0].device.parties[1:], CHAIN, (other, *CHAIN[1:])))
    desk.rims[DRIVER_ID] = wrapped(DRIVER_ID, driver)
    endorsements = gathered(ONE, desk)
    assert len(desk.rounds[1]) == 4
    claims = appraise_set(found(ONE), endorsements, lab.anchors(), LOCAL, NOW)
    assert [rim.revocation for rim in claims.devices[0].rims] == [Revocation.GOOD] * 2


def apart(count: int) -> System:
    """GPUs that share as little as can be: driver, VBIOS, provisioner."""
    return System(
        tuple(
            Exhibit(device=fake.device(n).having(2, number=1000 + n)).having(
                {3: f"550.{n}".encode(), 6: bytes([0, 0, n, 0x96, 1, 0, 0, 0])}
            )
            for n in range(count)
        )
    )


def test_devices_that_differ_too_much() -> None:
    """The bound is what the service would ask at once; real machines have one driver."""
    error = refused(apart(16))
    assert error.reason is Reason.EVIDENCE, "no fault of what was fetched"
    assert error.detail == f"65 questions about one machine, at most {MAX_FETCHES}"
    assert gathered(apart(15)).rims == (), "asked, and not found"


def test_a_transcript_of_an_fsp_has_no_manifest() -> None:
    desk = Desk.of(ONE.exhibits)
    error = refused(System((Exhibit(device=fake.fsp(), written=FSP),)), desk)
    assert (error.reason, desk.rounds) == (Reason.INCOMPLETE, [])


def test_addresses_are_those_of_the_configuration() -> None:
    """Whatever a certificate, a report or a manifest names."""
    desk = Desk.of(WHOLE.exhibits)
    gathered(WHOLE, desk, BOTH)
    bases = (f"{SOURCE.rim_base_url}/v1/rim/", SOURCE.ocsp_url, f"{SOURCE.nras_base_url}/")
    assert all(fetch.url.startswith(bases) for fetch in desk.asked)
    names = {fetch.url.removeprefix(bases[0]) for fetch in desk.asked if fetch.part == "rim"}
    assert names == set(RIMS)


@pytest.mark.parametrize(
    "text", [b"550.90/../x", b"550.90.07?a", b"550.90.07#", b"//host", b"550.90.07\n", b"\xff"]
)
def test_a_report_that_names_no_manifest_is_never_asked_about(text: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        found(System((Exhibit().having({3: text}),)))
    assert caught.value.reason is Reason.MALFORMED


def test_bounds_of_answers() -> None:
    desk = Desk.of(ONE.exhibits)
    gathered(ONE, desk, BOTH)
    bounds = {fetch.part: fetch.max_bytes for fetch in desk.asked}
    assert bounds == {
        "rim": 256 * 1024,
        "ocsp-device": 16 * 1024,
        "ocsp-rim": 16 * 1024,
        "nras-gpu": 256 * 1024,
        "nras-jwks": 256 * 1024,
    }
