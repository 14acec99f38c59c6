# SPDX-License-Identifier: Apache-2.0
"""The key distribution service over HTTP: paths, parameters, statuses, throttling and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest
from cryptography import x509

from simulator.kds import FakeKds, Fault, running
from simulator.products import Tcb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.amd import FakeAmd
    from simulator.snp import SnpMachine

GENOA_TCB = "blSPL=10&teeSPL=00&snpSPL=27&ucodeSPL=88"
TURIN_TCB = "fmcSPL=01&blSPL=01&teeSPL=01&snpSPL=04&ucodeSPL=81"


@pytest.fixture
async def kds(amd: FakeAmd) -> AsyncIterator[FakeKds]:
    async with running(amd) as service:
        yield service


@pytest.fixture
async def http(kds: FakeKds) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(kds.base_url, timeout=timeout) as session:
        yield session


@pytest.fixture
def genoa(amd: FakeAmd) -> SnpMachine:
    return amd.machine("Genoa")


async def test_vceks_are_those_that_sign_reports(
    amd: FakeAmd, genoa: SnpMachine, http: aiohttp.ClientSession
) -> None:
    turin = amd.machine("Turin")
    for machine, tcb in ((genoa, GENOA_TCB), (turin, TURIN_TCB)):
        path = f"/vcek/v1/{machine.product.name}/{machine.hwid.hex()}?{tcb}"
        async with http.get(path) as response:
            assert (response.status, response.content_type) == (200, "application/pkix-cert")
            assert await response.read() == machine.vek().der
    older = Tcb(bootloader=9, tee=0, snp=27, microcode=88)
    path = f"/vcek/v1/Genoa/{genoa.hwid.hex()}?{GENOA_TCB.replace('10', '9')}"
    async with http.get(path) as response:
        assert await response.read() == genoa.vek(tcb=older).der != genoa.vek().der


@pytest.mark.parametrize("kind", ["vcek", "vlek"])
async def test_chains_and_lists(amd: FakeAmd, http: aiohttp.ClientSession, kind: str) -> None:
    line = amd.line("Genoa")
    async with http.get(f"/{kind}/v1/Genoa/cert_chain") as response:
        chain = x509.load_pem_x509_certificates(await response.read())
    authorities = [line.issuer(kind).der, line.ark.der]
    assert chain == [x509.load_der_x509_certificate(der) for der in authorities]
    line.crl(kind).revoke(7)
    async with http.get(f"/{kind}/v1/Genoa/crl") as response:
        assert (response.status, response.content_type) == (200, "application/pkix-crl")
        assert await response.read() == line.crl(kind).der
    assert line.vcek_crl.der != line.vlek_crl.der


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/vcek/v1/Genoa/GENOA?{GENOA_TCB}", 200),
        (f"/vcek/v1/genoa/GENOA?{GENOA_TCB}", 404),
        (f"/vcek/v1/Venice/GENOA?{GENOA_TCB}", 404),
        (f"/vcek/v1/Milan/GENOA?{GENOA_TCB}", 404),
        (f"/vcek/v1/Genoa/{'00' * 64}?{GENOA_TCB}", 404),
        (f"/vcek/v1/Genoa/nothex?{GENOA_TCB}", 404),
        ("/vcek/v1/Genoa/GENOA", 400),
        (f"/vcek/v1/Genoa/GENOA?{GENOA_TCB.replace('teeSPL=00&', '')}", 400),
        (f"/vcek/v1/Genoa/GENOA?{GENOA_TCB}&blSPL=10", 400),
        (f"/vcek/v1/Genoa/GENOA?fmcSPL=00&{GENOA_TCB}", 400),
        (f"/vcek/v1/Genoa/GENOA?{GENOA_TCB.replace('88', '256')}", 400),
        (f"/vcek/v1/Genoa/GENOA?{GENOA_TCB.replace('88', '0x58')}", 400),
        (f"/vcek/v1/Turin/TURIN?{TURIN_TCB}", 200),
        (f"/vcek/v1/Turin/TURIN{'00' * 56}?{TURIN_TCB}", 404),
        (f"/vcek/v1/Turin/TURIN?{TURIN_TCB.replace('fmcSPL=01&', '')}", 400),
        (f"/vlek/v1/Genoa/GENOA?{GENOA_TCB}", 404),
        ("/vcek/v1/Venice/crl", 404),
        ("/vcek/v2/Genoa/crl", 404),
        ("/vlek/v1/Venice/cert_chain", 404),
    ],
)
async def test_statuses(
    amd: FakeAmd, genoa: SnpMachine, http: aiohttp.ClientSession, path: str, status: int
) -> None:
    turin = amd.machine("Turin")
    path = path.replace("GENOA", genoa.hwid.hex()).replace("TURIN", turin.hwid.hex())
    async with http.get(path) as response:
        assert response.status == status


async def test_it_throttles(genoa: SnpMachine, kds: FakeKds, http: aiohttp.ClientSession) -> None:
    path = f"/vcek/v1/Genoa/{genoa.hwid.hex()}?{GENOA_TCB}"
    kds.allowance = 1
    seen = []
    for retry_after in (None, None, "600"):
        kds.retry_after = retry_after
        async with http.get(path) as response:
            seen.append((response.status, response.headers.get("Retry-After")))
        async with http.get("/vcek/v1/Genoa/crl") as response:
            assert response.status == 200
    assert seen == [(200, None), (429, None), (429, "600")]


async def test_faults_and_the_record_of_requests(
    genoa: SnpMachine, kds: FakeKds, http: aiohttp.ClientSession
) -> None:
    path = f"/vcek/v1/Genoa/{genoa.hwid.hex()}?{GENOA_TCB}"
    kds.faults["vcek"] = Fault(status=503, headers={"Retry-After": "7"})
    async with http.get(path) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "7")
    kds.faults["crl"] = Fault(body=lambda der: der[:-1])
    async with http.get("/vlek/v1/Genoa/crl") as response:
        assert await response.read() == genoa.line.vlek_crl.der[:-1]
    async with http.get("/elsewhere"):
        pass
    assert kds.requests == [path, "/vlek/v1/Genoa/crl"]
