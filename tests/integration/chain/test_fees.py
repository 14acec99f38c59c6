# SPDX-License-Identifier: Apache-2.0
"""When gas gets dear: below the cap a transaction is replaced by one that pays more, above it the anchor waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from ca.anchoring import Step
from tests.chain_lab import GWEI, RULES

if TYPE_CHECKING:
    from tests.chain_lab import Anchoring, Chain


async def test_above_the_cap_nothing_is_recorded_and_nothing_sent(
    anchoring: Anchoring, chain: Chain
) -> None:
    await anchoring.revoke()
    head = await anchoring.publish()
    chain.base_fee(200)
    chain.mine()
    assert (await anchoring.turn()).step is Step.EXPENSIVE
    assert (await anchoring.anchorer.progress()).number == 0
    chain.base_fee(1)
    chain.mine()
    assert (await anchoring.turn()).step is Step.SENT
    assert await anchoring.anchored_events() == [head]


async def test_a_spike_below_the_cap_replaces_what_was_sent(
    anchoring: Anchoring, chain: Chain
) -> None:
    chain.automine(on=False)
    await anchoring.revoke()
    head = await anchoring.publish()
    await anchoring.turn()
    chain.base_fee(40)
    chain.mine()
    assert (await anchoring.turn()).step is Step.REPLACED
    (record,) = (await anchoring.anchorer.progress()).unsettled
    first, second = record.transactions
    assert second.fees.max_fee >= first.fees.max_fee * 110 // 100
    assert second.fees.max_fee <= RULES.max_fee
    chain.mine()
    assert await anchoring.anchored_events() == [head]


async def test_a_spike_above_the_cap_waits_with_what_was_sent(
    anchoring: Anchoring, chain: Chain
) -> None:
    chain.automine(on=False)
    await anchoring.revoke()
    head = await anchoring.publish()
    await anchoring.turn()
    chain.base_fee(200)
    chain.mine()
    assert (await anchoring.turn(timedelta(minutes=5))).step is Step.EXPENSIVE
    (record,) = (await anchoring.anchorer.progress()).unsettled
    assert len(record.transactions) == 1
    chain.base_fee(1)
    chain.mine()
    await anchoring.turn(timedelta(minutes=5))
    chain.mine()
    assert await anchoring.anchored_events() == [head]


async def test_what_is_stuck_is_replaced_until_the_cap(anchoring: Anchoring, chain: Chain) -> None:
    chain.automine(on=False)
    anchoring.rules = replace(RULES, max_fee=4 * GWEI)
    await anchoring.revoke()
    head = await anchoring.publish()
    steps = [(await anchoring.turn(timedelta(minutes=2))).step for _ in range(12)]
    assert steps[:2] == [Step.SENT, Step.REPLACED]
    assert steps[-1] is Step.EXPENSIVE
    (record,) = (await anchoring.anchorer.progress()).unsettled
    paid = [(one.fees.max_fee, one.fees.tip) for one in record.transactions]
    assert all(
        max_fee * 10 >= before * 11 and tip * 10 >= tip_before * 11
        for (before, tip_before), (max_fee, tip) in pairwise(paid)
    )
    assert all(max_fee <= 4 * GWEI for max_fee, _ in paid)
    chain.mine()
    assert await anchoring.anchored_events() == [head]


async def test_before_patience_ends_the_same_bytes_are_sent_again(
    anchoring: Anchoring, chain: Chain
) -> None:
    chain.automine(on=False)
    await anchoring.revoke()
    await anchoring.publish()
    await anchoring.turn()
    assert (await anchoring.turn(timedelta(seconds=5))).step is Step.WAITING
    (record,) = (await anchoring.anchorer.progress()).unsettled
    assert len(record.transactions) == 1
