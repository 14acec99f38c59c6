# SPDX-License-Identifier: Apache-2.0
"""The log in the database: what is to be in it, the tree of what is in it, and the checkpoint that says so.

Rules:
- `append` belongs into the transaction that makes the entry true: there is no fact without its entry, and no entry
  without its fact.
- One writer at a time gives positions (`sequence`): all of a batch, its tiles with it, or nothing. What has a position
  keeps it, and no statement here changes or deletes an entry or a hash of a tile.
- A tile or an entry that the tree must have and the database has not is LogHalted, never a shorter answer.
- A checkpoint is of a tree that was committed before it was signed, so whatever happens in between, the next one is
  of a tree that begins with it. One key may sign; a smaller tree never replaces a larger one, an earlier time a later.
- What entries revoke is written with their positions, so that it can be read for any beginning of the log.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, delete, func, select

from attestca_client.protocol import leaf_hash
from ca import audit, merkle
from ca.errors import AuthorityError, LogHalted
from ca.ledger_ports import Growth
from ca.log_ports import LogCheckpoint, LogProof, LogTree, RevokedHandle
from ca.store import tables
from ca.store.dialect import add_new, insert, may_sequence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Table

_OUTBOX: Final = tables.log_outbox.c
_ENTRY: Final = tables.log_entries.c
_TILE: Final = tables.log_tiles.c
_REVOKED: Final = tables.log_revocations.c
_CHECKPOINT: Final = tables.log_checkpoint.c
_ONLY_ROW: Final = 1
_STRETCH: Final = 1000  # entries that are read together
NOBODY: Final = bytes(
    32
)  # in the place of a key's digest: no key may sign until an operator makes a new one


def append(connection: Connection, entry: audit.Entry) -> None:
    """Have the log tell of what this transaction does. Raises `audit.EntryError` for what no entry can say."""
    append_all(connection, (entry,))


def append_all(connection: Connection, entries: Iterable[audit.Entry]) -> None:
    """`append` of each, in this order."""
    rows = [
        {
            "entry": audit.encode(entry),
            "serial": entry.serial if isinstance(entry, audit.Issuance) else None,
        }
        for entry in entries
    ]
    if rows:
        connection.execute(tables.log_outbox.insert(), rows)


def append_keys(connection: Connection, keys: Iterable[audit.KeyAdded]) -> None:
    """`append` those that the log has not told of."""
    for key in keys:
        row = {"sha256": hashlib.sha256(key.der).digest()}
        if add_new(connection, tables.log_keys, [row]):
            append(connection, key)


# the sequencer


def pending(connection: Connection) -> bool:
    """See `ca.log_ports.LogStore`. Reads only: the one writer of SQLite is not asked again and again for nothing."""
    if connection.execute(select(_OUTBOX.id).limit(1)).first() is not None:
        return True
    newest = checkpoint(connection)
    return newest is None or newest.note is None or newest.size < _size(connection)


def sequence(connection: Connection, limit: int) -> int:
    """Give up to `limit` entries their positions, the oldest first. How many; 0 where another replica is doing it."""
    if not may_sequence(connection):
        return 0
    oldest = select(_OUTBOX.id).order_by(_OUTBOX.id).limit(limit)
    rows = connection.execute(
        delete(tables.log_outbox)
        .where(_OUTBOX.id.in_(oldest))
        .returning(_OUTBOX.id, _OUTBOX.entry, _OUTBOX.serial)
    ).all()
    if not rows:
        return 0
    rows = sorted(rows, key=lambda row: row.id)
    size = _size(connection)
    entries = [row.entry for row in rows]
    leaves = [leaf_hash(entry) for entry in entries]
    with _tiles(connection) as read:
        grown = merkle.grow(read, size, leaves)
    connection.execute(
        tables.log_entries.insert(),
        [
            {"position": size + i, "entry": row.entry, "serial": row.serial}
            for i, row in enumerate(rows)
        ],
    )
    add_new(connection, tables.log_revocations, _revoked_by(entries, leaves, size))
    _put_tiles(connection, grown)
    return len(rows)


def _revoked_by(entries: Sequence[bytes], leaves: list[bytes], size: int) -> list[dict[str, Any]]:
    """What the tree of revocations gets of entries that come behind `size` others."""
    found: list[dict[str, Any]] = []
    for position, (entry, leaf) in enumerate(zip(entries, leaves, strict=True), size):
        handle = audit.revoked_by(entry)
        if handle is not None:
            found.append({"position": position, "handle": handle, "value": leaf})
    return found


def tree(connection: Connection, signed: int) -> LogTree:
    """See `ca.log_ports.LogStore`."""
    size = _size(connection)
    with _tiles(connection) as read:
        signed_root = merkle.tree_hash(read, signed) if signed <= size else None
        root = merkle.tree_hash(read, size)
    return LogTree(size, root, signed_root, revoked(connection, signed, size))


def revoked(connection: Connection, first: int, end: int) -> tuple[RevokedHandle, ...]:
    """See `ca.log_ports.LogStore`."""
    rows = connection.execute(
        select(tables.log_revocations)
        .where(_REVOKED.position >= first, _REVOKED.position < end)
        .order_by(_REVOKED.position)
    )
    return tuple(RevokedHandle(row.position, row.handle, row.value) for row in rows)


def checkpoint(connection: Connection) -> LogCheckpoint | None:
    """See `ca.log_ports.LogStore`."""
    row = connection.execute(select(tables.log_checkpoint)).one_or_none()
    return None if row is None else LogCheckpoint(row.key_sha256, row.size, row.time, row.note)


def publish(connection: Connection, new: LogCheckpoint) -> bool:
    """See `ca.log_ports.LogStore`."""
    table = tables.log_checkpoint
    row = {"key_sha256": new.key_sha256, "size": new.size, "time": new.time, "note": new.note}
    statement = insert(connection.dialect.name, table).values(id=_ONLY_ROW, **row)
    later = (_CHECKPOINT.size == new.size) & (_CHECKPOINT.time < new.time)
    larger = (_CHECKPOINT.size < new.size) & (_CHECKPOINT.time <= new.time)
    return bool(
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["id"],
                set_={name: statement.excluded[name] for name in ("size", "time", "note")},
                where=(_CHECKPOINT.key_sha256 == new.key_sha256)
                & (_CHECKPOINT.note.is_(None) | later | larger),
            )
        ).rowcount
    )


def replace_key(connection: Connection, key_sha256: bytes) -> None:
    """See `ca.log_ports.LogStore`."""
    fresh = {"key_sha256": key_sha256, "size": 0, "time": 0, "note": None}
    statement = insert(connection.dialect.name, tables.log_checkpoint).values(id=_ONLY_ROW, **fresh)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=fresh))


# what it tells


def refusals_since(connection: Connection, since: datetime) -> int:
    """How many refusals of that time the log tells of, on record or no more; read from its end."""
    waiting = connection.execute(select(_OUTBOX.entry)).scalars()
    unplaced = [one for one in map(audit.decode, waiting) if one.time >= since]
    count = sum(isinstance(one, audit.Refusal) for one in unplaced)
    before = _size(connection)
    while before > 0:
        entries = connection.execute(
            select(_ENTRY.entry).where(
                _ENTRY.position >= before - _STRETCH, _ENTRY.position < before
            )
        ).scalars()
        recent = [one for one in map(audit.decode, entries) if one.time >= since]
        if not recent:  # entries are nearly in the order of their times
            break
        count += sum(isinstance(one, audit.Refusal) for one in recent)
        before -= _STRETCH
    return count


# what is served


def tile(connection: Connection, level: int, number: int, width: int) -> bytes | None:
    """See `ca.log_ports.LogStore`."""
    if merkle.tile_width(level, number, _published(connection)) < width:
        return None
    hashes = _hashes(connection, level, number)[: width * merkle.HASH]
    if len(hashes) < width * merkle.HASH:
        raise LogHalted(f"the log of this database is damaged: tile {level}/{number} is cut off")
    return hashes


def bundle(connection: Connection, number: int, width: int) -> bytes | None:
    """See `ca.log_ports.LogStore`."""
    if merkle.tile_width(0, number, _published(connection)) < width:
        return None
    first = number * merkle.WIDTH
    entries = connection.execute(
        select(_ENTRY.entry)
        .where(_ENTRY.position >= first, _ENTRY.position < first + width)
        .order_by(_ENTRY.position)
    ).scalars()
    found = list(entries)
    if len(found) < width:
        raise LogHalted(f"the log of this database is damaged: entries of {number} are missing")
    return merkle.encode_bundle(found)


def proof(connection: Connection, serial: int) -> LogProof | None:
    """See `ca.log_ports.LogStore`."""
    row = connection.execute(
        select(tables.log_entries).where(_ENTRY.serial == serial, tables.is_issuance)
    ).one_or_none()
    newest = checkpoint(connection)
    if row is None or newest is None or newest.note is None or row.position >= newest.size:
        return None
    with _tiles(connection) as read:
        hashes = merkle.inclusion_proof(read, row.position, newest.size)
    return LogProof(row.position, row.entry, hashes, newest.note)


def growth(connection: Connection, old: int, new: int) -> Growth | None:
    """See `ca.ledger_ports.AnchorStore`."""
    if not old <= new <= _size(connection):
        return None
    with _tiles(connection) as read:
        return Growth(merkle.tree_hash(read, old), merkle.consistency_proof(read, old, new))


def revocation_entries(
    connection: Connection, handles: Sequence[bytes], size: int
) -> tuple[bytes, ...]:
    """See `ca.log_ports.LogStore`."""
    found = connection.execute(
        select(_ENTRY.entry)
        .join(tables.log_revocations, _REVOKED.position == _ENTRY.position)
        .where(_REVOKED.handle.in_(handles), _REVOKED.position < size)
        .order_by(_ENTRY.position)
    )
    return tuple(found.scalars())


@contextmanager
def _tiles(connection: Connection) -> Iterator[merkle.Read]:
    """Raises LogHalted where one is missing."""
    try:
        yield _Tiles(connection)
    except merkle.TileMissingError as error:
        raise LogHalted(f"the log of this database is damaged: {error}") from error


class _Tiles:
    """Tiles as the database has them, each read once in a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._read: dict[tuple[int, int], bytes] = {}

    def __call__(self, level: int, number: int) -> bytes:
        if (level, number) not in self._read:
            self._read[level, number] = _hashes(self._connection, level, number)
        return self._read[level, number]


def _size(connection: Connection) -> int:
    last = connection.execute(select(func.max(_ENTRY.position))).scalar_one()
    return 0 if last is None else int(last) + 1


def _published(connection: Connection) -> int:
    size = connection.execute(
        select(_CHECKPOINT.size).where(_CHECKPOINT.note.is_not(None))
    ).scalar_one_or_none()
    return size or 0


def _hashes(connection: Connection, level: int, number: int) -> bytes:
    found: bytes | None = connection.execute(
        select(_TILE.hashes).where(_TILE.level == level, _TILE.number == number)
    ).scalar_one_or_none()
    return found or b""


def _put_tiles(connection: Connection, grown: dict[tuple[int, int], bytes]) -> None:
    """Write tiles that only grew. Raises AuthorityError where one would lose a hash."""
    table: Table = tables.log_tiles
    statement = insert(connection.dialect.name, table)
    shorter = func.length(_TILE.hashes) < func.length(statement.excluded["hashes"])
    put = statement.on_conflict_do_update(
        index_elements=["level", "number"],
        set_={"hashes": statement.excluded["hashes"]},
        where=shorter,
    )
    for (level, number), hashes in sorted(grown.items()):
        row = {"level": level, "number": number, "hashes": hashes}
        if not connection.execute(put, row).rowcount:
            raise AuthorityError("a tile of the log would lose hashes")
