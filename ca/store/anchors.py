# SPDX-License-Identifier: Apache-2.0
"""Anchors in the database: what is to be said on a chain, in which transactions, and what became of it.

Rules:
- An anchor and its transaction are committed before anything is sent. Of two replicas one gets the next number.
- What is final or dropped stays so.
- With an anchor that is dropped, tombstones go on where they stood before it, also for those that came after: one too
  many costs a little gas, one too few would be a revocation that the chain never learns of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, select

from attestca_client.protocol.checkpoint import Head
from ca.ledger_ports import (
    NOTHING,
    AnchorRecord,
    Block,
    Fees,
    Mark,
    NewAnchor,
    Progress,
    State,
    Transaction,
)
from ca.store import log, tables
from ca.store.dialect import add_new, page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ca.ledger_ports import Growth
    from ca.store.database import Database

_ANCHOR: Final = tables.anchors.c
_SENT: Final = tables.anchor_transactions.c
_REVOKED: Final = tables.log_revocations.c
_HANDLE: Final = 32


def progress(connection: Connection, target: bytes) -> Progress:
    """See `ca.ledger_ports.AnchorStore`."""
    of_target = select(tables.anchors).where(_ANCHOR.target == target)
    downwards = of_target.order_by(_ANCHOR.number.desc()).limit(1)
    newest = connection.execute(downwards).one_or_none()
    if newest is None:
        return Progress(0, NOTHING, (), None)
    final = connection.execute(downwards.where(_ANCHOR.state == State.FINAL)).one_or_none()
    unsettled = connection.execute(
        of_target.where(tables.is_unsettled).order_by(_ANCHOR.number)
    ).all()
    return Progress(
        newest.number,
        Mark(newest.count_after, newest.position_after),
        tuple(_record(connection, row) for row in unsettled),
        None if final is None else _record(connection, final),
    )


def is_ours(connection: Connection, target: bytes, head: Head) -> bool:
    """See `ca.ledger_ports.AnchorStore`."""
    rows = connection.execute(
        select(tables.anchors).where(_ANCHOR.target == target, _ANCHOR.time == head.time)
    )
    return any(_head(row) == head for row in rows)


def newest(connection: Connection, target: bytes, limit: int) -> tuple[AnchorRecord, ...]:
    """The newest of them, whatever became of them."""
    rows = connection.execute(
        select(tables.anchors)
        .where(_ANCHOR.target == target)
        .order_by(_ANCHOR.number.desc())
        .limit(page(limit))
    ).all()
    return tuple(_record(connection, row) for row in rows)


def revoked_after(
    connection: Connection, position: int, size: int, limit: int
) -> tuple[tuple[int, bytes], ...]:
    """See `ca.ledger_ports.AnchorStore`."""
    rows = connection.execute(
        select(_REVOKED.position, _REVOKED.handle)
        .where(_REVOKED.position > position, _REVOKED.position < size)
        .order_by(_REVOKED.position)
        .limit(page(limit))
    )
    return tuple((row.position, row.handle) for row in rows)


def record(connection: Connection, target: bytes, new: NewAnchor, now: datetime) -> bool:
    """See `ca.ledger_ports.AnchorStore`."""
    if not add_new(connection, tables.anchors, [_row(target, new, State.OPEN, now)]):
        return False
    return _add(connection, (target, new.number, 0, new.nonce), new.transaction, now)


def adopt(connection: Connection, target: bytes, head: Head, now: datetime) -> None:
    """Count a head on the chain as ours. It is no anchor of this database, which neither sent nor follows it."""
    before = progress(connection, target)
    mark = before.mark
    nothing = Transaction(b"", b"", Fees(0, 0), 0)
    new = NewAnchor(before.number + 1, 0, head, (), mark, mark, nothing)
    connection.execute(tables.anchors.insert(), [_row(target, new, State.DROPPED, now)])


def _row(target: bytes, new: NewAnchor, state: State, now: datetime) -> dict[str, Any]:
    head = new.head
    return {
        "target": target,
        "number": new.number,
        "state": state.value,
        "nonce": new.nonce,
        "size": head.size,
        "root": head.root,
        "revocation_count": head.revocation_count,
        "revocation_root": head.revocation_root,
        "crls_digest": head.crls_digest,
        "time": head.time,
        "tombstones": b"".join(new.tombstones),
        "count_before": new.before.count,
        "position_before": new.before.position,
        "count_after": new.after.count,
        "position_after": new.after.position,
        "created_at": now,
    }


def replace(
    connection: Connection,
    target: bytes,
    record: AnchorRecord,
    transaction: Transaction,
    now: datetime,
) -> bool:
    """See `ca.ledger_ports.AnchorStore`."""
    state = connection.execute(
        select(_ANCHOR.state)
        .where(_ANCHOR.target == target, _ANCHOR.number == record.number)
        .with_for_update()
    ).scalar_one()
    key = (target, record.number, len(record.transactions), record.nonce)
    return state == State.OPEN and _add(connection, key, transaction, now)


def settle(
    connection: Connection, target: bytes, number: int, state: State, block: Block | None
) -> None:
    """See `ca.ledger_ports.AnchorStore`."""
    where = (_ANCHOR.target == target) & (_ANCHOR.number == number) & tables.is_unsettled
    place = {
        "block_number": None if block is None else block.number,
        "block_hash": None if block is None else block.hash,
    }
    changed = connection.execute(
        tables.anchors.update().where(where).values(state=state.value, **place)
    ).rowcount
    if changed and state is State.DROPPED:
        _back(connection, target, number)


def fees_of(connection: Connection, target: bytes, nonce: int) -> tuple[Fees, ...]:
    """See `ca.ledger_ports.AnchorStore`."""
    rows = connection.execute(
        select(_SENT.max_fee, _SENT.tip).where(_SENT.target == target, _SENT.nonce == nonce)
    )
    return tuple(Fees(row.max_fee, row.tip) for row in rows)


def _back(connection: Connection, target: bytes, number: int) -> None:
    """Have tombstones go on where they stood before this anchor."""
    this = (_ANCHOR.target == target) & (_ANCHOR.number == number)
    before = connection.execute(
        select(_ANCHOR.count_before, _ANCHOR.position_before).where(this)
    ).one()
    connection.execute(
        tables.anchors.update()
        .where(_ANCHOR.target == target, _ANCHOR.number >= number)
        .values(count_after=before.count_before, position_after=before.position_before)
    )


def _add(
    connection: Connection,
    key: tuple[bytes, int, int, int],
    transaction: Transaction,
    now: datetime,
) -> bool:
    target, number, attempt, nonce = key
    row = {
        "target": target,
        "number": number,
        "attempt": attempt,
        "nonce": nonce,
        "hash": transaction.hash,
        "raw": transaction.raw,
        "base_size": transaction.base_size,
        "max_fee": transaction.fees.max_fee,
        "tip": transaction.fees.tip,
        "sent_at": now,
    }
    return bool(add_new(connection, tables.anchor_transactions, [row]))


def _record(connection: Connection, row: Row[Any]) -> AnchorRecord:
    sent = connection.execute(
        select(tables.anchor_transactions)
        .where(_SENT.target == row.target, _SENT.number == row.number)
        .order_by(_SENT.attempt)
    ).all()
    handles = row.tombstones
    return AnchorRecord(
        number=row.number,
        state=State(row.state),
        nonce=row.nonce,
        head=_head(row),
        tombstones=tuple(handles[at : at + _HANDLE] for at in range(0, len(handles), _HANDLE)),
        transactions=tuple(
            Transaction(one.raw, one.hash, Fees(one.max_fee, one.tip), one.base_size)
            for one in sent
        ),
        created_at=row.created_at,
        sent_at=sent[-1].sent_at if sent else row.created_at,
        block=None if row.block_hash is None else Block(row.block_number, row.block_hash),
    )


def _head(row: Row[Any]) -> Head:
    return Head(
        size=row.size,
        root=row.root,
        revocation_count=row.revocation_count,
        revocation_root=row.revocation_root,
        crls_digest=row.crls_digest,
        time=row.time,
    )


class SqlAnchors:
    """`ca.ledger_ports.AnchorStore` in an open database."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database

    async def progress(self, target: bytes) -> Progress:
        """See the port."""
        return await self._database.read(progress, target)

    async def newest(self, target: bytes, limit: int) -> tuple[AnchorRecord, ...]:
        """The newest anchors first, whatever became of them."""
        return await self._database.read(newest, target, limit)

    async def is_ours(self, target: bytes, head: Head) -> bool:
        """See the port."""
        return await self._database.read(is_ours, target, head)

    async def growth(self, old: int, new: int) -> Growth | None:
        """See the port."""
        return await self._database.read(log.growth, old, new)

    async def revoked_after(
        self, position: int, size: int, limit: int
    ) -> tuple[tuple[int, bytes], ...]:
        """See the port."""
        return await self._database.read(revoked_after, position, size, limit)

    async def record(self, target: bytes, new: NewAnchor, now: datetime) -> bool:
        """See the port."""
        return await self._database.write(record, target, new, now)

    async def replace(
        self, target: bytes, record: AnchorRecord, transaction: Transaction, now: datetime
    ) -> bool:
        """See the port."""
        return await self._database.write(replace, target, record, transaction, now)

    async def adopt(self, target: bytes, head: Head, now: datetime) -> None:
        """Count a head on the chain as ours."""
        await self._database.write(adopt, target, head, now)

    async def settle(self, target: bytes, number: int, state: State, block: Block | None) -> None:
        """See the port."""
        await self._database.write(settle, target, number, state, block)

    async def fees_of(self, target: bytes, nonce: int) -> Sequence[Fees]:
        """See the port."""
        return await self._database.read(fees_of, target, nonce)
