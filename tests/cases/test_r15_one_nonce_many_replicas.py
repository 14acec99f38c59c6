# SPDX-License-Identifier: Apache-2.0
"""R-15 (the store's half): one nonce, 100 answers at the same time, two replicas: exactly one is recorded."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from ca.errors import NonceUsed
from ca.ports import CertificateQuery, Outcome
from ca.store.sql import SqlStore
from tests import records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def replicas(database_url: str) -> AsyncIterator[list[SqlStore]]:
    stores = [await SqlStore.open(database_url) for _ in range(2)]
    await records.activate(stores[0])
    yield stores
    for store in stores:
        await store.close()


async def test_100_intents(replicas: list[SqlStore]) -> None:
    nonce = records.digest("the one nonce")
    intents = [records.intent(of=records.decision(nonce=nonce)) for _ in range(100)]
    results = await asyncio.gather(
        *(replicas[i % 2].record_intent(intent) for i, intent in enumerate(intents)),
        return_exceptions=True,
    )
    winners = [i for i, result in enumerate(results) if result is None]
    losers = [result for result in results if result is not None]
    assert len(winners) == 1
    assert {type(result) for result in losers} == {NonceUsed}

    winner = intents[winners[0]]
    for replica in replicas:
        (only,) = await replica.certificates(CertificateQuery())
        assert only.serial == winner.serial
        assert only.decision == winner.decision
        state = await replica.nonce_state(nonce)
        assert state is not None
        assert (state.serial, state.outcome) == (winner.serial, Outcome.INTENT)
        assert state.request_sha256 == winner.decision.request_sha256


async def test_intents_and_refusals_mixed(replicas: list[SqlStore]) -> None:
    nonce = records.digest("another nonce")
    calls = []
    for i in range(50):
        decision = records.decision(nonce=nonce)
        calls.append(replicas[i % 2].record_refusal(decision))
        calls.append(replicas[i % 2].record_intent(records.intent(of=decision)))
    random.Random(15).shuffle(calls)  # noqa: S311 (an order, not a secret)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results].count(NonceUsed) == 99
    assert results.count(None) == 1
    kept = await replicas[0].certificates(CertificateQuery())
    refused = await replicas[1].refusals(10, None)
    assert len(kept) + len(refused) == 1
