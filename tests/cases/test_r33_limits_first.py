# SPDX-License-Identifier: Apache-2.0
"""R-33: limits on bytes, depth, count, compression and time come before any cryptography, and cost little.

The service under test has no nonce key at all: whatever reaches the first cryptographic step, the check of the nonce,
is answered `nonce-foreign`. Every other code was given before it.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ca.errors import RequestRefused
from ca.http import DoorLimits, wire
from tests.service_lab import GENEROUS, body_of, open_service
from verifiers.evidence import MAX_BYTES, EvidenceKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.service_lab import Replica, Service

LIMITS: DoorLimits = replace(GENEROUS, body_bytes=256 * 1024)
QUOTE = MAX_BYTES[EvidenceKind.TDX_QUOTE]
MEBIBYTE = 1 << 20


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    async with open_service(sqlite_url, limits=LIMITS) as running:
        await running.add_variant(nonce_keys=())
        yield running


@pytest.fixture
def keyless(service: Service) -> Replica:
    return service.replicas[-1]


def _bodies() -> dict[str, tuple[bytes, int, str]]:
    """Every way to be too much, with the answer."""
    nonce, quote = bytes(64), ("tdx-quote", bytes(100))
    device = ("nvidia-device", bytes(100))
    return {
        "body": (b" " * (LIMITS.body_bytes + 1), 413, "too-large"),
        "quote": (body_of(nonce, b"csr", [("tdx-quote", bytes(QUOTE + 1))]), 413, "too-large"),
        "csr": (body_of(nonce, bytes(9000), [quote]), 413, "too-large"),
        "nonce": (body_of(bytes(100), b"csr", [quote]), 413, "too-large"),
        "reports": (body_of(nonce, b"csr", [quote] * 18), 422, "evidence"),
        "devices": (body_of(nonce, b"csr", [device] * 17), 422, "evidence"),
        "pieces": (body_of(nonce, b"csr", [device] * 32), 413, "too-large"),
        "logs": (
            body_of(nonce, b"csr", [quote, ("ccel", bytes(600_000)), ("cel", bytes(600_000))]),
            413,
            "too-large",
        ),
        "depth": (b'{"nonce":' + b"[" * 40 + b"]" * 40 + b"}", 400, "malformed"),
        "unclosed": (b"[" * 100_000, 400, "malformed"),
        "count": (json.dumps(list(range(30_000))).encode(), 400, "malformed"),
        "members": (
            json.dumps({f"k{n}": n for n in range(9_000)}).encode(),
            400,
            "malformed",
        ),
        "unknown": (body_of(nonce, b"csr", [quote], more="x" * 100_000), 400, "malformed"),
    }


@pytest.mark.parametrize("name", sorted(_bodies()))
async def test_too_much_is_refused_before_cryptography(
    service: Service, keyless: Replica, name: str
) -> None:
    body, status, code = _bodies()[name]
    headers = {"Content-Type": "application/json"}
    url = keyless.public + "/v1/enrollments"
    reply = await service.send("POST", url, data=io.BytesIO(body), headers=headers)
    assert (reply.status, reply.code) == (status, code)


async def test_what_is_within_the_limits_gets_to_the_nonce(
    service: Service, keyless: Replica
) -> None:
    """The counter-check: the same service does answer `nonce-foreign` where nothing is too much."""
    body = body_of(bytes(64), bytes(8000), [("tdx-quote", bytes(QUOTE))])
    assert (await service.post(body, to=keyless.public)).code == "nonce-foreign"


async def test_a_declared_length_is_enough_to_be_refused(keyless: Replica) -> None:
    """The answer comes although not one byte of the body was sent."""
    host, port = keyless.public.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/enrollments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 99999999999\r\n\r\n"
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
    assert b" 413 " in head
    writer.close()


async def test_an_undeclared_length_ends_at_the_limit(service: Service, keyless: Replica) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * (64 * 1024)

    reply = await service.send(
        "POST",
        keyless.public + "/v1/enrollments",
        data=endless(),
        headers={"Content-Type": "application/json"},
    )
    assert (reply.status, reply.code) == (413, "too-large")


async def test_nothing_is_decompressed(service: Service, keyless: Replica) -> None:
    bomb = gzip.compress(bytes(50 * MEBIBYTE))
    for encoding in ("gzip", "deflate", "br", "zstd"):
        reply = await service.send(
            "POST",
            keyless.public + "/v1/enrollments",
            data=bomb,
            headers={"Content-Type": "application/json", "Content-Encoding": encoding},
        )
        assert (reply.status, reply.code) == (415, "media-type")


async def test_a_body_that_does_not_come_ends(
    keyless: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "BODY_SECONDS", 0.05)
    host, port = keyless.public.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/enrollments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n{"
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
    assert b" 408 " in head
    writer.close()


async def test_a_body_that_breaks_off(keyless: Replica) -> None:
    host, port = keyless.public.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/enrollments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
    assert b" 400 " in head
    writer.close()


def test_memory_of_a_refusal_does_not_grow_with_what_is_in_it() -> None:
    """The largest body that is read at all costs less than 10 MiB besides itself."""
    worst = (
        b"[" * (4 * MEBIBYTE),
        b"," * (4 * MEBIBYTE),
        b'{"a":' * (4 * MEBIBYTE // 5),
        b'{"nonce":"' + b"A" * (4 * MEBIBYTE) + b'"}',
    )
    for body in worst:
        tracemalloc.start()
        with pytest.raises(RequestRefused):
            wire.decode_enrollment(body)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10 * MEBIBYTE
