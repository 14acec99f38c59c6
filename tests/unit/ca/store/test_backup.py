# SPDX-License-Identifier: Apache-2.0
"""Backup of one kind of database, restore into the other or the same; what is lost in between is done never twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import shutil
import zipfile
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Row, select

from attestca_client.protocol.checkpoint import EMPTY_HEAD
from ca import audit
from ca.errors import AuthorityError, ConfigurationError, LogHalted, NonceUsed
from ca.ledger_ports import NOTHING, Fees, Mark, NewAnchor, Transaction
from ca.note import LogKey
from ca.ports import Blob, CachedResponse, CertificateQuery
from ca.store import schema
from ca.store.backup import backup, restore
from ca.store.sql import SqlStore
from ca.store.tables import metadata
from tests import log_lab, records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

LATER = records.NOW + timedelta(hours=3)
NEW_KEY = LogKey(log_lab.KEY.name, Ed25519PrivateKey.from_private_bytes(b"k" * 32))
NEW_NONCE = LATER + timedelta(seconds=121)


async def fill(store: SqlStore) -> None:
    """At least one row in every table but `restorations`."""
    await records.activate(store)
    issued, abandoned = records.intent(), records.intent()
    for intent in (issued, abandoned):
        await store.record_intent(intent)
    await store.record_certificate(issued.serial, b"\x00der\xff", "ear")
    await store.abandon_intents(LATER, LATER)
    await store.record_intent(records.intent(withheld=(records.digest("chip"),)))
    refused = records.decision(policy_name=None, policy_sha256=None, evaluations={"line": 20})
    await store.record_refusal(refused)
    await store.add_token(records.token(last_used_at=records.NOW), records.ACTION)
    await store.publish_crls([records.crl(41)], 0)
    answer = CachedResponse(
        "https://vendor.example/x", 200, b"\n\r\x00", (("a", "b"),), records.NOW
    )
    await store.put_cached_response(answer)
    await store.log.append_keys([audit.KeyAdded(records.NOW, "tls", b"key")])
    await log_lab.sequence(store.log)
    await anchor(store)
    await store.log_action(records.ACTION)
    await store.record_list("amd-floors", 1, records.digest("floors"), records.ACTION)
    await store.ping()


async def anchor(store: SqlStore) -> None:
    """One that was recorded and not sent yet."""
    sent = Transaction(b"\x02raw", records.digest("transaction"), Fees(2, 1), 0)
    tombstones = (records.digest("handle"),)
    new = NewAnchor(1, 0, EMPTY_HEAD, tombstones, NOTHING, Mark(1, 1), sent)
    assert await store.anchors.record(records.digest("target"), new, records.NOW)


def everything(connection: Connection) -> dict[str, list[Row[Any]]]:
    return {
        table.name: list(connection.execute(select(table).order_by(*table.primary_key.columns)))
        for table in metadata.sorted_tables
    }


@pytest.fixture
async def saved(store: SqlStore, database_url: str, tmp_path: Path) -> Path:
    """A backup of a filled database."""
    await fill(store)
    path = tmp_path / "backup.zip"
    await backup(database_url, path, records.NOW)
    return path


@pytest.fixture
def other_url(database_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of the other kind."""
    if database_url.startswith("postgresql"):
        return f"sqlite:///{tmp_path}/other.db"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
async def restored(saved: Path, other_url: str) -> AsyncIterator[SqlStore]:
    """The backup in a database of the other kind."""
    await restore(saved, other_url, LATER)
    store = await SqlStore.open(other_url)
    yield store
    await store.close()


async def test_every_row_of_every_table(restored: SqlStore, store: SqlStore) -> None:
    before = await store._database.read(everything)
    after = await restored._database.read(everything)
    assert all(before[name] for name in before if name != "restorations")
    for name in ("crls", "crl_series"):
        assert before.pop(name)
        assert after.pop(name) == []
    assert before.pop("log_checkpoint") != after.pop("log_checkpoint")
    assert before.pop("restorations") == []
    assert len(after.pop("restorations")) == 1
    assert after == before


async def test_the_restored_store_goes_on(restored: SqlStore, store: SqlStore) -> None:
    """Row numbers do not collide, and what was decided is read as before."""
    assert await restored.certificates(CertificateQuery()) == await store.certificates(
        CertificateQuery()
    )
    intent = records.intent(of=records.decision(nonce_expires=NEW_NONCE))
    await restored.record_intent(intent)
    await restored.record_refusal(records.decision(nonce_expires=NEW_NONCE))
    await restored.log_action(records.ACTION)
    newest, older = await restored.refusals(10, None)
    assert newest.id > older.id


async def test_nonces_of_the_lost_time_are_refused(restored: SqlStore, store: SqlStore) -> None:
    """Issued before the restore, and answered or not: nobody knows."""
    limit = LATER + timedelta(seconds=120)
    for answer in (
        restored.record_refusal(records.decision(nonce_expires=limit)),
        restored.record_intent(records.intent(of=records.decision(nonce_expires=limit))),
    ):
        with pytest.raises(NonceUsed):
            await answer
    (known,) = await store.refusals(1, None)
    with pytest.raises(NonceUsed):
        await restored.record_refusal(
            records.decision(nonce=known.decision.nonce, nonce_expires=NEW_NONCE)
        )
    after = records.decision(nonce_expires=limit + timedelta(microseconds=1))
    await restored.record_refusal(after)


async def test_the_key_of_the_lost_time_signs_no_more(restored: SqlStore) -> None:
    """What it signed after the backup is not here, and it must not sign another log in its place."""
    before = await restored.log.tree(0)
    assert before.size > 3
    with pytest.raises(LogHalted):
        await log_lab.sequence(restored.log)
    await restored.log.replace_key(hashlib.sha256(NEW_KEY.verifier.key).digest())
    assert await log_lab.sequence(restored.log, NEW_KEY) > before.size
    assert (await restored.log.tree(before.size)).signed_root == before.root


async def floor_of(store: SqlStore, issuer: bytes = records.ISSUER) -> int:
    today = records.NOW.date()
    return (await store.crl_state(issuer, today, today)).floor


async def test_crl_numbers_go_on_above_all_that_were_used(
    restored: SqlStore, store: SqlStore
) -> None:
    for number in range(42, 60):  # signed after the backup, lost with the database
        assert await store.publish_crls([records.crl(number)], number - 1)
    assert await restored.crl(records.ISSUER, records.NOW.date()) is None
    assert not await restored.publish_crls([records.crl(60)], 0)
    floor = await floor_of(restored)
    assert floor >= 60
    assert floor == await floor_of(restored, b"another issuer")
    assert not await restored.publish_crls([records.crl(floor)], 0)
    assert await restored.publish_crls([records.crl(floor + 1)], 0)


async def test_a_second_restore_of_the_same_backup_goes_higher(
    restored: SqlStore, saved: Path, tmp_path: Path
) -> None:
    used = await floor_of(restored)
    again = f"sqlite:///{tmp_path}/again.db"
    await restore(saved, again, LATER + timedelta(milliseconds=1))
    second = await SqlStore.open(again)
    try:
        assert await floor_of(second) > used
    finally:
        await second.close()


async def test_a_backup_of_a_restored_database_keeps_its_floor(
    restored: SqlStore, other_url: str, tmp_path: Path
) -> None:
    floor = await floor_of(restored)
    assert await restored.publish_crls([records.crl(floor + 5)], 0)
    await backup(other_url, tmp_path / "second.zip", LATER)
    url = f"sqlite:///{tmp_path}/second.db"
    await restore(tmp_path / "second.zip", url, records.NOW)  # a clock that went back
    second = await SqlStore.open(url)
    try:
        assert await floor_of(second) == floor + 5
    finally:
        await second.close()


async def test_consistent_while_in_use(store: SqlStore, database_url: str, tmp_path: Path) -> None:
    """Writers go on; what is in the file is of one instant: each nonce with its certificate and decision."""
    await records.activate(store)
    begun, done = asyncio.Event(), asyncio.Event()

    async def write() -> int:
        count = 0
        while not done.is_set():
            intent = records.intent()
            await store.record_intent(intent)
            await store.record_certificate(intent.serial, b"der", "ear")
            count += 1
            begun.set()
        return count

    writer = asyncio.create_task(write())
    await begun.wait()
    manifest = await backup(database_url, tmp_path / "backup.zip", records.NOW)
    done.set()
    written = await writer
    rows = {part.table: part.rows for part in manifest.parts}
    assert rows["nonces"] == rows["certificates"] == rows["decisions"] == rows["decision_evidence"]
    assert 0 < rows["certificates"] <= written


def test_the_file_is_new_and_its_owners_alone(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "backup.zip"
    asyncio.run(backup(sqlite_url, path, records.NOW))
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="File exists"):
        asyncio.run(backup(sqlite_url, path, LATER))
    assert path.read_bytes() == before


async def test_nothing_to_back_up(empty_database_url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no such database|no schema"):
        await backup(empty_database_url, tmp_path / "backup.zip", records.NOW)
    assert not (tmp_path / "backup.zip").exists()


@pytest.fixture
def files_up_to_64_kib() -> Iterator[None]:
    """A real limit of the operating system: a longer write fails as on a full disk, with other words."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_leaves_no_half_backup(
    sqlite_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = await SqlStore.open(sqlite_url)
    noise = os.urandom(200_000)
    evidence = (("tdx-quote", Blob(hashlib.sha256(noise).digest(), noise)),)
    await store.record_refusal(records.decision(evidence=evidence))
    await store.close()
    request.getfixturevalue("files_up_to_64_kib")
    with pytest.raises(ConfigurationError, match="File too large"):
        await backup(sqlite_url, tmp_path / "backup.zip", records.NOW)
    assert not (tmp_path / "backup.zip").exists()


async def test_restore_needs_an_empty_database(saved: Path, database_url: str) -> None:
    with pytest.raises(ConfigurationError, match="not empty"):
        await restore(saved, database_url, LATER)


async def test_restore_into_tables_without_rows(saved: Path, empty_database_url: str) -> None:
    await schema.upgrade(empty_database_url)
    manifest = await restore(saved, empty_database_url, LATER)
    assert manifest.revision == schema.head()
    store = await SqlStore.open(empty_database_url)
    assert len(await store.certificates(CertificateQuery())) == 3
    await store.close()
    with pytest.raises(ConfigurationError, match="not empty"):
        await restore(saved, empty_database_url, LATER)


def rewrite(path: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """Change members of an archive; digests stay as they were."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def edit_manifest(members: dict[str, bytes], **fields: Any) -> None:  # noqa: ANN401 - a value of any type is what it takes
    members["manifest.json"] = json.dumps(json.loads(members["manifest.json"]) | fields).encode()


DAMAGES: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "a changed row": (
        lambda m: m.update({"nonces.jsonl": m["nonces.jsonl"].replace(b"A", b"B", 1)}),
        "digest of table nonces",
    ),
    "a row less": (
        lambda m: m.update({"nonces.jsonl": m["nonces.jsonl"].split(b"\n", 1)[1]}),
        "digest of table nonces",
    ),
    "a table less": (lambda m: m.pop("nonces.jsonl"), "nonces cannot be read"),
    "no manifest": (lambda m: m.pop("manifest.json"), "manifest"),
    "no JSON": (lambda m: m.update({"manifest.json": b"{"}), "manifest"),
    "a later format": (lambda m: edit_manifest(m, format=2), "newer"),
    "a later revision": (lambda m: edit_manifest(m, revision="9999"), "newer"),
    "no parts": (lambda m: edit_manifest(m, parts=[]), "tables are not those"),
    "parts of another shape": (lambda m: edit_manifest(m, parts=[{}]), "manifest"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_backup_changes_nothing(
    damage: str, sqlite_url: str, tmp_path: Path
) -> None:
    store = await SqlStore.open(sqlite_url)
    await fill(store)
    await store.close()
    path = tmp_path / "backup.zip"
    await backup(sqlite_url, path, records.NOW)
    change, message = DAMAGES[damage]
    rewrite(path, change)
    target = f"sqlite:///{tmp_path}/target.db"
    with pytest.raises(ConfigurationError, match=message):
        await restore(path, target, LATER)
    assert await schema.current(target) is None


async def test_a_truncated_file(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "backup.zip"
    await backup(sqlite_url, path, records.NOW)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ConfigurationError, match="no whole archive"):
        await restore(path, f"sqlite:///{tmp_path}/target.db", LATER)
    with pytest.raises(ConfigurationError, match="No such file"):
        await restore(tmp_path / "none.zip", f"sqlite:///{tmp_path}/target.db", LATER)


async def test_rows_that_break_a_constraint_are_taken_back(
    saved: Path, other_url: str, tmp_path: Path
) -> None:
    """Digests agree, so someone made it so; the database still refuses, and stays empty."""
    path = Path(shutil.copy(saved, tmp_path / "forged.zip"))
    manifest = await backup_manifest(path)
    parts = [
        part | ({"rows": 0, "sha256": EMPTY} if part["table"] == "blobs" else {})
        for part in manifest["parts"]
    ]

    def change(members: dict[str, bytes]) -> None:
        members["blobs.jsonl"] = b""
        edit_manifest(members, parts=parts)

    rewrite(path, change)
    with pytest.raises(AuthorityError):
        await restore(path, other_url, LATER)
    assert await schema.current(other_url) is None


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


async def backup_manifest(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        found: dict[str, Any] = json.loads(archive.read("manifest.json"))
    return found


async def test_manifest_says_what_is_in_it(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "backup.zip"
    manifest = await backup(sqlite_url, path, records.NOW)
    assert await backup_manifest(path) == json.loads(json.dumps(asdict(manifest)))
    assert manifest.created_at == "2026-03-01T12:00:00.123457+00:00"
    assert {part.table for part in manifest.parts} == metadata.tables.keys()
