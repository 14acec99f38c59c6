# SPDX-License-Identifier: Apache-2.0
"""What a chain may do to a transaction: forget it, take it out of its block, never take it. One anchor survives."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ca.anchoring import Step
from ca.errors import ChainHalted
from ca.ledger.rpc import connected
from ca.ledger_ports import State
from tests.chain_lab import CHAIN_ID
from tests.node_lab import relay

if TYPE_CHECKING:
    from tests.chain_lab import Anchoring, Chain, Deployed
    from tests.node_lab import Answer


async def test_what_a_reorganisation_took_is_anchored_again(
    anchoring: Anchoring, chain: Chain
) -> None:
    await anchoring.revoke(2)
    head = await anchoring.publish()
    await anchoring.turn()
    await anchoring.turn()  # sees it in its block
    chain.reorganise(1)
    assert (await anchoring.on_chain()).size == 0
    turn = await anchoring.turn()
    assert (turn.gone, turn.step) == (1, Step.WAITING)
    chain.mine(8)
    assert (await anchoring.turn()).final == head
    assert await anchoring.anchored_events() == [head]
    assert await anchoring.tombstones() == [True, True]


async def test_two_that_went_come_back_in_their_order(anchoring: Anchoring, chain: Chain) -> None:
    heads = []
    for _ in range(2):
        await anchoring.revoke()
        heads.append(await anchoring.publish())
        await anchoring.turn()
    await anchoring.turn()
    chain.reorganise(2)
    turn = await anchoring.turn()
    assert turn.gone == 2
    await anchoring.turn()
    chain.mine(8)
    assert (await anchoring.turn()).final == heads[1]
    assert await anchoring.anchored_events() == heads


async def test_it_is_in_another_block_after_a_reorganisation(
    anchoring: Anchoring, chain: Chain
) -> None:
    await anchoring.revoke()
    head = await anchoring.publish()
    await anchoring.turn()
    await anchoring.turn()
    (before,) = (await anchoring.anchorer.progress()).unsettled
    raw = "0x" + before.transactions[0].raw.hex()
    chain.call("anvil_reorg", 2, [[raw, 1]])
    turn = await anchoring.turn()
    (after,) = (await anchoring.anchorer.progress()).unsettled
    assert (turn.gone, turn.step, after.state) == (1, Step.IDLE, State.MINED)
    assert before.block != after.block
    assert await anchoring.anchored_events() == [head]


async def test_a_rollback_is_a_reorganisation_to_a_lower_height(
    anchoring: Anchoring, chain: Chain
) -> None:
    await anchoring.revoke()
    head = await anchoring.publish()
    await anchoring.turn()
    await anchoring.turn()
    chain.call("anvil_rollback", 1)
    turn = await anchoring.turn()
    assert (turn.gone, turn.step) == (1, Step.WAITING)
    assert await anchoring.anchored_events() == [head]


async def test_a_dropped_transaction_is_sent_again(anchoring: Anchoring, chain: Chain) -> None:
    chain.automine(on=False)
    await anchoring.revoke()
    head = await anchoring.publish()
    await anchoring.turn()
    (record,) = (await anchoring.anchorer.progress()).unsettled
    chain.call("anvil_dropTransaction", "0x" + record.transactions[0].hash.hex())
    chain.mine()
    assert await anchoring.anchored_events() == []
    assert (await anchoring.turn()).step is Step.WAITING
    chain.mine()
    assert await anchoring.anchored_events() == [head]


async def test_a_log_that_is_marked_removed_is_of_no_block(
    anchoring: Anchoring, place: Deployed
) -> None:
    """anvil forgets the receipt of a block that is gone; other nodes still have it, and mark its logs."""
    await anchoring.revoke()
    head = await anchoring.publish()
    await anchoring.turn()
    await anchoring.turn()
    (record,) = (await anchoring.anchorer.progress()).unsettled
    name = "0x" + record.transactions[0].hash.hex()
    receipt = place.chain.call("eth_getTransactionReceipt", name)
    removed = receipt | {"logs": [log | {"removed": True} for log in receipt["logs"]]}
    place.chain.reorganise(1)

    def remembers(request: Answer, answer: Answer) -> Answer:
        is_forgotten = request["method"] == "eth_getTransactionReceipt" and not answer["result"]
        return answer | {"result": removed} if is_forgotten else answer

    async with relay(place.chain.url) as node, connected([node.url], CHAIN_ID) as nodes:
        node.twist = remembers
        turn = await replace(anchoring, ledger=place.ledger(nodes)).turn()
    assert (turn.gone, turn.step) == (1, Step.WAITING)
    assert await anchoring.anchored_events() == [head]


async def test_an_anchor_that_would_not_do_any_more_gives_way(
    anchoring: Anchoring, chain: Chain
) -> None:
    """Its nonce was spent on something else: what it was to say is said by the next."""
    chain.automine(on=False)
    await anchoring.revoke()
    await anchoring.publish()
    await anchoring.turn()
    (record,) = (await anchoring.anchorer.progress()).unsettled
    chain.call("anvil_dropTransaction", "0x" + record.transactions[0].hash.hex())
    chain.call("anvil_setNonce", anchoring.ledger.payer.address, hex(record.nonce + 1))
    chain.automine(on=True)
    assert (await anchoring.turn()).step is Step.DROPPED
    assert (await anchoring.turn()).step is Step.SENT
    assert await anchoring.tombstones() == [True]
    assert [
        one.state for one in await anchoring.store.anchors.newest(anchoring.ledger.target, 9)
    ] == [
        State.OPEN,
        State.DROPPED,
    ]


async def test_a_chain_that_lost_what_was_final_is_not_written_to(
    anchoring: Anchoring, chain: Chain
) -> None:
    await anchoring.revoke()
    await anchoring.publish()
    snapshot = chain.call("evm_snapshot")
    await anchoring.turn()
    chain.mine(8)
    await anchoring.turn()
    chain.call("evm_revert", snapshot)
    await anchoring.publish(timedelta(hours=1))
    with pytest.raises(ChainHalted, match="which was final"):
        await anchoring.turn()
    assert await anchoring.anchored_events() == []
