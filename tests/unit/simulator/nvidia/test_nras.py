# SPDX-License-Identifier: Apache-2.0
"""The fake attestation service: what it says is named as in real tokens, signed, honest, and settable.

Signatures are checked by PyJWT.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulator.nvidia.vendor import REVOKED

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.nvidia.vendor import FakeNvidia

    Ask = Callable[..., bytes]
    Claims = Callable[[str], dict[str, Any]]

NONCE = bytes(range(32))
VECTORS = Path(__file__).parents[4].resolve().parent / "shared" / "vectors" / "nvidia"


def answered(nvidia: FakeNvidia, request: bytes, kind: str = "gpu") -> tuple[str, dict[str, str]]:
    """The overall token, and those of the devices."""
    (word, overall), tokens = json.loads(nvidia.nras.attest(kind, request))
    assert word == "JWT"
    return overall, tokens


def real(case: str, name: str) -> tuple[str, dict[str, str]]:
    """The same of a real answer; the part of NVIDIA's service where a tool has wrapped it."""
    path = VECTORS / case / name
    if not path.is_file():
        pytest.skip(f"no real tokens at hand: {path} is not there")
    answer: Any = json.loads(path.read_text())
    if "REMOTE_GPU_CLAIMS" in answer[1]:
        answer = answer[1]["REMOTE_GPU_CLAIMS"]
    return answer[0][1], answer[1]


REAL = {
    ("gpu", "3.0"): ("h100-550.90.07", "nras_v3_token_detached_eat.json"),
    ("gpu", "2.0"): ("nras-hgx-h100x8-ppcie-token", "nras_response.json"),
    ("switch", "3.0"): ("ls10-96.10.55.00.01", "nras_staging_token_detached_eat.json"),
}


@pytest.mark.parametrize(("kind", "version"), REAL)
def test_claims_are_named_as_in_real_tokens(
    nvidia: FakeNvidia, ask: Ask, claims: Claims, kind: str, version: str
) -> None:
    real_overall, real_tokens = real(*REAL[kind, version])
    device = nvidia.gpu() if kind == "gpu" else nvidia.switch()
    overall, tokens = answered(nvidia, ask(NONCE, device, claims_version=version), kind)
    assert shape(claims(overall) | {"submods": {}}) == shape(claims(real_overall) | {"submods": {}})
    first = f"{kind.upper()}-0"
    assert shape(claims(tokens[first])) == shape(claims(real_tokens[first]))


def shape(claims: dict[str, Any]) -> dict[str, Any]:
    """Names, with the value of what is true, false or null, and the type of the rest."""
    return {
        name: shape(value)
        if isinstance(value, dict)
        else value
        if isinstance(value, bool | None)
        else type(value)
        for name, value in claims.items()
    }


def test_tokens_are_signed_by_a_key_of_the_set(nvidia: FakeNvidia, ask: Ask) -> None:
    overall, tokens = answered(nvidia, ask(NONCE, nvidia.gpu(), nvidia.gpu()))
    keys = {one["kid"]: one for one in json.loads(nvidia.nras.jwks())["keys"]}
    for token in (overall, *tokens.values()):
        key = jwt.PyJWK(keys[jwt.get_unverified_header(token)["kid"]]).key
        said = jwt.decode(
            token, key, algorithms=["ES384"], options={"verify_exp": False, "verify_nbf": False}
        )
        assert (said["iss"], said["eat_nonce"]) == (nvidia.nras.issuer, NONCE.hex())
    listed = said_of(overall)["submods"]
    assert listed == {
        name: ["DIGEST", ["SHA-256", hashlib.sha256(token.encode()).hexdigest()]]
        for name, token in tokens.items()
    }


def test_keys_are_certified_by_the_pinned_intermediate(nvidia: FakeNvidia) -> None:
    (key,) = json.loads(nvidia.nras.jwks())["keys"]
    leaf, issuer = (x509.load_der_x509_certificate(base64.b64decode(one)) for one in key["x5c"])
    leaf.verify_directly_issued_by(issuer)
    spki = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert (hashlib.sha256(spki).digest(),) == nvidia.nras_pins
    assert leaf.public_key() == jwt.PyJWK(key).key


def test_keys_rotate(nvidia: FakeNvidia) -> None:
    first = nvidia.nras.signer
    assert nvidia.nras.signer is first
    nvidia.clock = lambda: nvidia.now + timedelta(hours=25)
    second = nvidia.nras.signer
    third, fourth = nvidia.nras.rotate(), nvidia.nras.rotate()
    listed = [one["kid"] for one in json.loads(nvidia.nras.jwks())["keys"]]
    assert listed == [second.kid, third.kid, fourth.kid]
    assert len({first.kid, *listed}) == 4


def said_of(token: str) -> dict[str, Any]:
    said: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return said


def test_faults_of_evidence_are_signed_refusals(nvidia: FakeNvidia, ask: Ask) -> None:
    gpu, other = nvidia.gpu(), nvidia.gpu()
    right = json.loads(ask(NONCE, gpu, other))
    codes = {}
    for name, change in {
        "nonce": {"evidence": encoded(gpu.report(bytes(32)))},
        "signature": {"evidence": encoded(gpu.report(NONCE)[:-1] + b"\0")},
        "chain": {"certificate": encoded(gpu.chain + b"\n")},
        "another's": {"certificate": encoded(other.chain)},
    }.items():
        listed = [right["evidence_list"][0] | change, right["evidence_list"][1]]
        overall, tokens = answered(nvidia, json.dumps(right | {"evidence_list": listed}).encode())
        assert said_of(overall)["x-nvidia-overall-att-result"] is False
        assert said_of(tokens["GPU-1"])["measres"] == "success"
        said = said_of(tokens["GPU-0"])
        assert "measres" not in said
        codes[name] = said["x-nvidia-error-details"]["code"]
    assert codes == {"nonce": 4010, "signature": 4013, "chain": 4007, "another's": 4013}


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_faults_that_are_claims(nvidia: FakeNvidia, ask: Ask) -> None:
    gpu = nvidia.gpu()
    prefix = "x-nvidia-gpu"

    def said(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        overall, tokens = answered(nvidia, ask(NONCE, gpu, **members))
        assert said_of(overall)["x-nvidia-overall-att-result"] is False
        return said_of(tokens["GPU-0"])

    assert said(arch="BLACKWELL")[f"{prefix}-arch-check"] is False
    right, blocks = gpu.written, gpu.written.blocks
    gpu.written = right.but(blocks=(replace(blocks[0], value=bytes(48)), *blocks[1:]))
    found = said()
    assert (found["measres"], found["secboot"]) == ("fail", None)
    assert found["x-nvidia-mismatch-measurement-records"][0]["index"] == 0
    gpu.written = right.having({20: b"x" * 48})
    assert said()[f"{prefix}-attestation-report-cert-chain-fwid-match"] is False
    gpu.written = right
    nvidia.status(nvidia.signers["GH100"][0], REVOKED)
    chain = said()[f"{prefix}-driver-rim-cert-chain"]
    assert (chain["x-nvidia-cert-ocsp-status"], chain["x-nvidia-cert-revocation-reason"]) == (
        "revoked",
        "keyCompromise",
    )
    assert said(claims_version="2.0")[f"{prefix}-driver-rim-cert-validated"] is False
    nvidia.changed.clear()
    del nvidia.manifests[gpu.rim_ids[1]]
    assert said()[f"{prefix}-vbios-rim-fetched"] is False


def test_every_lever(nvidia: FakeNvidia, ask: Ask) -> None:
    nras = nvidia.nras
    nras.header, nras.issuer, nras.claims_version = {"alg": "none"}, "https://other.test", "2.0"
    nras.edit_device = lambda said: said | {"measres": "x"}
    nras.edit_overall = lambda said: said | {"submods": {}}
    nras.edit_answer = lambda answer: [*answer, "more"]
    nras.edit_jwks = lambda keys: {**keys, "keys": []}
    answer = json.loads(nras.attest("gpu", ask(NONCE, nvidia.gpu())))
    overall, token = answer[0][1], answer[1]["GPU-0"]
    assert answer[2] == "more"
    assert jwt.get_unverified_header(token)["alg"] == "none"
    assert (said_of(token)["measres"], said_of(token)["iss"]) == ("x", "https://other.test")
    assert (said_of(overall)["submods"], said_of(overall)["x-nvidia-ver"]) == ({}, "2.0")
    assert json.loads(nras.jwks()) == {"keys": []}
    nras.write = lambda *_: "no token"
    assert answered_text(nvidia, ask(NONCE, nvidia.gpu())) == "no token"


def answered_text(nvidia: FakeNvidia, request: bytes) -> str:
    text: str = json.loads(nvidia.nras.attest("gpu", request))[0][1]
    return text


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"nonce": "00"}, "must be"),
        ({"nonce": "zz"}, "hexadecimal"),
        ({"evidence_list": []}, "must be"),
        ({"evidence_list": [{}]}, "no request"),
        ({"evidence_list": 1}, "no request"),
        ({"evidence_list": [{"evidence": "?", "certificate": ""}]}, "no request"),
        ({"arch": None}, "no request"),
        ({"claims_version": "4.0"}, "must be"),
    ],
)
def test_what_is_no_request(
    nvidia: FakeNvidia, ask: Ask, members: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        nvidia.nras.attest("gpu", ask(NONCE, nvidia.gpu(), **members))


def test_a_switch_is_no_gpu(nvidia: FakeNvidia, ask: Ask) -> None:
    with pytest.raises(ValueError, match="is no gpu"):
        nvidia.nras.attest("gpu", ask(NONCE, nvidia.switch()))
