# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint says besides the tree: what the entries revoke, its time, a digest of the lists that are served.

Readers of checkpoints of before cannot read those of now, and a key signs one log: so none may sign this one until the
operator makes a new key, as after a restore. And what certificates depend on and do not say, from now on: of those that
were issued before nothing is on record.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from attestca_client.protocol import leaf_hash
from ca import audit

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = sa.BigInteger()  # microseconds
BATCH = 1000  # entries
NOBODY = bytes(32)


def upgrade() -> None:
    checkpoint()
    lists()
    revoked = op.create_table(
        "log_revocations",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("handle", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("length(handle) = 32", name=op.f("ck_log_revocations_handle_length")),
        sa.CheckConstraint("length(value) = 32", name=op.f("ck_log_revocations_value_length")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_log_revocations")),
        sa.UniqueConstraint("handle", name=op.f("uq_log_revocations_handle")),
    )
    fill(revoked)
    withheld()


def checkpoint() -> None:
    """None is published. Where there was one, no key may sign."""
    was = op.get_bind().execute(sa.text("SELECT id FROM log_checkpoint")).scalars().all()
    op.drop_table("log_checkpoint")
    table = op.create_table(
        "log_checkpoint",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "length(key_sha256) = 32", name=op.f("ck_log_checkpoint_key_sha256_length")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_checkpoint")),
    )
    fresh = {"key_sha256": NOBODY, "size": 0, "time": 0, "note": None}
    op.bulk_insert(table, [{"id": one} | fresh for one in was])


def lists() -> None:
    """The service signs them anew before anybody can ask; their numbers go on."""
    op.drop_table("crls")
    op.create_table(
        "crls",
        sa.Column("issuer_key_id", sa.LargeBinary(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("this_update", INSTANT, nullable=False),
        sa.Column("next_update", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("issuer_key_id", "day", name=op.f("pk_crls")),
    )


def withheld() -> None:
    op.create_table(
        "withheld_handles",
        sa.Column("serial", sa.LargeBinary(), nullable=False),
        sa.Column("handle", sa.LargeBinary(), nullable=False),
        sa.Column("not_after", INSTANT, nullable=False),
        sa.CheckConstraint("length(handle) = 32", name=op.f("ck_withheld_handles_handle_length")),
        sa.ForeignKeyConstraint(
            ["serial"],
            ["certificates.serial"],
            name=op.f("fk_withheld_handles_serial"),
        ),
        sa.PrimaryKeyConstraint("serial", "handle", name=op.f("pk_withheld_handles")),
        sqlite_with_rowid=False,
    )
    for columns in (["handle", "not_after"], ["not_after"]):
        name = f"ix_withheld_handles_{'_'.join(columns)}"
        op.create_index(op.f(name), "withheld_handles", columns)


def fill(table: sa.Table) -> None:
    """With what the entries revoke that have a position, the first of each handle."""
    seen: set[bytes] = set()
    position = 0
    while True:
        rows = op.get_bind().execute(
            sa.text(
                "SELECT position, entry FROM log_entries WHERE position >= :first"
                " AND serial IS NULL ORDER BY position LIMIT :batch"
            ),
            {"first": position, "batch": BATCH},
        )
        found = rows.all()
        if not found:
            return
        position = found[-1].position + 1
        new = []
        for row in found:
            handle = audit.revoked_by(bytes(row.entry))
            if handle is not None and handle not in seen:
                seen.add(handle)
                value = leaf_hash(bytes(row.entry))
                new.append({"position": row.position, "handle": handle, "value": value})
        op.bulk_insert(table, new)
