# SPDX-License-Identifier: Apache-2.0
"""The operators' API from end to end, with real tokens: policies, certificates, refusals, the log."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from cryptography import x509

from ca.errors import Unavailable
from ca.http import admin_application, export
from ca.http.export import CSV_COLUMNS, neutralised
from ca.tokens import Scope
from tests import records
from tests.authority_lab import NOW
from tests.service_lab import leaf_of, open_service

if TYPE_CHECKING:
    from ca.ports import CertificateQuery, CertificateRecord
    from tests.service_lab import Service

YAML = {"Content-Type": "application/yaml"}
POLICIES = "/v1/admin/policies"
CERTIFICATES = "/v1/admin/certificates"


async def test_a_policy_from_draft_to_retired(database_url: str) -> None:
    async with open_service(database_url, accepting=False) as service:
        token = await service.token(Scope.POLICIES_READ, Scope.POLICIES_WRITE, Scope.AUDIT_READ)
        text = service.policy_text()
        body = service.request(await service.nonce())
        assert (await service.post(body)).code == "denied"

        added = await service.operate(token, POLICIES, method="POST", data=text, headers=YAML)
        assert added.status == 201, added.body
        summary = added.json()
        assert (summary["name"], summary["version"], summary["state"]) == ("demo", 1, "draft")
        assert summary["sha256"] == hashlib.sha256(text.encode()).hexdigest()
        where = added.headers["Location"]
        assert where == f"{POLICIES}/demo/1"

        shown = await service.operate(token, where)
        assert (shown.body, shown.headers["Content-Type"]) == (text.encode(), "application/yaml")
        active = await service.operate(token, where + "/activate", method="POST")
        assert (active.status, active.json()["state"]) == (200, "active")
        assert (await service.post(service.request(await service.nonce()))).status == 201

        retired = await service.operate(token, where + "/retire", method="POST")
        assert retired.json()["state"] == "retired"
        assert (await service.post(service.request(await service.nonce()))).code == "denied"
        listed = (await service.operate(token, POLICIES)).json()["policies"]
        assert [(one["name"], one["version"], one["state"]) for one in listed] == [
            ("demo", 1, "retired")
        ]
        await _expect_actions(
            service,
            token,
            ["policy.add", "policies.read", "policy.activate", "policy.retire", "policies.list"],
        )


async def _expect_actions(service: Service, token: str, expected: list[str]) -> None:
    lines = (await service.operate(token, "/v1/admin/actions")).json()["actions"]
    actor = lines[0]["actor"]
    assert actor.startswith("token:")
    assert [one["action"] for one in lines if one["actor"] == actor][::-1] == [
        *expected,
        "actions.list",
    ]


async def test_json_is_a_policy_too(service: Service) -> None:
    token = await service.token(Scope.POLICIES_WRITE)
    text = json.dumps({"name": "other", "version": 1})
    reply = await service.operate(
        token, POLICIES, method="POST", data=text, headers={"Content-Type": "application/json"}
    )
    assert (reply.status, reply.code) == (422, "policy-invalid")
    assert "match" in reply.json()["detail"], "every fault is told"


@pytest.mark.parametrize(
    ("text", "headers", "status", "code"),
    [
        (b"name: x", {"Content-Type": "text/plain"}, 415, "media-type"),
        (b"name: x", {**YAML, "Content-Encoding": "gzip"}, 415, "media-type"),
        (b"\x00\xff", YAML, 422, "policy-invalid"),
        (io.BytesIO(b"#" * (1 << 20) + b"##"), YAML, 413, "too-large"),
    ],
)
async def test_bodies_that_are_no_policy(
    service: Service, text: object, headers: dict[str, str], status: int, code: str
) -> None:
    token = await service.token(Scope.POLICIES_WRITE)
    reply = await service.operate(token, POLICIES, method="POST", data=text, headers=headers)
    assert (reply.status, reply.code) == (status, code)


async def test_conflicts_are_told(service: Service) -> None:
    token = await service.token(Scope.POLICIES_WRITE)
    same = service.policy_text()
    reply = await service.operate(token, POLICIES, method="POST", data=same, headers=YAML)
    assert (reply.status, reply.code) == (409, "policy-conflict")
    other = service.policy_text("other")
    await service.operate(token, POLICIES, method="POST", data=other, headers=YAML)
    reply = await service.operate(token, f"{POLICIES}/other/1/activate", method="POST")
    assert (reply.status, reply.code) == (409, "policy-conflict")
    assert "demo@1" in reply.json()["detail"]
    refused = [
        action for action in await service.store.actions(50, None) if "refused" in action.action
    ]
    assert {action.action for action in refused} >= {"policy.add.refused"}
    assert all(action.actor.startswith("token:") for action in refused)
    assert all('"code": "policy-' in action.detail for action in refused)


NO_POLICIES = (
    "demo/2",
    "nobody/1",
    "demo/0",
    "demo/01",
    "demo/-1",
    "demo/9999999999",
    "demo%00/1",
    "../1",
)


async def test_policies_that_are_not_there(service_on_both: Service) -> None:
    service = service_on_both
    token = await service.token(Scope.POLICIES_READ, Scope.POLICIES_WRITE)
    for path in NO_POLICIES:
        for method, suffix in (("GET", ""), ("POST", "/activate"), ("POST", "/retire")):
            reply = await service.operate(token, f"{POLICIES}/{path}{suffix}", method=method)
            assert (reply.status, reply.code) == (404, "not-found"), path
    assert service.count("attestca_alarms_total", kind="internal") == 0


async def test_search_show_and_pages(service: Service) -> None:
    token = await service.token(Scope.CERTIFICATES_READ)
    leaves = [leaf_of(await service.enrolled()) for _ in range(3)]
    serials = sorted(f"{leaf.serial_number:032x}" for leaf in leaves)

    page = (await service.operate(token, CERTIFICATES + "?limit=2")).json()
    assert [one["serial"] for one in page["certificates"]] == serials[:2]
    rest = await service.operate(token, f"{CERTIFICATES}?limit=2&after={page['next']}")
    assert [one["serial"] for one in rest.json()["certificates"]] == serials[2:]
    assert rest.json()["next"] is None

    detail = (await service.operate(token, f"{CERTIFICATES}/{serials[0]}")).json()
    leaf = x509.load_pem_x509_certificate(detail["certificate"].encode())
    assert f"{leaf.serial_number:032x}" == serials[0]
    assert {handle["kind"] for handle in detail["handles"]} >= {"certificate", "key", "chip"}
    assert detail["decision"]["result"]["decision"] == "accepted"
    assert detail["decision"]["evidence"][0]["kind"] == "tdx-quote"
    assert len(detail["decision"]["collateral_sha256"]) >= 1


SEARCHES = (
    ("", 1),
    ("?san=spiffe://example.org", 1),
    ("?san=nothing", 0),
    ("?policy=demo", 1),
    ("?policy=other", 0),
    ("?tcb_status=UpToDate", 1),
    ("?tcb_status=Revoked", 0),
    ("?outcome=issued", 1),
    ("?outcome=abandoned", 0),
    ("?valid_at=2026-11-25T13:30:00Z", 1),
    ("?valid_at=2027-11-25T14:30:00%2B01:00", 0),
    ("?policy=demo&outcome=issued&tcb_status=UpToDate", 1),
)


async def test_every_condition_of_a_search(service_on_both: Service) -> None:
    token = await service_on_both.token(Scope.CERTIFICATES_READ)
    await service_on_both.enrolled()
    for query, found in SEARCHES:
        reply = await service_on_both.operate(token, CERTIFICATES + query)
        assert reply.status == 200, reply.body
        assert len(reply.json()["certificates"]) == found, query


WRONG_QUERIES = (
    "?limit=0",
    "?limit=1001",
    "?limit=x",
    "?after=xyz",
    "?after=0",
    "?outcome=lost",
    "?valid_at=yesterday",
    "?valid_at=2026-11-25T13:30:00",
    "?valid_at=0001-01-01T00:00:00%2B23:59",
    "?valid_at=9999-12-31T23:59:59-23:59",
    "?san=%00",
    "?san=",
    "?san=" + "x" * 254,
    "?policy=a&policy=b",
    "?unknown=1",
)


async def test_queries_are_strict(service_on_both: Service) -> None:
    token = await service_on_both.token(Scope.CERTIFICATES_READ)
    for query in WRONG_QUERIES:
        reply = await service_on_both.operate(token, CERTIFICATES + query)
        assert (reply.status, reply.code) == (400, "malformed"), query
        assert "unknown" not in reply.json()["detail"]


async def test_a_serial_that_was_never_used(service: Service) -> None:
    token = await service.token(Scope.CERTIFICATES_READ)
    for serial in ("1234", "0", "xyz"):
        reply = await service.operate(token, f"{CERTIFICATES}/{serial}")
        assert (reply.status, reply.code) == (404, "not-found")


async def test_export_holds_every_certificate_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        export, "PAGE", 2
    )  # so that five are three pages, and four are two and an empty one
    token = await service.token(Scope.CERTIFICATES_READ)
    empty = await service.operate(token, CERTIFICATES + "/export")
    assert empty.json() == {"certificates": []}
    serials = set()
    for count in range(1, 6):
        serials.add(f"{leaf_of(await service.enrolled()).serial_number:x}")
        if count < 4:
            continue
        exported = await service.operate(token, CERTIFICATES + "/export?format=json")
        listed = [one["serial"] for one in exported.json()["certificates"]]
        assert (len(listed), set(listed)) == (count, serials)
        assert exported.headers["Content-Type"].startswith("application/json")
        rows = list(csv.DictReader(io.StringIO((await _csv(service, token)).decode())))
        assert [row["serial"] for row in rows] == listed
        assert rows[0]["policy"] == "demo"
        assert tuple(rows[0]) == CSV_COLUMNS


async def _csv(service: Service, token: str, more: str = "&policy=demo") -> bytes:
    reply = await service.operate(token, f"{CERTIFICATES}/export?format=csv{more}")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in reply.headers["Content-Disposition"]
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Request-Id"]
    return reply.body


async def test_an_export_that_breaks_is_no_export(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 1)
    token = await service.token(Scope.CERTIFICATES_READ)
    for _ in range(2):
        await service.enrolled()

    async def break_after_the_first(query: CertificateQuery) -> tuple[CertificateRecord, ...]:
        if query.after is not None:
            raise Unavailable("database: disk I/O error")
        return await type(service.store).certificates(service.store, query)

    monkeypatch.setattr(service.store, "certificates", break_after_the_first)
    with pytest.raises(aiohttp.ClientError):
        await service.operate(token, CERTIFICATES + "/export")
    assert service.count("attestca_refusals_total", code="unavailable") == 1


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_cells_that_a_spreadsheet_would_run(start: str) -> None:
    assert neutralised(start + "1+1") == f"'{start}1+1"
    assert neutralised("a" + start) == "a" + start


async def test_recorded_refusals_with_all_their_findings(service_on_both: Service) -> None:
    service = service_on_both
    token = await service.token(Scope.REFUSALS_READ)
    for _ in range(3):
        await service.post(service.request(await service.nonce(), rtmr1=bytes(48)))
    page = (await service.operate(token, "/v1/admin/refusals?limit=2")).json()
    assert (page["kind"], len(page["refusals"])) == ("recorded", 2)
    findings = page["refusals"][0]["decision"]["result"]["findings"]
    assert any(one["result"] == "fail" and one["expected"] for one in findings)
    rest = await service.operate(token, f"/v1/admin/refusals?before={page['next']}")
    assert len(rest.json()["refusals"]) == 1
    assert rest.json()["next"] is None


async def test_a_refusal_that_no_policy_decided(service: Service) -> None:
    token = await service.token(Scope.REFUSALS_READ)
    reply = await service.post(service.request(await service.nonce(), profile="nobody-has-this"))
    assert reply.code == "denied"
    (shown,) = (await service.operate(token, "/v1/admin/refusals")).json()["refusals"]
    assert shown["decision"]["policy"] is None
    assert shown["decision"]["result"]["findings"][0]["rule"] == "no-policy"


async def test_an_intent_is_shown_to_operators_alone(service: Service) -> None:
    await records.activate(service.store)
    intent = records.intent()
    await service.store.record_intent(intent)
    serial = f"{intent.serial:x}"
    assert (await service.get(f"/v1/certificates/{serial}")).status == 404
    token = await service.token(Scope.CERTIFICATES_READ)
    detail = (await service.operate(token, f"{CERTIFICATES}/{serial}")).json()
    assert detail["certificate"] is None
    assert detail["summary"]["outcome"] == "intent"
    (line,) = (await service.operate(token, CERTIFICATES)).json()["certificates"]
    assert (line["serial"], line["certificate_sha256"]) == (serial, None)
    rows = list(csv.DictReader(io.StringIO((await _csv(service, token, "")).decode())))
    assert rows[0]["certificate_sha256"] == ""


async def test_a_sample_of_the_other_refusals(service: Service) -> None:
    token = await service.token(Scope.REFUSALS_READ)
    await service.post(b"{}")
    await service.post(service.request(bytes(64)))
    reply = (await service.operate(token, "/v1/admin/refusals?kind=sampled")).json()
    assert reply["kind"] == "sampled"
    assert [one["code"] for one in reply["refusals"]] == ["nonce-foreign", "malformed"]
    assert {one["address_prefix"] for one in reply["refusals"]} == {"127.0.0.0/24"}
    assert (await service.operate(token, "/v1/admin/refusals")).json()["refusals"] == []


async def test_pages_of_the_log(service: Service) -> None:
    token = await service.token(Scope.AUDIT_READ)
    for _ in range(4):
        service.clock.advance(seconds=1)
        await service.operate(token, "/v1/admin/actions?limit=1000")
    service.clock.advance(seconds=1)
    page = (await service.operate(token, "/v1/admin/actions?limit=3")).json()
    assert len(page["actions"]) == 3
    assert json.dumps(page["actions"][0]["detail"]) == '{"limit": 3}'
    before = page["next"].replace("+", "%2B")
    rest = (await service.operate(token, f"/v1/admin/actions?limit=1000&before={before}")).json()
    times = [one["done_at"] for one in page["actions"] + rest["actions"]]
    assert times == sorted(times, reverse=True)


async def test_who_am_i(service: Service) -> None:
    token = await service.token(Scope.AUDIT_READ, lifetime=timedelta(hours=3))
    me = (await service.operate(token, "/v1/admin/whoami")).json()
    assert me["scopes"] == ["audit:read"]
    assert me["expires_at"] == f"{NOW + timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"
    assert "sha256" not in me


async def test_the_operators_listener_has_no_public_routes(service: Service) -> None:
    token = await service.token(*Scope)
    for path in ("/v1/nonce", "/v1/ca/chain", "/readyz", "/openapi.json", "/v1/enrollments"):
        assert (await service.operate(token, path)).status == 404
    for path in ("/healthz", "/metrics"):
        assert (await service.send("GET", service.admin + path)).status == 200
    assert (
        await service.operate(token, "/v1/enrollments", method="POST", data=b"{}")
    ).status == 404


async def test_nothing_is_shown_that_could_not_be_logged(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await service.token(*Scope)

    async def full(_: object) -> None:
        raise Unavailable("database: database or disk is full")

    monkeypatch.setattr(service.store, "log_action", full)
    for path in (POLICIES, CERTIFICATES, CERTIFICATES + "/export", "/v1/admin/refusals"):
        assert (await service.operate(token, path)).status == 503


@pytest.mark.parametrize(
    ("peer", "scheme", "status"),
    [
        ("127.0.0.1", "http", 200),
        ("10.0.0.9", "http", 200),  # the named proxy, which speaks TLS for us
        ("198.51.100.7", "https", 200),
        ("198.51.100.7", "http", 403),
    ],
)
async def test_a_token_in_the_clear_is_not_looked_at(
    service: Service, peer: str, scheme: str, status: int
) -> None:
    """Behind a named proxy the listener speaks plain HTTP, and to nobody else than that proxy."""
    named = replace(service.doors, admin_trusted_proxies=(ip_network("10.0.0.0/8"),))
    application = admin_application(named)
    application.freeze()
    headers = {"Authorization": f"Bearer {await service.token(Scope.POLICIES_READ)}"}
    request = make_mocked_request("GET", POLICIES, headers=headers).clone(
        remote=peer, scheme=scheme
    )
    response = await application._handle(request)
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    assert response.status == status
    assert json.loads(response.body).get("code") == (None if status == 200 else "plain-http")
    (token,) = await service.store.tokens()
    assert (token.last_used_at is None) == (status == 403)
