# SPDX-License-Identifier: Apache-2.0
"""Below the applications: bytes that are no request, Expect, pipelines, and clients that leave."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from ca.http import export, runner, wire
from ca.ports import CertificateQuery
from ca.tokens import Scope
from tests.vendor_lab import until

if TYPE_CHECKING:
    from ca.ports import CertificateRecord
    from tests.service_lab import Service

CANARY = "words-of-a-client"
NOT_HTTP = (
    f"GET /v1/nonce HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {CANARY}\r\n\r\n",
    f"GET /v1/nonce?{CANARY} HTTP/9.9\r\nHost: x\r\n\r\n",
    f"{CANARY}\r\n\r\n",
    f"GET /v1/nonce HTTP/1.1\r\nHost: x\r\nA: {CANARY * 1000}\r\n\r\n",
    f"GET http://[{CANARY} HTTP/1.1\r\nHost: x\r\n\r\n",
    f"POST /v1/enrollments HTTP/1.1\r\nHost: x\r\nContent-Length: {CANARY}\r\n\r\n",
    "POST /v1/enrollments HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
)


async def _exchange(url: str, sent: bytes) -> tuple[bytes, bytes]:
    """Head and body of the first answer to raw bytes, read until the server closes or the body is whole."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = (
            int(line.split(b":")[1])
            for line in head.splitlines()
            if line.lower().startswith(b"content-length")
        )
        body = await reader.readexactly(length)
    writer.close()
    return head, body


@pytest.mark.parametrize("sent", NOT_HTTP)
async def test_bytes_that_are_no_request(
    service: Service, sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    head, body = await _exchange(service.public, sent.encode())
    assert b" 400 " in head.splitlines()[0]
    assert json.loads(body)["code"] == "malformed"
    assert b"Server: attestca" in head
    assert CANARY.encode() not in head + body
    assert CANARY not in caplog.text
    assert any("unreadable" in record.message for record in caplog.records)
    assert (await service.get("/healthz")).status == 200


async def test_a_client_that_asks_before_it_sends_its_body(service: Service) -> None:
    body = service.request(await service.nonce())
    head = (
        "POST /v1/enrollments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    host, port = service.public.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode())
    async with asyncio.timeout(5):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert b" 201 " in await reader.readuntil(b"\r\n")
    writer.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Content-Type: application/json\r\nContent-Length: 99999999", 413),
        ("Content-Type: text/plain\r\nContent-Length: 10", 415),
    ],
)
async def test_what_is_refused_anyway_is_not_asked_for(
    service: Service, headers: str, status: int
) -> None:
    sent = f"POST /v1/enrollments HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n{headers}\r\n\r\n"
    head, _ = await _exchange(service.public, sent.encode())
    assert f" {status} ".encode() in head.splitlines()[0], "no 100 before it"


async def test_other_expectations(service: Service) -> None:
    reply = await service.post(b"{}", Expect=CANARY)
    assert (reply.status, reply.code) == (417, "expectation")
    assert CANARY.encode() not in reply.body


async def test_many_requests_on_one_connection(service: Service) -> None:
    sent = b"GET /v1/nonce HTTP/1.1\r\nHost: x\r\n\r\n" * 20
    host, port = service.public.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    async with asyncio.timeout(5):
        for _ in range(20):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
    writer.close()


async def test_a_client_that_leaves_does_not_end_what_it_began(service: Service) -> None:
    body = service.request(await service.nonce())
    head = (
        "POST /v1/enrollments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    host, port = service.public.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + body)
    await writer.drain()
    await until(lambda: service.doors.state.admission.under_way == 1)
    writer.transport.abort()
    await until(lambda: service.doors.state.admission.under_way == 0)
    (record,) = await service.store.certificates(CertificateQuery())
    assert record.der is not None
    again = await service.post(body)
    assert (again.status, again.json()["serial"]) == (200, f"{record.serial:x}")


HALVES = (
    ("Content-Length: 100", b"{"),
    ("Transfer-Encoding: chunked", b"1\r\n{\r\nno length\r\n"),
    ("Transfer-Encoding: chunked", b"5\r\n{"),
)


async def _half_a_body(
    service: Service, header: str, half: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An enrollment of which the service has begun to read the body."""
    host, port = service.public.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "POST /v1/enrollments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Expect: 100-continue\r\n{header}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.write(half)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize(("header", "half"), HALVES)
async def test_half_a_body_is_waited_for_and_then_refused(
    service: Service, header: str, half: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "BODY_SECONDS", 0.1)
    reader, writer = await _half_a_body(service, header, half)
    async with asyncio.timeout(5):
        assert b" 408 " in await reader.readuntil(b"\r\n")
    writer.close()


@pytest.mark.parametrize(("header", "half"), HALVES)
async def test_leaving_within_a_body_is_no_alarm(
    service: Service, header: str, half: bytes
) -> None:
    for leave in (asyncio.StreamWriter.close, lambda writer: writer.transport.abort()):
        _, writer = await _half_a_body(service, header, half)
        leave(writer)
    await until(lambda: service.count("attestca_refusals_total", code="client-left") == 2)
    assert service.count("attestca_alarms_total", kind="unhandled") == 0
    assert service.count("attestca_enrollments_total", outcome="refused") == 2


async def test_leaving_within_an_answer_is_no_alarm(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 1)
    token = await service.token(Scope.CERTIFICATES_READ)
    for _ in range(3):
        await service.enrolled()
    gone, certificates = asyncio.Event(), service.store.certificates

    async def wait_after_the_first(query: CertificateQuery) -> tuple[CertificateRecord, ...]:
        if query.after is not None:
            await gone.wait()
        return await certificates(query)

    monkeypatch.setattr(service.store, "certificates", wait_after_the_first)
    host, port = service.admin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    path, bearer = "/v1/admin/certificates/export", f"Authorization: Bearer {token}"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{bearer}\r\n\r\n".encode())
    async with asyncio.timeout(5):
        await reader.readuntil(b"serial")
    writer.transport.abort()
    await asyncio.sleep(0.05)
    gone.set()
    await until(lambda: service.count("attestca_refusals_total", code="client-left") == 1)
    assert service.count("attestca_alarms_total", kind="unhandled") == 0


async def _raise(_: web.Request) -> web.Response:
    raise ValueError(CANARY)


async def _begin_and_raise(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"a part")
    raise ValueError(CANARY)


async def test_faults_outside_of_our_applications(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """An application without our middleware, as if that itself had failed."""
    caplog.set_level(logging.DEBUG)
    bare = web.Application()
    bare.router.add_get("/at-once", _raise)
    bare.router.add_get("/late", _begin_and_raise)
    url = await service.listen(bare)
    reply = await service.send("GET", url + "/at-once")
    assert (reply.status, reply.code) == (500, "internal")
    assert CANARY.encode() not in reply.body
    with pytest.raises(aiohttp.ClientError):
        await service.send("GET", url + "/late")
    assert CANARY not in caplog.text
    assert "ValueError" in caplog.text


def test_the_librarys_log_names_a_fault_by_its_type(caplog: pytest.LogCaptureFixture) -> None:
    runner(web.Application())
    log = logging.getLogger("attestca.http.server")
    log.error("Unhandled exception", exc_info=ValueError(CANARY))
    log.warning("without one")
    assert CANARY not in caplog.text
    assert [record.getMessage() for record in caplog.records] == [
        "Unhandled exception: ValueError",
        "without one",
    ]
