# SPDX-License-Identifier: Apache-2.0
"""Requests made of arbitrary bytes: whatever stands where, the answer is one of ours, and never an alarm."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

from ca.http.routes import ROUTES, On
from ca.tokens import Scope

if TYPE_CHECKING:
    from tests.service_lab import Service

PIECES = (
    *(bytes([octet]) for octet in range(256)),
    *(
        b"%00",
        b"%ff",
        b"%2f",
        b"..",
        b"%c3%28",
        b"{",
        b"\xc3\xa9",
        b"A" * 500,
        b"=",
        b"&",
        b"1" * 30,
    ),
    *(b"charset=\xff", b"gzip", b"bearer ", b"attestca_", b"-1", b"0x1", b"null", b"true", b"[]"),
)
NAMES = (
    *(b"Authorization", b"Content-Type", b"X-Forwarded-For", b"Content-Encoding", b"Expect"),
    *(b"Accept", b"Cookie", b"Range", b"If-None-Match", b"Origin", b"Upgrade", b"Connection"),
)
ROUNDS = 400


def _text(chance: random.Random, most: int = 6) -> bytes:
    return b"".join(chance.choices(PIECES, k=chance.randint(0, most)))


def _target(chance: random.Random, path: str) -> bytes:
    """A route's template whose parameters, and query, are anything."""
    for name in ("serial", "issuer_key_id", "day", "request", "tile", "name", "version"):
        filled = _text(chance, 3).decode("latin-1")
        path = path.replace(f"{{{name}}}", filled or "1")
    query = b"&".join(
        chance.choice((b"limit", b"after", b"san", b"valid_at", b"kind", _text(chance)))
        + b"="
        + _text(chance)
        for _ in range(chance.randint(0, 2))
    )
    return path.encode("latin-1") + (b"?" + query if query else b"")


def _request(chance: random.Random, method: str, path: str, token: str) -> bytes:
    headers = [b"Host: x", b"Connection: close"]
    if chance.random() < 0.8:
        headers.append(f"Authorization: Bearer {token}".encode())
    headers += [
        chance.choice(NAMES) + b": " + _text(chance).replace(b"\r", b"").replace(b"\n", b"")
        for _ in range(chance.randint(0, 2))
    ]
    body = _text(chance, 30) if method == "POST" else b""
    if method == "POST":
        kind = chance.choice((b"application/json", b"application/yaml"))
        headers += [b"Content-Type: " + kind, b"Content-Length: %d" % len(body)]
    line = method.encode() + b" " + _target(chance, path) + b" HTTP/1.1"
    return b"\r\n".join([line, *headers]) + b"\r\n\r\n" + body


async def _answer(url: str, sent: bytes) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    async with asyncio.timeout(10):
        received = await reader.read()
    writer.close()
    return received


async def test_whatever_is_sent(service_on_both: Service) -> None:
    service = service_on_both
    token = await service.token(*Scope)
    chance = random.Random(20261125)  # noqa: S311 - the same requests in every run
    statuses = set()
    for _ in range(ROUNDS):
        route = chance.choice(ROUTES)
        url = service.public if On.PUBLIC in route.on else service.admin
        received = await _answer(url, _request(chance, route.method, route.path, token))
        head, _, body = received.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        statuses.add(status)
        if status >= 400:
            assert json.loads(body)["status"] == status
    assert {200, 400, 401, 404} <= statuses
    assert not {status for status in statuses if status >= 500}
    for kind in ("unhandled", "internal", "configuration"):
        assert service.count("attestca_alarms_total", kind=kind) == 0
    assert service.signer.asked == 0
