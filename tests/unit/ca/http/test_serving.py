# SPDX-License-Identifier: Apache-2.0
"""Below the applications: bytes that are no request, Expect, pipelines, and clients that leave."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest

from ca.ports import CertificateQuery
from tests.vendor_lab import until

if TYPE_CHECKING:
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
