# SPDX-License-Identifier: Apache-2.0
"""R-40: the database is locked, full or gone while the service runs: 503, nothing half written, no restart needed.

And it goes away in the middle of an enrollment, and of the issuing CA's renewal.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ca.app.keys import key_id
from ca.errors import Unavailable
from ca.http import public_application
from ca.http.handlers import Readiness
from ca.ports import CertificateQuery, Outcome
from ca.store.engines import Limits
from tests.app_lab import App, install_issuing, problem_of
from tests.service_lab import leaf_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from ca.authority import Issuing
    from ca.http import Doors
    from ca.ports import Signer
    from tests.databases import PostgresServer

    Outage = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that somebody else holds is waited for shortly; readiness is asked for every time."""
    monkeypatch.setattr(Readiness, "EVERY", 0.0)
    monkeypatch.setattr(
        import_module("ca.store.database"), "Limits", lambda: Limits(lock=0.2, queue=2.0)
    )


@pytest.fixture
def outage(request: pytest.FixtureRequest, app_on_both: App) -> Outage:
    """The database is gone within the block."""
    url = app_on_both.config.database.url.get_secret_value()
    if url.startswith("sqlite"):
        return lambda: _moved_away(Path(url.removeprefix("sqlite:///")))
    server: PostgresServer = request.getfixturevalue("postgres")
    return lambda: _stopped(server)


@asynccontextmanager
async def _moved_away(path: Path) -> AsyncIterator[None]:
    parts = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
    there = [part for part in parts if part.exists()]
    for part in there:
        part.rename(part.with_name(f"gone-{part.name}"))
    try:
        yield
    finally:
        for part in there:
            part.with_name(f"gone-{part.name}").rename(part)


@asynccontextmanager
async def _stopped(server: PostgresServer) -> AsyncIterator[None]:
    await asyncio.to_thread(server.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


async def records(app: App) -> tuple[int, int]:
    store = app.service.store
    return len(await store.certificates(CertificateQuery())), len(await store.refusals(100, None))


async def test_gone_and_back(app_on_both: App, outage: Outage) -> None:
    app = app_on_both
    assert (await app.enroll()).status == 201
    body = app.body(await app.nonce())
    async with outage():
        problem = problem_of(await app.post(body), 503, "unavailable")
        assert "sqlite" not in str(problem)
        problem_of(await app.get("/readyz"), 503, "not-ready")
        assert (await app.get("/healthz")).status == 200
        assert (await app.get("/v1/nonce")).status == 200, "nonces need no database"
    assert await records(app) == (1, 0)
    assert (await app.post(body)).status == 201, "the nonce was not spent"
    assert await records(app) == (2, 0)
    assert (await app.get("/readyz")).status == 200


async def test_locked(app: App) -> None:
    path = app.config.database.url.get_secret_value().removeprefix("sqlite:///")
    assert (await app.enroll()).status == 201
    good, denied = app.body(await app.nonce()), app.body(await app.nonce(), rtmr1=bytes(48))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for body in (good, denied):
            problem_of(await app.post(body), 503, "unavailable")
        assert await records(app) == (1, 0)
        other.execute("ROLLBACK")
    assert (await app.post(good)).status == 201
    assert (await app.post(denied)).status == 403
    assert await records(app) == (2, 1)


async def test_full(app: App) -> None:
    """No page more than it has: what is written is written whole or not at all."""
    database = app.service.store._database

    def allow(pages: int) -> Callable[..., None]:
        def work(connection: object) -> None:
            (used,) = connection.exec_driver_sql("PRAGMA page_count").one()  # type: ignore[attr-defined]  # a Connection
            connection.exec_driver_sql(f"PRAGMA max_page_count = {used + pages}")  # type: ignore[attr-defined]  # likewise

        return work

    assert (await app.enroll()).status == 201
    body = app.body(await app.nonce())
    await database.write(allow(1))
    statuses = [(await app.enroll()).status for _ in range(4)]
    assert statuses[-1] == 503
    problem_of(await app.post(body), 503, "unavailable")
    certificates, _ = await records(app)
    found = await app.service.store.certificates(CertificateQuery())
    issued = [each for each in found if each.outcome is Outcome.ISSUED]
    assert len(issued) == 1 + statuses.count(201)
    assert all(each.der is None for each in found if each not in issued)
    await database.write(allow(10_000))
    assert (await app.post(body)).status == 201
    assert (await records(app))[0] == certificates + 1


@dataclass
class LosesDatabase:
    """A signer whose signature comes when the database has just gone."""

    inner: Signer
    signed: asyncio.Event
    gone: asyncio.Event

    @property
    def certificate_der(self) -> bytes:
        return self.inner.certificate_der

    @property
    def chain_der(self) -> tuple[bytes, ...]:
        return self.inner.chain_der

    async def sign(self, tbs: bytes) -> bytes:
        signature = await self.inner.sign(tbs)
        self.signed.set()
        await self.gone.wait()
        return signature


async def test_gone_between_intent_and_certificate(app_on_both: App, outage: Outage) -> None:
    app = app_on_both
    signed, gone = asyncio.Event(), asyncio.Event()
    real = app.service.authority.issuing

    def issuing() -> Issuing:
        held = real()
        return replace(held, signer=LosesDatabase(held.signer, signed, gone))

    authority = replace(app.service.authority, issuing=issuing)
    doors: Doors = replace(app.doors, authority=authority)
    usual, app.public = app.public, await app._listen(public_application(doors), app.tls)
    body = app.body(await app.nonce())
    under_way = asyncio.create_task(app.post(body))
    await signed.wait()
    async with outage():
        gone.set()
        problem_of(await under_way, 503, "unavailable")
    app.public = usual
    (intent,) = await app.service.store.certificates(CertificateQuery())
    assert (intent.outcome, intent.der) == (Outcome.INTENT, None), "the signature is thrown away"
    problem_of(await app.post(body), 503, "in-progress")
    later = app.clock() + timedelta(minutes=6)
    await app.run_job("abandoned-intents", later)
    await app.run_job("certificates", later)
    crl = await app.crl(intent.issuer_key_id, intent.not_after)
    assert [entry.serial_number for entry in crl] == [intent.serial]
    problem_of(await app.post(body), 409, "nonce-used")


async def test_gone_while_the_issuing_ca_is_renewed(app_on_both: App, outage: Outage) -> None:
    """The old one signs on until the new one's CRL is published; then the new one does, once and for all."""
    app = app_on_both
    keys = app.service.keys
    old = keys.current(app.clock())
    app.clock.advance(hours=1)
    install_issuing(app.config, app.clock())
    async with outage():
        with pytest.raises(Unavailable):
            await app.run_job("certificates")
        assert keys.current(app.clock()) is old
    leaf = leaf_of(await app.enroll())
    leaf.verify_directly_issued_by(old.certificate)

    await app.run_job("certificates")
    new = keys.current(app.clock())
    assert new is not old
    today = app.clock().date()
    first = await app.service.store.crl(key_id(new.certificate), today)
    assert first is not None
    await app.run_job("certificates")
    assert await app.service.store.crl(key_id(new.certificate), today) == first, "published once"
    leaf_of(await app.enroll()).verify_directly_issued_by(new.certificate)
    assert len(keys.issuing_cas) == 2
