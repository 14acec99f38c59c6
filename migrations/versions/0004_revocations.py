# SPDX-License-Identifier: Apache-2.0
"""Revocations have a number, a reason and an author; who depends on a handle is found without those that expired."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INSTANT = sa.BigInteger()  # microseconds


def upgrade() -> None:
    number_revocations()
    date_handles()


def number_revocations() -> None:
    """Until now a serial was revoked when its intent was abandoned, and nothing else was."""
    put_aside("revocations")
    op.create_table(
        "revocations",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("handle", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("revoked_at", INSTANT, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.CheckConstraint("length(handle) = 32", name=op.f("ck_revocations_handle_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revocations")),
        sa.UniqueConstraint("handle", name=op.f("uq_revocations_handle")),
    )
    op.execute(
        "INSERT INTO revocations (id, handle, kind, subject, revoked_at, reason, actor, note)"
        " SELECT row_number() OVER (ORDER BY revoked_at, handle), handle, kind, '', revoked_at,"
        " 'unspecified', 'service', cause FROM put_aside"
    )
    op.execute("DROP TABLE put_aside")


def date_handles() -> None:
    """Every row with the end of its certificate."""
    put_aside("certificate_handles")
    op.create_table(
        "certificate_handles",
        sa.Column("serial", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("handle", sa.LargeBinary(), nullable=False),
        sa.Column("not_after", INSTANT, nullable=False),
        sa.CheckConstraint(
            "length(handle) = 32", name=op.f("ck_certificate_handles_handle_length")
        ),
        sa.ForeignKeyConstraint(
            ["serial"], ["certificates.serial"], name=op.f("fk_certificate_handles_serial")
        ),
        sa.PrimaryKeyConstraint("serial", "position", name=op.f("pk_certificate_handles")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO certificate_handles (serial, position, kind, handle, not_after)"
        " SELECT put_aside.serial, position, kind, put_aside.handle, not_after"
        " FROM put_aside JOIN certificates ON certificates.serial = put_aside.serial"
    )
    op.execute("DROP TABLE put_aside")
    op.create_index(
        op.f("ix_certificate_handles_handle_not_after"),
        "certificate_handles",
        ["handle", "not_after"],
        unique=False,
    )


def put_aside(table: str) -> None:
    """The rows of `table` as `put_aside`. SQLite can only make a table anew; PostgreSQL does not mind."""
    op.execute(f"CREATE TEMPORARY TABLE put_aside AS SELECT * FROM {table}")  # noqa: S608 - a table of ours
    op.drop_table(table)
