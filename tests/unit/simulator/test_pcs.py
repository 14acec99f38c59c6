# SPDX-License-Identifier: Apache-2.0
"""The collateral service over HTTP: paths, headers, statuses, channels and faults."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import unquote

import aiohttp
import pytest

from simulator.pcs import FakePcs, Fault, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.intel import FakeIntel

TCB = "/tdx/certification/v4/tcb"
QE = "/tdx/certification/v4/qe/identity"
CRL = "/sgx/certification/v4/pckcrl"


@pytest.fixture
async def pcs(intel: FakeIntel) -> AsyncIterator[FakePcs]:
    async with running(intel) as service:
        yield service


@pytest.fixture
async def http(pcs: FakePcs) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(pcs.base_url, timeout=timeout) as session:
        yield session


async def test_answers_are_the_bundle(
    intel: FakeIntel, http: aiohttp.ClientSession, pcs: FakePcs
) -> None:
    bundle = intel.bundle()
    for path, key, part, header in (
        (f"{TCB}?fmspc={intel.fmspc}", "tcbInfo", "tcb_info", "TCB-Info-Issuer-Chain"),
        (QE, "enclaveIdentity", "qe_identity", "SGX-Enclave-Identity-Issuer-Chain"),
    ):
        async with http.get(path) as response:
            body = await response.text()
            assert (response.status, response.content_type) == (200, "application/json")
            assert f'"{key}":{bundle[part]},"signature"' in body
            assert json.loads(body)["signature"] == bundle[f"{part}_signature"]
            assert "%0A" in response.headers[header]
            assert unquote(response.headers[header]) == bundle[f"{part}_issuer_chain"]
    for path in ("/IntelSGXRootCA.der", pcs.root_crl_url):
        async with http.get(path) as response:
            assert (await response.read()).hex() == bundle["root_ca_crl"]
    async with http.get("/sgx/certification/v4/rootcacrl") as response:
        assert await response.text() == bundle["root_ca_crl"]


@pytest.mark.parametrize("ca", ["platform", "processor"])
async def test_revocation_lists(intel: FakeIntel, http: aiohttp.ClientSession, ca: str) -> None:
    bundle = intel.bundle(intel.platform(ca=ca))
    async with http.get(f"{CRL}?ca={ca}&encoding=der") as response:
        assert (await response.read()).hex() == bundle["pck_crl"]
        chain = response.headers["SGX-PCK-CRL-Issuer-Chain"]
        assert unquote(chain) == bundle["pck_crl_issuer_chain"]
    async with http.get(f"{CRL}?ca={ca}") as response:
        assert (await response.text()).startswith("-----BEGIN X509 CRL-----\n")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{TCB}?fmspc=00806f050000", 404),
        (f"{TCB}?fmspc=B0C06F000000", 200),
        (f"{TCB}?fmspc=b0c06f", 400),
        (TCB, 400),
        (f"{TCB}?fmspc=b0c06f000000&update=early", 200),
        (f"{TCB}?fmspc=b0c06f000000&update=never", 400),
        (f"{TCB}?fmspc=b0c06f000000&tcbEvaluationDataNumber=20", 200),
        (f"{TCB}?fmspc=b0c06f000000&tcbEvaluationDataNumber=19", 404),
        (f"{TCB}?fmspc=b0c06f000000&update=early&tcbEvaluationDataNumber=20", 400),
        (f"{QE}?update=standard", 200),
        (f"{QE}?tcbEvaluationDataNumber=19", 404),
        (f"{CRL}?ca=root&encoding=der", 400),
        (f"{CRL}?ca=platform&encoding=xml", 400),
        (CRL, 400),
        ("/sgx/certification/v4/unknown", 404),
    ],
)
async def test_statuses(http: aiohttp.ClientSession, path: str, status: int) -> None:
    async with http.get(path) as response:
        assert response.status == status


async def test_channels(intel: FakeIntel, http: aiohttp.ClientSession) -> None:
    intel.start_early()
    for update, number in (("standard", 20), ("early", 21)):
        for path in (f"{TCB}?fmspc={intel.fmspc}&update={update}", f"{QE}?update={update}"):
            async with http.get(path) as response:
                assert f'"tcbEvaluationDataNumber":{number},' in await response.text()


async def test_requests_are_recorded(pcs: FakePcs, http: aiohttp.ClientSession) -> None:
    for path in (f"{QE}?update=early", "/IntelSGXRootCA.der", "/unknown"):
        async with http.get(path):
            pass
    assert pcs.requests == [f"{QE}?update=early", "/IntelSGXRootCA.der"]


async def test_answers_follow_the_vendor(intel: FakeIntel, http: aiohttp.ClientSession) -> None:
    intel.root_crl.revoke(1)
    async with http.get("/IntelSGXRootCA.der") as response:
        assert await response.read() == intel.root_crl.der


async def test_faults(intel: FakeIntel, pcs: FakePcs, http: aiohttp.ClientSession) -> None:
    right = intel.root_crl.der
    for fault, status, body in (
        (Fault(status=503), 503, right),
        (Fault(body=b"junk"), 200, b"junk"),
        (Fault(body=lambda der: der + b"\0"), 200, right + b"\0"),
        (Fault(body=bytes(1 << 20), chunked=True), 200, bytes(1 << 20)),
    ):
        pcs.faults["root_ca_crl"] = fault
        async with http.get("/IntelSGXRootCA.der") as response:
            assert (response.status, await response.read()) == (status, body)
            assert ("Content-Length" in response.headers) != fault.chunked
        async with http.get(QE) as response:
            assert response.status == 200
    pcs.faults.clear()
    async with http.get("/IntelSGXRootCA.der") as response:
        assert await response.read() == right


async def test_redirects(pcs: FakePcs, http: aiohttp.ClientSession) -> None:
    pcs.faults["qe_identity"] = Fault(location="http://127.0.0.1:1/elsewhere")
    async with http.get(QE, allow_redirects=False) as response:
        assert response.status == 302
        assert response.headers["Location"] == "http://127.0.0.1:1/elsewhere"
    pcs.faults["qe_identity"] = Fault(location="/x", status=307)
    async with http.get(QE, allow_redirects=False) as response:
        assert response.status == 307


async def test_headers_are_changed_and_left_out(
    intel: FakeIntel, pcs: FakePcs, http: aiohttp.ClientSession
) -> None:
    name = "TCB-Info-Issuer-Chain"
    path = f"{TCB}?fmspc={intel.fmspc}"
    pcs.faults["tcb_info"] = Fault(headers={name: None, "SGX-TCB-Info-Issuer-Chain": "x"})
    async with http.get(path) as response:
        assert name not in response.headers
        assert response.headers["SGX-TCB-Info-Issuer-Chain"] == "x"


async def test_delays(pcs: FakePcs, http: aiohttp.ClientSession) -> None:
    pcs.faults["pck_crl"] = Fault(delay=30)
    with pytest.raises(TimeoutError):
        await http.get(f"{CRL}?ca=platform", timeout=aiohttp.ClientTimeout(total=0.05))
