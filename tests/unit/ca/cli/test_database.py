# SPDX-License-Identifier: Apache-2.0
"""`attestca db`, `backup` and `restore`."""

from __future__ import annotations

import asyncio
import contextlib
import stat
import threading
from typing import TYPE_CHECKING

from ca.store import schema
from ca.store.sql import SqlStore
from tests import records
from tests.unit.ca.cli.test_initialize import actions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from tests.cli_lab import Cli, Place


def test_current_and_upgrade(cli: Cli, place: Place) -> None:
    config = ("--config", place.path)
    (place.folder / "attestca.db").unlink()
    assert cli.good("db", "current", *config).out.split() == [
        *("database", "has", "none", "needed", schema.head()),
    ]
    assert cli.good("db", "upgrade", *config).err == f"schema {schema.head()} (was None)\n"
    assert cli.good("db", "upgrade", *config).err == f"schema {schema.head()}, as before\n"
    assert cli.good("db", "current", *config).out.split()[2] == schema.head()


@contextlib.contextmanager
def writer(url: str) -> Iterator[list[int]]:
    """Somebody who writes into the database until the block ends; counts what was written."""
    written: list[int] = []
    stop = threading.Event()

    async def work() -> None:
        store = await SqlStore.open(url)
        await records.activate(store)
        while not stop.is_set():
            await store.record_intent(records.intent())
            written.append(1)
        await store.close()

    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    while not written and thread.is_alive():
        stop.wait(0.01)
    try:
        yield written
    finally:
        stop.set()
        thread.join()


def rows(shown: str) -> dict[str, int]:
    """What backup and restore print of tables."""
    table = shown.partition("table ")[2].splitlines()[1:]
    return {name: int(count) for name, count in (line.split() for line in table)}


def test_backup_while_in_use_and_restore(cli: Cli, place: Place, tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    cli.good(
        *("token", "create", "me", "--scope", "audit:read", "--expires", "1d"),
        *("--config", place.path),
    )
    with writer(place.database) as written:
        backed_up = rows(cli.good("backup", file, "--config", place.path).out)
        at_backup = len(written)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert 1 <= backed_up["certificates"] <= at_backup + 1
    assert backed_up["certificates"] == backed_up["decisions"] == backed_up["nonces"]
    assert backed_up["tokens"] == 1
    assert actions(place.database)[0].action == "database.backup"

    other = place.copy(tmp_path / "other")
    for path in other.folder.glob("attestca.db*"):
        path.unlink()
    done = cli.good("restore", file, "--config", other.path)
    assert rows(done.out) == backed_up
    assert cli.good("token", "list", "--json", "--config", other.path).json()[0]["name"] == "me"
    assert actions(other.database)[0].action == "database.restore"


def test_restore_wants_an_empty_database(cli: Cli, place: Place, tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    cli.good("backup", file, "--config", place.path)
    before = actions(place.database)
    done = cli("restore", file, "--config", place.path)
    assert (done.code, done.out) == (66, "")
    assert "not empty" in done.err
    assert actions(place.database) == before


def test_backup_never_overwrites(cli: Cli, place: Place, tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    file.write_text("precious")
    assert cli("backup", file, "--config", place.path).code == 66
    assert file.read_text() == "precious"


def test_a_damaged_backup_is_refused(cli: Cli, place: Place, tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    cli.good("backup", file, "--config", place.path)
    file.write_bytes(file.read_bytes()[:-100])
    for path in place.folder.glob("attestca.db*"):
        path.unlink()
    done = cli("restore", file, "--config", place.path)
    assert done.code == 66
    assert "damaged" in done.err


def test_a_backup_before_an_upgrade_is_not_logged(
    cli: Cli, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This version cannot write into an older schema, and may still save it."""
    before = actions(place.database)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "head", lambda: "9999")
        cli.good("backup", tmp_path / "backup.zip", "--config", place.path)
    assert actions(place.database) == before


def test_no_database_is_reached(cli: Cli, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTESTCA_DATABASE__URL", "postgresql://me:canary-secret@127.0.0.1:9/x")
    for arguments in (("db", "current"), ("db", "upgrade"), ("backup", "x.zip"), ("token", "list")):
        done = cli(*arguments, "--config", place.path)
        assert done.code == 69
        assert "canary-secret" not in done.err
