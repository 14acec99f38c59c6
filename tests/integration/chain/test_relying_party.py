# SPDX-License-Identifier: Apache-2.0
"""`attestca_client.verify` through a real chain: the contract of the artefact on anvil, asked by JSON-RPC."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from attestca_client.checks import Name, Outcome, SourceError
from attestca_client.protocol import leaf_hash
from attestca_client.protocol.trust import Deployment
from attestca_client.registry import encode_status
from attestca_client.rpc import Node
from attestca_client.sources import Url
from ca.ledger.rpc import connected
from ca.ledger.transactions import encode
from ca.ledger_ports import Anchor, Fees
from tests import chain_lab
from tests.authority_lab import NOW
from tests.chain_lab import CHAIN_ID, GWEI, Deployed
from tests.relying_lab import SECONDS, World, consistency, make_world, measurement, outcomes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from attestca_client.checks import Result
    from attestca_client.verify import Trust
    from tests.relying_lab import Leaf

AT = NOW + timedelta(minutes=4)  # the chain's clock began at NOW and goes on
FAILED, UNDECIDED = Outcome.FAILED, Outcome.UNDECIDED


@dataclass
class Anchored:
    """An authority whose log is anchored on a chain."""

    place: Deployed
    world: World = field(default_factory=make_world)
    size: int = 0

    @property
    def trust(self) -> Trust:
        registry = self.place.registry
        there = Deployment(CHAIN_ID, registry.address, registry.namespace, registry.admin)
        return replace(self.world.trust, chain=there)

    async def anchor(self, *tombstones: bytes) -> None:
        """The log as it is, and blocks until that is final."""
        leaves = list(map(leaf_hash, self.world.entries))
        proof = consistency(self.size, leaves) if self.size else []
        self.world.time += 60
        async with connected([self.place.chain.url], CHAIN_ID) as nodes:
            ledger = self.place.ledger(nodes)
            anchor = Anchor(self.world.head, tuple(proof), tombstones)
            fees = Fees(100 * GWEI, GWEI)
            sent = await ledger.sign(anchor, await ledger.standing(), fees)
            await ledger.send(sent.raw)
        self.place.chain.mine(12)
        self.size = len(leaves)

    async def ask(
        self, leaf: Leaf, *, trust: Trust | None = None, staple: bool = False, at: datetime = AT
    ) -> Result:
        urls: Sequence[str] = [self.place.chain.url] * 2
        return await asyncio.to_thread(
            self.world.check,
            leaf,
            nodes=[Node(Url.parse(url)) for url in urls],
            staple=self.world.staple(leaf) if staple else None,
            trust=trust or self.trust,
            at=at,
        )


@pytest.fixture
async def anchored(anvil: Path) -> AsyncIterator[Anchored]:
    with chain_lab.anvil(anvil, "--timestamp", str(SECONDS)) as running:
        async with chain_lab.deployed(running) as there:
            yield Anchored(there)


async def test_a_measurement_is_revoked(anchored: Anchored) -> None:
    world = anchored.world
    bad, good = [world.issue(), world.issue()], world.issue(registers=())
    await anchored.anchor()
    for leaf in (*bad, good):
        for staple in (False, True):
            result = await anchored.ask(leaf, staple=staple)
            assert result.accepted, result.reasons
    revoked = measurement(bad[0])
    world.revoke(revoked)
    await anchored.anchor(revoked)
    for leaf in bad:
        result = await anchored.ask(leaf)
        assert outcomes(result) == {Name.REGISTRY_REVOKED: FAILED}
        assert revoked.hex() in result.reasons[0].seen
        both = await anchored.ask(leaf, staple=True)
        assert outcomes(both) == {Name.REGISTRY_REVOKED: FAILED, Name.STAPLE_REVOKED: FAILED}
    result = await anchored.ask(good, staple=True)
    assert result.accepted, result.reasons


async def test_a_chain_and_an_authority_that_stand_still(anchored: Anchored) -> None:
    leaf = anchored.world.issue()
    await anchored.anchor()
    late = await anchored.ask(leaf, at=AT + timedelta(hours=2))
    assert outcomes(late) == {Name.REGISTRY_BLOCK: UNDECIDED, Name.REGISTRY_HEAD: UNDECIDED}
    anchored.place.chain.call("evm_increaseTime", 7200)
    anchored.place.chain.mine(12)
    late = await anchored.ask(leaf, at=AT + timedelta(hours=2))
    assert outcomes(late) == {Name.REGISTRY_HEAD: UNDECIDED}


async def test_nothing_was_anchored_yet(anchored: Anchored) -> None:
    leaf = anchored.world.issue()
    anchored.place.chain.mine(12)
    assert outcomes(await anchored.ask(leaf)) == {Name.REGISTRY_HEAD: UNDECIDED}


async def test_somebody_else_s_namespace_and_contract(anchored: Anchored) -> None:
    leaf = anchored.world.issue()
    await anchored.anchor()
    there = anchored.trust.chain
    assert there is not None
    for changed, words in (
        (replace(there, namespace=bytes(32)), "does not know the authority"),
        (replace(there, contract=b"\1" * 20), "another length"),
        (replace(there, chain_id=56), "follows chain 31337, not 56"),
    ):
        result = await anchored.ask(leaf, trust=replace(anchored.trust, chain=changed))
        assert outcomes(result) == {Name.REGISTRY: UNDECIDED}
        assert words in result.reasons[0].seen


async def test_the_guardian_s_revocation_counts_though_no_log_has_it(anchored: Anchored) -> None:
    world, chain = anchored.world, anchored.place.chain
    leaf = world.issue()
    await anchored.anchor()
    guardian = f"0x{chain_lab.GUARDIAN.hex()}"
    chain.call("anvil_setBalance", guardian, hex(10**20))
    chain.call("anvil_impersonateAccount", guardian)
    registry = anchored.place.registry
    data = encode("guardianRevoke", registry.namespace, [measurement(leaf)], b"")
    to = f"0x{registry.address.hex()}"
    chain.call("eth_sendTransaction", {"from": guardian, "to": to, "data": f"0x{data.hex()}"})
    result = await anchored.ask(leaf, staple=True)  # in the newest block, not final yet
    assert outcomes(result) == {Name.REGISTRY_REVOKED: FAILED}


async def test_a_node_that_has_forgotten_the_state_of_the_final_block(anvil: Path) -> None:
    """As ordinary nodes of a chain whose final block is hundreds of blocks behind."""
    options = ("--timestamp", str(SECONDS), "--prune-history", "128")
    with chain_lab.anvil(anvil, *options, slots=100) as running:
        async with chain_lab.deployed(running) as there:
            anchored = Anchored(there)
            world, leaf = anchored.world, anchored.world.issue()
            await anchored.anchor()
            running.mine(200)
            world.issue()
            await anchored.anchor()
            node = Node(Url.parse(running.url))
            registry = there.registry
            call = encode_status(registry.namespace, leaf.handles)
            final, newest = node.block("finalized"), node.block("latest")
            assert newest.number - final.number == 200
            with pytest.raises(SourceError):
                node.call(registry.address, call, final.number)
            result = await anchored.ask(leaf, staple=True)
            assert result.accepted, result.reasons
            seen = {check.name: check.seen for check in result.checks}
            assert seen[Name.REGISTRY] == f"block {newest.number - 8}, of 2 nodes, which agree"
            late = await anchored.ask(leaf, at=AT + timedelta(hours=1))
            assert outcomes(late)[Name.REGISTRY_BLOCK] is UNDECIDED
            world.revoke(measurement(leaf))
            await anchored.anchor(measurement(leaf))
            result = await anchored.ask(leaf)
            assert outcomes(result) == {Name.REGISTRY_REVOKED: FAILED}
