# SPDX-License-Identifier: Apache-2.0
"""R-25: every route that can end in a signature is in one registry; it is walked here without authentication."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from ca.http import admin_application, public_application
from ca.http.routes import ROUTES, Access, On
from ca.ports import CertificateQuery
from ca.tokens import Scope
from tests import ocsp_lab
from tests.service_lab import open_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ca.http.routes import Route
    from tests.service_lab import Reply, Service

# A certificate, or what is said of one by a key that can sign nothing else.
SIGNING = {("POST", "/v1/enrollments"), ("GET", "/v1/ocsp/{request}"), ("POST", "/v1/ocsp")}
NO_QUESTION = base64.b64encode(b"\x30\x00").decode()
AUTHORIZATIONS: tuple[dict[str, str], ...] = (
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer attestca_" + "A" * 43},
    {"Authorization": "Basic YWRtaW46YWRtaW4="},
)
BODIES = (
    b"",
    b"{}",
    b"name: x\nversion: 1\n",
    b'{"kind": "product", "value": "Milan", "reason": "superseded"}',
)
# What they are asked about stands in a body, for it may be a hardware id.
CHANGES_NOTHING = {"preview-revocation"}


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    async with open_service(sqlite_url) as running:
        yield running


def _path(service: Service, route: Route) -> str:
    """The template with values that exist."""
    key_id = service.lab.issuer.key_id.hex()
    values = {"serial": "1234", "issuer_key_id": key_id, "day": f"{service.clock():%Y-%m-%d}"}
    return route.path.format(
        **values, name="demo", version=1, request=NO_QUESTION, tile="0/000.p/1", number=2
    )


async def _walk(
    service: Service, headers: dict[str, str], body: bytes
) -> list[tuple[Route, Reply]]:
    """Every route on every listener that has it."""
    replies = []
    for route in ROUTES:
        for flag, base in ((On.PUBLIC, service.public), (On.ADMIN, service.admin)):
            if flag in route.on:
                typed = {"Content-Type": "application/json"} | headers
                url = base + _path(service, route)
                reply = await service.send(route.method, url, data=body, headers=typed)
                replies.append((route, reply))
    return replies


def test_the_registry_names_what_may_sign() -> None:
    assert {(r.method, r.path) for r in ROUTES if r.may_sign} == SIGNING


async def test_there_is_no_route_beside_the_registry(service: Service) -> None:
    registered = {(route.method, route.path) for route in ROUTES}
    for make in (public_application, admin_application):
        for route in make(service.doors).router.routes():
            assert route.resource is not None
            assert (route.method, route.resource.canonical) in registered


def test_every_operators_route_needs_a_token() -> None:
    shared = {route.name for route in ROUTES if route.on is On.BOTH}
    assert shared == {"alive", "metrics"}
    for route in ROUTES:
        if route.on is On.ADMIN:
            assert route.access is not Access.ANYBODY
        if route.method != "GET" and route.on is not On.PUBLIC:
            writes = route.access in {Scope.POLICIES_WRITE, Scope.REVOCATIONS_WRITE}
            assert writes == (route.name not in CHANGES_NOTHING)


async def test_walked_by_nobody_nothing_is_signed_or_changed(service: Service) -> None:
    policies = await service.store.policies()
    for headers in AUTHORIZATIONS:
        for body in BODIES:
            for route, reply in await _walk(service, headers, body):
                if route.on is On.ADMIN:
                    assert (reply.status, reply.code) == (401, "unauthorized"), route.name
                elif route.name == "ocsp":
                    assert ocsp_lab.status_of(reply.body) == "malformed_request"
                elif route.may_sign:
                    assert reply.status in {400, 415}, route.name
    assert service.signer.asked == 0
    assert await service.store.certificates(CertificateQuery()) == ()
    assert await service.store.refusals(1, None) == ()
    assert await service.store.revocations(1, None) == ()
    assert await service.store.policies() == policies


async def test_walked_with_every_scope_only_the_marked_route_signs(service: Service) -> None:
    """Whatever an operator may do, none of it is a signature."""
    token = await service.token(*Scope)
    for body in BODIES:
        await _walk(service, {"Authorization": f"Bearer {token}"}, body)
    assert service.signer.asked == 0
    assert await service.store.certificates(CertificateQuery()) == ()


async def test_every_method_on_every_path(service: Service) -> None:
    """What the registry does not list is answered by nothing."""
    listed = {(route.method, _path(service, route)) for route in ROUTES}
    for route in ROUTES:
        base = service.public if On.PUBLIC in route.on else service.admin
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "GET"):
            path = _path(service, route)
            if (method, path) not in listed:
                reply = await service.send(method, base + path, data=b"{}")
                assert (reply.status, reply.code) == (405, "method-not-allowed")
    assert service.signer.asked == 0
