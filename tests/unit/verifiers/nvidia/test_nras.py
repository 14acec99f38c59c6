# SPDX-License-Identifier: Apache-2.0
"""Answers of NVIDIA's attestation service: what comes of good ones, and how refusals are told. Faults are cases."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from simulator.nvidia.certificates import NOW
from simulator.nvidia.reports import NONCE
from tests import nvidia_tokens as lab
from tests import nvidia_vectors as vectors
from tests.nvidia_tokens import Hearing, changed, digest, having, ueid
from verifiers.anchors import builtin
from verifiers.endorsements import Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import DeviceKind
from verifiers.nvidia.device import authenticate
from verifiers.nvidia.eat import find_answers
from verifiers.nvidia.nras import verify_tokens
from verifiers.nvidia.tokens import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.nvidia_tokens import Claims

GOOD = Hearing()
TWO = Hearing(nvidia=lab.two_gpus())
SYSTEM = Hearing(nvidia=lab.system())
FALSE = having({"x-nvidia-overall-att-result": False})


def refusal(judge: Callable[[], object]) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        judge()
    return caught.value


def test_an_accepted_gpu() -> None:
    (one,) = GOOD.judge()
    (answer,) = GOOD.said
    token = json.loads(answer)[1]["GPU-0"]
    assert (one.name, one.kind) == ("GPU-0", DeviceKind.GPU)
    assert str(one.ueid) == ueid(GOOD.nvidia, 0)
    assert one.hwmodel == "GH100 A01 GSP BROM"
    assert (one.driver_version, one.vbios_version) == ("580.178.04", "96.00.CF.00.01")
    assert one.nonce == NONCE
    assert one.claims.claims_version == "3.0"
    assert one.claims.token_sha256 == sha256(token.encode()).digest()
    assert (one.claims.issued, one.claims.expires) == (NOW, NOW + timedelta(hours=1))
    assert one.claims.revocation is Revocation.GOOD


def test_a_device_is_accepted_as_long_as_both_tokens_are() -> None:
    """Its own, and the one about all that names it, which may be of another moment and end sooner or later."""
    issued, ends = int(NOW.timestamp()), int((NOW + timedelta(hours=1)).timestamp())
    sooner, later = changed(iat=issued - 5, exp=ends - 60), changed(iat=issued + 5, exp=ends + 60)
    for overall, of_device in ((sooner, later), (later, sooner)):
        (one,) = GOOD.edited(edit_overall=overall, edit_device=of_device).judge()
        assert one.claims.issued == NOW + timedelta(seconds=5)
        assert one.claims.expires == NOW + timedelta(minutes=59)


def test_claims_of_version_2() -> None:
    (one,) = GOOD.edited(claims_version="2.0").judge()
    assert (one.claims.claims_version, one.hwmodel) == ("2.0", "GH100")
    assert one.claims.revocation is Revocation.NOT_CHECKED


@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_an_accepted_switch(version: str) -> None:
    (one,) = Hearing(nvidia=lab.one_switch()).edited(claims_version=version).judge()
    assert (one.name, one.kind, one.driver_version) == ("SWITCH-0", DeviceKind.SWITCH, None)
    assert one.vbios_version == lab.one_switch().devices[0].product.vbios


@pytest.mark.parametrize("model", ["B200", "RTX PRO 6000"])
@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_other_families(model: str, version: str) -> None:
    nvidia = lab.vendor()
    nvidia.gpu(model)
    (one,) = Hearing(nvidia=nvidia).edited(claims_version=version).judge()
    assert one.hwmodel.startswith(("GB100", "GB20"))


def test_the_order_is_that_of_the_devices() -> None:
    """Whatever names the service gives them, and whatever comes first."""
    devices = tuple(SYSTEM.nvidia.devices)
    turned = SYSTEM.but(present=devices[::-1], answers=SYSTEM.said[::-1])
    for hearing, wanted in ((SYSTEM, devices), (turned, devices[::-1])):
        serials = [one.device.parties[0].certificate.serial_number for one in wanted]
        assert [one.ueid for one in hearing.judge()] == serials


def test_inspection_without_devices() -> None:
    names = [one.name for one in SYSTEM.inspect()]
    assert names == [*(f"GPU-{n}" for n in range(8)), *(f"SWITCH-{n}" for n in range(4))]
    assert SYSTEM.but(nonce=None).inspect() == SYSTEM.inspect()
    assert refusal(SYSTEM.but(nonce=bytes(32)).inspect).reason is Reason.TOKEN_INVALID


def test_ten_and_more_stand_behind_nine() -> None:
    """By number, not by text."""
    nvidia = lab.vendor(gpus=11)
    names = [one.name for one in Hearing(nvidia=nvidia).inspect()]
    assert names == [f"GPU-{number}" for number in range(11)]


def test_answers_to_different_nonces() -> None:
    gpus, switches = SYSTEM.said
    other = lab.Hearing(nvidia=lab.system()).edited(
        edit_device=changed(eat_nonce="ab" * 32), edit_overall=changed(eat_nonce="ab" * 32)
    )
    mixed = SYSTEM.but(nonce=None, answers=(gpus, other.said[1]))
    error = refusal(mixed.inspect)
    assert (error.reason, error.detail) == (
        Reason.TOKEN_INVALID,
        "the answers are to different nonces",
    )
    assert SYSTEM.but(nonce=None, answers=(gpus, switches)).inspect()


def test_one_answer_twice() -> None:
    error = refusal(GOOD.but(answers=GOOD.said * 2).inspect)
    assert (error.reason, error.detail) == (
        Reason.TOKEN_INVALID,
        "several tokens are about one device",
    )


def test_a_refusal_names_devices_code_and_message() -> None:
    error = refusal(TWO.but(asked=bytes(32), nonce=bytes(32)).judge)
    assert error.reason is Reason.NRAS_REFUSED
    assert error.detail == (
        "NVIDIA's service refuses GPU-0: 4010 NONCE_NOT_MATCHING; GPU-1: 4010 NONCE_NOT_MATCHING"
    )


def test_a_refusal_names_claims_that_are_false() -> None:
    name = "x-nvidia-gpu-driver-rim-signature-verified"
    edited = GOOD.edited(edit_overall=FALSE, edit_device=having({name: False, "secboot": False}))
    error = refusal(edited.judge)
    assert error.detail == f"NVIDIA's service refuses GPU-0: secboot is false, {name} is false"


def test_a_refusal_under_a_result_that_is_true() -> None:
    """What speaks against each device, and nothing of the one that is good."""
    chain = "x-nvidia-gpu-driver-rim-cert-chain"
    wrong = having(
        {
            "measres": "fail",
            "secboot": False,
            "x-nvidia-gpu-arch-check": False,
            chain: {"x-nvidia-cert-status": "expired", "x-nvidia-cert-revocation-reason": "x"},
            "x-nvidia-mismatch-measurement-records": [{"index": 7}],
        }
    )
    first = ueid(TWO.nvidia, 0)
    edited = TWO.edited(edit_device=lambda one: one if one["ueid"] == first else wrong(one))
    error = refusal(edited.judge)
    assert error.reason is Reason.NRAS_REFUSED
    assert error.detail == (
        "NVIDIA's service refuses GPU-1: measres is fail, secboot is false,"
        f" x-nvidia-gpu-arch-check is false, {chain}: x-nvidia-cert-status is expired,"
        " x-nvidia-mismatch-measurement-records is not empty,"
        f" {chain}: x-nvidia-cert-revocation-reason is x"
    )


def test_a_check_that_is_missing_is_named() -> None:
    error = refusal(GOOD.edited(edit_device=having({"secboot": None})).judge)
    assert (error.reason, error.detail) == (
        Reason.TOKEN_INVALID,
        "GPU-0: secboot is missing, or no boolean",
    )
    error = refusal(GOOD.edited(edit_device=having({"measres": 1})).judge)
    assert error.detail == "GPU-0: measres is missing, or no text"


def test_what_a_token_says_otherwise_than_the_device() -> None:
    """Both words are told."""
    edited = GOOD.edited(edit_device=having({"hwmodel": "GB100"}))
    error = refusal(edited.judge)
    assert (error.reason, error.detail) == (
        Reason.VERIFIERS_DISAGREE,
        "GPU-0: NVIDIA's service names model GB100, device 0 is certified as GH100 A01 GSP BROM",
    )
    edited = GOOD.edited(edit_device=having({"x-nvidia-gpu-driver-version": "595.1"}))
    assert refusal(edited.judge).detail == (
        "GPU-0: NVIDIA's service names driver 595.1 and firmware 96.00.CF.00.01,"
        " device 0 reports driver 580.178.04 and firmware 96.00.CF.00.01"
    )
    switch = Hearing(nvidia=lab.one_switch())
    edited = switch.edited(edit_device=having({"x-nvidia-switch-bios-version": "96.1"}))
    assert "names firmware 96.1, device 0 reports firmware 96." in refusal(edited.judge).detail


def test_a_refusal_without_anything_false() -> None:
    error = refusal(GOOD.edited(edit_overall=FALSE).judge)
    assert error.detail == "NVIDIA's service refuses GPU-0: measres is success"


@pytest.mark.parametrize(
    "details",
    [
        "text",
        ["a", "b"],
        {},
        {"code": {"a": 1}, "message": ["x"]},
        {"code": 1, "message": "x" * 9000},
        {"code": 1, "message": "\x1b[31m\u0000\u202e\ud800"},
        True,
        0,
    ],
)
def test_error_details_of_any_form(details: object) -> None:
    """They are signed, and yet they go into logs and answers bounded and printable."""
    edited = TWO.edited(edit_device=having({"x-nvidia-error-details": details}))
    error = refusal(edited.judge)
    assert error.reason is Reason.NRAS_REFUSED
    assert error.detail.isascii()
    assert error.detail.isprintable()
    assert error.detail.startswith("NVIDIA's service refuses GPU-0: ")
    assert len(error.detail) <= 400


@pytest.mark.parametrize("text", ["\x1b[2J", "GH100\n", "\u202e", "x" * 129, ""])
def test_what_is_shown_is_plain_text(text: str) -> None:
    """Without devices nothing is compared."""
    for name in ("hwmodel", "x-nvidia-gpu-driver-version", "x-nvidia-gpu-vbios-version"):
        error = refusal(GOOD.edited(edit_device=having({name: text})).inspect)
        assert error.reason is Reason.TOKEN_INVALID
    assert GOOD.edited(edit_device=having({"hwmodel": "x" * 128})).inspect()


def test_tokens_under_names_of_no_device() -> None:
    for name in ("GPU", "GPU-", "GPU-100", "gpu-0", "CPU-0", "GPU-\u0660", "GPU-0 "):
        edited = GOOD.edited(
            edit_answer=lambda answer, name=name: [answer[0], {name: answer[1]["GPU-0"]}],
            edit_overall=lambda claims, name=name: (
                claims | {"submods": {name: claims["submods"]["GPU-0"]}}
            ),
        )
        assert refusal(edited.judge).reason is Reason.TOKEN_INVALID


@pytest.mark.parametrize("token", [None, 1, {}, ["a.b.c"], "", "a.b.c", "\ud800", "\u00e9"])
def test_devices_tokens_that_are_none(token: object) -> None:
    """The overall token names the digest of just this."""
    named = digest(token) if isinstance(token, str) and token.isascii() else digest("")
    edited = GOOD.edited(
        edit_answer=lambda answer: [answer[0], {"GPU-0": token}],
        edit_overall=lambda claims: claims | {"submods": {"GPU-0": named}},
    )
    assert refusal(edited.judge).reason is Reason.TOKEN_INVALID


def test_a_device_that_no_token_is_about() -> None:
    first, second = lab.two_gpus().devices
    hearing = TWO.but(answers=Hearing(nvidia=lab.one_gpu()).said, present=(second,))
    error = refusal(hearing.judge)
    assert (error.reason, error.detail) == (
        Reason.TOKEN_INVALID,
        "no token is about device 0",
    )
    assert first.serial == lab.one_gpu().devices[0].serial


def test_an_expired_key_of_the_service() -> None:
    """Two days after it was certified, whatever the token says."""
    later = int((NOW + timedelta(days=3)).timestamp())

    def of_later(claims: Claims) -> Claims:
        return claims | {"iat": later, "nbf": later, "exp": later + 3600}

    edited = GOOD.but(at=NOW + timedelta(days=3)).edited(
        edit_device=of_later, edit_overall=of_later
    )
    assert refusal(edited.judge).reason is Reason.CERTIFICATE_EXPIRED


def test_keys_rotate() -> None:
    """A token of the key before the last one counts as long as the key is in the set."""
    service = GOOD.service
    said = (service.attest("gpu", lab.request(list(GOOD.devices), NONCE)),)
    for _ in range(2):
        service.rotate()
        text = service.jwks()
        assert GOOD.but(answers=said, jwks=lambda _, text=text: text).judge()
    service.rotate()
    text = service.jwks()
    error = refusal(GOOD.but(answers=said, jwks=lambda _: text).judge)
    assert error.reason is Reason.TOKEN_KEY_UNKNOWN


PPCIE = "nras-hgx-h100x8-ppcie-token"
REAL = [
    (PPCIE, "nras_response.json", f"{PPCIE}/jwks.json"),
    ("nras-h200-unknown-kid", "nras_response.json", "nras-h200-unknown-kid/jwks.json"),
    ("local-token-alg-none", "gpu_attestation_h100.json", None),
]


@pytest.mark.parametrize(("folder", "file", "jwks"), REAL)
def test_the_expected_verdict_on_real_tokens(folder: str, file: str, jwks: str | None) -> None:
    expected = json.loads(vectors.document(f"{folder}/expected.json"))
    if expected["expect"]["code"] is not None:
        error = refusal(lambda: lab.real(folder, file, jwks))
        verdict = (error.reason.verdict, error.reason)
        assert verdict == (expected["expect"]["verdict"], expected["expect"]["code"])
        return
    assert expected["expect"]["verdict"] == "verified"
    told = [
        (str(one.ueid), one.hwmodel, one.driver_version, one.vbios_version, one.nonce.hex())
        for one in lab.real(folder, file, jwks)
    ]
    names = ("ueid", "hwmodel", "x-nvidia-gpu-driver-version", "x-nvidia-gpu-vbios-version")
    devices = [tuple(one[name] for name in (*names, "eat_nonce")) for one in expected["tokens"][2:]]
    assert len(told) == 8
    assert sorted(told) == sorted(devices)


def test_a_real_answer_is_about_its_own_devices() -> None:
    """Genuine, of its moment, to this nonce, and yet about eight GPUs that are not here."""
    vector = vectors.load("h100-550.90.07")
    device = authenticate(vector.devices[0], builtin(), vector.nonce, vector.at)
    expected = json.loads(vectors.document(f"{PPCIE}/expected.json"))
    nonce, at = bytes.fromhex(expected["nonce"]), datetime.fromisoformat(expected["at"])
    answers = find_answers(vectors.document(f"{PPCIE}/nras_response.json"))
    roots = builtin().nvidia
    assert roots is not None
    issuer = TokenIssuer(roots.nras_issuer, vectors.document(f"{PPCIE}/jwks.json"), roots.nras)
    assert len(verify_tokens(answers, issuer, None, nonce, at)) == 8
    for devices in ([device], [device] * 8):
        error = refusal(partial(verify_tokens, answers, issuer, devices, nonce, at))
        assert error.reason is Reason.TOKEN_INVALID
