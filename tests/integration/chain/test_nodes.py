# SPDX-License-Identifier: Apache-2.0
"""Nodes that fail, lie, hang or swell: the next one is asked, two must say the same, and nothing runs away."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ca.anchoring import Step
from ca.errors import Unavailable
from ca.ledger import rpc
from ca.ledger.rpc import NodesDisagree, connected
from ca.ledger_ports import State
from tests.chain_lab import CHAIN_ID
from tests.node_lab import honest, only, relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from attestca_client.protocol.checkpoint import Head
    from tests.chain_lab import Anchoring, Deployed
    from tests.node_lab import Answer, Relay

    Twist = Callable[[Answer, Answer], Answer | bytes | int | None]

HUGE = b'{"jsonrpc": "2.0", "id": 0, "result": "' + b"0" * (5 << 20) + b'"}'
FAULTS: dict[str, Twist] = {
    "errors": lambda asked, _: {
        "jsonrpc": "2.0",
        "id": asked["id"],
        "error": {"code": -32005, "message": "limit exceeded"},
    },
    "status": lambda *_: 503,
    "redirect": lambda *_: 307,
    "garbage": lambda *_: b"<html>",
    "deep": lambda *_: b"[" * 100_000,
    "empty": lambda *_: b"",
    "another-question": lambda _, answer: answer | {"id": 99_999},
    "no-object": lambda *_: b"[]",
    "text": lambda asked, _: {"jsonrpc": "2.0", "id": asked["id"], "result": "hello"},
    "nothing": lambda asked, _: {"jsonrpc": "2.0", "id": asked["id"], "result": None},
    "huge": lambda *_: HUGE,
    "hangs": lambda *_: None,
    "another-chain": only("eth_chainId", lambda _: "0x38"),
}


@asynccontextmanager
async def behind(
    anchoring: Anchoring, place: Deployed, *twists: Twist
) -> AsyncIterator[tuple[Anchoring, list[Relay]]]:
    """The same authority, whose nodes are these."""
    async with AsyncExitStack() as stack:
        relays = [await stack.enter_async_context(relay(place.chain.url)) for _ in twists]
        for node, twist in zip(relays, twists, strict=True):
            node.twist = twist
        urls = [node.url for node in relays]
        nodes = await stack.enter_async_context(connected(urls, CHAIN_ID))
        yield replace(anchoring, ledger=place.ledger(nodes)), relays


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "TIMEOUT", 1.5)


@pytest.mark.parametrize("fault", FAULTS)
async def test_two_honest_nodes_do_without_the_third(
    anchoring: Anchoring, place: Deployed, fault: str
) -> None:
    await anchoring.revoke()
    head = await anchoring.publish()
    async with behind(anchoring, place, FAULTS[fault], honest, honest) as (ours, _):
        assert (await ours.turn()).step is Step.SENT
        place.chain.mine(8)
        assert (await ours.turn()).final == head
    assert await anchoring.anchored_events() == [head]


@pytest.mark.parametrize("fault", FAULTS)
async def test_one_honest_node_of_two_is_not_enough(
    anchoring: Anchoring, place: Deployed, fault: str
) -> None:
    await anchoring.revoke()
    await anchoring.publish()
    async with behind(anchoring, place, FAULTS[fault], honest) as (ours, _):
        with pytest.raises(Unavailable, match="nodes"):
            await ours.turn()
    assert (await anchoring.anchorer.progress()).number == 0


def refuses(asked: Answer, answer: Answer) -> Answer:
    """As a contract does that wants none of it."""
    if asked["method"] != "eth_call":
        return answer
    error = {"code": 3, "message": "execution reverted", "data": "0x8cc00d16" + "00" * 32}
    return {"jsonrpc": "2.0", "id": asked["id"], "error": error}


LIES: dict[str, Twist] = {
    "refusal": refuses,
    "head": only("eth_call", lambda found: found[:65] + "f" + found[66:]),
    "hash": only("eth_getBlockByNumber", lambda found: found | {"hash": "0x" + "ab" * 32}),
    "nonce": only("eth_getTransactionCount", lambda _: "0x7f"),
}


async def begun(anchoring: Anchoring) -> Head:
    """One head is anchored, another waits."""
    await anchoring.revoke()
    head = await anchoring.publish()
    await anchoring.turn()
    await anchoring.revoke()
    await anchoring.publish()
    return head


@pytest.mark.parametrize("lie", LIES)
async def test_two_that_do_not_say_the_same_are_not_believed(
    anchoring: Anchoring, place: Deployed, lie: str
) -> None:
    first = await begun(anchoring)
    async with behind(anchoring, place, LIES[lie], honest) as (ours, _):
        with pytest.raises(NodesDisagree):
            await ours.turn()
    assert await anchoring.anchored_events() == [first]


@pytest.mark.parametrize("lie", LIES)
async def test_a_liar_is_outvoted(anchoring: Anchoring, place: Deployed, lie: str) -> None:
    first = await begun(anchoring)
    async with behind(anchoring, place, LIES[lie], honest, honest) as (ours, _):
        assert (await ours.turn()).step is Step.SENT
    assert await anchoring.anchored_events() == [first, await anchoring.newest()]


async def test_a_receipt_that_one_node_invents_makes_nothing_final(
    anchoring: Anchoring, place: Deployed
) -> None:
    await anchoring.revoke()
    await anchoring.publish()
    await anchoring.turn()
    (record,) = (await anchoring.anchorer.progress()).unsettled
    name = "0x" + record.transactions[0].hash.hex()
    receipt = place.chain.call("eth_getTransactionReceipt", name)
    place.chain.reorganise(1)
    place.chain.automine(on=False)
    place.chain.mine(8)

    def invents(asked: Answer, answer: Answer) -> Answer:
        wanted = asked["method"] == "eth_getTransactionReceipt"
        return answer | {"result": receipt} if wanted else answer

    async with behind(anchoring, place, invents, honest) as (ours, _):
        turn = await ours.turn()
    assert (turn.step, turn.final) == (Step.WAITING, None)


async def test_a_receipt_that_one_node_denies_makes_no_second_anchor(
    anchoring: Anchoring, place: Deployed
) -> None:
    await anchoring.revoke()
    head = await anchoring.publish()
    await anchoring.turn()
    place.chain.mine(8)
    denies = only("eth_getTransactionReceipt", lambda _: None)
    async with behind(anchoring, place, denies, honest) as (ours, _):
        for _ in range(2):
            with pytest.raises(NodesDisagree):
                await ours.turn()
            await ours.publish()
            place.chain.mine(8)
    (record,) = (await anchoring.anchorer.progress()).unsettled
    assert record.state is State.OPEN
    assert (await anchoring.turn()).final == head
    assert await anchoring.anchored_events() == [head]


async def test_gas_that_one_node_makes_little_of_is_enough(
    anchoring: Anchoring, place: Deployed
) -> None:
    await anchoring.revoke(3)
    head = await anchoring.publish()
    little = only("eth_estimateGas", lambda _: hex(30_000))
    async with behind(anchoring, place, little, honest) as (ours, _):
        assert (await ours.turn()).step is Step.SENT
    assert await anchoring.anchored_events() == [head]


async def test_heights_that_one_node_invents_make_nothing_final(
    anchoring: Anchoring, place: Deployed
) -> None:
    await anchoring.revoke()
    await anchoring.publish()
    await anchoring.turn()

    def ahead(asked: Answer, answer: Answer) -> Answer:
        if asked["method"] == "eth_getBlockByNumber" and asked["params"][0] == "finalized":
            return answer | {"result": answer["result"] | {"number": hex(10**6)}}
        return answer

    async with behind(anchoring, place, ahead, honest) as (ours, _):
        assert (await ours.turn()).final is None


async def test_a_node_that_failed_is_asked_last_for_a_while(
    anchoring: Anchoring, place: Deployed
) -> None:
    await anchoring.revoke()
    await anchoring.publish()
    async with behind(anchoring, place, FAULTS["status"], honest, honest) as (ours, relays):
        await ours.turn()
        broken = relays[0]
        broken.asked.clear()
        await ours.ledger.block_hash(1)
        assert broken.asked == []


async def test_a_node_that_has_forgotten_what_it_said_is_not_followed(
    anchoring: Anchoring, place: Deployed
) -> None:
    await anchoring.revoke()
    await anchoring.publish()
    await anchoring.turn()
    await anchoring.turn()
    old = place.chain.call("eth_getBlockByNumber", *("0x2", False))

    def behind_itself(asked: Answer, answer: Answer) -> Answer:
        is_newest = asked["params"][:1] == ["latest"] and asked["method"] == "eth_getBlockByNumber"
        return answer | {"result": old} if is_newest else answer

    async with behind(anchoring, place, behind_itself) as (ours, _):
        with pytest.raises(Unavailable, match="lag behind"):
            await ours.turn()


async def test_blocks_of_bnb_smart_chain_are_read(anchoring: Anchoring, place: Deployed) -> None:
    """Their extraData is longer than Ethereum allows: the validators sign in it."""
    await anchoring.revoke()
    await anchoring.publish()
    signed = only("eth_getBlockByNumber", lambda found: found | {"extraData": "0x" + "00" * 200})
    async with behind(anchoring, place, signed) as (ours, _):
        assert (await ours.turn()).step is Step.SENT


async def test_a_transaction_that_no_node_takes(anchoring: Anchoring, place: Deployed) -> None:
    """It is on record, and is sent again as soon as one does."""
    await anchoring.revoke()
    head = await anchoring.publish()

    def full(asked: Answer, answer: Answer) -> Answer:
        if asked["method"] == "eth_sendRawTransaction":
            return {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -1, "message": "full"}}
        return answer

    async with behind(anchoring, place, full) as (ours, relays):
        relays[0].deaf = "eth_sendRawTransaction"
        with pytest.raises(Unavailable, match="no node takes the transaction"):
            await ours.turn()
    assert await anchoring.anchored_events() == []
    assert (await anchoring.turn()).step is Step.WAITING
    assert await anchoring.anchored_events() == [head]


async def test_no_url_of_a_node_is_in_an_error(anchoring: Anchoring, place: Deployed) -> None:
    async with relay(place.chain.url) as node:
        node.twist = FAULTS["garbage"]
        async with connected([f"{node.url}key-of-mine"], CHAIN_ID) as nodes:
            ours = replace(anchoring, ledger=place.ledger(nodes))
            with pytest.raises(Unavailable) as caught:
                await ours.turn()
    assert "key-of-mine" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


async def test_a_chain_that_is_not_there(anchoring: Anchoring, place: Deployed) -> None:
    await anchoring.publish()
    place.chain.process.kill()
    place.chain.process.wait()
    with pytest.raises(Unavailable):
        await anchoring.turn()


async def test_a_hanging_node_does_not_stop_the_loop(anchoring: Anchoring, place: Deployed) -> None:
    """While a node says nothing, everything else in the process goes on."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.02)

    async with behind(anchoring, place, FAULTS["hangs"]) as (ours, _):
        beside = asyncio.create_task(tick())
        with pytest.raises(Unavailable):
            await ours.turn()
        beside.cancel()
    assert ticks > 5
