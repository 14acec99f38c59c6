# SPDX-License-Identifier: Apache-2.0
"""A log is anchored on a real chain: heads, proofs, tombstones, heartbeats, and what the day's cap leaves."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ca.anchoring import Step
from ca.ledger_ports import State

if TYPE_CHECKING:
    from tests.chain_lab import Anchoring, Chain, Deployed


async def test_an_anchor_becomes_final(anchoring: Anchoring, chain: Chain) -> None:
    await anchoring.revoke(2)
    head = await anchoring.publish()
    turn = await anchoring.turn()
    assert (turn.step, turn.final, turn.pending) == (Step.SENT, None, 0)
    assert await anchoring.on_chain() == head
    assert await anchoring.tombstones() == [True, True]
    assert (await anchoring.turn()).step is Step.IDLE
    (mined,) = (await anchoring.anchorer.progress()).unsettled
    assert mined.state is State.MINED
    chain.mine(8)
    turn = await anchoring.turn()
    assert (turn.step, turn.final) == (Step.IDLE, head)
    assert (await anchoring.anchorer.progress()).unsettled == ()


async def test_heads_follow_each_other_with_proofs(anchoring: Anchoring) -> None:
    heads = []
    for count in (1, 2, 1, 3):
        await anchoring.revoke(count)
        heads.append(await anchoring.publish())
        assert (await anchoring.turn()).step is Step.SENT
    assert await anchoring.anchored_events() == heads
    assert [head.size for head in heads] == [1, 3, 4, 7]


async def test_the_heartbeat_comes_when_nothing_happens(anchoring: Anchoring) -> None:
    await anchoring.revoke()
    first = await anchoring.publish()
    await anchoring.turn()
    await anchoring.publish(timedelta(minutes=2))
    assert (await anchoring.turn()).step is Step.IDLE
    second = await anchoring.publish(timedelta(minutes=8))
    assert (await anchoring.turn()).step is Step.SENT
    assert (second.size, second.root) == (first.size, first.root)
    assert await anchoring.on_chain() == second


async def test_what_is_more_than_a_batch_follows(anchoring: Anchoring) -> None:
    await anchoring.revoke(5)
    await anchoring.publish()
    turn = await anchoring.turn()
    assert turn.pending == 2
    assert await anchoring.tombstones() == [True] * 3 + [False] * 2
    await anchoring.publish()
    assert (await anchoring.turn()).pending == 0
    assert await anchoring.tombstones() == [True] * 5


async def test_above_the_cap_the_rest_waits_for_the_next_day(
    anchoring: Anchoring, chain: Chain
) -> None:
    await anchoring.revoke(7)
    for pending in (4, 2):
        await anchoring.publish()
        assert (await anchoring.turn()).pending == pending
    head = await anchoring.publish()
    turn = await anchoring.turn()
    assert (turn.step, turn.pending) == (Step.IDLE, 2)
    assert await anchoring.tombstones() == [True] * 5 + [False] * 2
    assert head.revocation_count == 7  # what the chain already says, tombstones or not
    chain.call("evm_increaseTime", 86_400)
    chain.mine()
    await anchoring.publish()
    assert (await anchoring.turn()).pending == 0
    assert await anchoring.tombstones() == [True] * 7


async def test_above_the_cap_the_admin_may_allow_more(
    anchoring: Anchoring, place: Deployed
) -> None:
    await anchoring.revoke(7)
    for _ in range(2):
        await anchoring.publish()
        await anchoring.turn()
    await place.allow(2)
    await anchoring.publish()
    assert (await anchoring.turn()).pending == 0
    assert await anchoring.tombstones() == [True] * 7


async def test_a_head_of_this_second_is_not_anchored_yet(anchoring: Anchoring) -> None:
    """Another may follow in the same second; the chain would not take it behind this one."""
    await anchoring.revoke()
    await anchoring.publish()
    assert (await anchoring.turn(timedelta())).step is Step.IDLE
    await anchoring.revoke()
    head = await anchoring.publish(timedelta())
    assert (await anchoring.turn(timedelta(seconds=1))).step is Step.SENT
    assert await anchoring.anchored_events() == [head]
