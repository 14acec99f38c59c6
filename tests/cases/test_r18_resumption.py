# SPDX-License-Identifier: Apache-2.0
"""R-18 (the service): a resumed TLS session, or a connection kept open, skips no check. Nothing is remembered."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from ca.http import admin_application, public_application
from ca.tokens import Scope
from tests.service_lab import open_service
from tests.vendor_lab import make_authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.service_lab import Service

JSON = {"Content-Type": "application/json"}


@dataclass
class Over:
    """A service that speaks TLS with session tickets, and a client that keeps its sessions."""

    service: Service
    public: str
    admin: str
    client: ssl.SSLContext

    def connect(self, url: str, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        port = urlsplit(url).port
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        return self.client.wrap_socket(plain, server_hostname="pcs.test", session=session)


@pytest.fixture
async def over(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Over]:
    authority = make_authority(tmp_path)
    client = ssl.create_default_context(cafile=authority.ca_file)
    client.maximum_version = ssl.TLSVersion.TLSv1_2  # whose sessions are there after the handshake
    async with open_service(sqlite_url) as service:
        doors = service.doors
        public = await service.listen(public_application(doors), authority.server)
        admin = await service.listen(admin_application(doors), authority.server)
        yield Over(service, public, admin, client)


def ask(
    connection: ssl.SSLSocket, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, object]]:
    """One request on an open connection; status and the JSON that came."""
    lines = [f"{method} {path} HTTP/1.1", "Host: pcs.test", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return response.status, json.loads(response.read())


def _nonce(connection: ssl.SSLSocket) -> bytes:
    status, answer = ask(connection, "GET", "/v1/nonce")
    assert status == 200
    return base64.b64decode(str(answer["nonce"]))


async def test_an_attested_session_resumed_gives_nothing(over: Over) -> None:
    await asyncio.to_thread(_attested_then_resumed, over)
    assert over.service.signer.asked == 1


def _attested_then_resumed(over: Over) -> None:
    service = over.service
    with over.connect(over.public) as first:
        body = service.request(_nonce(first))
        status, _ = ask(first, "POST", "/v1/enrollments", body, Content_Type="application/json")
        assert status == 201
        session = first.session
    with over.connect(over.public, session) as resumed:
        assert resumed.session_reused, "or the test shows nothing"
        value = json.loads(body)
        nonce = _nonce(resumed)
        value["nonce"] = base64.b64encode(nonce).decode()
        for wrong, expected in (
            (json.dumps(value).encode(), "binding-mismatch"),  # the evidence of before
            (json.dumps(value | {"evidence": []}).encode(), "malformed"),  # no evidence
            (service.request(base64.b64decode(json.loads(body)["nonce"])), "nonce-used"),
            (service.request(nonce, rtmr0=bytes(48)), "denied"),
        ):
            _, answer = ask(
                resumed, "POST", "/v1/enrollments", wrong, Content_Type="application/json"
            )
            assert answer["code"] == expected


async def test_a_token_counts_for_its_own_request_only(over: Over) -> None:
    token = await over.service.token(Scope.AUDIT_READ)
    await asyncio.to_thread(_operator_then_nobody, over, token)


def _operator_then_nobody(over: Over, token: str) -> None:
    with over.connect(over.admin) as first:
        bearer = f"Bearer {token}"
        assert ask(first, "GET", "/v1/admin/actions", Authorization=bearer)[0] == 200
        assert ask(first, "GET", "/v1/admin/actions")[0] == 401, "the same connection"
        status, answer = ask(first, "GET", "/v1/admin/policies", Authorization=bearer)
        assert (status, answer["code"]) == (403, "scope")
        session = first.session
    with over.connect(over.admin, session) as resumed:
        assert resumed.session_reused
        assert ask(resumed, "GET", "/v1/admin/actions")[0] == 401


async def test_a_revoked_token_ends_at_once_on_an_open_connection(over: Over) -> None:
    token = await over.service.token(Scope.AUDIT_READ)
    connection = await asyncio.to_thread(over.connect, over.admin)
    path, bearer = "/v1/admin/whoami", f"Bearer {token}"

    async def status() -> int:
        return (await asyncio.to_thread(_get, connection, path, bearer))[0]

    assert await status() == 200
    store = over.service.store
    (record,) = await store.tokens()
    (action,) = await store.actions(1, None)
    await store.revoke_token(record.id, action)
    assert await status() == 401
    connection.close()


def _get(connection: ssl.SSLSocket, path: str, bearer: str) -> tuple[int, dict[str, object]]:
    return ask(connection, "GET", path, Authorization=bearer)


async def test_a_client_certificate_is_nobody(over: Over) -> None:
    """The listener does not ask for one, so none can stand for an operator or for evidence."""
    reply = await over.service.send("GET", over.admin + "/v1/admin/whoami", ssl=False)
    assert reply.status == 401
    assert reply.headers["Strict-Transport-Security"].startswith("max-age=")
