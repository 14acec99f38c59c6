# SPDX-License-Identifier: Apache-2.0
"""Operators' tokens (their SHA-256 alone) and the log of what operators did. The log is only added to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, or_, select, update

from ca.errors import Conflict, NotFound
from ca.ports import OperatorAction, TokenRecord
from ca.store import tables
from ca.store.dialect import add_new, page

if TYPE_CHECKING:
    from datetime import datetime

_TOKEN: Final = tables.tokens.c


def add_token(connection: Connection, token: TokenRecord, action: OperatorAction) -> None:
    """See `ca.ports.Store`. Raises Conflict where the id or the digest is taken."""
    row = {
        "id": token.id,
        "name": token.name,
        "sha256": token.sha256,
        "scopes": json.dumps(sorted(token.scopes)),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
        "revoked_at": token.revoked_at,
    }
    if not add_new(connection, tables.tokens, [row]):
        raise Conflict("there is such a token already")
    log_action(connection, action)


def token_by_sha256(connection: Connection, sha256: bytes) -> TokenRecord | None:
    """See `ca.ports.Store`. Expired and revoked ones too."""
    row = connection.execute(select(tables.tokens).where(_TOKEN.sha256 == sha256)).one_or_none()
    return None if row is None else _token(row)


def tokens(connection: Connection) -> tuple[TokenRecord, ...]:
    """See `ca.ports.Store`. In the order in which they were made."""
    rows = connection.execute(select(tables.tokens).order_by(_TOKEN.created_at, _TOKEN.id))
    return tuple(_token(row) for row in rows)


def revoke_token(connection: Connection, token_id: str, action: OperatorAction) -> None:
    """See `ca.ports.Store`. Revoking again keeps the first instant, and is logged as well."""
    known = connection.execute(select(_TOKEN.id).where(_TOKEN.id == token_id)).first()
    if known is None:
        raise NotFound("no such token")
    connection.execute(
        update(tables.tokens)
        .where(_TOKEN.id == token_id, _TOKEN.revoked_at.is_(None))
        .values(revoked_at=action.done_at)
    )
    log_action(connection, action)


def token_used(connection: Connection, token_id: str, now: datetime) -> None:
    """See `ca.ports.Store`. The last use never goes back."""
    connection.execute(
        update(tables.tokens)
        .where(_TOKEN.id == token_id, or_(_TOKEN.last_used_at.is_(None), _TOKEN.last_used_at < now))
        .values(last_used_at=now)
    )


def log_action(connection: Connection, action: OperatorAction) -> None:
    """See `ca.ports.Store`."""
    connection.execute(
        tables.operator_actions.insert().values(
            done_at=action.done_at,
            actor=action.actor,
            action=action.action,
            target=action.target,
            detail=action.detail,
        )
    )


def actions(
    connection: Connection, limit: int, before: datetime | None
) -> tuple[OperatorAction, ...]:
    """See `ca.ports.Store`."""
    table = tables.operator_actions
    statement = select(table).order_by(table.c.done_at.desc(), table.c.id.desc()).limit(page(limit))
    if before is not None:
        statement = statement.where(table.c.done_at < before)
    return tuple(
        OperatorAction(row.done_at, row.actor, row.action, row.target, row.detail)
        for row in connection.execute(statement)
    )


def _token(row: Row[Any]) -> TokenRecord:
    return TokenRecord(
        id=row.id,
        name=row.name,
        sha256=row.sha256,
        scopes=frozenset(json.loads(row.scopes)),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
