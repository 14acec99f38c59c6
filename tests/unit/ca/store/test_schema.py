# SPDX-License-Identifier: Apache-2.0
"""Migrations: they make exactly what `ca.store.tables` says, as a whole or not at all, from the wheel too."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import sysconfig
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from ca.errors import AuthorityError, ConfigurationError
from ca.store import schema
from ca.store.database import Database
from ca.store.sql import SqlStore
from ca.store.tables import EPOCH, metadata

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[4]


async def on(url: str, work: Callable[[Connection], Any]) -> Any:  # noqa: ANN401 (what work returns)
    database = Database(url)
    try:
        await database.create()
        return await database.write(work)
    finally:
        await database.close()


def describe(connection: Connection) -> dict[str, Any]:
    """All that the database itself says of its tables, as text without order."""
    inspector = inspect(connection)

    def plain(found: Any) -> Any:  # noqa: ANN401 (nested)
        if isinstance(found, dict):
            return sorted((key, plain(value)) for key, value in found.items())
        if isinstance(found, list):
            return sorted(str(plain(entry)) for entry in found)
        return str(found)

    return {
        name: plain(
            [
                inspector.get_columns(name),
                inspector.get_pk_constraint(name),
                inspector.get_foreign_keys(name),
                inspector.get_unique_constraints(name),
                inspector.get_check_constraints(name),
                inspector.get_indexes(name),
                inspector.get_table_options(name),
            ]
        )
        for name in inspector.get_table_names()
        if name != "alembic_version"
    }


async def test_alembic_sees_no_difference(database_url: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    assert await on(database_url, differences) == []


async def test_migrated_is_what_the_tables_say(empty_database_url: str) -> None:
    """Constraints, partial indexes and table options as well, which alembic does not compare."""
    await on(empty_database_url, schema.migrate)
    migrated = await on(empty_database_url, describe)
    await on(empty_database_url, metadata.drop_all)
    await on(empty_database_url, metadata.create_all)
    assert migrated == await on(empty_database_url, describe)
    assert migrated.keys() == metadata.tables.keys()


async def test_open_refuses_what_has_no_schema(empty_database_url: str) -> None:
    assert await schema.current(empty_database_url) is None
    with pytest.raises(ConfigurationError, match="attestca db upgrade"):
        await SqlStore.open(empty_database_url)
    assert await schema.current(empty_database_url) is None


def test_opening_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="attestca db upgrade"):
        asyncio.run(SqlStore.open(f"sqlite:///{tmp_path}/none.db"))
    assert list(tmp_path.iterdir()) == []


async def test_open_refuses_an_older_schema(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "head", lambda: "9999")
    with pytest.raises(ConfigurationError, match=r"older.*attestca db upgrade"):
        await SqlStore.open(database_url)


async def test_an_upgrade_keeps_what_was_there(empty_database_url: str) -> None:
    """From the first schema: the vendors' answers, which become as old as they are."""

    def first(connection: Connection) -> None:
        schema.migrate(connection, "0001")
        connection.execute(
            text(
                "INSERT INTO cached_responses (url, status, body, headers, fetched_at)"
                " VALUES ('https://vendor.example/crl', 200, :body, '[[\"a\", \"b\"]]', 5000000)"
            ),
            {"body": b"\x00\xff"},
        )

    def used(connection: Connection) -> int:
        found: int = connection.execute(text("SELECT used_at FROM cached_responses")).scalar_one()
        return found

    await on(empty_database_url, first)
    await schema.upgrade(empty_database_url)
    assert await on(empty_database_url, used) == 5_000_000
    store = await SqlStore.open(empty_database_url)
    answer = await store.cached_response("https://vendor.example/crl")
    await store.close()
    assert answer is not None
    assert (answer.body, answer.headers) == (b"\x00\xff", (("a", "b"),))
    assert answer.fetched_at == EPOCH + timedelta(seconds=5)


BEFORE_NUMBERS = (
    "INSERT INTO bundles (sha256) VALUES (:digest)",
    (
        "INSERT INTO decisions (id, refused, decided_at, nonce, nonce_expires, request_sha256, profile, spki_der, tee,"
        " bundle_sha256, anchors_sha256, tcb_status, result_json) VALUES (1, 0, 1, :digest, 1, :digest, 'default',"
        " :digest, 'tdx', :digest, :digest, 'UpToDate', '{}')"
    ),
    (
        "INSERT INTO certificates (serial, decision_id, issuer_key_id, handle, tbs_sha256, not_before, not_after,"
        " state) VALUES (:serial, 1, :digest, :digest, :digest, 1, 7000000, 'abandoned')"
    ),
    "INSERT INTO certificate_handles (serial, position, kind, handle) VALUES (:serial, 0, 'key', :other)",
    "INSERT INTO revocations (handle, kind, revoked_at, cause) VALUES (:digest, 'certificate', 9000000, 'abandoned')",
    "INSERT INTO revocations (handle, kind, revoked_at, cause) VALUES (:other, 'key', 8000000, 'abandoned')",
)


async def test_an_upgrade_numbers_revocations_and_dates_handles(empty_database_url: str) -> None:
    def before(connection: Connection) -> None:
        schema.migrate(connection, "0003")
        values = {"serial": bytes(19) + b"\x05", "digest": b"d" * 32, "other": b"o" * 32}
        for statement in BEFORE_NUMBERS:
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), used)

    await on(empty_database_url, before)
    await schema.upgrade(empty_database_url)
    store = await SqlStore.open(empty_database_url)
    found = await store.revocations_after(0, 10)
    dependents = await store.dependents(b"o" * 32, EPOCH + timedelta(seconds=6), 20)
    late = await store.dependents(b"o" * 32, EPOCH + timedelta(seconds=7), 20)
    await store.close()
    assert [(one.id, one.revocation.handle, one.revocation.revoked_at) for one in found] == [
        (1, b"o" * 32, EPOCH + timedelta(seconds=8)),
        (2, b"d" * 32, EPOCH + timedelta(seconds=9)),
    ]
    assert {
        (one.revocation.reason, one.revocation.actor, one.revocation.note) for one in found
    } == {("unspecified", "service", "abandoned")}
    assert [one.serial for one in dependents.first] == [5]
    assert (dependents.count, late.count) == (1, 0)


async def test_an_upgrade_goes_on_with_the_numbers_of_crls(empty_database_url: str) -> None:
    """The list of before is gone, for no certificate of now names it; its number is used."""

    def before(connection: Connection) -> None:
        schema.migrate(connection, "0005")
        connection.execute(
            text(
                "INSERT INTO crls (issuer_key_id, number, der, this_update, next_update)"
                " VALUES (:issuer, 41, :issuer, 5000000, 6000000)"
            ),
            {"issuer": b"i" * 20},
        )

    await on(empty_database_url, before)
    await schema.upgrade(empty_database_url)
    store = await SqlStore.open(empty_database_url)
    state = await store.crl_state(b"i" * 20, EPOCH.date(), EPOCH.date())
    await store.close()
    assert (state.number, state.this_update) == (41, EPOCH + timedelta(seconds=5))
    assert state.shards == {}


async def test_a_newer_schema_is_refused_and_left_alone(empty_database_url: str) -> None:
    def to_the_future(connection: Connection) -> None:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    await schema.upgrade(empty_database_url)
    await on(empty_database_url, to_the_future)
    with pytest.raises(ConfigurationError, match=r"newer.*attestca db upgrade"):
        await SqlStore.open(empty_database_url)
    with pytest.raises(ConfigurationError, match="newer"):
        await schema.upgrade(empty_database_url)
    assert await schema.current(empty_database_url) == "9999"


async def test_upgrade_twice_and_at_the_same_time(empty_database_url: str) -> None:
    await asyncio.gather(*(schema.upgrade(empty_database_url) for _ in range(3)))
    await schema.upgrade(empty_database_url)
    assert await schema.current(empty_database_url) == schema.head()
    store = await SqlStore.open(empty_database_url)
    await store.ping()
    await store.close()


async def test_an_upgrade_that_fails_leaves_nothing(empty_database_url: str) -> None:
    def in_the_way(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE heartbeat (id INTEGER)"))

    def names(connection: Connection) -> list[str]:
        return inspect(connection).get_table_names()

    await on(empty_database_url, in_the_way)  # the last table that the first revision makes
    with pytest.raises(AuthorityError):
        await schema.upgrade(empty_database_url)
    assert await on(empty_database_url, names) == ["heartbeat"]


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    asyncio.run(schema.upgrade(f"sqlite:///{tmp_path}/new.db"))
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        await schema.upgrade(f"sqlite:///{tmp_path}/none/new.db")


def test_upgrade_from_the_wheel(tmp_path: Path) -> None:
    """Built, unpacked and run outside the checkout: the migrations are those of the wheel."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)  # noqa: S603 - our own interpreter and files
    (wheel,) = tmp_path.glob("attestca-*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    assert (site / "ca" / "ledger" / "artifact" / "AttestationRegistry.json").is_file()

    # -S: the checkout's own installation (a .pth file) stays out.
    program = f"""
import asyncio, sys
sys.path[:0] = [{str(site)!r}, {str(ROOT / "client")!r}, {sysconfig.get_path("purelib")!r}]
from ca.store import schema
asyncio.run(schema.upgrade("sqlite:///{tmp_path}/wheel.db"))
print(schema.scripts(), asyncio.run(schema.current("sqlite:///{tmp_path}/wheel.db")))
"""
    done = subprocess.run(  # noqa: S603 - our own interpreter and files
        [sys.executable, "-I", "-S", "-c", program],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [str(site / "ca/store/migrations"), schema.head()]
