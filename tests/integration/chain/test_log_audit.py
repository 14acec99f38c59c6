# SPDX-License-Identifier: Apache-2.0
"""`attestca log audit --rpc`: the log as it is served, held against the chain by somebody who has neither's keys."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ca.cli.exits import Exit
from ca.ledger import events
from ca.ledger.accounts import account_of
from ca.ledger.contract import checksum
from ca.ledger.desk import Desk
from ca.ledger.rpc import connected
from ca.ledger.transactions import Call, encode
from ca.ledger_ports import Anchor, Fees
from tests.chain_lab import CHAIN_ID, GUARDIAN_KEY, GWEI, Anchoring
from tests.cli_lab import Cli
from tests.log_lab import KEY
from tests.service_lab import open_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.chain_lab import Deployed
    from tests.service_lab import Service


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    async with open_service(sqlite_url) as running:
        yield running


@pytest.fixture
async def anchoring(place: Deployed, service: Service) -> AsyncIterator[Anchoring]:
    async with connected([place.chain.url], CHAIN_ID) as nodes:
        yield Anchoring(service.store, place.ledger(nodes))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


async def audited(
    cli: Cli, service: Service, place: Deployed, *more: str
) -> tuple[int, dict[str, Any], str]:
    registry = place.registry
    chain = f"{CHAIN_ID}:{checksum(registry.address)}:0x{registry.namespace.hex()}"
    words = ("log", "audit", service.public, "--key", KEY.verifier.text, "--json", *more)
    done = await asyncio.to_thread(cli, *words, "--rpc", place.chain.url, "--chain", chain)
    _, brace, rest = done.out.partition("{\n")  # lines of the service stand around it
    found: dict[str, Any] = json.loads(brace + rest[: rest.find("\n}\n") + 2]) if brace else {}
    return done.code, found, done.err


async def test_a_chain_that_says_the_same(
    anchoring: Anchoring,
    service: Service,
    place: Deployed,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "PIECE", 3)  # many pieces
    sizes = []
    for _ in range(3):
        await anchoring.revoke(2)
        sizes.append((await anchoring.publish()).size)
        await anchoring.turn()
    await anchoring.revoke()
    await anchoring.publish()
    place.chain.mine(8)
    code, found, _ = await audited(cli, service, place)
    assert (code, found["findings"]) == (Exit.OK, [])
    assert found["chain"]["heads"] == 3
    assert found["chain"]["anchored_size"] == sizes[-1] < found["size"]
    assert (found["chain"]["tombstones"], found["chain"]["missing"]) == (5, 1)  # the cap


async def test_a_head_on_the_chain_that_the_log_does_not_make(
    anchoring: Anchoring, service: Service, place: Deployed, cli: Cli
) -> None:
    await anchoring.revoke()
    head = await anchoring.publish()
    forged = replace(head, root=b"f" * 32)
    ledger = anchoring.ledger
    standing = await ledger.standing()
    sent = await ledger.sign(Anchor(forged, (), ()), standing, Fees(9 * GWEI, GWEI))
    await ledger.send(sent.raw)
    place.chain.mine(8)
    await anchoring.revoke()
    await anchoring.publish()
    code, _, said = await audited(cli, service, place)
    assert code == Exit.REFUSED
    assert f"the first {head.size} entries do not make the tree that a head names" in said


async def test_what_the_guardian_alone_revokes_is_told(
    anchoring: Anchoring, service: Service, place: Deployed, cli: Cli
) -> None:
    await anchoring.revoke()
    await anchoring.publish()
    await anchoring.turn()
    place.account(GUARDIAN_KEY)
    desk = Desk(anchoring.ledger.nodes, account_of(GUARDIAN_KEY, "guardian"), CHAIN_ID, 100 * GWEI)
    handles = [b"\xee" * 32]
    data = encode("guardianRevoke", place.registry.namespace, handles, b"")
    await desk.wait(await desk.send(Call(place.registry.address, data)))
    place.chain.mine(8)
    code, found, _ = await audited(cli, service, place)
    assert code == Exit.REFUSED
    (finding,) = found["findings"]
    assert finding == (
        f"{desk.payer.address.lower()} revoked {'ee' * 32} on the chain, and the log does not"
    )


async def test_nothing_is_anchored(
    anchoring: Anchoring, service: Service, place: Deployed, cli: Cli
) -> None:
    await anchoring.publish()
    code, found, _ = await audited(cli, service, place)
    assert (code, found["findings"]) == (Exit.REFUSED, ["nothing is anchored on the chain"])


async def test_an_authority_that_anchors_no_more(
    anchoring: Anchoring, service: Service, place: Deployed, cli: Cli
) -> None:
    await anchoring.publish()
    await anchoring.turn()
    place.chain.mine(8)
    await anchoring.publish(timedelta(hours=5))
    code, found, said = await audited(cli, service, place, "--newest-within", "2")
    assert (code, found["findings"]) == (Exit.REFUSED, [])
    assert "the anchor was signed at" in said
    assert "the checkpoint was signed at" not in said
    assert (await audited(cli, service, place, "--newest-within", "8"))[0] == Exit.OK


async def test_the_next_time_reads_what_is_new(
    anchoring: Anchoring,
    service: Service,
    place: Deployed,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = watch(monkeypatch)
    state = ("--state", str(tmp_path / "state.json"))
    for expected in (1, 2):
        await anchoring.revoke(2)
        await anchoring.publish()
        await anchoring.turn()
        place.chain.mine(8)
        words = ("--from-block", "1") if expected == 1 else ()
        before = list(asked)
        code, found, _ = await audited(cli, service, place, *state, *words)
        assert (code, found["findings"]) == (Exit.OK, [])
        assert (found["chain"]["heads"], found["chain"]["tombstones"]) == (expected, 2 * expected)
        assert asked[len(before)][0] == (before[-1][1] + 1 if before else 1)
        assert asked[-1][1] == found["chain"]["block"]
    del asked[:]
    code, found, _ = await audited(cli, service, place, *state)
    assert (code, found["chain"]["heads"], asked) == (Exit.OK, 2, [])
    code, found, _ = await audited(cli, service, place, *state, "--from-block", "0")
    assert (code, found["chain"]["heads"], asked[0][0]) == (Exit.OK, 2, 0), "more than was read"


def watch(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The blocks that are read, from now on."""
    asked: list[tuple[int, int]] = []
    real = events._piece

    def piece(contract: bytes, namespace: bytes, start: int, end: int) -> Any:  # noqa: ANN401
        asked.append((start, end))
        return real(contract, namespace, start, end)

    monkeypatch.setattr(events, "_piece", piece)
    return asked


async def test_a_chain_that_lost_what_was_read_is_read_again(
    anchoring: Anchoring, service: Service, place: Deployed, cli: Cli, tmp_path: Path
) -> None:
    state = ("--state", str(tmp_path / "state.json"))
    await anchoring.revoke()
    await anchoring.publish()
    await anchoring.turn()
    before = place.chain.height()
    place.chain.mine(8)
    code, found, said = await audited(cli, service, place, *state)
    assert (code, found["chain"]["heads"]) == (Exit.OK, 1)
    assert "read again" not in said
    place.chain.reorganise(place.chain.height() - before + 1)
    place.chain.mine(1)
    code, found, said = await audited(cli, service, place, *state)
    assert "is not that of the last time: the chain is read again" in said
    assert (code, found["findings"]) == (Exit.REFUSED, ["nothing is anchored on the chain"])
    assert (found["chain"]["heads"], found["chain"]["tombstones"]) == (0, 0)


async def test_a_head_that_comes_later_is_looked_at(
    anchoring: Anchoring, service: Service, place: Deployed, cli: Cli, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    words = ("--state", str(state))
    await anchoring.revoke()
    await anchoring.publish()
    await anchoring.turn()
    place.chain.mine(8)
    assert (await audited(cli, service, place, *words))[0] == Exit.OK
    kept = state.read_bytes()
    head = await anchoring.on_chain()
    ledger = anchoring.ledger
    await anchoring.revoke()
    growth = await anchoring.publish()
    proof = await anchoring.store.anchors.growth(head.size, growth.size)
    assert proof is not None
    forged = replace(growth, revocation_root=b"f" * 32)
    sent = await ledger.sign(
        Anchor(forged, proof.proof, ()), await ledger.standing(), Fees(9 * GWEI, GWEI)
    )
    await ledger.send(sent.raw)
    place.chain.mine(8)
    for _ in range(2):
        code, _, said = await audited(cli, service, place, *words)
        assert (code, "do not revoke what a head says" in said) == (Exit.REFUSED, True)
        assert state.read_bytes() == kept, "the next time looks at it again"


@pytest.mark.parametrize(
    "words",
    [
        ("--chain", "1:0x00:0x00"),
        ("--rpc", "http://127.0.0.1:9"),
        ("--rpc", "http://127.0.0.1:9", "--chain", "1:2:3"),
        ("--rpc", "http://127.0.0.1:9", "--chain", "x"),
    ],
)
def test_what_does_not_name_a_chain(cli: Cli, words: tuple[str, ...]) -> None:
    key = KEY.verifier.text
    assert cli("log", "audit", "https://ca.example", "--key", key, *words).code == Exit.USAGE
