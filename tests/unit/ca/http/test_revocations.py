# SPDX-License-Identifier: Apache-2.0
"""Revoking through the operators' API, and the feed that everybody may read: over HTTP, on real databases."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import pytest

from attestca_client.protocol import HandleKind, chip_id, handle
from ca.errors import Unavailable
from ca.http import revocations
from ca.issuance.reasons import RevocationReason
from ca.tokens import Scope
from tests import records
from tests.service_lab import CHIP_KEY, leaf_of

if TYPE_CHECKING:
    from tests.service_lab import Reply, Service

ADMIN = "/v1/admin/revocations"
FEED = "/v1/revocations"
LINE = {"kind": "product", "value": "fmspc:00112233aabb"}
PPID = "c7" * 16
CHIP = {"kind": "chip", "name": "ppid", "value": PPID}


async def post(service: Service, token: str, path: str, **body: object) -> Reply:
    return await service.operate(token, path, method="POST", json=body)


async def revoke(service: Service, token: str, **body: object) -> Reply:
    return await post(service, token, ADMIN, **{"reason": "superseded"} | body)


async def everything(service: Service) -> str:
    return await service.token(*Scope)


async def test_revoked_and_revoked_again(service_on_both: Service) -> None:
    service = service_on_both
    token = await everything(service)
    first = await revoke(service, token, **LINE, note="microcode that leaks ☂")
    assert first.status == 201, first.body
    said = first.json()
    own = handle(HandleKind.PRODUCT, LINE["value"].encode())
    assert (said["kind"], said["handle"], said["subject"]) == ("product", own.hex(), LINE["value"])
    assert (said["reason"], said["note"]) == ("superseded", "microcode that leaks ☂")
    assert (said["id"], said["again"]) == (1, False)
    assert said["actor"].startswith("token:")

    service.clock.advance(hours=1)
    again = await revoke(service, token, **LINE, reason="keyCompromise", note="other words")
    assert again.status == 200
    assert again.json() == said | {"again": True}
    listed = await service.operate(token, ADMIN)
    assert listed.json() == {
        "revocations": [{k: v for k, v in said.items() if k != "again"}],
        "next": None,
    }
    lines = [one for one in await service.store.actions(10, None) if "revocation." in one.action]
    assert [one.action for one in lines] == ["revocation.add.again", "revocation.add"]
    assert {one.target for one in lines} == {f"product {own.hex()}"}
    assert json.loads(lines[1].detail) == {
        "subject": LINE["value"],
        "reason": "superseded",
        "note": "microcode that leaks ☂",
    }
    assert service.count("attestca_revocations_total", kind="product") == 1


@pytest.mark.parametrize("reason", RevocationReason)
async def test_reasons(service: Service, reason: RevocationReason) -> None:
    reply = await revoke(service, await everything(service), **LINE, reason=reason)
    assert (reply.status, reply.json()["reason"]) == (201, reason)


async def test_preview_changes_nothing(service_on_both: Service) -> None:
    service = service_on_both
    token = await service.token(Scope.REVOCATIONS_READ)
    serials = {f"{leaf_of(await service.enrolled()).serial_number:x}" for _ in range(3)}
    product = f"fmspc:{service.machine.fmspc}"
    seen = (await post(service, token, f"{ADMIN}/preview", kind="product", value=product)).json()
    assert (seen["known"], seen["count"], seen["revoked"]) == (True, 3, None)
    assert {one["serial"] for one in seen["certificates"]} == serials
    assert {one["outcome"] for one in seen["certificates"]} == {"issued"}
    nobody = (await post(service, token, f"{ADMIN}/preview", **LINE)).json()
    assert (nobody["known"], nobody["count"], nobody["certificates"]) == (False, 0, [])
    assert await service.store.revocations(10, None) == ()
    assert (await service.post(service.request(await service.nonce()))).status == 201
    lines = [
        one for one in await service.store.actions(10, None) if one.action == "revocation.preview"
    ]
    assert [json.loads(one.detail) for one in lines] == [
        {"subject": LINE["value"]},
        {"subject": product},
    ]

    writer = await everything(service)
    done = (await revoke(service, writer, kind="product", value=product)).json()
    seen = (await post(service, token, f"{ADMIN}/preview", kind="product", value=product)).json()
    assert seen["revoked"] == {k: v for k, v in done.items() if k != "again"}


async def test_a_certificate_shows_what_takes_it(service: Service) -> None:
    token = await everything(service)
    serial = f"{leaf_of(await service.enrolled()).serial_number:x}"
    detail = (await service.operate(token, f"/v1/admin/certificates/{serial}")).json()
    assert detail["revocations"] == []
    done = (await revoke(service, token, kind="certificate", value=serial)).json()
    chip = next(one["handle"] for one in detail["handles"] if one["kind"] == "chip")
    await revoke(service, token, handle=chip)
    detail = (await service.operate(token, f"/v1/admin/certificates/{serial}")).json()
    assert [one["kind"] for one in detail["revocations"]] == ["certificate", "chip"]
    assert detail["revocations"][0] == {k: v for k, v in done.items() if k != "again"}


REFUSED: tuple[tuple[dict[str, object], int, str], ...] = (
    ({}, 400, "malformed"),
    ({"kind": "product"}, 400, "malformed"),
    ({"kind": "nothing", "value": "Milan"}, 400, "malformed"),
    ({"kind": "product", "value": "Naples"}, 400, "malformed"),
    ({"kind": "product", "value": "Milan", "more": 1}, 400, "malformed"),
    ({"kind": "product", "value": ["Milan"]}, 400, "malformed"),
    ({"kind": "product", "value": "x" * 513}, 400, "malformed"),
    ({"kind": "product", "value": "Milan\u0000"}, 400, "malformed"),
    ({"handle": "AB" * 32}, 400, "malformed"),
    ({"handle": "ab" * 32}, 400, "malformed"),
    ({**LINE, "handle": "ab" * 32}, 400, "malformed"),
    ({**LINE, "reason": "certificateHold"}, 400, "malformed"),
    ({**LINE, "reason": "removeFromCRL"}, 400, "malformed"),
    ({**LINE, "reason": 1}, 400, "malformed"),
    ({**LINE, "note": "two\nlines"}, 400, "malformed"),
    ({**LINE, "note": "x" * 501}, 400, "malformed"),
    ({"kind": "key", "value": "AAAA"}, 422, "key-type"),
    ({"kind": "certificate", "value": "1234"}, 404, "not-found"),
    ({"kind": "policy", "value": "nobody@1"}, 404, "not-found"),
)


async def test_what_is_refused_revokes_nothing(service_on_both: Service) -> None:
    service = service_on_both
    token = await everything(service)
    for body, status, code in REFUSED:
        reply = await revoke(service, token, **body)
        assert (reply.status, reply.code) == (status, code), body
    reply = await post(service, token, ADMIN, **LINE)
    assert (reply.status, reply.code) == (400, "malformed"), "a reason is said"
    assert await service.store.revocations(10, None) == ()
    lines = [one for one in await service.store.actions(99, None) if "revocation" in one.action]
    assert {one.action for one in lines} == {"revocation.add.refused"}
    assert len(lines) == len(REFUSED) + 1
    assert service.count("attestca_alarms_total", kind="unhandled") == 0


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"kind: product", {"Content-Type": "application/yaml"}, 415, "media-type"),
        (b"{", {}, 400, "malformed"),
        (b'{"kind": "product", "kind": "product"}', {}, 400, "malformed"),
        (b"[" * 600, {}, 400, "malformed"),
        (b'{"note": "' + b"x" * 9000 + b'"}', {}, 413, "too-large"),
    ],
)
async def test_bodies(
    service: Service, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    token = await everything(service)
    typed = {"Content-Type": "application/json"} | headers
    for path in (ADMIN, f"{ADMIN}/preview"):
        reply = await service.operate(token, path, method="POST", data=body, headers=typed)
        assert (reply.status, reply.code) == (status, code)


async def test_nothing_takes_a_revocation_back(service: Service) -> None:
    token = await everything(service)
    await revoke(service, token, **LINE)
    for method in ("DELETE", "PUT", "PATCH"):
        for path in (ADMIN, f"{ADMIN}/1"):
            reply = await service.operate(token, path, method=method, json=LINE)
            assert reply.status in {404, 405}
    assert len(await service.store.revocations(10, None)) == 1


async def test_a_hardware_id_goes_nowhere(
    service: Service, sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither into an answer nor a log line nor the database: what is kept is its handle under the authority's key."""
    token = await everything(service)
    replies = [
        await post(service, token, f"{ADMIN}/preview", **CHIP),
        await revoke(service, token, **CHIP),
        await service.operate(token, ADMIN),
        await service.get(FEED),
        await revoke(service, token, **CHIP | {"name": "chip_id"}),
    ]
    own = handle(HandleKind.CHIP, chip_id(CHIP_KEY, "ppid", bytes.fromhex(PPID)))
    assert [reply.status for reply in replies] == [200, 201, 200, 200, 400]
    assert replies[1].json()["handle"] == own.hex()
    assert replies[1].json()["subject"] == "ppid"
    dump = "\n".join(sqlite3.connect(sqlite_url.removeprefix("sqlite:///")).iterdump())
    logged = "".join(capsys.readouterr())
    assert logged.count("http.request") == len(replies)
    shown = dump + logged + "".join(str(reply.body) for reply in replies)
    assert own.hex() in shown.lower()
    assert PPID not in shown.lower()


# pages and the feed


async def fill(service: Service, count: int) -> None:
    for number in range(count):
        revocation = records.revocation(records.digest(f"handle {number}"))
        await service.store.revoke(revocation, records.ACTION)


async def test_pages_of_operators(service: Service) -> None:
    token = await service.token(Scope.REVOCATIONS_READ)
    await fill(service, 5)
    page = (await service.operate(token, f"{ADMIN}?limit=3")).json()
    assert ([one["id"] for one in page["revocations"]], page["next"]) == ([5, 4, 3], 3)
    rest = (await service.operate(token, f"{ADMIN}?limit=3&before=3")).json()
    assert ([one["id"] for one in rest["revocations"]], rest["next"]) == ([2, 1], None)
    for query in ("?limit=0", "?before=0", "?after=1", "?limit=1&limit=2"):
        assert (await service.operate(token, ADMIN + query)).code == "malformed"


async def test_the_feed_is_followed_by_its_numbers(
    service_on_both: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_on_both
    monkeypatch.setattr(revocations, "FEED_PAGE", 3)
    empty = await service.get(FEED)
    assert empty.json() == {"revocations": [], "next": 0}
    await fill(service, 5)
    full = await service.get(FEED)
    assert full.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert [one["id"] for one in full.json()["revocations"]] == [1, 2, 3]
    assert full.json()["revocations"][0] == {
        "id": 1,
        "kind": "measurement",
        "handle": records.digest("handle 0").hex(),
        "revoked_at": "2026-03-01T12:00:00.123457Z",
        "reason": "keyCompromise",
    }
    rest = await service.get(f"{FEED}?after={full.json()['next']}")
    assert [one["id"] for one in rest.json()["revocations"]] == [4, 5]
    assert rest.headers["Cache-Control"] == empty.headers["Cache-Control"] == "public, max-age=30"
    assert (await service.get(f"{FEED}?after=5")).json() == {"revocations": [], "next": 5}
    await fill(service, 6)
    assert (await service.get(FEED)).body == full.body
    for query in ("?after=-1", "?after=x", "?limit=5", f"?after={2**63}"):
        assert (await service.get(FEED + query)).code == "malformed"


async def test_nothing_is_shown_or_revoked_that_could_not_be_logged(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await everything(service)

    async def full(*_: object) -> None:
        raise Unavailable("database: database or disk is full")

    monkeypatch.setattr(service.store, "log_action", full)
    assert (await service.operate(token, ADMIN)).status == 503
    assert (await post(service, token, f"{ADMIN}/preview", **LINE)).status == 503
    monkeypatch.setattr("ca.store.handles.operators.log_action", broken)
    assert (await revoke(service, token, **LINE)).status == 503
    assert await service.store.revocations(10, None) == ()


def broken(*_: object) -> None:
    raise Unavailable("database: database or disk is full")


async def test_the_job_that_signs_lists_is_woken(service: Service) -> None:
    token = await everything(service)
    wake = service.doors.authority.revoked
    await post(service, token, f"{ADMIN}/preview", **LINE)
    await revoke(service, token, kind="product", value="Naples")
    assert not wake.is_set()
    await revoke(service, token, **LINE)
    assert wake.is_set()
