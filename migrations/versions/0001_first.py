# SPDX-License-Identifier: Apache-2.0
"""First schema. What the tables are for stands in `ca.store.tables`, which a test compares with this."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.BigInteger()  # microseconds
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    create_blobs()
    create_decisions()
    create_certificates()
    create_nonces_and_revocations()
    create_policies_and_operators()
    create_housekeeping()


def create_blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_blobs_sha256_length")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blobs")),
    )
    op.create_table(
        "bundles",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_bundles_sha256_length")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_bundles")),
    )
    op.create_table(
        "bundle_members",
        sa.Column("bundle_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("blob_sha256", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["blob_sha256"], ["blobs.sha256"], name=op.f("fk_bundle_members_blob_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["bundle_sha256"], ["bundles.sha256"], name=op.f("fk_bundle_members_bundle_sha256")
        ),
        sa.PrimaryKeyConstraint("bundle_sha256", "position", name=op.f("pk_bundle_members")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_bundle_members_blob_sha256"), "bundle_members", ["blob_sha256"], unique=False
    )


def create_decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("decided_at", INSTANT, nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("nonce_expires", INSTANT, nullable=False),
        sa.Column("request_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("spki_der", sa.LargeBinary(), nullable=False),
        sa.Column("tee", sa.Text(), nullable=False),
        sa.Column("bundle_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("anchors_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("policy_name", sa.Text(), nullable=True),
        sa.Column("policy_version", sa.Integer(), nullable=True),
        sa.Column("policy_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("tcb_status", sa.Text(), nullable=False),
        sa.Column("result_json", sa.Text(), nullable=False),
        sa.CheckConstraint("refused IN (0, 1)", name=op.f("ck_decisions_refused")),
        sa.ForeignKeyConstraint(
            ["bundle_sha256"], ["bundles.sha256"], name=op.f("fk_decisions_bundle_sha256")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_decisions_bundle_sha256"), "decisions", ["bundle_sha256"], unique=False
    )
    op.create_index(
        "ix_decisions_refused_decided_at",
        "decisions",
        ["decided_at"],
        unique=False,
        sqlite_where=sa.text("refused = 1"),
        postgresql_where=sa.text("refused = 1"),
    )
    op.create_index(
        "ix_decisions_refused_id",
        "decisions",
        ["id"],
        unique=False,
        sqlite_where=sa.text("refused = 1"),
        postgresql_where=sa.text("refused = 1"),
    )
    op.create_table(
        "decision_evidence",
        sa.Column("decision_id", ROW_ID, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("blob_sha256", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["blob_sha256"], ["blobs.sha256"], name=op.f("fk_decision_evidence_blob_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decisions.id"], name=op.f("fk_decision_evidence_decision_id")
        ),
        sa.PrimaryKeyConstraint("decision_id", "position", name=op.f("pk_decision_evidence")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_decision_evidence_blob_sha256"), "decision_evidence", ["blob_sha256"], unique=False
    )


def create_certificates() -> None:
    op.create_table(
        "certificates",
        sa.Column("serial", sa.LargeBinary(), nullable=False),
        sa.Column("decision_id", ROW_ID, nullable=False),
        sa.Column("issuer_key_id", sa.LargeBinary(), nullable=False),
        sa.Column("handle", sa.LargeBinary(), nullable=False),
        sa.Column("tbs_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("not_before", INSTANT, nullable=False),
        sa.Column("not_after", INSTANT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=True),
        sa.Column("ear", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state = 'issued' AND der IS NOT NULL AND ear IS NOT NULL)"
            " OR (state <> 'issued' AND der IS NULL AND ear IS NULL)",
            name=op.f("ck_certificates_issued"),
        ),
        sa.CheckConstraint(
            "state IN ('intent', 'issued', 'abandoned')", name=op.f("ck_certificates_state")
        ),
        sa.CheckConstraint("length(handle) = 32", name=op.f("ck_certificates_handle_length")),
        sa.CheckConstraint("length(serial) = 20", name=op.f("ck_certificates_serial_length")),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decisions.id"], name=op.f("fk_certificates_decision_id")
        ),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_certificates")),
        sa.UniqueConstraint("decision_id", name=op.f("uq_certificates_decision_id")),
        sa.UniqueConstraint("handle", name=op.f("uq_certificates_handle")),
    )
    op.create_index(
        "ix_certificates_intent_decision_id",
        "certificates",
        ["decision_id"],
        unique=False,
        sqlite_where=sa.text("state = 'intent'"),
        postgresql_where=sa.text("state = 'intent'"),
    )
    op.create_table(
        "certificate_names",
        sa.Column("serial", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["serial"], ["certificates.serial"], name=op.f("fk_certificate_names_serial")
        ),
        sa.PrimaryKeyConstraint("serial", "position", name=op.f("pk_certificate_names")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "certificate_handles",
        sa.Column("serial", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("handle", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "length(handle) = 32", name=op.f("ck_certificate_handles_handle_length")
        ),
        sa.ForeignKeyConstraint(
            ["serial"], ["certificates.serial"], name=op.f("fk_certificate_handles_serial")
        ),
        sa.PrimaryKeyConstraint("serial", "position", name=op.f("pk_certificate_handles")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_certificate_handles_handle"), "certificate_handles", ["handle"], unique=False
    )


def create_nonces_and_revocations() -> None:
    op.create_table(
        "nonces",
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("decided_at", INSTANT, nullable=False),
        sa.Column("request_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("serial", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_nonces")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_nonces_refused_expires_at",
        "nonces",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("serial IS NULL"),
        postgresql_where=sa.text("serial IS NULL"),
    )
    op.create_table(
        "revocations",
        sa.Column("handle", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("revoked_at", INSTANT, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.CheckConstraint("length(handle) = 32", name=op.f("ck_revocations_handle_length")),
        sa.PrimaryKeyConstraint("handle", name=op.f("pk_revocations")),
    )
    op.create_table(
        "crls",
        sa.Column("issuer_key_id", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("this_update", INSTANT, nullable=False),
        sa.Column("next_update", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("issuer_key_id", name=op.f("pk_crls")),
    )


def create_policies_and_operators() -> None:
    op.create_table(
        "policies",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("added_at", INSTANT, nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('draft', 'active', 'retired')", name=op.f("ck_policies_state")
        ),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_policies_sha256_length")),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_policies")),
    )
    op.create_index(op.f("ix_policies_sha256"), "policies", ["sha256"], unique=False)
    op.create_index(
        "uq_policies_active_name",
        "policies",
        ["name"],
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("last_used_at", INSTANT, nullable=True),
        sa.Column("revoked_at", INSTANT, nullable=True),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_tokens_sha256_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("sha256", name=op.f("uq_tokens_sha256")),
    )
    op.create_table(
        "operator_actions",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("done_at", INSTANT, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator_actions")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_operator_actions_done_at"), "operator_actions", ["done_at"], unique=False
    )


def create_housekeeping() -> None:
    op.create_table(
        "cached_responses",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("fetched_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("url", name=op.f("pk_cached_responses")),
    )
    op.create_table(
        "evaluations",
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("line", name=op.f("pk_evaluations")),
    )
    op.create_table(
        "restorations",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("restored_at", INSTANT, nullable=False),
        sa.Column("nonces_until", INSTANT, nullable=False),
        sa.Column("crl_number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restorations")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "heartbeat",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("beats", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heartbeat")),
    )
