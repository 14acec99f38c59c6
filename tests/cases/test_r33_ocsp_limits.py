# SPDX-License-Identifier: Apache-2.0
"""R-33, R-34: what anybody may ask the OCSP responder is bounded before it costs a signature or a query.

Signatures and transactions are counted, memory is measured by tracemalloc; nothing depends on how fast the machine is.
"""

from __future__ import annotations

import asyncio
import base64
import io
import tracemalloc
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ca.errors import RequestRefused
from ca.issuance import tbs
from ca.issuance.ocsp_question import MAX_CERTIFICATES, MAX_NONCE_BYTES, MAX_REQUEST_BYTES, parse
from tests import ocsp_lab
from tests.authority_lab import make_lab
from tests.service_lab import GENEROUS, leaf_of, open_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.service_lab import Reply, Service

KIB = 1024
LAB = make_lab()
ONE = ocsp_lab.cert_id(LAB.issuer.certificate, 5)
UNKNOWN = "1.3.6.1.4.1.32473.99"
TYPED = {"Content-Type": "application/ocsp-request"}


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    async with open_service(sqlite_url) as running:
        yield running


@pytest.fixture
def work(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one word with every signature that is made and every question to the database."""
    done: list[str] = []
    sign, statuses = tbs.sign, service.store.statuses

    def signed(*arguments: Any) -> bytes:  # noqa: ANN401 - passed on
        done.append("signature")
        return sign(*arguments)

    async def asked(*arguments: Any) -> object:  # noqa: ANN401 - passed on
        done.append("query")
        return await statuses(*arguments)

    monkeypatch.setattr(tbs, "sign", signed)
    monkeypatch.setattr(service.store, "statuses", asked)
    return done


async def post(service: Service, der: bytes) -> Reply:
    url = f"{service.public}/v1/ocsp"
    return await service.send("POST", url, data=io.BytesIO(der), headers=TYPED)


def _nested(size: int) -> bytes:
    """SEQUENCE in SEQUENCE, as deep as `size` bytes allow."""
    der = b""
    while len(der) < size - 4:
        length = len(der)
        short = bytes([length]) if length < 128 else bytes([0x82, length >> 8, length & 0xFF])
        der = b"\x30" + short + der
    return der


HOSTILE = {
    "too large": ocsp_lab.request(ONE) + bytes(MAX_REQUEST_BYTES),
    "far too large": bytes(4 << 20),
    "too many": ocsp_lab.request(*[ONE] * (MAX_CERTIFICATES + 1)),
    "as many as fit": ocsp_lab.request(*[ONE] * 50),
    "none": ocsp_lab.request(),
    "deep": _nested(MAX_REQUEST_BYTES),
    "indefinite": b"\x30\x80" * (MAX_REQUEST_BYTES // 2),
    "a length of lengths": b"\x30\xff" + b"\xff" * 127,
    "a length beyond memory": b"\x30\x88" + b"\x7f" * 8,
    "extensions": ocsp_lab.request(
        ONE, extensions=[ocsp_lab.extension(UNKNOWN, b"")] * (MAX_REQUEST_BYTES // 20)
    ),
    "a long nonce": ocsp_lab.request(ONE, extensions=[ocsp_lab.nonce(bytes(MAX_NONCE_BYTES + 1))]),
    "a message as a serial number": ocsp_lab.request(
        ocsp_lab.cert_id(LAB.issuer.certificate, int.from_bytes(b"x" * 3500, "big"))
    ),
    "no nonce in its extension": ocsp_lab.request(ONE, extensions=[ocsp_lab.nonce(b"")]),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_is_refused_costs_no_signature_and_no_query(
    service: Service, work: list[str], name: str
) -> None:
    reply = await post(service, HOSTILE[name])
    assert reply.status == 200
    assert ocsp_lab.status_of(reply.body) == "malformed_request"
    assert len(reply.body) == 5
    assert work == []


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_refused_costs_little_memory(name: str) -> None:
    der = HOSTILE[name]
    tracemalloc.start()
    try:
        with pytest.raises(RequestRefused):
            parse(der)
        assert tracemalloc.get_traced_memory()[1] < 256 * KIB
    finally:
        tracemalloc.stop()


async def test_certificates_of_others_cost_no_signature_and_no_query(
    service: Service, work: list[str]
) -> None:
    reply = await post(service, ocsp_lab.request(*[ONE] * MAX_CERTIFICATES))
    assert ocsp_lab.status_of(reply.body) == "unauthorized"
    assert work == []


@pytest.mark.parametrize(
    "serials",
    [[1], list(range(1, MAX_CERTIFICATES + 1))],
    ids=["one", "all"],
)
async def test_a_question_costs_one_of_each_however_many_certificates_it_is_about(
    service: Service, work: list[str], serials: list[int]
) -> None:
    ids = [ocsp_lab.cert_id(service.lab.issuer.certificate, serial) for serial in serials]
    reply = await post(service, ocsp_lab.request(*ids))
    assert [one.status for one in ocsp_lab.said(reply.body)] == ["unknown"] * len(serials)
    assert work == ["query", "signature"]


async def test_a_declared_length_is_enough_to_be_refused(service: Service) -> None:
    """The answer comes although not one byte of the body was sent."""
    host, port = service.public.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/ocsp HTTP/1.1\r\nHost: x\r\nContent-Type: application/ocsp-request\r\n"
        b"Content-Length: 99999999999\r\n\r\n"
    )
    answer = await asyncio.wait_for(reader.read(), 5)  # to its end: the connection is closed
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert ocsp_lab.status_of(answer.partition(b"\r\n\r\n")[2]) == "malformed_request"
    writer.close()


async def test_a_path_as_long_as_a_line_may_be(service: Service, work: list[str]) -> None:
    for size in (MAX_REQUEST_BYTES + 1, 6000):
        text = base64.b64encode(bytes(size)).decode()
        reply = await service.get(f"/v1/ocsp/{text}")
        assert ocsp_lab.status_of(reply.body) == "malformed_request"
    assert (await service.get("/v1/ocsp/" + "A" * 100_000)).status == 400
    assert work == []


async def test_asking_takes_from_the_callers_bucket(sqlite_url: str) -> None:
    limits = replace(GENEROUS, requests_per_minute=1, burst=2)
    async with open_service(sqlite_url, limits=limits, accepting=False) as service:
        statuses = [(await post(service, b"")).status for _ in range(3)]
        statuses.append((await service.get("/v1/ocsp/MAA=")).status)
        assert statuses == [200, 200, 429, 429]


async def test_a_full_queue_of_enrollments_keeps_nobody_from_asking(service: Service) -> None:
    """And the other way round: questions use neither the queue nor the issuing key."""
    serial = leaf_of(await service.enrolled()).serial_number
    admission, signed = service.doors.state.admission, service.signer.asked
    async with AsyncExitStack() as stack:
        for _ in range(service.limits.workers):
            await stack.enter_async_context(admission.place())
        about = ocsp_lab.cert_id(service.lab.issuer.certificate, serial)
        replies = await asyncio.gather(*(post(service, ocsp_lab.request(about)) for _ in range(20)))
        assert {ocsp_lab.said(reply.body)[0].status for reply in replies} == {"good"}
        assert (admission.under_way, admission.waiting) == (service.limits.workers, 0)
    assert service.signer.asked == signed
