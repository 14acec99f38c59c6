# SPDX-License-Identifier: Apache-2.0
"""CRLs by issuer and by the day on which certificates end; the numbers of one issuer rise over all of its lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
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
