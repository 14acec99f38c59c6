# SPDX-License-Identifier: Apache-2.0
"""The description is valid, complete and true: held against the real routers and real answers of every route."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from ca.http import admin_application, openapi, public_application
from ca.http.routes import ROUTES, Access, On, Route
from ca.tokens import Scope
from simulator.pcs import TCB_INFO, Fault
from tests import log_lab
from tests.ocsp_lab import cert_id, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from tests.service_lab import Reply, Service

Operation = tuple[str, str]  # method and path template
DOCUMENT = openapi.document()


def test_it_is_openapi() -> None:
    validate(DOCUMENT)


def _described() -> set[Operation]:
    return {
        (method.upper(), path)
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
    }


def _routed(application: web.Application) -> set[Operation]:
    return {
        (route.method, route.resource.canonical)
        for route in application.router.routes()
        if route.resource is not None
    }


async def test_it_has_the_routes_that_there_are(service: Service) -> None:
    public, admin = (make(service.doors) for make in (public_application, admin_application))
    assert _routed(public) | _routed(admin) == _described()
    assert _routed(public) & _routed(admin) == {("GET", "/healthz"), ("GET", "/metrics")}


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [route.name for route in ROUTES]
    assert len(set(names)) == len(names)


def test_tokens_are_named_where_they_are_needed() -> None:
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        needs_token = On.PUBLIC not in route.on
        assert ("security" in operation) == needs_token
        if isinstance(route.access, Scope):
            assert operation["security"] == [{"token": [route.access.value]}]
        else:
            assert (route.access is Access.ANY_TOKEN) == needs_token


def test_every_scope_opens_something() -> None:
    assert {route.access for route in ROUTES if isinstance(route.access, Scope)} == set(Scope)


async def test_it_is_what_is_served(service: Service) -> None:
    reply = await service.get("/openapi.json")
    assert reply.json() == DOCUMENT
    assert reply.headers["Content-Type"].startswith("application/json")


# real answers


def _schema(reference: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**reference, "components": DOCUMENT["components"]})


def _check(reply: Reply, operation: Operation) -> None:
    """The answer is one that the description has: its status, its media type, its schema."""
    method, path = operation
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    described = responses.get(str(reply.status)) or responses["default"]
    media_type = reply.headers["Content-Type"].partition(";")[0]
    schema = described["content"][media_type]["schema"]
    if media_type.endswith("json"):
        _schema(schema).validate(json.loads(reply.body))
    else:
        assert schema == {}


async def _good_answers(service: Service) -> dict[str, list[Reply]]:
    """Each route's name with what it answers when all is well."""
    token = await service.token(*Scope)
    body = service.request(await service.nonce())
    enrolled = [await service.post(body), await service.post(body)]
    serial = enrolled[0].json()["serial"]
    await service.post(service.request(await service.nonce(), rtmr1=bytes(48)))
    await service.post(b"[]")
    key_id = service.lab.issuer.key_id.hex()
    question = request(cert_id(service.lab.issuer.certificate, int(serial, 16)))
    typed = {"Content-Type": "application/ocsp-request"}
    asked = await service.send("POST", f"{service.public}/v1/ocsp", data=question, headers=typed)
    answers: dict[str, list[Reply]] = {"enroll": enrolled, "ask-ocsp": [asked]}
    for name, path in (
        ("nonce", "/v1/nonce"),
        ("chain", "/v1/ca/chain"),
        ("trust", "/v1/trust"),
        ("certificate", f"/v1/certificates/{serial}"),
        ("ear", f"/v1/certificates/{serial}/ear"),
        ("issuing-ca", f"/v1/ca/{key_id}.cer"),
        ("ocsp", f"/v1/ocsp/{base64.b64encode(question).decode()}"),
        ("root-crl", f"/v1/crl/{service.lab.root_key_id.hex()}.crl"),
        ("crl", f"/v1/crl/{key_id}/2026-11-25.crl"),
        ("revocation-feed", "/v1/revocations"),
        ("log-proof", f"/v1/certificates/{serial}/proof"),
        ("staple", f"/v1/status/{serial}"),
        ("crls", "/v1/crls"),
        ("log-checkpoint", "/log/checkpoint"),
        ("log-tile", f"/log/tile/entries/000.p/{await log_lab.sequence(service.store.log)}"),
        ("jwks", "/.well-known/jwks.json"),
        ("ready", "/readyz"),
        ("openapi", "/openapi.json"),
        ("alive", "/healthz"),
        ("metrics", "/metrics"),
    ):
        answers[name] = [await service.get(path)]
    await service.store.log.replace_key(log_lab.sha256_of(log_lab.SECOND))
    size = await log_lab.sequence(service.store.log, log_lab.SECOND)
    answers["later-log-checkpoint"] = [await service.get("/log/2/checkpoint")]
    answers["later-log-tile"] = [await service.get(f"/log/2/tile/0/000.p/{size}")]
    yaml = {"Content-Type": "application/yaml"}
    line = {"kind": "product", "value": "fmspc:00112233aabb"}
    because = line | {"reason": "superseded"}
    for name, method, path, options in (
        ("whoami", "GET", "whoami", {}),
        ("add-policy", "POST", "policies", {"data": service.policy_text("two"), "headers": yaml}),
        ("retire-policy", "POST", "policies/demo/1/retire", {}),
        ("activate-policy", "POST", "policies/two/1/activate", {}),
        ("revoke", "POST", "revocations", {"json": because}),
        ("revoke", "POST", "revocations", {"json": because}),
        ("preview-revocation", "POST", "revocations/preview", {"json": line}),
        ("revocations", "GET", "revocations", {}),
        ("policies", "GET", "policies", {}),
        ("policy", "GET", "policies/two/1", {}),
        ("certificates", "GET", "certificates?limit=1", {}),
        ("show-certificate", "GET", f"certificates/{serial}", {}),
        ("export-certificates", "GET", "certificates/export", {}),
        ("export-certificates", "GET", "certificates/export?format=csv", {}),
        ("refusals", "GET", "refusals", {}),
        ("refusals", "GET", "refusals?kind=sampled", {}),
        ("actions", "GET", "actions", {}),
    ):
        reply = await service.operate(token, f"/v1/admin/{path}", method=method, **options)
        answers.setdefault(name, []).append(reply)
    return answers


async def test_good_answers_of_every_route_are_as_described(service: Service) -> None:
    answers = await _good_answers(service)
    assert set(answers) == {route.name for route in ROUTES}
    for route in ROUTES:
        replies = answers[route.name]
        assert {reply.status for reply in replies} == set(route.answers), route.name
        for reply in replies:
            _check(reply, (route.method, route.path))
        contents = {content.media_type.partition(";")[0] for content in _contents(route)}
        assert {r.headers["Content-Type"].partition(";")[0] for r in replies} == contents


def _contents(route: Route) -> Iterator[Any]:
    for contents in route.answers.values():
        yield from contents


async def test_problems_are_as_described(service: Service) -> None:
    enroll = ("POST", "/v1/enrollments")
    service.pcs.faults[TCB_INFO] = Fault(status=500)
    unavailable = await service.post(service.request(await service.nonce()))
    del service.pcs.faults[TCB_INFO]
    service.clock.advance(minutes=20)
    replies = {
        400: await service.post(b"{}"),
        403: await service.post(service.request(await service.nonce(), rtmr1=bytes(48))),
        413: await service.post(b'{"nonce":"%s"}' % (b"A" * 200)),
        415: await service.post(b"{}", **{"Content-Type": "text/plain"}),
        422: await service.post(service.request(await service.nonce(), report_data=bytes(64))),
        503: unavailable,
    }
    for status, reply in replies.items():
        assert reply.status == status, reply.body
        _check(reply, enroll)
    refused = await service.operate("no token", "/v1/admin/actions")
    _check(refused, ("GET", "/v1/admin/actions"))
    missing = await service.get("/v1/certificates/1")
    _check(missing, ("GET", "/v1/certificates/{serial}"))


def test_the_check_fails_for_what_is_not_described() -> None:
    """The test above would notice: an answer with one more member, and one with one less."""
    schema = {"$ref": "#/components/schemas/NonceAnswer"}
    right = {"nonce": "AAAA", "expires_at": "2026-01-01T00:00:00Z", "ca_id": "00" * 32}
    assert _schema(schema).is_valid(right)
    assert not _schema(schema).is_valid(right | {"more": 1})
    assert not _schema(schema).is_valid({k: v for k, v in right.items() if k != "nonce"})


async def test_requests_are_as_described(service: Service) -> None:
    schema = DOCUMENT["paths"]["/v1/enrollments"]["post"]["requestBody"]["content"]
    validator = _schema(schema["application/json"]["schema"])
    body = json.loads(service.request(bytes(64)))
    validator.validate(body)
    for wrong in (body | {"more": 1}, body | {"evidence": []}, body | {"nonce": "!"}):
        assert not validator.is_valid(wrong)


@pytest.mark.parametrize("route", [r for r in ROUTES if "{" in r.path], ids=lambda r: r.name)
def test_path_parameters_are_described(route: Route) -> None:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
    assert named == set(re.findall(r"\{(\w+)\}", route.path))
