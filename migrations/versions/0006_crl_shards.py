# SPDX-License-Identifier: Apache-2.0
"""An issuer's certificates are on as many CRLs as there are days on which they end; its numbers rise over all of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = sa.BigInteger()  # microseconds


def upgrade() -> None:
    op.create_table(
        "crl_series",
        sa.Column("issuer_key_id", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("this_update", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("issuer_key_id", name=op.f("pk_crl_series")),
    )
    op.execute(
        "INSERT INTO crl_series (issuer_key_id, number, this_update)"
        " SELECT issuer_key_id, number, this_update FROM crls"
    )
    op.drop_table("crls")
    op.create_table(
        "crls",
        sa.Column("issuer_key_id", sa.LargeBinary(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("this_update", INSTANT, nullable=False),
        sa.Column("next_update", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("issuer_key_id", "day", name=op.f("pk_crls")),
    )
