# SPDX-License-Identifier: Apache-2.0
"""Vendors' answers know when they were used last; versions of AMD's TCB floors are on record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.BigInteger()  # microseconds


def upgrade() -> None:
    keep_cached_responses()
    op.create_table(
        "floors",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_floors_sha256_length")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_floors")),
    )


def keep_cached_responses() -> None:
    """A new column without a default: SQLite can only make the table anew. Its rows stay."""
    connection = op.get_bind()
    old = sa.table("cached_responses", *map(sa.column, COLUMNS))
    rows = [
        dict(row._mapping) | {"used_at": row.fetched_at}  # noqa: SLF001 (public, by its name)
        for row in connection.execute(sa.select(old))
    ]
    op.drop_table("cached_responses")
    new = op.create_table(
        "cached_responses",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("fetched_at", INSTANT, nullable=False),
        sa.Column("used_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("url", name=op.f("pk_cached_responses")),
    )
    op.create_index(
        op.f("ix_cached_responses_used_at"), "cached_responses", ["used_at"], unique=False
    )
    op.bulk_insert(new, rows)


COLUMNS = ("url", "status", "body", "headers", "fetched_at")
