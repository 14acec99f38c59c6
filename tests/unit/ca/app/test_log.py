# SPDX-License-Identifier: Apache-2.0
"""The log as the service keeps it: its key comes and goes with the folder, and no fault of it stops the service."""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import SecretStr
from structlog.testing import capture_logs

from attestca_client.protocol import crls_digest
from ca.app.keys import Keys
from ca.app.log import LogKeeper, log_host
from ca.app.serve import run_jobs_once
from ca.app.service import opened
from ca.errors import ConfigurationError, LogHalted, Unavailable
from ca.signers.log import FileWitness, add_log_key, adopt, log_key
from ca.store import schema
from ca.store.log_sql import SqlLog
from ca.store.tables import log_tiles
from tests import log_lab
from tests.app_lab import install_issuing, open_app
from tests.revoking import issued, revoke

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from attestca_client.protocol.checkpoint import Checkpoint
    from ca.audit import KeyAdded
    from ca.note import LogKey
    from ca.sequencing import Sequencer
    from tests.app_lab import App


def another_process(app: App) -> LogKeeper:
    """One more service on the same folder and database."""
    return LogKeeper(app.service.keys, app.service.store.log, app.service.log.lists)


def key_of(app: App) -> LogKey:
    key, _ = log_key(app.service.keys.folder, log_host(app.config))
    return key


async def published(app: App) -> Checkpoint:
    newest = await app.service.store.log.checkpoint()
    assert newest is not None
    assert newest.note is not None
    key, _ = log_key(app.service.keys.folder, log_host(app.config), newest.key_sha256)
    return key.verifier.open(newest.note)


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
    assert (await published(app)).head.size > 0
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
    add_log_key(app.service.keys.folder, log_host(app.config))
    await app.service.store.log.replace_key(log_lab.sha256_of(key_of(app)))
    with pytest.raises(LogHalted):
        await app.run_job("log")
    assert (await app.enroll()).status == 201, "everything else goes on"
    assert "\nattestca_log_halted 1.0\n" in (await app.get("/metrics")).body.decode()
    await app.run_job("log", app.clock() + timedelta(minutes=2))
    assert "\nattestca_log_halted 0.0\n" in (await app.get("/metrics")).body.decode()
    assert (await published(app)).head.size > before.head.size
    assert (before.origin, (await published(app)).origin) == ("ca.example.org", "ca.example.org/2")
    told = await log_lab.entries(app.service.store.log, (await published(app)).head.size)
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
    later = app.clock() + timedelta(minutes=2)
    with pytest.raises(LogHalted, match="no checkpoint beside it"):
        await app.run_job("log", later)
    newest = await app.service.store.log.checkpoint()
    assert newest is not None
    assert newest.note is not None
    adopt(FileWitness(witness), newest.note)
    before = (await published(app)).head.size
    await app.run_job("log", later + timedelta(minutes=2))
    assert (await published(app)).head.size > before
    assert witness.read_bytes() != newest.note
    with pytest.raises(ConfigurationError, match="never overwritten"):
        adopt(FileWitness(witness), newest.note)


async def test_a_key_comes_with_the_checkpoint_of_the_empty_tree(app: App) -> None:
    folder, host = app.service.keys.folder, log_host(app.config)
    for number in (1, 2):
        key, witness = log_key(folder, host)
        note = await witness.last()
        assert note is not None
        assert (key.verifier.open(note).head.size, key.name[14:]) == (
            0,
            "" if number == 1 else "/2",
        )
        add_log_key(folder, host)
    assert len(secrets_of(app)) == 3


async def test_the_key_that_the_database_names_signs(app: App) -> None:
    """A copy of the database got a new key, and this folder was used for it: that one is none of ours."""
    await app.run_job("log")
    add_log_key(app.service.keys.folder, log_host(app.config))
    await app.enroll()
    before = await published(app)
    await another_process(app).turn(app.clock())
    assert (await published(app)).head.size > before.head.size
    assert (await published(app)).origin == before.origin


async def test_a_log_that_is_damaged_waits_and_stops_nothing(app_on_both: App) -> None:
    """A missing tile, and a fault of our own: tried again once a minute, never at the start."""
    app = app_on_both
    await app.run_job("log")
    await app.enroll()
    await app.service.store._database.write(lose_tiles)
    with capture_logs() as lines:
        await run_jobs_once(app.service.jobs(app.tls))
    assert [line for line in lines if line.get("job") == "log"] == []
    with pytest.raises(LogHalted, match="is damaged"):
        await app.run_job("log")
    await app.run_job("log", app.clock() + timedelta(seconds=59))
    with pytest.raises(LogHalted, match="is damaged"):
        await app.run_job("log", app.clock() + timedelta(seconds=61))
    assert (await app.enroll()).status == 201


def lose_tiles(connection: Connection) -> None:
    connection.execute(log_tiles.delete())


async def test_any_fault_waits(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = another_process(app)

    async def fails(_keeper: LogKeeper, _now: datetime) -> Sequencer:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(LogKeeper, "_opened", fails)
        with pytest.raises(ZeroDivisionError):
            await keeper.turn(app.clock())
        assert keeper.halted
        await keeper.turn(app.clock() + timedelta(seconds=59))
    await keeper.turn(app.clock() + timedelta(seconds=61))
    assert not keeper.halted


async def test_a_clock_that_was_ahead_is_told_until_it_is_over(app: App) -> None:
    """Another replica signed ten minutes ahead: nothing but another key brings the time back."""
    now = app.clock()
    await app.run_job("log")
    assert await ahead(app) == ([], 0)
    await another_process(app).turn(now + timedelta(minutes=10))
    with capture_logs() as told:
        for _ in range(2):
            await app.run_job("log")
    assert [one["seconds"] for one in told if one["event"] == "checkpoint.ahead"] == [600]
    assert await ahead(app) == (["ahead of this clock"], 600)
    app.clock.advance(minutes=5)
    assert await ahead(app) == ([], 300), "which relying parties accept"
    app.clock.advance(minutes=-4)
    assert (await ahead(app))[1] == 540
    add_log_key(app.service.keys.folder, log_host(app.config))
    await app.service.store.log.replace_key(log_lab.sha256_of(key_of(app)))
    with pytest.raises(LogHalted):
        await app.run_job("log")
    app.clock.advance(minutes=1)
    await app.run_job("log")
    assert await ahead(app) == ([], 0)


async def ahead(app: App) -> tuple[list[str], float]:
    """What /readyz warns of, and the metric."""
    warnings = (await app.get("/readyz")).json()["warnings"]
    text = (await app.get("/metrics")).body.decode()
    (value,) = re.findall(r"^attestca_checkpoint_ahead_seconds (\S+)$", text, re.MULTILINE)
    assert all("the log's newest checkpoint is" in one for one in warnings)
    return ["ahead of this clock" for _ in warnings], float(value)


async def test_no_key_is_used_before_the_log_tells_of_it(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = app.service.log
    await told.turn(app.clock())
    issuing, tls = app.service.keys.issuing_cas, app.service.keys.tls
    install_issuing(app.config, app.clock() + timedelta(seconds=1))

    async def gone(_log: SqlLog, _keys: list[KeyAdded]) -> None:
        raise Unavailable("gone")

    later = app.clock() + timedelta(days=25)
    with monkeypatch.context() as patch:
        patch.setattr(SqlLog, "append_keys", gone)
        with pytest.raises(Unavailable):
            await app.run_job("certificates", later)
        assert app.service.keys.issuing_cas == issuing
    calls: list[int] = []
    reload = Keys.reload

    def watched(keys: Keys) -> None:
        reload(keys)
        used = {*keys.issuing_cas, *keys.tls, *keys.ear, *keys.ocsp}
        ders = {held.certificate.public_bytes(Encoding.DER) for held in used}
        assert ders <= told._told
        calls.append(len(used))

    monkeypatch.setattr(Keys, "reload", watched)
    await app.run_job("certificates", later)
    assert len(calls) == 2
    assert len(app.service.keys.issuing_cas) == len(issuing) + 1
    assert app.service.keys.tls != tls


async def test_the_log_begins_with_the_keys(app: App, tmp_path: Path) -> None:
    """They wait for their positions before the first request can be answered."""
    url = f"sqlite:///{tmp_path / 'new.db'}"
    await schema.upgrade(url)
    database = app.config.database.model_copy(update={"url": SecretStr(url)})
    async with opened(app.config.model_copy(update={"database": database})) as service:
        await log_lab.sequence(service.store.log)
        told = await log_lab.entries(service.store.log, (await service.store.log.tree(0)).size)
    purposes = [getattr(one, "purpose", "") for one in told]
    assert {"root", "issuing", "tls", "ear", "ocsp"} <= set(purposes)


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


async def test_a_checkpoint_names_the_lists_that_are_served(app_on_both: App) -> None:
    """As anybody computes it of what the service serves: after a revocation it is of other lists."""
    app = app_on_both
    leaf = issued(await app.enroll())
    digests = []
    for minute in (0, 2):
        if minute:
            await revoke(app, kind="certificate", value=f"{leaf.serial_number:x}")
        await app.run_job("certificates")
        await app.run_job("log", app.clock() + timedelta(minutes=minute))
        said = (await app.get("/v1/crls")).json()
        lists = {one["url"]: bytes.fromhex(one["sha256"]) for one in said["lists"]}
        for url, digest in lists.items():
            assert sha256((await app.get(urlsplit(url).path)).body).digest() == digest, url
        assert (await published(app)).head.crls_digest == crls_digest(lists)
        digests.append(crls_digest(lists))
    assert digests[0] != digests[1]
