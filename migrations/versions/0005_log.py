# SPDX-License-Identifier: Apache-2.0
"""The public log: what is to be in it, its entries, its tree, its checkpoint; decisions commit to their records.

What is in force already is what the log begins with: the policies that are active, the newest version of each list,
and every revocation, in the order of their numbers. The time of each is that of the change itself. Decisions of before
have nothing that an entry could commit to, and stay outside.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic import op

from ca import audit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BATCH = 500  # entries


def upgrade() -> None:
    op.add_column("decisions", sa.Column("salt", sa.LargeBinary(), nullable=True))
    op.add_column("decisions", sa.Column("commitment", sa.LargeBinary(), nullable=True))
    outbox = entries()
    for told in (active_policies(), newest_lists(), revocations()):
        tell(outbox, told)
    op.create_table(
        "log_tiles",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "number", name=op.f("pk_log_tiles")),
    )
    op.create_table(
        "log_checkpoint",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "length(key_sha256) = 32", name=op.f("ck_log_checkpoint_key_sha256_length")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_checkpoint")),
    )
    op.create_table(
        "log_keys",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_log_keys_sha256_length")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_log_keys")),
        sqlite_with_rowid=False,
    )


def entries() -> sa.Table:
    """Before and after they have a position. Returns where they are before."""
    outbox = op.create_table(
        "log_outbox",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("serial", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "log_entries",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("serial", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_log_entries")),
    )
    op.create_index(
        op.f("uq_log_entries_serial"),
        "log_entries",
        ["serial"],
        unique=True,
        sqlite_where=sa.text("serial IS NOT NULL"),
        postgresql_where=sa.text("serial IS NOT NULL"),
    )
    return outbox


def tell(outbox: sa.Table, told: Iterable[audit.Entry]) -> None:
    """Have the log begin with these. The format of an entry never changes, so it is the one of `ca.audit`."""
    waiting: list[dict[str, Any]] = []
    for entry in told:
        waiting.append({"entry": audit.encode(entry), "serial": None})
        if len(waiting) == BATCH:
            op.bulk_insert(outbox, waiting)
            waiting = []
    op.bulk_insert(outbox, waiting)


def active_policies() -> Iterator[audit.Entry]:
    """By the operators' log they were activated then; one that was added as active has no such line."""
    for row in found(
        "SELECT name, version, sha256, coalesce((SELECT max(done_at) FROM operator_actions"
        " WHERE action = 'policy.activate' AND target = name || '@' || version), added_at) AS since"
        " FROM policies WHERE state = 'active' ORDER BY name"
    ):
        yield audit.PolicyChange(
            instant(row.since), "policy", row.name, row.version, row.sha256, "active"
        )


def newest_lists() -> Iterator[audit.Entry]:
    for row in found(
        "SELECT name, version, sha256, since FROM lists WHERE version ="
        " (SELECT max(version) FROM lists AS other WHERE other.name = lists.name) ORDER BY name"
    ):
        yield audit.PolicyChange(
            instant(row.since), "list", row.name, row.version, row.sha256, "active"
        )


def revocations() -> Iterator[audit.Entry]:
    for row in found("SELECT id, handle, kind, revoked_at, reason FROM revocations ORDER BY id"):
        yield audit.Revocation(instant(row.revoked_at), row.id, row.kind, row.handle, row.reason)


def found(query: str) -> list[sa.Row[Any]]:
    """Its rows; an instant is a number of microseconds."""
    return list(op.get_bind().execute(sa.text(query)))


def instant(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
