# SPDX-License-Identifier: Apache-2.0
"""Searching certificates and refusals, and their retention, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, Table, func, select

from ca.errors import NonceUsed
from ca.ports import CertificateQuery, Outcome
from ca.store import tables
from tests import records

if TYPE_CHECKING:
    from ca.store.sql import SqlStore


def count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


async def rows(store: SqlStore, table: Table) -> int:
    return await store._database.read(count, table)


async def search(store: SqlStore, **conditions: Any) -> list[int]:  # noqa: ANN401 (any condition)
    found = await store.certificates(CertificateQuery(**conditions))
    return [record.serial for record in found]


@pytest.fixture
async def three(store: SqlStore) -> SqlStore:
    """Serials 1 (issued), 2 (an intent, OutOfDate, of another policy), 3 (abandoned, of yesterday)."""
    await records.activate(store)
    other = await records.activate(store, records.policy("other"))
    yesterday = records.NOW - timedelta(days=1)
    await store.record_intent(
        records.intent(
            of=records.decision(decided_at=yesterday),
            serial=3,
            subject_alt_names=("dns:old_vm.example",),
            not_before=yesterday,
            not_after=records.NOW - timedelta(hours=1),
        )
    )
    await store.abandon_intents(records.NOW, records.NOW)
    await store.record_intent(
        records.intent(serial=1, subject_alt_names=("dns:a.example", "uri:spiffe://x/100%25"))
    )
    await store.record_certificate(1, b"der", "ear")
    decision = records.decision(
        policy_name="other", policy_sha256=other.sha256, tcb_status="OutOfDate"
    )
    await store.record_intent(
        records.intent(of=decision, serial=2, subject_alt_names=("dns:oldXvm.example",))
    )
    return store


SEARCHES: tuple[tuple[dict[str, Any], list[int]], ...] = (
    ({}, [1, 2, 3]),
    ({"limit": 2}, [1, 2]),
    ({"limit": 2, "after": 2}, [3]),
    ({"after": 3}, []),
    ({"limit": 0}, []),
    ({"limit": -1}, []),
    ({"san": "a.exam"}, [1]),
    ({"san": "A.EXAMPLE"}, [1]),
    ({"san": ".example"}, [1, 2, 3]),
    ({"san": "d_v"}, [3]),
    ({"san": "100%"}, [1]),
    ({"san": "%"}, [1]),
    ({"san": "/"}, [1]),
    ({"san": "nothing"}, []),
    ({"policy_name": "other"}, [2]),
    ({"policy_name": "oth"}, []),
    ({"tcb_status": "OutOfDate"}, [2]),
    ({"tcb_status": "UpToDate", "san": "a.example"}, [1]),
    ({"outcome": Outcome.ISSUED}, [1]),
    ({"outcome": Outcome.INTENT}, [2]),
    ({"outcome": Outcome.ABANDONED}, [3]),
    ({"outcome": Outcome.DENIED}, []),
    ({"valid_at": records.NOW}, [1, 2]),
    ({"valid_at": records.NOW - timedelta(microseconds=1)}, []),
    ({"valid_at": records.NOW - timedelta(hours=1)}, [3]),
    ({"valid_at": records.NOW + timedelta(hours=24)}, [1, 2]),
    ({"valid_at": records.NOW + timedelta(hours=24, microseconds=1)}, []),
)


async def test_search(three: SqlStore) -> None:
    for conditions, serials in SEARCHES:
        assert await search(three, **conditions) == serials, conditions


async def test_names_and_handles_stay_with_their_certificate(three: SqlStore) -> None:
    first, second, _third = await three.certificates(CertificateQuery())
    assert first.subject_alt_names == ("dns:a.example", "uri:spiffe://x/100%25")
    assert second.subject_alt_names == ("dns:oldXvm.example",)
    assert [kind for kind, _ in first.handles] == ["measurement", "key"]
    assert first.handles[0] == second.handles[0]
    assert first.handles[1] != second.handles[1]


async def test_unknown_certificate(store: SqlStore) -> None:
    assert await store.certificate(1) is None


async def test_a_serial_beyond_20_bytes_is_nobodys(store: SqlStore) -> None:
    assert await store.certificate(2**160) is None
    assert await store.certificate(-1) is None
    assert await search(store, after=2**160) == []


async def test_refusals_newest_first_in_pages(store: SqlStore) -> None:
    decisions = [records.decision() for _ in range(5)]
    for decision in decisions:
        await store.record_refusal(decision)
    first = await store.refusals(2, None)
    second = await store.refusals(2, first[-1].id)
    third = await store.refusals(2, second[-1].id)
    found = [*first, *second, *third]
    assert [refusal.decision for refusal in found] == decisions[::-1]
    ids = [refusal.id for refusal in found]
    assert ids == sorted(ids, reverse=True)


async def test_bytes_are_kept_once(three: SqlStore) -> None:
    assert await rows(three, tables.bundles) == 1
    assert await rows(three, tables.blobs) == 3 + 3  # collateral of all, evidence of each


async def test_expired_refusals_take_their_bytes_along(store: SqlStore) -> None:
    await records.activate(store)
    shared = records.blob("quote that another decision names")
    old = records.NOW - timedelta(days=31)
    alone = records.decision(decided_at=old, collateral=(records.blob("old crl"),))
    sharing = records.decision(decided_at=old, evidence=(("tdx-quote", shared),))
    kept = records.decision(evidence=(("tdx-quote", shared),))
    issued = records.intent(of=records.decision(decided_at=old))
    for decision in (alone, sharing, kept):
        await store.record_refusal(decision)
    await store.record_intent(issued)

    limit = records.NOW - timedelta(days=30)
    assert await store.expire_refusals(limit) == 2
    assert await store.expire_refusals(limit) == 0

    (left,) = await store.refusals(10, None)
    assert left.decision == kept
    found = await store.certificate(issued.serial)
    assert found is not None
    assert found.decision == issued.decision
    assert await rows(store, tables.bundles) == 1
    assert await rows(store, tables.blobs) == 3 + 2  # shared collateral; quotes of `kept`, `issued`
    with pytest.raises(NonceUsed):
        await store.record_refusal(records.decision(nonce=alone.nonce))


async def test_a_refusal_decided_at_the_limit_stays(store: SqlStore) -> None:
    await store.record_refusal(records.decision())
    assert await store.expire_refusals(records.NOW) == 0
    assert await store.expire_refusals(records.NOW + timedelta(microseconds=1)) == 1


async def test_more_refusals_than_one_batch_expire(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ca.store.sql._BATCH", 2)
    for _ in range(5):
        await store.record_refusal(records.decision())
    assert await store.expire_refusals(records.NOW + timedelta(seconds=1)) == 5
    assert await rows(store, tables.blobs) == 0
    assert await rows(store, tables.bundles) == 0


async def test_ids_of_refusals_rise_even_after_all_were_deleted(store: SqlStore) -> None:
    await store.record_refusal(records.decision())
    (before,) = await store.refusals(1, None)
    await store.expire_refusals(records.NOW + timedelta(seconds=1))
    await store.record_refusal(records.decision())
    (after,) = await store.refusals(1, None)
    assert after.id > before.id


async def test_nonces_of_refusals_are_forgotten_once_expired(store: SqlStore) -> None:
    await records.activate(store)
    refused, issued = records.decision(), records.intent()
    await store.record_refusal(refused)
    await store.record_intent(issued)
    assert await store.forget_nonces(refused.nonce_expires) == 0
    assert await store.nonce_state(refused.nonce) is not None
    assert await store.forget_nonces(refused.nonce_expires + timedelta(microseconds=1)) == 1
    assert await store.nonce_state(refused.nonce) is None
    assert await store.nonce_state(issued.decision.nonce) is not None
    assert len(await store.refusals(10, None)) == 1
