# SPDX-License-Identifier: Apache-2.0
"""`serve` in this process: it says where it listens, answers, and ends in order when it is told to."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING

import aiohttp
import pytest
from structlog.testing import capture_logs

from ca import jobs
from ca.app import serve as serve_module
from ca.app.serve import run_jobs_once, serve
from ca.errors import ConfigurationError, Unavailable
from ca.issuance.request import Assurance
from tests.app_lab import make_keys
from tests.unit.ca.app.test_keys import simulated_config

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ca.config import Config
    from tests.vendor_lab import Clock


@pytest.fixture
def config(tmp_path: Path, app_clock: Clock, sqlite_url: str) -> Config:
    made = simulated_config(tmp_path, app_clock, sqlite_url)
    make_keys(made, app_clock())
    return made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_starts_answers_and_stops(config: Config, number: signal.Signals) -> None:
    addresses: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    with capture_logs() as lines:
        running = asyncio.create_task(serve(config, lambda *where: addresses.put_nowait(where)))
        public, admin = await asyncio.wait_for(addresses.get(), 30)
        assert public.startswith("https://127.0.0.1:")
        assert admin.startswith("http://127.0.0.1:"), "plain HTTP is for loopback, which this is"
        context = ssl.create_default_context(cafile=str(config.ca.directory / "root.pem"))
        async with aiohttp.ClientSession() as session:
            where = f"{public}/readyz"
            async with session.get(where, ssl=context, server_hostname="ca.example.org") as answer:
                assert answer.status == 200
            async with session.get(f"{admin}/v1/admin/policies") as answer:
                assert answer.status == 401
        os.kill(os.getpid(), number)
        await asyncio.wait_for(running, 30)
    events = [line["event"] for line in lines]
    assert {"oid-arc.documentation", "simulated", "started", "stopping"} <= set(events)
    assert events.index("started") < events.index("stopping")


@pytest.mark.parametrize("online", [True, False])
async def test_a_real_authority_warns_of_its_root_key_alone(
    tmp_path: Path, app_clock: Clock, sqlite_url: str, *, online: bool
) -> None:
    made = simulated_config(tmp_path, app_clock, sqlite_url)
    ours = made.ca.model_copy(update={"oid_arc": "1.3.6.1.4.1.99999", "simulated_anchors": ()})
    made = made.model_copy(update={"ca": ours})
    make_keys(made, app_clock(), Assurance.VERIFIED)
    if not online:
        (made.ca.directory / "root.key").unlink()
    with capture_logs() as lines:
        await serve(made, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    warnings = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert warnings == (["root-key.online"] if online else [])


async def test_an_address_that_is_taken(config: Config) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        taken = config.admin.model_copy(
            update={"listen": type(config.admin.listen)("127.0.0.1", port)}
        )
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"):
            await serve(config.model_copy(update={"admin": taken}), lambda *_: None)


async def test_a_job_that_cannot_be_done_at_the_start_is_reported_and_the_rest_goes_on() -> None:
    done: list[str] = []

    async def fails(_now: datetime) -> None:
        raise Unavailable("the vendor does not answer")

    async def goes(_now: datetime) -> None:
        done.append("goes")

    minute = timedelta(minutes=1)
    with capture_logs() as lines:
        await run_jobs_once([jobs.Job("fails", minute, fails), jobs.Job("goes", minute, goes)])
    assert done == ["goes"]
    assert [(line["event"], line["job"]) for line in lines] == [("job.failed", "fails")]


def test_one_client_cannot_hold_every_file() -> None:
    """As many connections as this process may have, and never fewer than it had."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for soft, expected in ((256, min(hard, serve_module.OPEN_FILES)), (hard, hard)):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            serve_module.allow_connections()
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (expected, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


async def test_a_connection_that_says_nothing_is_ended(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ca.http.serving.HANDSHAKE", 0.05)
    addresses: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    running = asyncio.create_task(serve(config, lambda *where: addresses.put_nowait(where)))
    public, _ = await asyncio.wait_for(addresses.get(), 30)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(public.rpartition(":")[2]))
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 30)
