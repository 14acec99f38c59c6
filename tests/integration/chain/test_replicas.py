# SPDX-License-Identifier: Apache-2.0
"""Several replicas anchor from one database: one of them is first each time, and the chain has no more than one."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from ca.anchoring import Step
from ca.ledger.rpc import connected
from ca.ledger_ports import State
from ca.store.sql import SqlStore
from tests.chain_lab import CHAIN_ID, Anchoring

if TYPE_CHECKING:
    from tests.chain_lab import Deployed


async def test_two_replicas_at_once(place: Deployed, database_url: str) -> None:
    first, second = [await SqlStore.open(database_url) for _ in range(2)]
    try:
        async with (
            connected([place.chain.url], CHAIN_ID) as nodes,
            connected([place.chain.url], CHAIN_ID) as others,
        ):
            one = Anchoring(first, place.ledger(nodes))
            two = replace(one, store=second, ledger=place.ledger(others))
            heads, steps = [], Counter[Step]()
            for _ in range(5):
                await one.revoke()
                heads.append(await one.publish())
                two.now = one.now
                turns = await asyncio.gather(one.turn(), two.turn())
                steps += Counter(turn.step for turn in turns)
            place.chain.mine(8)
            await asyncio.gather(one.turn(), two.turn())
            assert steps[Step.SENT] == 5
            assert await one.anchored_events() == heads
            assert await one.tombstones() == [True] * 5
            records = await first.anchors.newest(one.ledger.target, 99)
            assert [record.state for record in records] == [State.FINAL] * 5
    finally:
        await first.close()
        await second.close()


async def test_two_replicas_replace_once(place: Deployed, database_url: str) -> None:
    """What is stuck is replaced by one of them; the other sees it."""
    stores = [await SqlStore.open(database_url) for _ in range(2)]
    try:
        async with connected([place.chain.url], CHAIN_ID) as nodes:
            one = Anchoring(stores[0], place.ledger(nodes))
            two = replace(one, store=stores[1])
            place.chain.automine(on=False)
            await one.revoke()
            head = await one.publish()
            two.now = one.now
            await one.turn()
            turns = await asyncio.gather(
                one.turn(timedelta(minutes=2)), two.turn(timedelta(minutes=2))
            )
            assert sorted(turn.step for turn in turns) in (
                [Step.OVERTAKEN, Step.REPLACED],
                [Step.REPLACED, Step.WAITING],
            )
            (record,) = (await one.anchorer.progress()).unsettled
            assert len(record.transactions) == 2
            place.chain.mine()
            assert await one.anchored_events() == [head]
    finally:
        for store in stores:
            await store.close()
