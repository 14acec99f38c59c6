# SPDX-License-Identifier: Apache-2.0
"""Anchors of the log on a chain, and the transactions that say so."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INSTANT = sa.BigInteger()  # microseconds


def upgrade() -> None:
    op.create_table(
        "anchors",
        sa.Column("target", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("revocation_count", sa.BigInteger(), nullable=False),
        sa.Column("revocation_root", sa.LargeBinary(), nullable=False),
        sa.Column("crls_digest", sa.LargeBinary(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("tombstones", sa.LargeBinary(), nullable=False),
        sa.Column("count_before", sa.BigInteger(), nullable=False),
        sa.Column("position_before", sa.BigInteger(), nullable=False),
        sa.Column("count_after", sa.BigInteger(), nullable=False),
        sa.Column("position_after", sa.BigInteger(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("block_hash", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("length(target) = 32", name=op.f("ck_anchors_target_length")),
        sa.CheckConstraint(
            "state IN ('open', 'mined', 'final', 'dropped')", name=op.f("ck_anchors_state")
        ),
        sa.CheckConstraint(
            "(block_number IS NULL) = (block_hash IS NULL)"
            " AND (state = 'dropped' OR (state = 'open') = (block_hash IS NULL))",
            name=op.f("ck_anchors_block"),
        ),
        sa.PrimaryKeyConstraint("target", "number", name=op.f("pk_anchors")),
    )
    op.create_index(op.f("ix_anchors_target_time"), "anchors", ["target", "time"])
    op.create_index(
        op.f("ix_anchors_unsettled_number"),
        "anchors",
        ["number"],
        sqlite_where=sa.text("state IN ('open', 'mined')"),
        postgresql_where=sa.text("state IN ('open', 'mined')"),
    )
    transactions()


def transactions() -> None:
    op.create_table(
        "anchor_transactions",
        sa.Column("target", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("base_size", sa.BigInteger(), nullable=False),
        sa.Column("max_fee", sa.BigInteger(), nullable=False),
        sa.Column("tip", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", INSTANT, nullable=False),
        sa.CheckConstraint("length(hash) = 32", name=op.f("ck_anchor_transactions_hash_length")),
        sa.ForeignKeyConstraint(
            ["target", "number"],
            ["anchors.target", "anchors.number"],
            name=op.f("fk_anchor_transactions_target_number"),
        ),
        sa.PrimaryKeyConstraint("target", "number", "attempt", name=op.f("pk_anchor_transactions")),
    )
    op.create_index(
        op.f("ix_anchor_transactions_target_nonce"), "anchor_transactions", ["target", "nonce"]
    )
