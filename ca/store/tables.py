# SPDX-License-Identifier: Apache-2.0
"""The schema, the same on SQLite and PostgreSQL. Migrations create it; a test holds the two together.

Rules:
- Instants are whole microseconds since 1970-01-01T00:00:00Z, so both databases give back exactly what was written.
- Serial numbers are 20 bytes, big-endian, so that they sort as numbers.
- Column types are BIGINT, INTEGER, TEXT and BYTEA/BLOB alone: `ca.store.backup` relies on it.
- What must hold for ever is a constraint, not a habit of the code: a nonce and a serial are used once, one version of
  a policy is active, an issued certificate has its bytes and no other has.

A certificate depends on the handles of `certificate_handles` and on its own (`certificates.handle`). It is revoked
when one of them is in `revocations`; every list of revoked certificates is a projection of that.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    literal_column,
)

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.engine import Dialect

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SERIAL_BYTES: Final = 20  # RFC 5280 section 4.1.2.2


def micros(instant: datetime) -> int:
    """Microseconds since the epoch, exact. Raises ValueError for a naive datetime."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs its time zone")
    return (instant - EPOCH) // timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """A timezone-aware datetime as BIGINT of microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 (interface)
        """To the database."""
        return None if value is None else micros(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ANN401, ARG002 - SQLAlchemy's signature
        """From the database."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


class Day(TypeDecorator[date]):
    """A day as TEXT, YYYY-MM-DD, which sorts."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: date | None, dialect: Dialect) -> str | None:  # noqa: ARG002 (interface)
        """To the database."""
        return None if value is None else value.isoformat()

    def process_result_value(self, value: Any | None, dialect: Dialect) -> date | None:  # noqa: ANN401, ARG002 - SQLAlchemy's signature
        """From the database."""
        return None if value is None else date.fromisoformat(value)


class Serial(TypeDecorator[int]):
    """A certificate serial number as 20 bytes."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002 (interface)
        """To the database. Raises OverflowError beyond 20 bytes."""
        return None if value is None else value.to_bytes(SERIAL_BYTES, "big")

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:  # noqa: ANN401, ARG002 - SQLAlchemy's signature
        """From the database."""
        return None if value is None else int.from_bytes(value, "big")


def _length(column: str, length: int) -> CheckConstraint:
    return CheckConstraint(f"length({column}) = {length}", name=f"{column}_length")


def _digest(name: str, *rest: Any, **options: Any) -> Column[bytes]:  # noqa: ANN401 (passed on to Column)
    return Column(name, LargeBinary, *rest, nullable=False, **options)


def _row_id() -> Column[int]:
    # SQLite numbers rows by itself only where the type is literally INTEGER.
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


def _partial(
    name: str, column: Column[Any], *, where: ColumnElement[bool], unique: bool = False
) -> None:
    # Queries repeat `where` as it stands, literals and all: a planner cannot see that a bound value fits the index.
    Index(name, column, unique=unique, sqlite_where=where, postgresql_where=where)


metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Evidence and collateral, once however often they are named.
blobs: Final = Table(
    "blobs",
    metadata,
    _digest("sha256", primary_key=True),
    Column("data", LargeBinary, nullable=False),
    _length("sha256", 32),
)

# One list of collateral, named by the SHA-256 of its members' digests in order. A platform's decisions of one day
# share it, so that a decision costs one reference and not ten rows.
bundles: Final = Table(
    "bundles", metadata, _digest("sha256", primary_key=True), _length("sha256", 32)
)
bundle_members: Final = Table(
    "bundle_members",
    metadata,
    _digest("bundle_sha256", ForeignKey("bundles.sha256"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _digest("blob_sha256", ForeignKey("blobs.sha256"), index=True),
    sqlite_with_rowid=False,
)

# Every decision on evidence whose vendor signature verified. `refused` is 1 where no certificate follows.
decisions: Final = Table(
    "decisions",
    metadata,
    _row_id(),
    Column("refused", Integer, nullable=False),
    Column("decided_at", Instant, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("nonce_expires", Instant, nullable=False),
    _digest("request_sha256"),
    Column("profile", Text, nullable=False),
    Column("spki_der", LargeBinary, nullable=False),
    Column("tee", Text, nullable=False),
    _digest("bundle_sha256", ForeignKey("bundles.sha256"), index=True),
    _digest("anchors_sha256"),
    Column("policy_name", Text),
    Column("policy_version", Integer),
    Column("policy_sha256", LargeBinary),
    Column("tcb_status", Text, nullable=False),
    Column("result_json", Text, nullable=False),
    # What the log's entry commits to the record with; without them before there was a log.
    Column("salt", LargeBinary),
    Column("commitment", LargeBinary),
    CheckConstraint("refused IN (0, 1)", name="refused"),
    sqlite_autoincrement=True,  # an id is never given twice, even after the newest rows were deleted
)
is_refusal: Final = decisions.c.refused == literal_column("1")
_partial("ix_decisions_refused_id", decisions.c.id, where=is_refusal)
_partial("ix_decisions_refused_decided_at", decisions.c.decided_at, where=is_refusal)
decision_evidence: Final = Table(
    "decision_evidence",
    metadata,
    Column("decision_id", ForeignKey("decisions.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    _digest("blob_sha256", ForeignKey("blobs.sha256"), index=True),
    sqlite_with_rowid=False,
)

certificates: Final = Table(
    "certificates",
    metadata,
    Column("serial", Serial, primary_key=True),
    Column("decision_id", ForeignKey("decisions.id"), nullable=False, unique=True),
    Column("issuer_key_id", LargeBinary, nullable=False),
    _digest("handle", unique=True),
    _digest("tbs_sha256"),
    Column("not_before", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("state", Text, nullable=False),
    Column("der", LargeBinary),
    Column("ear", Text),
    _length("serial", SERIAL_BYTES),
    _length("handle", 32),
    CheckConstraint("state IN ('intent', 'issued', 'abandoned')", name="state"),
    CheckConstraint(
        "(state = 'issued' AND der IS NOT NULL AND ear IS NOT NULL)"
        " OR (state <> 'issued' AND der IS NULL AND ear IS NULL)",
        name="issued",
    ),
)
is_intent: Final = certificates.c.state == literal_column("'intent'")
_partial("ix_certificates_intent_decision_id", certificates.c.decision_id, where=is_intent)
certificate_names: Final = Table(
    "certificate_names",
    metadata,
    Column("serial", ForeignKey("certificates.serial"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    sqlite_with_rowid=False,
)
certificate_handles: Final = Table(
    "certificate_handles",
    metadata,
    Column("serial", ForeignKey("certificates.serial"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    _digest("handle"),
    Column("not_after", Instant, nullable=False),  # as in `certificates`
    _length("handle", 32),
    # Who depends on a handle and is unexpired, however many certificates of the past depended on it.
    Index(None, "handle", "not_after"),
    sqlite_with_rowid=False,
)

# Handles that a policy keeps out of a certificate, until it ends: who revokes one revokes the certificate's own too.
withheld_handles: Final = Table(
    "withheld_handles",
    metadata,
    Column("serial", ForeignKey("certificates.serial"), primary_key=True),
    _digest("handle", primary_key=True),
    Column("not_after", Instant, nullable=False),  # as in `certificates`
    _length("handle", 32),
    Index(None, "handle", "not_after"),
    Index(None, "not_after"),
    sqlite_with_rowid=False,
)

# Self-contained: deleting an old refusal must not free its nonce.
nonces: Final = Table(
    "nonces",
    metadata,
    _digest("nonce", primary_key=True),
    Column("expires_at", Instant, nullable=False),
    Column("decided_at", Instant, nullable=False),
    _digest("request_sha256"),
    # Of `certificates`, whose row is written later in the same transaction.
    Column("serial", Serial),
    sqlite_with_rowid=False,
)
is_of_refusal: Final = nonces.c.serial.is_(None)
_partial("ix_nonces_refused_expires_at", nonces.c.expires_at, where=is_of_refusal)

# Nothing takes a revocation back. `id` rises in the order of the commits: see `ca.store.handles`.
revocations: Final = Table(
    "revocations",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    _digest("handle", unique=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),  # in words, without hardware ids
    Column("revoked_at", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("note", Text, nullable=False),
    _length("handle", 32),
)

# The highest number of each issuer's CRLs, and the latest thisUpdate. See `ca.store.crls`.
crl_series: Final = Table(
    "crl_series",
    metadata,
    _digest("issuer_key_id", primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("this_update", Instant, nullable=False),
)
# The newest CRL of each issuer and day; older ones are of no use to anybody.
crls: Final = Table(
    "crls",
    metadata,
    _digest("issuer_key_id", primary_key=True),
    Column("day", Day, primary_key=True),  # on which the certificates end that it lists
    Column("number", BigInteger, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("der", LargeBinary, nullable=False),
    _digest("sha256"),  # of `der`
    Column("this_update", Instant, nullable=False),
    Column("next_update", Instant, nullable=False),
)

policies: Final = Table(
    "policies",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    _digest("sha256", index=True),
    Column("document", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("added_at", Instant, nullable=False),
    Column("added_by", Text, nullable=False),
    _length("sha256", 32),
    CheckConstraint("state IN ('draft', 'active', 'retired')", name="state"),
)
is_active: Final = policies.c.state == literal_column("'active'")
_partial("uq_policies_active_name", policies.c.name, where=is_active, unique=True)

tokens: Final = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    _digest("sha256", unique=True),
    Column("scopes", Text, nullable=False),  # JSON list, sorted
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("last_used_at", Instant),
    Column("revoked_at", Instant),
    _length("sha256", 32),
)
operator_actions: Final = Table(
    "operator_actions",
    metadata,
    _row_id(),
    Column("done_at", Instant, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("detail", Text, nullable=False),
    sqlite_autoincrement=True,
)

cached_responses: Final = Table(
    "cached_responses",
    metadata,
    Column("url", Text, primary_key=True),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("headers", Text, nullable=False),  # JSON list of pairs
    Column("fetched_at", Instant, nullable=False),
    Column("used_at", Instant, nullable=False, index=True),  # within a day
)

# Every version of a list that policies refer to, once it was in force; the documents are with the decisions.
lists: Final = Table(
    "lists",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("since", Instant, nullable=False),
    CheckConstraint("length(sha256) = 32", name="sha256_length"),
)

# The newest judgement of a vendor that was used, by the line in which its judgements follow each other.
evaluations: Final = Table(
    "evaluations",
    metadata,
    Column("line", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

# One row per restored backup. What happened between the backup and the restore is not in the database, so nonces
# that could be of that time are refused, and numbers of CRLs and of revocations go on above it.
restorations: Final = Table(
    "restorations",
    metadata,
    _row_id(),
    Column("restored_at", Instant, nullable=False),
    Column("nonces_until", Instant, nullable=False),  # nonces that expire by then are refused
    Column(
        "crl_number", BigInteger, nullable=False
    ),  # numbers up to this one may have been used, of either
    sqlite_autoincrement=True,
)

# The log. What is to be in it, written by the transaction that makes it true; gone once it has its position.
log_outbox: Final = Table(
    "log_outbox",
    metadata,
    _row_id(),
    Column("entry", LargeBinary, nullable=False),
    Column("serial", Serial),  # of the certificate whose issuance it is
    sqlite_autoincrement=True,
)
# Entries by position, for ever, without a gap.
log_entries: Final = Table(
    "log_entries",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", LargeBinary, nullable=False),
    Column("serial", Serial),
)
is_issuance: Final = log_entries.c.serial.is_not(None)
_partial("uq_log_entries_serial", log_entries.c.serial, where=is_issuance, unique=True)
# What the entries revoke: the first one of each handle, with the hash of its leaf. The tree is in memory.
log_revocations: Final = Table(
    "log_revocations",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    _digest("handle", unique=True),
    _digest("value"),
    _length("handle", 32),
    _length("value", 32),
)
# Hashes of the tree; see `ca.merkle`. A tile only grows, up to 8192 bytes.
log_tiles: Final = Table(
    "log_tiles",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)
# One row: the newest checkpoint, and the one key that may sign the next.
log_checkpoint: Final = Table(
    "log_checkpoint",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _digest("key_sha256"),
    Column("size", BigInteger, nullable=False),
    Column("time", BigInteger, nullable=False),  # seconds
    Column("note", LargeBinary),  # none was signed by this key yet
    _length("key_sha256", 32),
)
# Keys of the authority that the log tells of, by SHA-256 of their DER: each is told once.
log_keys: Final = Table(
    "log_keys",
    metadata,
    _digest("sha256", primary_key=True),
    _length("sha256", 32),
    sqlite_with_rowid=False,
)

# What was anchored on a chain, or is to be. `target` names chain, contract and namespace; numbers rise by one.
anchors: Final = Table(
    "anchors",
    metadata,
    _digest("target", primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),  # from here on: the head
    _digest("root"),
    Column("revocation_count", BigInteger, nullable=False),
    _digest("revocation_root"),
    _digest("crls_digest"),
    Column("time", BigInteger, nullable=False),  # seconds
    Column("tombstones", LargeBinary, nullable=False),  # handles of 32 bytes, one behind the other
    # How many revocations have tombstones, and the position in the log of the last: before it, and with it.
    Column("count_before", BigInteger, nullable=False),
    Column("position_before", BigInteger, nullable=False),
    Column("count_after", BigInteger, nullable=False),
    Column("position_after", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("block_number", BigInteger),
    Column("block_hash", LargeBinary),
    Index(None, "target", "time"),
    _length("target", 32),
    CheckConstraint("state IN ('open', 'mined', 'final', 'dropped')", name="state"),
    CheckConstraint(
        "(block_number IS NULL) = (block_hash IS NULL)"
        " AND (state = 'dropped' OR (state = 'open') = (block_hash IS NULL))",
        name="block",
    ),
)
is_unsettled: Final = anchors.c.state.in_((literal_column("'open'"), literal_column("'mined'")))
_partial("ix_anchors_unsettled_number", anchors.c.number, where=is_unsettled)
# Recorded before they are sent: whoever comes after a crash sends the same bytes.
anchor_transactions: Final = Table(
    "anchor_transactions",
    metadata,
    _digest("target", primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("nonce", BigInteger, nullable=False),  # as in `anchors`
    _digest("hash"),
    Column("raw", LargeBinary, nullable=False),
    Column("base_size", BigInteger, nullable=False),
    Column("max_fee", BigInteger, nullable=False),  # wei per unit of gas
    Column("tip", BigInteger, nullable=False),
    Column("sent_at", Instant, nullable=False),
    ForeignKeyConstraint(["target", "number"], ["anchors.target", "anchors.number"]),
    Index(None, "target", "nonce"),
    _length("hash", 32),
)

# One row, rewritten by each health check: what cannot be written is not healthy.
heartbeat: Final = Table(
    "heartbeat",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("beats", BigInteger, nullable=False),
)
