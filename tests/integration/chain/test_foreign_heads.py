# SPDX-License-Identifier: Apache-2.0
"""A head on the chain that is not ours: somebody has the log key. Said, and nothing more is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from attestca_client.protocol import node_hash
from ca.anchoring import Step
from ca.errors import AnchorRefused, ChainHalted
from ca.ledger.accounts import account_of, address_of
from ca.ledger.rpc import connected
from ca.ledger_ports import Anchor, Fees
from tests.chain_lab import CHAIN_ID, GWEI, THIEF

if TYPE_CHECKING:
    from attestca_client.protocol.checkpoint import Head
    from tests.chain_lab import Anchoring, Deployed


ONE = b"1" * 32


async def steal(anchoring: Anchoring, head: Head, proof: tuple[bytes, ...] = ()) -> None:
    """Somebody who has the log key anchors this."""
    ledger = anchoring.ledger
    standing = await ledger.standing()
    fees = Fees(50 * GWEI, GWEI)
    transaction = await ledger.sign(Anchor(head, proof, ()), standing, fees)
    await ledger.send(transaction.raw)


async def test_a_forked_log_on_the_chain_halts(anchoring: Anchoring) -> None:
    await anchoring.revoke()
    head = await anchoring.publish()
    await steal(anchoring, replace(head, root=b"f" * 32, time=head.time - 30))
    await anchoring.publish()
    with pytest.raises(ChainHalted, match="not those of our log"):
        await anchoring.turn()
    assert (await anchoring.anchorer.progress()).number == 0


async def test_a_longer_log_on_the_chain_halts(anchoring: Anchoring) -> None:
    await anchoring.revoke()
    head = await anchoring.publish()
    await anchoring.turn()
    longer = replace(head, size=2, time=head.time + 1, root=node_hash(head.root, ONE))
    await steal(anchoring, longer, (ONE,))
    await anchoring.publish()
    with pytest.raises(ChainHalted, match="in other hands, or this database has lost"):
        await anchoring.turn()
    assert await anchoring.on_chain() == longer


async def test_a_head_of_our_log_that_was_not_recorded_here_halts(anchoring: Anchoring) -> None:
    """Its tree is ours, for anybody can read the log; what it says of lists or revocations may be false."""
    await anchoring.revoke()
    head = await anchoring.publish()
    await steal(anchoring, replace(head, crls_digest=b"l" * 32))
    await anchoring.publish(timedelta(hours=1))
    with pytest.raises(ChainHalted, match="was not anchored from here"):
        await anchoring.turn()


async def test_anybody_may_carry_our_anchor(anchoring: Anchoring, place: Deployed) -> None:
    """Somebody who saw it under way is faster: the head is there, once, and the next anchor follows."""
    place.chain.automine(on=False)
    await anchoring.revoke()
    head = await anchoring.publish()
    await anchoring.turn()
    (record,) = (await anchoring.anchorer.progress()).unsettled
    sent = place.chain.call("eth_getTransactionByHash", "0x" + record.transactions[0].hash.hex())
    place.chain.call("anvil_dropTransaction", sent["hash"])
    thief = place.account(THIEF)
    place.chain.call("anvil_impersonateAccount", thief)
    place.chain.call(
        "eth_sendTransaction",
        {"from": thief, "to": sent["to"], "data": sent["input"], "gas": hex(10**6)},
    )
    place.chain.mine()
    assert await anchoring.on_chain() == head
    assert (await anchoring.turn()).step is Step.DROPPED
    assert await anchoring.anchored_events() == [head]
    place.chain.automine(on=True)
    await anchoring.revoke()
    later = await anchoring.publish()
    await anchoring.turn()
    assert await anchoring.anchored_events() == [head, later]
    assert await anchoring.tombstones() == [True, True]


async def test_without_the_key_that_the_contract_wants_nothing_is_recorded(
    anchoring: Anchoring, place: Deployed
) -> None:
    await anchoring.revoke()
    await anchoring.publish()
    async with connected([place.chain.url], CHAIN_ID) as nodes:
        other = replace(anchoring, ledger=place.ledger(nodes, THIEF))
        with pytest.raises(AnchorRefused, match="which is not in the folder"):
            await other.turn()
    assert (await anchoring.anchorer.progress()).number == 0


async def test_another_log_key_while_an_anchor_is_under_way(
    anchoring: Anchoring, place: Deployed
) -> None:
    """What the old key signed is void. With the new key in the folder it is said again, tombstones and all."""
    place.chain.automine(on=False)
    await anchoring.revoke()
    await anchoring.publish()
    await anchoring.turn()
    (record,) = (await anchoring.anchorer.progress()).unsettled
    place.chain.call("anvil_dropTransaction", "0x" + record.transactions[0].hash.hex())
    new = b"n" * 32
    await place.decide("SetLogKey", {"logKey": address_of(account_of(new, "new"))})
    with pytest.raises(AnchorRefused, match="which is not in the folder"):
        await anchoring.turn(timedelta(minutes=2))
    assert (await anchoring.anchorer.progress()).unsettled == ()
    async with connected([place.chain.url], CHAIN_ID) as nodes:
        renewed = replace(anchoring, ledger=place.ledger(nodes, new))
        assert (await renewed.turn()).step is Step.SENT
        place.chain.mine()
    assert await anchoring.tombstones() == [True]
