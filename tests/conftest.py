# SPDX-License-Identifier: Apache-2.0
"""Fixtures that tests of any part may use.

database_url        a fresh database with the schema: the test runs twice, on SQLite and on PostgreSQL
empty_database_url  the same without the schema
store               an open SqlStore on `database_url`
sqlite_url, postgres_url, postgres    where one of the two is meant
app                 a service as `serve` puts it together, in this process, on SQLite; app_on_both: on each of the two
app_clock           its clock
stage               `attestca serve` and all around it as processes, once per session, on each of the two databases
sqlite_stage, postgres_stage          where one of the two is meant
go_log              Go's own transparency log packages, to be asked about ours
"""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from ca.store import schema
from ca.store.sql import SqlStore
from simulator.amd_keys import SHARED
from tests import go_log as go_logs
from tests import known_keys
from tests.databases import NOT_INSTALLED, PostgresServer, find_binaries, run_to_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator
    from pathlib import Path

    from simulator.stage import Stage
    from tests.app_lab import App
    from tests.go_log import GoLog
    from tests.scheduling import Scheduling
    from tests.vendor_lab import Clock

BOTH = ("sqlite", "postgresql")

settings.register_profile("attestca", deadline=None)  # time is never asserted: machines are shared
settings.load_profile("attestca")

SHARED.made.update(known_keys.keys())

# Nobody beyond this machine is asked: every client would read the system's authorities, a service's start in three.
os.environ["SSL_CERT_FILE"] = os.devnull


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests stay to the end: to look through them for garbage takes a quarter of the time to collect."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling | None:
    """Ours where test files are shared among workers."""
    from tests.scheduling import Scheduling  # noqa: PLC0415 - for a parallel run

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_runtest_setup() -> None:
    """Packages of Ethereum's raise the limit a hundredfold when they are imported; deep JSON then ends the process."""
    sys.setrecursionlimit(1000)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One visible notice for each reason to skip, however many tests share it."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"NOTICE: {reason} ({count} tests)", yellow=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The PostgreSQL server of this session, started by the first test that asks."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip(NOT_INSTALLED)
    server = PostgresServer(binaries)
    try:
        server.create()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def go_log(pytestconfig: pytest.Config) -> Iterator[GoLog]:
    """Compiled the first time that one of the workers asks."""
    go = go_logs.find_go()
    if go is None:
        pytest.skip(go_logs.NOT_INSTALLED)
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("go-log")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program = go_logs.build(go, folder)
    with subprocess.Popen(  # noqa: S603 - what we just compiled
        [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield go_logs.GoLog(process)
        process.kill()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    run_to_end(schema.upgrade(f"sqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh SQLite database with the schema."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'attestca.db')}"


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database with the schema and without rows."""
    name = postgres.lend()
    yield postgres.url(name)
    postgres.take_back(name)


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database with the schema, on each of the two."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture
def empty_postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database without tables."""
    name = postgres.lend(schema=False)
    yield postgres.url(name)
    postgres.take_back(name, schema=False)


@pytest.fixture(params=BOTH)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables, on each of the two; for SQLite not even a file."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlStore]:
    """An open store on a fresh database, closed after the test."""
    opened = await SqlStore.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def app_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of services in this process, which starts now; passphrases are stretched little."""
    from tests.vendor_lab import Clock  # noqa: PLC0415 - half a second, for those who ask

    clock = Clock(datetime.now(UTC).replace(microsecond=0))
    for module in ("ca.app.service", "ca.app.serve"):  # by name: a function hides the second
        monkeypatch.setattr(import_module(module), "clock", clock)
    monkeypatch.setattr(import_module("ca.signers.file"), "_N", 2)
    return clock


@pytest.fixture
async def app(app_clock: Clock, sqlite_url: str, tmp_path: Path) -> AsyncIterator[App]:
    """A running service."""
    from tests.app_lab import open_app  # noqa: PLC0415 - as above

    async with open_app(tmp_path, sqlite_url, app_clock) as running:
        yield running


@pytest.fixture
async def app_on_both(app_clock: Clock, database_url: str, tmp_path: Path) -> AsyncIterator[App]:
    """A running service, on each of the two databases."""
    from tests.app_lab import open_app  # noqa: PLC0415 - as above

    async with open_app(tmp_path, database_url, app_clock) as running:
        yield running


@pytest.fixture(scope="session")
def sqlite_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Everything as processes, on SQLite."""
    from tests.stage_lab import open_stage  # noqa: PLC0415 - as above

    with open_stage(tmp_path_factory.mktemp("stage-sqlite")) as running:
        yield running


@pytest.fixture(scope="session")
def postgres_stage(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Everything as processes, on PostgreSQL."""
    from tests.stage_lab import open_stage  # noqa: PLC0415 - as above

    url = postgres.url(postgres.new_database("stage", "template1"))
    with open_stage(tmp_path_factory.mktemp("stage-postgres"), url) as running:
        yield running


@pytest.fixture(params=BOTH)
def stage(request: pytest.FixtureRequest) -> Stage:
    """Everything as processes, on each of the two databases."""
    found: Stage = request.getfixturevalue(
        f"{request.param}_stage".replace("postgresql", "postgres")
    )
    return found
