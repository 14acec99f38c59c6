# SPDX-License-Identifier: Apache-2.0
"""Decisions with all that recomputes them: evidence and collateral under their SHA-256, each once.

Rules: bytes go in under the digest of these very bytes; rows are written in the order of their digests, so that two
writers never wait for each other in a circle; a blob goes when the last decision that names it goes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, exists, select

from ca import audit
from ca.errors import AuthorityError
from ca.ports import Blob, Decision
from ca.record import committed
from ca.store import tables
from ca.store.dialect import add_new, lock_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

_PLAIN: Final = (  # fields that a row of `decisions` and a Decision have in common
    "decided_at",
    "nonce",
    "nonce_expires",
    "request_sha256",
    "profile",
    "spki_der",
    "tee",
    "anchors_sha256",
    "policy_name",
    "policy_version",
    "policy_sha256",
    "tcb_status",
    "result_json",
    "salt",
)

# Built once: every enrollment runs them.
_FIND_BUNDLE: Final = select(tables.bundles.c.sha256).where(
    tables.bundles.c.sha256 == bindparam("bundle")
)
_ADD_DECISION: Final = tables.decisions.insert().returning(tables.decisions.c.id)
_ADD_EVIDENCE: Final = tables.decision_evidence.insert()


def add(connection: Connection, decision: Decision, *, refused: bool) -> tuple[int, bytes]:
    """Write one decision and the blobs it names; its row id, and what the log may tell of it."""
    if decision.salt is None:
        raise AuthorityError("a new decision has its random bytes")
    commitment = audit.commitment(decision.salt, committed(decision))
    _add_blobs(connection, [blob for _, blob in decision.evidence])
    bundle = _add_bundle(connection, decision.collateral)
    values = {name: getattr(decision, name) for name in _PLAIN}
    values |= {"refused": int(refused), "bundle_sha256": bundle, "commitment": commitment}
    row_id: int = connection.execute(_ADD_DECISION, values).scalar_one()
    if decision.evidence:
        connection.execute(
            _ADD_EVIDENCE,
            [
                {"decision_id": row_id, "position": i, "kind": kind, "blob_sha256": blob.sha256}
                for i, (kind, blob) in enumerate(decision.evidence)
            ],
        )
    return row_id, commitment


def load(connection: Connection, rows: Sequence[Row[Any]]) -> list[Decision]:
    """The decisions of these rows, which have every column of `decisions` (and `decision_id` for its id)."""
    evidence = _evidence(connection, [row.decision_id for row in rows])
    bundles = _bundles(connection, {row.bundle_sha256 for row in rows})
    digests = {digest for pieces in evidence.values() for _, digest in pieces}
    digests.update(digest for members in bundles.values() for digest in members)
    blobs = _blobs(connection, digests)
    return [
        Decision(
            evidence=tuple((kind, blobs[digest]) for kind, digest in evidence[row.decision_id]),
            collateral=tuple(blobs[digest] for digest in bundles[row.bundle_sha256]),
            **{name: getattr(row, name) for name in _PLAIN},
        )
        for row in rows
    ]


def expire_refusals(connection: Connection, decided_before: datetime, limit: int) -> int:
    """Delete up to `limit` refusals decided before an instant, and what nothing names any more."""
    # No writer may find a blob that is about to go. This waits for the writers that have touched `blobs`, as each
    # does before it looks for anything, and makes the next ones wait, for one bounded batch.
    lock_table(connection, tables.blobs, "EXCLUSIVE")
    old = connection.execute(
        select(tables.decisions.c.id, tables.decisions.c.bundle_sha256)
        .where(tables.is_refusal, tables.decisions.c.decided_at < decided_before)
        .order_by(tables.decisions.c.decided_at)
        .limit(limit)
    ).all()
    if not old:
        return 0
    ids = [row.id for row in old]
    candidates = set(
        connection.execute(
            delete(tables.decision_evidence)
            .where(tables.decision_evidence.c.decision_id.in_(ids))
            .returning(tables.decision_evidence.c.blob_sha256)
        ).scalars()
    )
    connection.execute(delete(tables.decisions).where(tables.decisions.c.id.in_(ids)))
    candidates |= _drop_bundles(connection, {row.bundle_sha256 for row in old})
    _drop_blobs(connection, candidates)
    return len(ids)


def _add_blobs(connection: Connection, blobs: Iterable[Blob]) -> None:
    """Write those that are not there. Even if none is written, `blobs` is locked against `expire_refusals`."""
    wanted = {blob.sha256: blob.data for blob in blobs}
    if any(hashlib.sha256(data).digest() != digest for digest, data in wanted.items()):
        raise AuthorityError("a blob's digest is not that of its bytes")
    rows = [{"sha256": digest, "data": wanted[digest]} for digest in sorted(wanted)]
    add_new(connection, tables.blobs, rows)


def _add_bundle(connection: Connection, collateral: tuple[Blob, ...]) -> bytes:
    """The digest of this list of collateral, which is written unless it is known."""
    bundle = hashlib.sha256(b"".join(blob.sha256 for blob in collateral)).digest()
    if connection.execute(_FIND_BUNDLE, {"bundle": bundle}).first() is not None:
        return bundle
    _add_blobs(connection, collateral)
    # No row: another writer was first, members and all.
    if add_new(connection, tables.bundles, [{"sha256": bundle}]) and collateral:
        connection.execute(
            tables.bundle_members.insert(),
            [
                {"bundle_sha256": bundle, "position": i, "blob_sha256": blob.sha256}
                for i, blob in enumerate(collateral)
            ],
        )
    return bundle


def _evidence(connection: Connection, ids: list[int]) -> dict[int, list[tuple[str, bytes]]]:
    found: dict[int, list[tuple[str, bytes]]] = {row_id: [] for row_id in ids}
    table = tables.decision_evidence
    for row in connection.execute(
        select(table).where(table.c.decision_id.in_(ids)).order_by(table.c.position)
    ):
        found[row.decision_id].append((row.kind, row.blob_sha256))
    return found


def _bundles(connection: Connection, digests: set[bytes]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {digest: [] for digest in digests}
    table = tables.bundle_members
    for row in connection.execute(
        select(table).where(table.c.bundle_sha256.in_(digests)).order_by(table.c.position)
    ):
        found[row.bundle_sha256].append(row.blob_sha256)
    return found


def _blobs(connection: Connection, digests: set[bytes]) -> dict[bytes, Blob]:
    rows = connection.execute(select(tables.blobs).where(tables.blobs.c.sha256.in_(digests)))
    return {row.sha256: Blob(row.sha256, row.data) for row in rows}


def _drop_bundles(connection: Connection, digests: set[bytes]) -> set[bytes]:
    """Drop those that no decision names; the blobs that were their members."""
    named = exists().where(tables.decisions.c.bundle_sha256 == tables.bundles.c.sha256)
    free = list(
        connection.execute(
            select(tables.bundles.c.sha256).where(tables.bundles.c.sha256.in_(digests), ~named)
        ).scalars()
    )
    members = connection.execute(
        delete(tables.bundle_members)
        .where(tables.bundle_members.c.bundle_sha256.in_(free))
        .returning(tables.bundle_members.c.blob_sha256)
    ).scalars()
    blobs = set(members)
    connection.execute(delete(tables.bundles).where(tables.bundles.c.sha256.in_(free)))
    return blobs


def _drop_blobs(connection: Connection, digests: set[bytes]) -> None:
    """Drop those that no evidence and no bundle names."""
    digest = tables.blobs.c.sha256
    as_evidence = exists().where(tables.decision_evidence.c.blob_sha256 == digest)
    as_collateral = exists().where(tables.bundle_members.c.blob_sha256 == digest)
    connection.execute(
        delete(tables.blobs).where(digest.in_(digests), ~as_evidence, ~as_collateral)
    )
