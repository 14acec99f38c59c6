# SPDX-License-Identifier: Apache-2.0
"""R-05, where it is cached: unsigned collateral in the database changes nothing, it goes to the verifier unjudged.

A real database, real verification. Whoever can write rows can make evidence be refused, and never accepted.
"""

from __future__ import annotations

import datetime as dt
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ca.fetch.cache import CacheLimits, CollateralCache
from ca.fetch.client import ClientLimits, FetchClient, tls_context
from ca.fetch.endorser import CachingEndorser
from ca.fetch.origins import Origin
from ca.store import schema
from ca.store.sql import SqlStore
from simulator.intel import FakeIntel
from simulator.pcs import FakePcs, running
from tests.vendor_lab import START, Clock
from verifiers.anchors import Anchor, Anchors
from verifiers.errors import Reason, VerificationError
from verifiers.tcb import TcbStatus
from verifiers.tdx.endorsements import PcsSource, gather
from verifiers.tdx.quote import parse_quote
from verifiers.tdx.verify import verify

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from verifiers.tdx.claims import TdxClaims

INTEL = FakeIntel.create(START, seed=b"R-05")
FORGER = FakeIntel.create(START, seed=b"R-05, somebody else")
ANCHORS = Anchors(Anchor.from_der(INTEL.root_der))
QUOTE = parse_quote(INTEL.platform().quote())
PATHS = {
    "tcb_info": f"/tdx/certification/v4/tcb?fmspc={INTEL.fmspc}",
    "qe_identity": "/tdx/certification/v4/qe/identity",
    "pck_crl": "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
    "root_ca_crl": "/IntelSGXRootCA.der",
}


class World:
    """A fake PCS, a database, and as many starts of a service over them as a test wants."""

    def __init__(self, stack: AsyncExitStack, pcs: FakePcs, store: SqlStore) -> None:
        self.stack, self.pcs, self.store, self.clock = stack, pcs, store, Clock()
        self.caches: list[CollateralCache] = []

    async def start(self) -> CachingEndorser:
        """A service that has just started: its memory is empty."""
        origin = Origin.of(self.pcs.base_url, private_hosts=["127.0.0.1"])
        client = FetchClient([origin], ClientLimits(), tls_context())
        await self.stack.enter_async_context(client)
        ages = CacheLimits(dict.fromkeys(PATHS, dt.timedelta(hours=6)))
        cache = CollateralCache(client, self.store, ages, self.clock)
        self.caches.append(cache)
        return CachingEndorser(cache, budget=5)

    async def verdict(self, service: CachingEndorser | None = None) -> TdxClaims:
        """What a service (one that has just started, unless given) says of the quote."""
        source = PcsSource(self.pcs.base_url, self.pcs.root_crl_url)
        service = service or await self.start()
        endorsements = await service.run(gather(QUOTE, source, ANCHORS))
        for cache in self.caches:
            await cache.close()  # which waits until the rows are written
        return verify(QUOTE, endorsements, ANCHORS, None, self.clock())

    async def overwrite(self, part: str, body: bytes) -> None:
        """Put `body` into the row of `part`, its headers unchanged, as if it were fetched this very moment."""
        row = await self.store.cached_response(self.pcs.base_url + PATHS[part])
        assert row is not None
        assert row.body != body
        await self.store.put_cached_response(replace(row, body=body, fetched_at=self.clock()))

    async def genuine(self, part: str) -> bytes:
        row = await self.store.cached_response(self.pcs.base_url + PATHS[part])
        assert row is not None
        return row.body


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        pcs = await stack.enter_async_context(running(INTEL))
        url = f"sqlite:///{tmp_path}/attestca.db"
        await schema.upgrade(url)
        store = await SqlStore.open(url)
        stack.push_async_callback(store.close)
        made = World(stack, pcs, store)
        assert (await made.verdict()).tcb.status is TcbStatus.UP_TO_DATE
        assert len(pcs.requests) == len(PATHS)
        made.clock.advance(minutes=5)
        yield made


async def test_rows_answer_after_a_restart_and_are_verified_again(world: World) -> None:
    assert (await world.verdict()).tcb.status is TcbStatus.UP_TO_DATE
    assert len(world.pcs.requests) == len(PATHS)


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity"])
async def test_a_changed_statement_is_refused(world: World, part: str) -> None:
    genuine = await world.genuine(part)
    await world.overwrite(part, genuine.replace(b'"UpToDate"', b'"OutOfDate"', 1))
    with pytest.raises(VerificationError) as caught:
        await world.verdict()
    assert caught.value.reason is Reason.COLLATERAL_SIGNATURE
    assert len(world.pcs.requests) == len(PATHS)


@pytest.mark.parametrize("part", list(PATHS))
async def test_a_forgers_own_collateral_is_refused(world: World, part: str) -> None:
    """Well-formed, in date, and signed: by somebody else."""
    async with running(FORGER) as forgers:
        origin = Origin.of(forgers.base_url, private_hosts=["127.0.0.1"])
        async with FetchClient([origin], ClientLimits(), tls_context()) as client:
            fetches = next(
                gather(QUOTE, PcsSource(forgers.base_url, forgers.root_crl_url), ANCHORS)
            )
            (fetch,) = (fetch for fetch in fetches if fetch.part == part)
            forged = await client.get(fetch)
    await world.overwrite(part, forged.body)
    with pytest.raises(VerificationError) as caught:
        await world.verdict()
    assert caught.value.reason in {Reason.COLLATERAL_SIGNATURE, Reason.CRL_INVALID}


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity"])
async def test_rubbish_in_the_place_of_json_is_not_even_taken_for_an_answer(
    world: World, part: str
) -> None:
    await world.overwrite(part, b"<html>maintenance</html>")
    service = await world.start()
    asked = len(world.pcs.requests)
    assert (await world.verdict(service)).tcb.status is TcbStatus.UP_TO_DATE
    assert len(world.pcs.requests) == asked + 1


@pytest.mark.parametrize("part", ["pck_crl", "root_ca_crl"])
async def test_rubbish_is_refused_and_after_a_minute_asked_for_anew(
    world: World, part: str
) -> None:
    await world.overwrite(part, b"<html>maintenance</html>")
    service = await world.start()
    world.clock.advance(minutes=1)
    with pytest.raises(VerificationError) as caught:
        await world.verdict(service)
    assert caught.value.reason is Reason.COLLATERAL_MALFORMED
    assert (await world.verdict(service)).tcb.status is TcbStatus.UP_TO_DATE


async def test_a_row_dated_ahead_is_not_fresh_for_ever(world: World) -> None:
    row = await world.store.cached_response(world.pcs.base_url + PATHS["pck_crl"])
    assert row is not None
    ahead = world.clock() + dt.timedelta(days=3650)
    await world.store.put_cached_response(replace(row, body=b"old", fetched_at=ahead))
    assert (await world.verdict()).tcb.status is TcbStatus.UP_TO_DATE
    assert len(world.pcs.requests) == len(PATHS) + 1
