# SPDX-License-Identifier: Apache-2.0
"""Versions of more lists than one are on record: floors of AMD's TCBs become a list among others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTANT = sa.BigInteger()  # microseconds
COLUMNS = ("version", "sha256", "since")


def upgrade() -> None:
    lists = op.create_table(
        "lists",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_lists_sha256_length")),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_lists")),
    )
    floors = sa.table("floors", *map(sa.column, COLUMNS))
    rows = [
        dict(row._mapping) | {"name": "amd-floors"}  # noqa: SLF001 (public, by its name)
        for row in op.get_bind().execute(sa.select(floors))
    ]
    op.bulk_insert(lists, rows)
    op.drop_table("floors")
