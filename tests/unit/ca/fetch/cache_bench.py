# SPDX-License-Identifier: Apache-2.0
"""A cache before a vendor whose answers are numbered, so that a test sees which of them it was given."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING

from aiohttp import web

from ca.fetch.cache import CacheLimits, CollateralCache
from ca.fetch.client import ClientLimits
from tests.vendor_lab import until

if TYPE_CHECKING:
    from tests.vendor_lab import Clock, Lab, MemoryStore, Vendor

HOUR = dt.timedelta(hours=1)
LIMITS = CacheLimits(
    refresh_after={"tcb_info": 6 * HOUR, "pck_crl": HOUR, "crl": 6 * HOUR},
    lasting=frozenset({"vcek"}),
    hard_age=72 * HOUR,
    entries=8,
)


class Bench:
    """A vendor whose answers are numbered, and a cache before it."""

    def __init__(self, vendor: Vendor, cache: CollateralCache, clock: Clock) -> None:
        self.vendor, self.cache, self.clock = vendor, cache, clock
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()

    async def handler(self, _: web.Request) -> web.Response:
        number = self.vendor.count
        await self.gate.wait()
        return web.Response(status=self.status, text=f"answer {number}", headers={"X-Chain": "c"})

    async def body(self, path: str = "/tcb", *, patience: float = 5, part: str = "tcb_info") -> str:
        response = await self.cache.get(self.vendor.fetch(path, part=part), patience=patience)
        assert response.status == 200
        return response.body.decode()

    async def reached(self, count: int) -> None:
        """Until the vendor has been asked `count` times."""
        await until(lambda: self.vendor.count >= count)


async def make(lab: Lab, store: MemoryStore, clock: Clock, limits: CacheLimits = LIMITS) -> Bench:
    async def unset(_: web.Request) -> web.Response:
        return web.Response(status=500)

    vendor = await lab.vendor(unset)
    client = await lab.client(vendor.base, limits=ClientLimits(total=5))
    bench = Bench(vendor, CollateralCache(client, store, limits, clock), clock)
    vendor.handler = bench.handler
    return bench
