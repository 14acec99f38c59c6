# SPDX-License-Identifier: Apache-2.0
"""`verify` by the chain: what nodes say that keep little state, lag, lie, are on forks, or say nothing."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from typing import Any

import pytest

from attestca_client import registry
from attestca_client.checks import Name, Outcome, Verdict
from attestca_client.rpc import Node
from attestca_client.sources import Url
from attestca_client.verify import Trust
from tests.relying_lab import (
    DEPLOYMENT,
    SECONDS,
    FakeChain,
    World,
    make_world,
    measurement,
    node,
    outcomes,
)

FAILED, UNDECIDED = Outcome.FAILED, Outcome.UNDECIDED


@pytest.fixture
def world() -> World:
    return make_world()


def test_a_chain_that_stands_still(world: World) -> None:
    leaf = world.issue()
    with node(FakeChain(world, block_time=SECONDS - 3601)) as one:
        assert outcomes(world.check(leaf, nodes=[one])) == {Name.REGISTRY_BLOCK: UNDECIDED}


def test_an_authority_that_anchors_no_more(world: World) -> None:
    leaf = world.issue()
    world.time = SECONDS - 3601
    with node(FakeChain(world, block_time=SECONDS)) as one:
        assert outcomes(world.check(leaf, nodes=[one])) == {Name.REGISTRY_HEAD: UNDECIDED}


def test_a_successor_is_not_followed_but_told_of(world: World) -> None:
    leaf = world.issue()
    world.time = SECONDS - 3601
    bundle = world.bundle(successor=replace(DEPLOYMENT, chain_id=56))
    with node(FakeChain(world, block_time=SECONDS)) as one:
        result = world.check(leaf, nodes=[one], trust=Trust.of(bundle))
    assert outcomes(result) == {Name.REGISTRY_HEAD: UNDECIDED}
    assert result.reasons[0].seen.endswith("it may have moved: get its newer bundle")


def test_a_head_that_was_never_anchored() -> None:
    world = make_world()
    leaf = world.issue()
    world.time = 0
    with node(FakeChain(world, block_time=SECONDS)) as one:
        assert outcomes(world.check(leaf, nodes=[one])) == {Name.REGISTRY_HEAD: UNDECIDED}


def test_no_contract_is_trusted(world: World) -> None:
    chain = FakeChain(world)
    with node(chain) as one:
        result = world.check(world.issue(), nodes=[one], trust=replace(world.trust, chain=None))
    assert outcomes(result) == {Name.REGISTRY: UNDECIDED}
    assert not chain.asked


def test_another_chain(world: World) -> None:
    with node(FakeChain(world, chain_id=1)) as one:
        result = world.check(world.issue(), nodes=[one])
    assert outcomes(result) == {Name.REGISTRY: UNDECIDED}
    assert result.reasons[0].seen.endswith("follows chain 1, not 5611")


def test_finality_that_stands_still_under_a_tip_that_goes_on(world: World) -> None:
    leaf = world.issue()
    with node(FakeChain(world, final_time=SECONDS - 3601)) as one:
        assert outcomes(world.check(leaf, nodes=[one])) == {Name.REGISTRY_BLOCK: UNDECIDED}
    with node(FakeChain(world, final_time=SECONDS - 3600)) as one:
        assert world.check(leaf, nodes=[one]).accepted


def test_two_nodes_at_different_heights_agree(world: World) -> None:
    """Neither has the state of a final block."""
    leaf = world.issue()
    with node(FakeChain(world)) as one, node(FakeChain(world, finalized=90, latest=300)) as two:
        for nodes in ([one, two], [two, one]):
            result = world.check(leaf, nodes=nodes)
            assert result.accepted, result.reasons
            seen = {check.name: check.seen for check in result.checks}
            assert seen[Name.REGISTRY] == "block 292, of 2 nodes, which agree"


def test_a_node_that_lags_behind_the_state_that_another_keeps(world: World) -> None:
    with node(FakeChain(world)) as one, node(FakeChain(world, latest=270)) as two:
        result = world.check(world.issue(), nodes=[one, two])
    assert outcomes(result) == {Name.REGISTRY: UNDECIDED}
    assert result.reasons[0].seen == f"{one.name}: eth_call: error -32000"


def test_the_state_is_never_older_than_the_final_block(world: World) -> None:
    leaf = world.issue()
    with node(FakeChain(world, finalized=398)) as one:
        result = world.check(leaf, nodes=[one])
    assert result.accepted
    assert any(check.seen == "block 398, of one node" for check in result.checks)


def test_a_head_that_only_the_tip_has(world: World) -> None:
    """It counts a few blocks later: the tip is where nodes disagree without a lie."""
    leaf, old = world.issue(), replace(world, time=SECONDS - 3601)
    chain = FakeChain(world)
    with node(chain) as one:
        chain.before(393, old)
        assert outcomes(world.check(leaf, nodes=[one])) == {Name.REGISTRY_HEAD: UNDECIDED}
        chain.before(392, old)
        assert world.check(leaf, nodes=[one]).accepted


@pytest.mark.parametrize(
    ("fork", "block"),
    [({"block_hash": "bb"}, 100), ({"forked_at": 101}, 392), ({"final_time": SECONDS - 1}, 100)],
    ids=["all", "not final", "time"],
)
def test_two_nodes_disagree_about_a_block(world: World, fork: dict[str, Any], block: int) -> None:
    with node(FakeChain(world)) as one, node(FakeChain(world, **fork)) as two:
        for nodes in ([one, two], [two, one]):
            result = world.check(world.issue(), nodes=nodes)
            assert outcomes(result) == {Name.REGISTRY: UNDECIDED}
            assert result.reasons[0].seen == f"the nodes disagree about block {block}"


def test_two_nodes_on_two_forks_of_the_tip_alone(world: World) -> None:
    with node(FakeChain(world)) as one, node(FakeChain(world, forked_at=393)) as two:
        assert world.check(world.issue(), nodes=[one, two]).accepted


def test_two_nodes_disagree_about_the_head(world: World) -> None:
    leaf, other = world.issue(), make_world()
    other.entries = [b"another log"]
    with node(FakeChain(world)) as one, node(FakeChain(other)) as two:
        result = world.check(leaf, nodes=[one, two])
    assert outcomes(result) == {Name.REGISTRY: UNDECIDED}


@pytest.mark.parametrize("first", [True, False])
def test_a_node_that_hides_a_revocation(world: World, first: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    leaf, liar = world.issue(), replace(world, revocations={})
    world.revoke(measurement(leaf))
    with node(FakeChain(world)) as one, node(FakeChain(liar)) as two:
        result = world.check(leaf, nodes=[one, two] if first else [two, one])
    assert outcomes(result) == {Name.REGISTRY: UNDECIDED, Name.REGISTRY_REVOKED: FAILED}
    assert result.verdict is Verdict.REFUSED


@pytest.mark.parametrize("height", [101, 250, 393])
def test_a_node_that_lies_about_how_far_it_is(world: World, height: int) -> None:
    """It can have them agree on a block before the revocation, and hides nothing with that."""
    leaf, before = world.issue(), replace(world, revocations={})
    world.revoke(measurement(leaf))
    honest = FakeChain(world, keeps=400)
    honest.before(394, before)
    with node(honest) as one, node(FakeChain(before, latest=height, keeps=400)) as two:
        for nodes in ([one, two], [two, one]):
            result = world.check(leaf, nodes=nodes)
            assert result.verdict is Verdict.REFUSED
            assert outcomes(result)[Name.REGISTRY_REVOKED] is FAILED


@pytest.mark.parametrize("finalized", [0, 99, 399, 1 << 31])
def test_a_node_that_lies_about_what_is_final(world: World, finalized: int) -> None:
    """It makes the view no younger than the other node has it."""
    leaf = world.issue()
    honest = FakeChain(world, block_time=SECONDS - 3601)
    liar = FakeChain(world, finalized=finalized, block_time=SECONDS - 3601, final_time=SECONDS)
    with node(honest) as one, node(liar) as two:
        result = world.check(leaf, nodes=[one, two])
    assert result.verdict is Verdict.UNDECIDED


def test_one_of_two_nodes_is_gone(world: World) -> None:
    leaf = world.issue()
    with node(FakeChain(world)) as gone:
        pass
    with node(FakeChain(world)) as one:
        result = world.check(leaf, nodes=[one, gone])
        assert outcomes(result) == {Name.REGISTRY: UNDECIDED}
        assert gone.name in result.reasons[0].seen
        world.revoke(measurement(leaf))
        result = world.check(leaf, nodes=[gone, one])
        assert outcomes(result) == {Name.REGISTRY: UNDECIDED, Name.REGISTRY_REVOKED: FAILED}


def test_what_another_chain_has_as_revoked_is_nothing_to_us(world: World) -> None:
    leaf, other = world.issue(), replace(world, revocations={})
    other.revoke(measurement(leaf))
    with node(FakeChain(world)) as one, node(FakeChain(other, chain_id=1)) as two:
        result = world.check(leaf, nodes=[one, two])
    assert outcomes(result) == {Name.REGISTRY: UNDECIDED}


def test_a_revocation_in_the_newest_block_counts(world: World) -> None:
    leaf, before = world.issue(), replace(world, revocations={})
    world.revoke(measurement(leaf))
    chain = FakeChain(world)
    chain.before(chain.latest, before)
    with node(chain) as one:
        assert outcomes(world.check(leaf, nodes=[one])) == {Name.REGISTRY_REVOKED: FAILED}


def test_nodes_are_asked_at_the_same_time(world: World) -> None:
    """Each answers when the others have been asked too."""
    together = threading.Barrier(3)
    chains = [FakeChain(world) for _ in range(3)]
    for chain in chains:

        def waiting(parameters: list[Any], chain: FakeChain = chain) -> dict[str, Any]:
            together.wait(10)
            return chain.eth_chainId(parameters)

        chain.answers["eth_chainId"] = waiting
    with node(chains[0]) as one, node(chains[1]) as two, node(chains[2]) as three:
        assert world.check(world.issue(), nodes=[one, two, three]).accepted


def test_all_nodes_together_have_one_deadline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        one = Node(Url.parse(f"http://127.0.0.1:{silent.getsockname()[1]}/"))
        result = world.check(world.issue(), nodes=[one] * 3)
    assert outcomes(result) == {Name.REGISTRY: UNDECIDED}
    assert result.reasons[0].seen == "; ".join([f"{one.name}: no answer in time"] * 3)


def test_a_resolver_that_never_answers_keeps_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gave_up = threading.Event()

    def resolve(*_: object) -> list[object]:
        gave_up.wait()
        return []

    monkeypatch.setattr(registry, "SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    before = set(threading.enumerate())
    try:
        result = world.check(world.issue(), nodes=[Node(Url.parse("https://node.example.org/"))])
        left = set(threading.enumerate()) - before
        assert [thread.daemon for thread in left] == [True]  # it does not keep the program either
    finally:
        gave_up.set()
    assert result.reasons[0].seen == "https://node.example.org:443: no answer in time"
    for thread in left:
        thread.join(10)


@pytest.mark.parametrize("method", ["eth_chainId", "eth_getBlockByNumber", "eth_call"])
def test_a_node_that_answers_one_question_with_an_error(world: World, method: str) -> None:
    chain = FakeChain(world)
    chain.answers[method] = lambda _: {"error": {"code": -32601, "message": "no"}}
    with node(chain) as one, node(FakeChain(world)) as two:
        result = world.check(world.issue(), nodes=[two, one])
    assert outcomes(result) == {Name.REGISTRY: UNDECIDED}
    assert result.reasons[0].seen == f"{one.name}: {method}: error -32601"


def test_a_namespace_that_is_not_registered(world: World) -> None:
    data = "0x8cc00d16" + DEPLOYMENT.namespace.hex()
    chain = FakeChain(world)
    chain.answers["eth_call"] = lambda _: {"error": {"code": 3, "message": "x", "data": data}}
    with node(chain) as one:
        result = world.check(world.issue(), nodes=[one])
    assert outcomes(result) == {Name.REGISTRY: UNDECIDED}
    assert result.reasons[0].seen.endswith("the contract does not know the authority")
