# SPDX-License-Identifier: Apache-2.0
"""Every row into one file, and back into an empty database, of either kind.

The file is a ZIP archive, format 1:
    <table>.jsonl   one JSON array per row, by primary key; a value is null, an integer, a string, or {"b64": "…"}
    manifest.json   format, revision of the schema, created_at, and for each table its columns, rows and SHA-256
A later format has another number; a reader refuses what it does not know. The file holds evidence and the digests of
operators' tokens, so its owner alone may read it. It holds no private key: key files are backed up by themselves.

What happened between the backup and the restore is lost, and nothing may be done twice because of it:
- Nonces: each that could have been answered in that time is refused, until the last of them has expired.
- CRL numbers go on above the number of milliseconds since 1970 at the restore. That is above every number ever used,
  and above those of an earlier restore, as long as the clock does not go back and one issuer signs fewer than a
  thousand CRLs a second. The CRLs of the backup are dropped, for relying parties may have a newer one.
- The log that was signed since is not here, and a key must not sign another in its place: none signs any more until
  an operator makes a new one (`attestca log rekey`). Its readers see the old log end, and a new one begin like it.
- Serial numbers are random; one of that time comes again with the probability of any collision. But its certificate is
  unknown here and cannot be revoked by its serial number: where that matters, renew the issuing CA.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zipfile
import zlib
from dataclasses import asdict, dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, MetaData, Table, delete, func, insert, select

from ca.errors import ConfigurationError
from ca.issuance import nonce
from ca.store import log, schema, tables
from ca.store.database import Database
from ca.store.dialect import number_on

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_MAX_MANIFEST: Final = 1 << 20
_ROWS: Final = 200  # in memory at a time


@dataclass(frozen=True, slots=True)
class Part:
    """One table of a backup."""

    table: str
    columns: tuple[str, ...]
    rows: int
    sha256: str  # of the uncompressed member, hex


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    format: int
    revision: str
    created_at: str  # RFC 3339
    parts: tuple[Part, ...]


async def backup(url: str, path: Path, now: datetime) -> Manifest:
    """Write all rows, as they are at one instant, into the new file `path`. The service may go on meanwhile.

    Raises ConfigurationError where there is no schema or the file is there already or cannot be written; Unavailable.
    """
    database = Database(url, schema.PATIENT)
    try:
        if not await database.exists():
            raise ConfigurationError("backup: there is no such database")
        return await database.read(_dump, path, now)
    finally:
        await database.close()


async def restore(
    path: Path, url: str, now: datetime, nonce_lifetime: timedelta = nonce.LIFETIME
) -> Manifest:
    """Fill an empty database from a backup and bring it to this version's schema, in one transaction.

    Args:
        path: a file that `backup` wrote.
        url: a database without tables, or with the tables of the backup's revision and no row.
        now: the instant of the restore.
        nonce_lifetime: for how long a nonce is good.

    Raises:
        ConfigurationError: the file is damaged or of a newer version, or the database is not empty.
        Unavailable: the database cannot be reached.
    """
    database = Database(url, schema.PATIENT)
    try:
        with _opened(path) as archive:
            manifest = _manifest(archive)
            for part in manifest.parts:
                _verify(archive, part)
            await database.create()
            await database.write(_fill, archive, manifest, (now, nonce_lifetime))
        return manifest
    finally:
        await database.close()


def _dump(connection: Connection, path: Path, now: datetime) -> Manifest:
    revision = schema.revision(connection)
    if revision is None:
        raise ConfigurationError("backup: the database has no schema")
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise ConfigurationError(f"backup: {error.strerror}: {path}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                parts = tuple(_dump_table(connection, archive, t) for t in _reflected(connection))
                manifest = Manifest(FORMAT, revision, now.isoformat(), parts)
                archive.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=1))
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        path.unlink()
        if isinstance(error, OSError):
            raise ConfigurationError(f"backup: {error.strerror}: {path}") from error
        raise
    return manifest


def _reflected(connection: Connection) -> list[Table]:
    """The tables that are there, of whatever revision, in the order in which rows can be added."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


def _dump_table(connection: Connection, archive: zipfile.ZipFile, table: Table) -> Part:
    columns = tuple(table.columns.keys())
    digest = hashlib.sha256()
    rows = 0
    found = connection.execute(
        select(table).order_by(*table.primary_key.columns),
        execution_options={"yield_per": _ROWS},
    )
    with archive.open(_member(table.name), "w", force_zip64=True) as member:
        for row in found:
            line = json.dumps([_encode(value) for value in row]).encode() + b"\n"
            member.write(line)
            digest.update(line)
            rows += 1
    return Part(table.name, columns, rows, digest.hexdigest())


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise ConfigurationError(f"restore: {error.strerror}: {path}") from error
    except zipfile.BadZipFile as error:
        raise _damaged("it is no whole archive") from error


def _manifest(archive: zipfile.ZipFile) -> Manifest:
    try:
        with archive.open(_MANIFEST) as member:
            found = json.loads(member.read(_MAX_MANIFEST))
        if found["format"] != FORMAT or found["revision"] not in schema.known():
            raise ConfigurationError("restore: the backup is of a newer attestca")
        parts = tuple(
            Part(part["table"], tuple(part["columns"]), part["rows"], part["sha256"])
            for part in found["parts"]
        )
        return Manifest(found["format"], found["revision"], found["created_at"], parts)
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise _damaged("its manifest cannot be read") from error


def _verify(archive: zipfile.ZipFile, part: Part) -> None:
    """Raises ConfigurationError unless the member is what the manifest says, before a row of it is used."""
    digest = hashlib.sha256()
    try:
        with archive.open(_member(part.table)) as member:
            rows = 0
            for line in member:
                digest.update(line)
                rows += 1
    except (KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(f"table {part.table} cannot be read") from error
    if (digest.hexdigest(), rows) != (part.sha256, part.rows):
        raise _damaged(f"the digest of table {part.table} differs")


def _fill(
    connection: Connection,
    archive: zipfile.ZipFile,
    manifest: Manifest,
    when: tuple[datetime, timedelta],
) -> None:
    if schema.revision(connection) is None and not _reflected(connection):
        schema.migrate(connection, manifest.revision)
    there = {table.name: table for table in _reflected(connection)}
    if schema.revision(connection) != manifest.revision or any(
        connection.execute(select(table).limit(1)).first() for table in there.values()
    ):
        raise ConfigurationError("restore: the database is not empty")
    if {part.table: set(part.columns) for part in manifest.parts} != {
        name: set(table.columns.keys()) for name, table in there.items()
    }:
        raise _damaged("its tables are not those of its revision")
    for part in manifest.parts:
        with archive.open(_member(part.table)) as member:
            _load_table(connection, there[part.table], part.columns, member)
    schema.migrate(connection)
    _let_nothing_happen_twice(connection, *when)


def _load_table(
    connection: Connection, table: Table, columns: tuple[str, ...], member: IO[bytes]
) -> None:
    lines = iter(member)
    while batch := [_decoded(columns, line) for line in islice(lines, _ROWS)]:
        connection.execute(insert(table), batch)
    if "id" in columns and table.columns["id"].autoincrement:
        number_on(connection, table)


def _let_nothing_happen_twice(
    connection: Connection, now: datetime, nonce_lifetime: timedelta
) -> None:
    """See the module's docstring."""
    used = [
        connection.execute(select(func.max(column))).scalar_one() or 0
        for column in (tables.crl_series.c.number, tables.restorations.c.crl_number)
    ]
    for table in (tables.crls, tables.crl_series):
        connection.execute(delete(table))
    log.replace_key(connection, log.NOBODY)
    connection.execute(
        insert(tables.restorations).values(
            restored_at=now,
            nonces_until=now + nonce_lifetime,
            crl_number=max(*used, tables.micros(now) // 1000),
        )
    )


def _member(table: str) -> str:
    return f"{table}.jsonl"


def _encode(value: Any) -> Any:  # noqa: ANN401 (what a column holds)
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _decoded(columns: tuple[str, ...], line: bytes) -> dict[str, Any]:
    values = (
        base64.b64decode(value["b64"], validate=True) if isinstance(value, dict) else value
        for value in json.loads(line)
    )
    return dict(zip(columns, values, strict=True))


def _damaged(how: str) -> ConfigurationError:
    return ConfigurationError(f"restore: the backup is damaged: {how}")
