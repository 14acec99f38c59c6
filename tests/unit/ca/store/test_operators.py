# SPDX-License-Identifier: Apache-2.0
"""Tokens, the operators' log, cached vendor answers, the health check."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, select

from ca.errors import Conflict, NotFound
from ca.ports import CachedResponse, OperatorAction
from ca.store import collateral, tables
from tests import records

if TYPE_CHECKING:
    from ca.store.sql import SqlStore


async def test_token_comes_back_as_it_went_in(store: SqlStore) -> None:
    first, second = records.token(), records.token(scopes=frozenset())
    await store.add_token(first, records.ACTION)
    await store.add_token(second, records.ACTION)
    assert await store.token_by_sha256(first.sha256) == first
    assert await store.token_by_sha256(records.digest("unknown")) is None
    assert await store.tokens() == (first, second)
    assert len(await store.actions(10, None)) == 2


@pytest.mark.parametrize("field", ["id", "sha256"])
async def test_tokens_are_unique(store: SqlStore, field: str) -> None:
    first = records.token()
    await store.add_token(first, records.ACTION)
    with pytest.raises(Conflict):
        await store.add_token(records.token(**{field: getattr(first, field)}), records.ACTION)
    assert await store.tokens() == (first,)
    assert len(await store.actions(10, None)) == 1


async def test_revoked_once(store: SqlStore) -> None:
    token = records.token()
    await store.add_token(token, records.ACTION)
    later = replace(records.ACTION, done_at=records.NOW + timedelta(hours=1))
    await store.revoke_token(token.id, records.ACTION)
    await store.revoke_token(token.id, later)
    found = await store.token_by_sha256(token.sha256)
    assert found is not None
    assert found.revoked_at == records.NOW
    assert len(await store.actions(10, None)) == 3
    with pytest.raises(NotFound):
        await store.revoke_token("unknown", records.ACTION)


async def test_last_use_never_goes_back(store: SqlStore) -> None:
    token = records.token()
    await store.add_token(token, records.ACTION)
    for minutes in (5, 9, 7):
        await store.token_used(token.id, records.NOW + timedelta(minutes=minutes))
    found = await store.token_by_sha256(token.sha256)
    assert found is not None
    assert found.last_used_at == records.NOW + timedelta(minutes=9)


async def test_actions_newest_first_in_pages(store: SqlStore) -> None:
    actions = [
        OperatorAction(records.NOW + timedelta(seconds=i), "cli:a", f"action {i}", "t", "{}")
        for i in range(5)
    ]
    for action in actions:
        await store.log_action(action)
    first = await store.actions(3, None)
    second = await store.actions(3, first[-1].done_at)
    assert [*first, *second] == actions[::-1]


async def test_cached_response_comes_back_as_it_went_in(store: SqlStore) -> None:
    url = "https://api.trustedservices.intel.com/tdx/certification/v4/tcb?fmspc=90C06F000000"
    assert await store.cached_response(url) is None
    response = CachedResponse(
        url,
        200,
        b"\x00{}\xff",
        (("tcb-info-issuer-chain", "-----BEGIN%20"), ("x", "é")),
        records.NOW,
    )
    await store.put_cached_response(response)
    assert await store.cached_response(url) == response


async def test_a_later_answer_replaces_an_earlier_one_only(store: SqlStore) -> None:
    def response(status: int, minutes: int) -> CachedResponse:
        at = records.NOW + timedelta(minutes=minutes)
        return CachedResponse("https://vendor.example/crl", status, b"body", (), at)

    await store.put_cached_response(response(200, 5))
    await store.put_cached_response(response(404, 6))
    await store.put_cached_response(response(410, 3))
    found = await store.cached_response("https://vendor.example/crl")
    assert found == response(404, 6)


def answer(name: str, minutes: int) -> CachedResponse:
    at = records.NOW + timedelta(minutes=minutes)
    return CachedResponse(f"https://vendor.example/{name}", 200, name.encode(), (), at)


async def kept(store: SqlStore) -> set[str]:
    def urls(connection: Connection) -> set[str]:
        found = connection.execute(select(tables.cached_responses.c.url)).scalars()
        return {url.rpartition("/")[2] for url in found}

    return await store._database.read(urls)


async def test_of_too_many_answers_the_one_longest_unused_goes(store: SqlStore) -> None:
    async def put(name: str, minutes: int) -> None:
        one = answer(name, minutes)
        await store._database.write(collateral.put_cached_response, one, 3)

    for minutes, name in enumerate("abc"):
        await put(name, minutes)
    await store.mark_response_used(answer("a", 0).url, records.NOW + timedelta(days=1))
    await store.mark_response_used(answer("b", 0).url, records.NOW)  # it was used later than that
    await put("d", 3)
    assert await kept(store) == {"a", "c", "d"}
    await put("c", 4)
    await put("e", 5)
    assert await kept(store) == {"a", "c", "e"}
    assert await store.cached_response(answer("a", 0).url) == answer("a", 0)


async def test_a_use_of_what_is_not_kept_keeps_nothing(store: SqlStore) -> None:
    await store.mark_response_used(answer("a", 0).url, records.NOW)
    assert await kept(store) == set()


async def test_ping_writes(store: SqlStore) -> None:
    def beats(connection: Connection) -> int:
        found: int = connection.execute(select(tables.heartbeat.c.beats)).scalar_one()
        return found

    await store.ping()
    await store.ping()
    assert await store._database.read(beats) == 2
