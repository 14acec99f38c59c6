# SPDX-License-Identifier: Apache-2.0
"""R-59 (the store's half): what refusals wrote goes with them, so that retention bounds the database."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, func, select

from ca.errors import NonceUsed
from ca.store.tables import metadata
from tests import records

if TYPE_CHECKING:
    from ca.store.sql import SqlStore


def counts(connection: Connection) -> dict[str, int]:
    return {
        name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for name, table in metadata.tables.items()
    }


async def test_no_row_stays_behind(store: SqlStore) -> None:
    before = await store._database.read(counts)
    for i in range(25):
        await store.record_refusal(
            records.decision(collateral=(records.blob("crl of all"), records.blob(f"crl {i}")))
        )
    assert await store._database.read(counts) != before
    later = records.NOW + timedelta(days=1)
    assert await store.forget_nonces(later) == 25
    assert await store.expire_refusals(later) == 25
    # That there were refusals stays in the public log; what it commits to, and with which random bytes, is gone.
    assert await store._database.read(counts) == before | {"log_outbox": 25}


async def test_each_kind_by_its_own_rule(store: SqlStore) -> None:
    """Forgetting a nonce keeps its refusal; deleting a refusal does not free its nonce."""
    first, second = records.decision(), records.decision()
    await store.record_refusal(first)
    await store.forget_nonces(first.nonce_expires + timedelta(seconds=1))
    await store.record_refusal(second)
    assert len(await store.refusals(10, None)) == 2
    await store.expire_refusals(records.NOW + timedelta(seconds=1))
    assert await store.refusals(10, None) == ()
    with pytest.raises(NonceUsed):
        await store.record_refusal(second)


async def test_certificates_outlive_every_retention(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent()
    await store.record_intent(intent)
    await store.record_certificate(intent.serial, b"der", "ear")
    for_ever = records.NOW + timedelta(days=36500)
    assert await store.forget_nonces(for_ever) == 0
    assert await store.expire_refusals(for_ever) == 0
    found = await store.certificate(intent.serial)
    assert found is not None
    assert found.decision == intent.decision
    with pytest.raises(NonceUsed):
        await store.record_refusal(intent.decision)
