# SPDX-License-Identifier: Apache-2.0
"""R-35 and R-59 where everything is put together: the configured limits are those that hold, and nothing grows."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from ca.store.tables import metadata
from ca.tokens import Scope
from tests.app_lab import open_app, problem_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.app_lab import App
    from tests.vendor_lab import Clock


def counts(connection: Connection) -> dict[str, int]:
    """Rows by table."""
    return {
        name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for name, table in metadata.tables.items()
    }


async def test_the_configured_rate_is_the_one_that_holds(
    app_clock: Clock, sqlite_url: str, tmp_path: Path
) -> None:
    limits = {"requests_per_minute": 1, "burst": 3}
    async with open_app(tmp_path, sqlite_url, app_clock, **limits) as app:
        statuses = [(await app.get("/v1/nonce")).status for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        problem = await app.get("/v1/nonce")
        problem_of(problem, 429, "rate-limited")
        assert (await app.get("/healthz")).status == 200, "whoever watches is not locked out"
        token = await app.token(Scope.POLICIES_READ)
        assert (await app.operate(token, "/v1/admin/whoami")).status == 200, "nor are operators"


async def test_the_configured_size_is_the_one_that_holds(
    app_clock: Clock, sqlite_url: str, tmp_path: Path
) -> None:
    async with open_app(tmp_path, sqlite_url, app_clock, body_bytes=64 << 10) as app:
        problem_of(await app.post(b" " * ((64 << 10) + 1)), 413, "too-large")
        assert (await app.enroll()).status == 201


async def test_what_anonymous_callers_send_leaves_no_row(app_on_both: App) -> None:
    """All that needs no genuine machine: garbage, foreign nonces, tampered, unbound and repeated evidence."""
    app = app_on_both
    before = await app.service.store._database.read(counts)
    bound = app.body(await app.nonce())
    tree = json.loads(bound)
    bodies = [
        b"",
        b"[" * 1000,
        json.dumps(tree | {"nonce": "AAAA"}).encode(),
        json.dumps(tree | {"csr": tree["nonce"]}).encode(),
        app.body(await app.nonce(), report_data=bytes(64)),
        app.body(await app.nonce(), signature=bytes(64)),
        app.body(bytes(64)),
        json.dumps(tree | {"nonce": json.loads(app.body(await app.nonce()))["nonce"]}).encode(),
    ]
    replies = await asyncio.gather(*(app.post(body) for body in bodies * 5))
    assert all(400 <= reply.status < 500 for reply in replies)
    after = await app.service.store._database.read(counts)
    # what the vendor says of its platforms was fetched for evidence that its own keys signed, once
    assert after.pop("cached_responses") <= before.pop("cached_responses") + 4
    assert after == before
    token = await app.token(Scope.REFUSALS_READ)
    sample = await app.operate(token, "/v1/admin/refusals?kind=sampled")
    assert len(sample.json()["refusals"]) == len(replies)
    metrics = (await app.get("/metrics")).body.decode()
    assert f'attestca_enrollments_total{{outcome="refused"}} {len(replies):.1f}' in metrics


async def test_a_flood_of_enrollments_gets_through_or_is_told_to_come_again(
    app_clock: Clock, sqlite_url: str, tmp_path: Path
) -> None:
    async with open_app(tmp_path, sqlite_url, app_clock, workers=1, verification_queue=2) as app:
        assert (await app.enroll()).status == 201  # collateral is at hand
        bodies = [app.body(await app.nonce()) for _ in range(20)]
        replies = await asyncio.gather(*(app.post(body) for body in bodies))
        turned_away = [reply for reply in replies if reply.status != 201]
        for reply in turned_away:
            problem_of(reply, 503, "busy")
        assert len(turned_away) < len(replies)
        again = [
            await app.post(body)
            for body, reply in zip(bodies, replies, strict=True)
            if reply in turned_away
        ]
        assert {reply.status for reply in again} <= {201}, "whoever was turned away lost nothing"
