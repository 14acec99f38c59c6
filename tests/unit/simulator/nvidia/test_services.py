# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's services over HTTP: paths, statuses, what is counted, and faults."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.hashes import SHA1, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import OCSPNonce, ocsp

from simulator.nvidia.rims import document
from simulator.nvidia.services import JWKS, RIM, Fault, NvidiaServices, running
from simulator.nvidia.vendor import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from simulator.nvidia.certificates import Party
    from simulator.nvidia.vendor import FakeNvidia

NONCE = bytes(range(32))
REQUEST = {"Content-Type": "application/ocsp-request"}


@pytest.fixture
async def services(nvidia: FakeNvidia) -> AsyncIterator[NvidiaServices]:
    async with running(nvidia) as made:
        yield made


@pytest.fixture
async def http(services: NvidiaServices) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(services.base_url, timeout=timeout) as session:
        yield session


def question(about: Party, issuer: Party, nonce: bytes | None = None) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        about.certificate, issuer.certificate, SHA384()
    )
    if nonce is not None:
        builder = builder.add_extension(OCSPNonce(nonce), critical=False)
    return der(builder.build())


def der(request: ocsp.OCSPRequest) -> bytes:
    return request.public_bytes(Encoding.DER)


async def test_manifests(
    nvidia: FakeNvidia, services: NvidiaServices, http: aiohttp.ClientSession
) -> None:
    driver, vbios = nvidia.gpu().rim_ids
    async with http.get(f"/v1/rim/{driver}") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        said = await response.json()
    assert (said["id"], base64.b64decode(said["rim"])) == (
        driver,
        document(nvidia.manifests[driver]),
    )
    del nvidia.manifests[vbios]
    async with http.get(f"/v1/rim/{vbios}") as response:
        assert response.status == 404
    assert services.requests == [f"GET /v1/rim/{driver}", f"GET /v1/rim/{vbios}"]


async def test_ocsp_by_post_and_get(
    nvidia: FakeNvidia, services: NvidiaServices, http: aiohttp.ClientSession
) -> None:
    gpu = nvidia.gpu()
    nvidia.status(gpu.device.parties[2], UNKNOWN)
    seen = []
    for about, issuer in nvidia.issued():
        asked = question(about, issuer)
        async with http.post("/", data=asked, headers=REQUEST) as response:
            assert (response.status, response.content_type) == (200, "application/ocsp-response")
            posted = await response.read()
        async with http.get(f"/{base64.b64encode(asked).decode()}") as response:
            assert await response.read() == posted
        answer = ocsp.load_der_ocsp_response(posted)
        assert answer.serial_number == about.certificate.serial_number
        seen.append(answer.certificate_status.name)
    assert seen.count("UNKNOWN") == 1
    assert seen.count("GOOD") == 6
    assert len(services.bodies) == 7


async def test_what_ocsp_does_not_answer(nvidia: FakeNvidia, http: aiohttp.ClientSession) -> None:
    gpu, family = nvidia.gpu(), nvidia.signers
    leaf, _, *_, root = gpu.device.parties
    statuses = []
    for body in (b"no request", question(root, root), question(leaf, family["GH100"][0])):
        async with http.post("/", data=body, headers=REQUEST) as response:
            answer = ocsp.load_der_ocsp_response(await response.read())
        statuses.append(answer.response_status.name)
    assert statuses == ["MALFORMED_REQUEST", "UNAUTHORIZED", "UNAUTHORIZED"]
    async with http.post("/", data=question(leaf, root)) as response:
        assert response.status == 415


async def test_ocsp_repeats_the_nonce_and_the_hash(
    nvidia: FakeNvidia, http: aiohttp.ClientSession
) -> None:
    about, issuer = nvidia.gpu().device.parties[1:3]
    async with http.post("/", data=question(about, issuer, b"n" * 32), headers=REQUEST) as response:
        answer = ocsp.load_der_ocsp_response(await response.read())
    assert [one.value for one in answer.extensions] == [OCSPNonce(b"n" * 32)]
    assert answer.hash_algorithm.name == "sha384"
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        about.certificate,
        issuer.certificate,
        SHA1(),  # noqa: S303 - names a certificate
    )
    async with http.post("/", data=der(builder.build()), headers=REQUEST) as response:
        assert ocsp.load_der_ocsp_response(await response.read()).hash_algorithm.name == "sha1"


@pytest.mark.parametrize("version", ["v3", "v4"])
async def test_attestation(
    nvidia: FakeNvidia,
    http: aiohttp.ClientSession,
    ask: Callable[..., bytes],
    claims: Callable[[str], dict[str, Any]],
    version: str,
) -> None:
    for kind, device in (("gpu", nvidia.gpu()), ("switch", nvidia.switch())):
        async with http.post(f"/{version}/attest/{kind}", data=ask(NONCE, device)) as response:
            assert (response.status, response.content_type) == (200, "application/json")
            (_, overall), tokens = await response.json()
        assert claims(overall)["iss"] == nvidia.nras.issuer
        assert claims(overall)["x-nvidia-overall-att-result"] is True
        assert list(tokens) == [f"{kind.upper()}-0"]
    async with http.post(f"/{version}/attest/gpu", data=b"{}") as response:
        assert response.status == 400
    async with http.get("/.well-known/jwks.json") as response:
        assert await response.json() == json.loads(nvidia.nras.jwks())


async def test_faults(
    nvidia: FakeNvidia, services: NvidiaServices, http: aiohttp.ClientSession
) -> None:
    driver, _ = nvidia.gpu().rim_ids
    services.faults = {RIM: Fault(status=503), JWKS: Fault(body=b"{}")}
    async with http.get(f"/v1/rim/{driver}") as response:
        assert response.status == 503
    async with http.get("/.well-known/jwks.json") as response:
        assert await response.read() == b"{}"
