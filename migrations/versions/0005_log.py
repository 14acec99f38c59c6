# SPDX-License-Identifier: Apache-2.0
"""The public log: what is to be in it, its entries, its tree, its checkpoint; decisions commit to their records."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("decisions", sa.Column("salt", sa.LargeBinary(), nullable=True))
    op.add_column("decisions", sa.Column("commitment", sa.LargeBinary(), nullable=True))
    entries()
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


def entries() -> None:
    """Before and after they have a position."""
    op.create_table(
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
