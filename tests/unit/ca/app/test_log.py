# SPDX-License-Identifier: Apache-2.0
"""The log as the service keeps it: its key comes and goes with the folder, and no fault of it stops the service."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ca.app.log import LogKeeper, log_name
from ca.errors import ConfigurationError, LogHalted
from ca.signers.log import add_log_key, log_key
from tests import log_lab
from tests.app_lab import open_app

if TYPE_CHECKING:
    from pathlib import Path

    from ca.note import Checkpoint, LogKey
    from tests.app_lab import App


def another_process(app: App) -> LogKeeper:
    """One more service on the same folder and database."""
    return LogKeeper(app.service.keys, app.service.store.log)


def key_of(app: App) -> LogKey:
    key, _ = log_key(app.service.keys.folder, log_name(app.config))
    return key


async def published(app: App) -> Checkpoint:
    newest = await app.service.store.log.checkpoint()
    assert newest is not None
    assert newest.note is not None
    return key_of(app).verifier.open(newest.note)


def secrets_of(app: App) -> list[Path]:
    return sorted(app.config.ca.directory.glob("log-*.secret"))


async def test_its_name_is_the_host_of_the_service(app: App) -> None:
    await app.run_job("log")
    assert (await published(app)).origin == "ca.example.org"


async def test_a_folder_of_before_there_was_a_log_gets_its_key(app: App) -> None:
    for path in secrets_of(app):
        path.unlink()
    await app.run_job("log")
    assert len(secrets_of(app)) == 1
    assert (await published(app)).size > 0
    await another_process(app).turn(app.clock())


async def test_a_replica_without_the_key_makes_none(app: App, tmp_path: Path) -> None:
    await app.run_job("log")
    (secret,) = secrets_of(app)
    kept = shutil.move(secret, tmp_path / secret.name)
    other = another_process(app)
    with pytest.raises(LogHalted, match="copy log-"):
        await other.turn(app.clock())
    assert secrets_of(app) == []
    await other.turn(app.clock() + timedelta(seconds=59))  # it waits before it tries again
    shutil.move(kept, secret)
    await other.turn(app.clock() + timedelta(seconds=61))


async def test_a_new_key_is_taken_by_a_service_that_runs(app: App) -> None:
    await app.run_job("log")
    before = await published(app)
    add_log_key(app.service.keys.folder)
    await app.service.store.log.replace_key(log_lab.sha256_of(key_of(app)))
    with pytest.raises(LogHalted):
        await app.run_job("log")
    assert (await app.enroll()).status == 201, "everything else goes on"
    assert "\nattestca_log_halted 1.0\n" in (await app.get("/metrics")).body.decode()
    await app.run_job("log", app.clock() + timedelta(minutes=2))
    assert "\nattestca_log_halted 0.0\n" in (await app.get("/metrics")).body.decode()
    assert (await published(app)).size > before.size
    told = await log_lab.entries(app.service.store.log, (await published(app)).size)
    logs = [one for one in told if getattr(one, "purpose", "") == "log"]
    assert len(logs) == 2, "the log tells of its own keys"


async def test_a_witness_that_cannot_be_written_stops_the_log_alone(app: App) -> None:
    await app.run_job("log")
    (witness,) = app.config.ca.directory.glob("log-*.checkpoint")
    witness.unlink()
    witness.mkdir()
    await app.enroll()
    with pytest.raises(ConfigurationError, match="cannot read"):
        await app.run_job("log")
    witness.rmdir()
    assert (await app.enroll()).status == 201
    await app.run_job("log", app.clock() + timedelta(minutes=2))
    assert witness.read_bytes()


async def test_the_witness_outlives_the_process(app: App, sqlite_url: str, tmp_path: Path) -> None:
    """A database from before, under the keys of now, is not signed."""
    old = tmp_path / "old.db"
    source = sqlite_url.removeprefix("sqlite:///")
    shutil.copy(source, old)
    await app.enroll()
    await app.run_job("log")
    folder = app.config.ca.directory.parent
    async with open_app(folder, f"sqlite:///{old}", app.clock) as restored:
        with pytest.raises(LogHalted, match="has not the"):
            await restored.run_job("log")
