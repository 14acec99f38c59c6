# SPDX-License-Identifier: Apache-2.0
"""R-38: what the service does at its start and for each request does not depend on the number of certificates.

Every statement is explained by the database itself, with many certificates in it: none may walk a whole big table.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from ca.issuance.crl import Revoked
from ca.ports import CertificateQuery, Outcome
from ca.store import schema
from ca.store.engines import SqliteEngine
from tests import records

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ca.store.sql import SqlStore

MANY = 20_000
BIG = (
    "blobs",
    "certificate_handles",
    "certificate_names",
    "certificates",
    "decision_evidence",
    "decisions",
    "nonces",
)
NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many)",
    "postgresql": "WITH n(i) AS (SELECT generate_series(1, :many))",
}
BYTES = {  # 32 bytes for the number {0}; the last 20 make a serial number
    "sqlite": "CAST(printf('%032d', {0}) AS BLOB)",
    "postgresql": "decode(lpad(to_hex({0}), 64, '0'), 'hex')",
}
FILL = (
    "INSERT INTO blobs (sha256, data) {numbers} SELECT {i}, {i} FROM n",
    "INSERT INTO bundles (sha256) {numbers} SELECT {i} FROM n WHERE i <= :many / 50",
    """INSERT INTO decisions (id, refused, decided_at, nonce, nonce_expires, request_sha256, profile, spki_der, tee,
       bundle_sha256, anchors_sha256, tcb_status, result_json)
       {numbers} SELECT 1000 + i, i % 2, i, {i}, i, {i}, 'default', {i}, 'tdx', {bundle}, {i}, 'UpToDate', '{{}}'
       FROM n""",
    """INSERT INTO decision_evidence (decision_id, position, kind, blob_sha256)
       {numbers} SELECT 1000 + i, 0, 'tdx-quote', {i} FROM n""",
    """INSERT INTO certificates (serial, decision_id, issuer_key_id, handle, tbs_sha256, not_before, not_after, state,
       der, ear) {numbers} SELECT {serial}, 1000 + i, {issuer}, {i}, {i}, i, 9000000000000000, 'issued', {i}, 'ear'
       FROM n WHERE i % 2 = 0""",
    """INSERT INTO certificate_handles (serial, position, kind, handle, not_after)
       {numbers} SELECT {serial}, 0, 'key', {i}, 9000000000000000 FROM n WHERE i % 2 = 0""",
    """INSERT INTO certificate_names (serial, position, name)
       {numbers} SELECT {serial}, 0, 'dns:vm.example' FROM n WHERE i % 2 = 0""",
    """INSERT INTO nonces (nonce, expires_at, decided_at, request_sha256, serial)
       {numbers} SELECT {i}, i, i, {i}, CASE i % 2 WHEN 0 THEN {serial} END FROM n""",
    """INSERT INTO revocations (id, handle, kind, subject, revoked_at, reason, actor, note)
       {numbers} SELECT i, {i}, 'key', '', i, 'unspecified', '', '' FROM n WHERE i IN (2, 4)""",
)

SHARED = """INSERT INTO certificate_handles (serial, position, kind, handle, not_after)
    SELECT serial, 1, 'product', :all, not_after FROM certificates"""


def fill(connection: Connection) -> None:
    dialect = connection.dialect.name
    number = BYTES[dialect].format("i")
    issuer = records.ISSUER.hex()
    words = {
        "numbers": NUMBERS[dialect],
        "i": number,
        "bundle": BYTES[dialect].format("1 + i % (:many / 50)"),
        "serial": f"substr({number}, 13, 20)",
        "issuer": f"x'{issuer}'" if dialect == "sqlite" else f"decode('{issuer}', 'hex')",
    }
    for statement in FILL:
        connection.execute(text(statement.format(**words).replace(":many", str(MANY))))
    if (
        dialect == "postgresql"
    ):  # it plans by statistics and gathers them by itself; SQLite has none
        connection.execute(text("ANALYZE"))


class Plans:
    """The plan of every statement that an engine is given, taken just before it runs."""

    def __init__(self, *engines: Engine) -> None:
        self.taken: list[tuple[str, str]] = []
        self._explaining = False
        for engine in engines:
            event.listen(engine, "before_cursor_execute", self._explain)

    def _explain(
        self,
        connection: Connection,
        _cursor: object,
        statement: str,
        parameters: Any,  # noqa: ANN401 (the driver's)
        _context: object,
        executemany: bool,  # noqa: FBT001 (interface)
    ) -> None:
        explainable = statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT", "WITH"))
        if self._explaining or executemany or not explainable:
            return
        self._explaining = True
        words = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        rows = connection.exec_driver_sql(f"{words} {statement}", parameters).all()
        self._explaining = False
        self.taken.append((statement, "\n".join(str(row[-1]) for row in rows)))

    def walks(self) -> list[tuple[str, str]]:
        """Statements that read a big table from end to end."""
        return [
            (statement, line)
            for statement, plan in self.taken
            for line in plan.splitlines()
            for table in BIG
            if line.strip(" ->").startswith((f"Seq Scan on {table} ", f"SCAN {table}"))
            and "USING" not in line
        ]


@pytest.fixture
async def crowded(store: SqlStore) -> tuple[SqlStore, Plans]:
    await records.activate(store)
    await store.record_refusal(records.decision())
    await store._database.write(fill)
    engine = store._database._engine
    if isinstance(engine, SqliteEngine):
        return store, Plans(engine._writer._engine, engine._readers._engine)
    return store, Plans(engine._writes.sync_engine)


EARLY = datetime(1970, 1, 1, microsecond=20, tzinfo=UTC)  # a few of the rows of `fill` are older
TODAY = records.NOW.date()
CALLS: dict[str, Callable[[SqlStore], Awaitable[object]]] = {
    "start": lambda s: schema.check(s._database),
    "nonce_state": lambda s: s.nonce_state(b"unknown"),
    "record_intent": lambda s: s.record_intent(records.intent()),
    "record_refusal": lambda s: s.record_refusal(records.decision()),
    "abandon_intents": lambda s: s.abandon_intents(records.NOW, records.NOW),
    "certificate": lambda s: s.certificate(4),
    "first page": lambda s: s.certificates(CertificateQuery(limit=10)),
    "next page": lambda s: s.certificates(CertificateQuery(limit=10, after=1000)),
    "refusals": lambda s: s.refusals(10, None),
    "older refusals": lambda s: s.refusals(10, 5000),
    "forget_nonces": lambda s: s.forget_nonces(EARLY),
    "expire_refusals": lambda s: s.expire_refusals(EARLY),
    "crl_state": lambda s: s.crl_state(records.ISSUER, TODAY, TODAY + timedelta(days=8)),
    "revoked_on": lambda s: s.revoked_on(records.ISSUER, TODAY),
    "statuses": lambda s: s.statuses(records.ISSUER, range(2, 18)),
    "crl": lambda s: s.crl(records.ISSUER, TODAY),
    "publish_crls": lambda s: s.publish_crls([records.crl(1)], 0),
    "crl_names": lambda s: s.crl_names(),
    "forget_withheld": lambda s: s.forget_withheld(EARLY),
    "forget_crls": lambda s: s.forget_crls(TODAY),
    "revocations": lambda s: s.revocations(10, None),
    "older revocations": lambda s: s.revocations(10, 4),
    "newer revocations": lambda s: s.revocations_after(2, 10),
    "revocations_of": lambda s: s.revocations_of(4),
    "dependents": lambda s: s.dependents((4).to_bytes(32, "big"), records.NOW, 20),
    "revoke": lambda s: s.revoke(records.revocation(records.digest("x")), records.ACTION),
    "policies": lambda s: s.policies(active_only=True),
    "ping": lambda s: s.ping(),
}


async def test_no_call_walks_a_big_table(crowded: tuple[SqlStore, Plans]) -> None:
    store, plans = crowded
    for name, call in CALLS.items():
        before = len(plans.taken)
        await call(store)
        assert len(plans.taken) > before, name
    intent = records.intent()
    await store.record_intent(intent)
    await store.record_certificate(intent.serial, b"der", "ear")
    assert plans.walks() == []


async def test_the_detector_detects(crowded: tuple[SqlStore, Plans]) -> None:
    """A question without an index is seen, so that the test above can fail."""
    store, plans = crowded
    await store.certificates(CertificateQuery(san="nothing has this name"))
    assert any("certificate_names" in line for _statement, line in plans.walks())


async def test_a_revocation_costs_the_same_whatever_it_takes(
    crowded: tuple[SqlStore, Plans],
) -> None:
    """Half of all certificates or none: the same statements, and nothing is written but the revocation."""
    store, plans = crowded
    everything, nothing = records.digest("of every certificate"), records.digest("of none")

    def share(connection: Connection) -> None:
        connection.execute(text(SHARED), {"all": everything})
        if connection.dialect.name == "postgresql":
            connection.execute(text("ANALYZE"))

    await store._database.write(share)
    statements = []
    for handle in (everything, nothing):
        plans.taken.clear()
        await store.revoke(records.revocation(handle), records.ACTION)
        statements.append([statement for statement, _ in plans.taken])
    assert statements[0] == statements[1]
    written = {one.split()[2] for one in statements[0] if one.startswith(("INSERT", "UPDATE"))}
    assert written & {*BIG, "crls"} == set()
    seen = await store.dependents(everything, records.NOW, 20)
    assert (seen.count, len(seen.first)) == (MANY // 2, 20)


async def test_a_revocation_is_one_row(crowded: tuple[SqlStore, Plans]) -> None:
    """However many certificates depend on the handle: they are not touched, and are found all the same."""
    store, plans = crowded
    intent = records.intent()
    await store.record_intent(intent)
    later = records.NOW + timedelta(seconds=1)
    plans.taken.clear()
    assert await store.abandon_intents(later, later) == (intent.serial,)
    assert Revoked(intent.serial, later) in await store.revoked_on(
        records.ISSUER, intent.not_after.date()
    )
    assert plans.walks() == []
    found = await store.certificate(intent.serial)
    assert found is not None
    assert found.outcome is Outcome.ABANDONED
