# SPDX-License-Identifier: Apache-2.0
"""R-53: a leaked chip is revoked by its id, and lists that say so are there without waiting for any clock.

Nothing of the id is kept: the handle is under a key of the authority's.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from ca import jobs
from tests.revoking import issued, listed, refused, revoke
from tests.snp_app import open_snp_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cryptography import x509

    from tests.app_lab import App
    from tests.vendor_lab import Clock


@asynccontextmanager
async def working(app: App) -> AsyncIterator[None]:
    """The service's jobs, whose next turn by the clock is a day away."""
    daily = [replace(job, every=timedelta(days=1)) for job in app.service.jobs(app.tls)]
    failures: list[tuple[str, Exception]] = []
    running = asyncio.create_task(
        jobs.run_forever(daily, app.clock, lambda *failure: failures.append(failure))
    )
    yield
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert failures == []


async def until_listed(app: App, leaf: x509.Certificate) -> None:
    while await listed(app, leaf) is None:
        pass  # each look is a request, during which the job goes on


async def test_a_leaked_chip_of_each_vendor(
    app_clock: Clock, database_url: str, tmp_path: Path
) -> None:
    async with open_snp_app(tmp_path, database_url, app_clock, ("Genoa",)) as snp, working(snp.app):
        await snp.accept()
        epyc, tdx = snp.amd.machine("Genoa"), snp.app.machine
        other_epyc, other_tdx = snp.amd.machine("Genoa"), snp.app.intel.platform()
        leaked = [issued(await snp.enroll(epyc)), issued(await snp.app.enroll(machine=tdx))]
        sound = [
            issued(await snp.enroll(other_epyc)),
            issued(await snp.app.enroll(machine=other_tdx)),
        ]
        ids = {"chip_id": epyc.chip_id.hex(), "ppid": tdx.sgx.ppid.hex()}
        for name, value in ids.items():
            done = await revoke(snp.app, kind="chip", name=name, value=value)
            assert value not in str(done)
        refused(await snp.enroll(epyc), "chip")
        refused(await snp.app.enroll(machine=tdx), "chip")
        async with asyncio.timeout(60):
            for leaf in leaked:
                await until_listed(snp.app, leaf)
        for leaf in sound:
            assert await listed(snp.app, leaf) is None
        issued(await snp.enroll(other_epyc))
        issued(await snp.app.enroll(machine=other_tdx))


async def test_a_chip_that_never_came(app_clock: Clock, sqlite_url: str, tmp_path: Path) -> None:
    """Its id is known from elsewhere: it gets nothing when it comes."""
    async with open_snp_app(tmp_path, sqlite_url, app_clock, ("Genoa",)) as snp:
        await snp.accept()
        machine = snp.amd.machine("Genoa")
        await revoke(snp.app, kind="chip", name="chip_id", value=machine.chip_id.hex())
        refused(await snp.enroll(machine), "chip")
        issued(await snp.enroll(snp.amd.machine("Genoa")))
