# SPDX-License-Identifier: Apache-2.0
"""R-45: operators' tokens: 256 random bits, SHA-256 stored, always an expiry, a closed list of scopes, last use."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ca import tokens
from ca.http.routes import ROUTES, On
from ca.ports import TokenRecord
from ca.tokens import Scope
from tests.service_lab import open_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.service_lab import Reply, Service

WHOAMI = "/v1/admin/whoami"
PATH = {"serial": "1234", "name": "nothing", "version": "1"}


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    async with open_service(sqlite_url) as running:
        yield running


def test_256_bits() -> None:
    assert tokens.ENTROPY_LENGTH * 8 == 256
    one, other = tokens.make(bytes(32)), tokens.make(bytes(31) + b"\1")
    assert one.text != other.text
    with pytest.raises(ValueError, match="entropy"):
        tokens.make(bytes(31))


def test_a_token_without_expiry_cannot_be_said() -> None:
    (expiry,) = [field for field in fields(TokenRecord) if field.name == "expires_at"]
    assert expiry.type == "datetime", "not optional"


async def test_the_database_does_not_hold_the_token(service: Service, sqlite_url: str) -> None:
    text = await service.token(Scope.AUDIT_READ)
    assert (await service.operate(text, WHOAMI)).status == 200
    dump = "\n".join(sqlite3.connect(sqlite_url.removeprefix("sqlite:///")).iterdump())
    assert text.removeprefix(tokens.PREFIX) not in dump
    assert hashlib.sha256(text.encode()).hexdigest().upper() in dump.upper()


async def test_whatever_is_wrong_the_answer_is_the_same(service: Service) -> None:
    expired = await service.token(Scope.AUDIT_READ, lifetime=timedelta(seconds=1))
    service.clock.advance(seconds=1)
    revoked = await service.token(Scope.AUDIT_READ, revoked=True)
    good = await service.token(Scope.AUDIT_READ)
    replies = [
        await service.operate(text, WHOAMI)
        for text in (
            expired,
            revoked,
            tokens.make(b"unknown" + bytes(25)).text,
            good[:-1],
            good + "A",
            good.removeprefix("attestca_"),
            "",
            "attestca_",
        )
    ]
    wrong = (f"Basic {good}", f"bearer{good}", f"Bearer  {good}", f"Bearer {good} x")
    replies += [await _with(service, header) for header in wrong]
    url, twice = service.admin + WHOAMI, [("Authorization", f"Bearer {good}")] * 2
    replies.append(await service.send("GET", url))
    replies.append(await service.send("GET", url, headers=twice))
    assert {(reply.status, reply.body) for reply in replies} == {(401, replies[0].body)}
    assert replies[0].headers["WWW-Authenticate"].startswith("Bearer")
    assert (await _with(service, f"bearer {good}")).status == 200, "schemes have no case"


async def _with(service: Service, authorization: str) -> Reply:
    headers = {"Authorization": authorization}
    return await service.send("GET", service.admin + WHOAMI, headers=headers)


async def test_a_token_in_the_query_or_a_cookie_is_none(service: Service) -> None:
    text = await service.token(*Scope)
    url = service.admin + WHOAMI
    assert (await service.send("GET", f"{url}?access_token={text}")).status == 401
    assert (await service.send("GET", url, headers={"Cookie": f"token={text}"})).status == 401


async def test_each_scope_opens_its_routes_and_no_other(service: Service) -> None:
    routes = [r for r in ROUTES if r.on is On.ADMIN and isinstance(r.access, Scope)]
    for scope in Scope:
        text = await service.token(scope)
        for route in routes:
            reply = await service.operate(text, route.path.format(**PATH), method=route.method)
            refused = reply.status == 403
            assert refused == (route.access is not scope), (scope, route.name)
            if refused:
                assert reply.code == "scope"
    nothing = await service.token()
    assert (await service.operate(nothing, WHOAMI)).status == 200
    assert (await service.operate(nothing, "/v1/admin/actions")).status == 403


async def test_a_scope_that_is_not_in_the_list_opens_nothing(service: Service) -> None:
    text = await service.token()
    (record,) = await service.store.tokens()
    assert record.scopes == frozenset()
    for route in ROUTES:
        if isinstance(route.access, Scope):
            reply = await service.operate(text, route.path.format(**PATH), method=route.method)
            assert (reply.status, reply.code) == (403, "scope")


async def test_the_last_use_is_recorded_once_a_minute(service: Service) -> None:
    text = await service.token(Scope.AUDIT_READ)

    async def used() -> object:
        (record,) = await service.store.tokens()
        return record.last_used_at

    assert await used() is None
    start = service.clock()
    for seconds, expected in (
        (0, start),
        (59, start),
        (1, start + timedelta(seconds=60)),
        (30, start + timedelta(seconds=60)),
    ):
        service.clock.advance(seconds=seconds)
        await service.operate(text, WHOAMI)
        assert await used() == expected


async def test_a_refused_use_is_not_recorded(service: Service) -> None:
    text = await service.token(Scope.AUDIT_READ)
    await service.operate(text, "/v1/admin/policies")
    (record,) = await service.store.tokens()
    assert record.last_used_at is None


async def test_every_action_names_its_actor(service: Service) -> None:
    text = await service.token(*Scope)
    (record,) = await service.store.tokens()
    await service.operate(text, "/v1/admin/policies/demo/1/retire", method="POST")
    retire, *_ = await service.store.actions(10, None)
    assert (retire.action, retire.target) == ("policy.retire", "demo@1")
    assert retire.actor == f"token:{record.id} {record.name}"
    assert text not in retire.actor + retire.detail
