# SPDX-License-Identifier: Apache-2.0
"""R-59 (the service's half): anonymous callers cannot fill the store, the memory or the queue."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest
from sqlalchemy import create_engine, func, select

from ca.store.tables import metadata
from ca.tokens import Scope
from simulator.intel import FakeIntel
from tests.authority_lab import NOW, make_csr
from tests.service_lab import GENEROUS, body_of, open_service
from tests.vendor_lab import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ca.ports import Endorser
    from tests.service_lab import Service
    from verifiers.endorsements import Gather

T = TypeVar("T")
RING = 20
LIMITS = replace(GENEROUS, refusal_ring=RING, workers=2, verification_queue=3)


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    async with open_service(sqlite_url, limits=LIMITS) as running:
        assert (await running.enrolled()).status == 201  # the collateral is in the cache now
        assert (await running.get("/readyz")).status == 200  # and its one row of a heartbeat
        yield running


def rows(url: str) -> dict[str, int]:
    engine = create_engine(url)
    with engine.connect() as connection:
        counted = {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
        }
    engine.dispose()
    return counted


async def _anonymous_bodies(service: Service) -> list[bytes]:
    """What needs no genuine machine that answered our nonce."""
    nonce = await service.nonce()
    honest = service.request(nonce)
    strangers = FakeIntel.create(NOW, seed=b"a vendor of one's own").platform()
    own, service.machine = service.machine, strangers
    foreign = service.request(await service.nonce())
    service.machine = own
    replayed = json.loads(honest) | {"nonce": base64.b64encode(await service.nonce()).decode()}
    quote = bytearray(base64.b64decode(json.loads(honest)["evidence"][0]["data"]))
    quote[700] ^= 1  # in the signature
    return [
        b"",
        b"{}",
        b"[" * 1000,
        service.request(bytes(64)),
        foreign,
        json.dumps(replayed).encode(),
        body_of(nonce, b"no request", [("tdx-quote", b"x")]),
        body_of(nonce, make_csr(), [("tdx-quote", b"x" * 5000)]),
        body_of(nonce, make_csr(), [("tdx-quote", bytes(quote))]),
        service.request(nonce, report_data=bytes(64)),
    ]


async def test_the_store_does_not_grow(service: Service, sqlite_url: str) -> None:
    before = rows(sqlite_url)
    codes = set()
    for _ in range(5):
        for body in await _anonymous_bodies(service):
            reply = await service.post(body)
            assert 400 <= reply.status < 500
            assert reply.status != 403
            codes.add(reply.code)
    for path in ("/v1/nonce", "/v1/certificates/1", "/nothing", "/v1/ca/chain", "/readyz"):
        await service.get(path)
    assert len(codes) >= 6, "they were refused at different steps"
    assert rows(sqlite_url) == before, "not one row"


async def test_what_is_kept_of_them_is_bounded_and_shown_to_operators(service: Service) -> None:
    for _ in range(RING):
        await service.post(b"{}")
        await service.post(service.request(bytes(64)))
    token = await service.token(Scope.REFUSALS_READ)
    reply = await service.operate(token, "/v1/admin/refusals?kind=sampled&limit=1000")
    sample = reply.json()["refusals"]
    assert len(sample) == RING
    assert {one["code"] for one in sample} == {"malformed", "nonce-foreign"}
    assert all(set(one) == {"at", "code", "detail", "address_prefix"} for one in sample)
    assert service.count("attestca_refusals_total", code="malformed") == RING
    assert service.count("attestca_enrollments_total", outcome="refused") == 2 * RING


async def test_authentic_refusals_are_kept_once_per_nonce(service: Service) -> None:
    body = service.request(await service.nonce(), rtmr2=bytes(48))
    statuses = [(await service.post(body)).status for _ in range(5)]
    assert statuses == [403, 409, 409, 409, 409]
    assert len(await service.store.refusals(10, None)) == 1


class Slow:
    """An endorser that waits until it is let go, and then does the real thing."""

    def __init__(self, real: Endorser) -> None:
        self.real = real
        self.waiting = 0
        self.go = asyncio.Event()

    def distrust(self, gather: Gather[T]) -> None:
        gather.close()

    async def run(self, gather: Gather[T]) -> T:
        self.waiting += 1
        await self.go.wait()
        return await self.real.run(gather)


async def test_the_queue_is_bounded(service: Service) -> None:
    slow = Slow(service.doors.authority.endorser)
    replica = await service.add_variant(endorser=slow)
    admission = replica.doors.state.admission
    bodies = [service.request(await service.nonce()) for _ in range(5)]
    posted = [asyncio.create_task(service.post(body, to=replica.public)) for body in bodies]
    await until(lambda: (slow.waiting, admission.waiting) == (2, 3))
    turned_away = await service.post(b"{}", to=replica.public)
    assert (turned_away.status, turned_away.code) == (503, "busy")
    assert int(turned_away.headers["Retry-After"]) > 0
    # the rest of the service goes on
    assert (await service.send("GET", replica.public + "/v1/nonce")).status == 200
    assert (await service.send("GET", replica.public + "/v1/ca/chain")).status == 200
    slow.go.set()
    assert [reply.status for reply in await asyncio.gather(*posted)] == [201] * 5
    assert (admission.under_way, admission.waiting) == (0, 0)
