# SPDX-License-Identifier: Apache-2.0
"""A chain of a test: anvil, the registry on it, a log that is anchored there.

`Chain` speaks to anvil behind the ledger's back: it mines, forks, drops and makes things expensive. `Anchoring` is an
authority that has a log and nothing else.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eth_account import Account

from attestca_client.protocol import HandleKind
from ca.anchoring import Anchorer, Rules
from ca.issuance.reasons import RevocationReason
from ca.ledger.accounts import account_of, address_of, by_address
from ca.ledger.contract import Registry
from ca.ledger.desk import Desk, change, deployment, namespace, registration, sign_typed
from ca.ledger.evm import EvmLedger
from ca.ledger.rpc import connected
from ca.ports import OperatorAction, Revocation
from simulator import node
from tests.log_lab import KEY, MemoryWitness, sequencer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from attestca_client.protocol.checkpoint import Head
    from ca.anchoring import Turn
    from ca.ledger.rpc import Nodes
    from ca.store.sql import SqlStore

ROOT = Path(__file__).parents[1]
NOT_INSTALLED = "anvil cannot be installed: tests at a chain are skipped"
CHAIN_ID = 31337
CA_ID = bytes(range(32))
PAYER, LOG_KEY, ADMIN, THIEF = (bytes([number]) * 32 for number in (1, 2, 3, 4))
GUARDIAN_KEY = bytes([5]) * 32
GUARDIAN = address_of(account_of(GUARDIAN_KEY, "guardian"))
CAPS = (5, 5)  # tombstones per day
GWEI = 10**9
RULES = Rules(heartbeat=timedelta(minutes=10), max_fee=100 * GWEI, batch=3)
_LISTENING = re.compile(r"Listening on 127\.0\.0\.1:([0-9]+)")


def find_anvil() -> Path | None:
    """The program, installed first if need be; None where it cannot be."""
    try:
        return node.anvil(node.tell)
    except node.ToolsError:
        return None


@dataclass
class Chain:
    """A running anvil."""

    url: str
    process: subprocess.Popen[str]

    def call(self, method: str, *params: object) -> Any:  # noqa: ANN401 - JSON
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        request = urllib.request.Request(  # noqa: S310 - our own anvil
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - as above
            answer = json.load(response)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def mine(self, blocks: int = 1) -> None:
        self.call("anvil_mine", hex(blocks))

    def automine(self, *, on: bool) -> None:
        self.call("evm_setAutomine", on)

    def reorganise(self, depth: int) -> None:
        """The newest blocks are replaced by empty ones; what was in them is gone."""
        self.call("anvil_reorg", depth, [])

    def base_fee(self, gwei: int) -> None:
        """Of the next block."""
        self.call("anvil_setNextBlockBaseFeePerGas", hex(gwei * GWEI))

    def height(self) -> int:
        return int(self.call("eth_blockNumber"), 16)


@contextmanager
def anvil(program: Path, *options: str, slots: int = 2) -> Iterator[Chain]:
    """A chain of its own; the newest final block is `2 * slots` below the newest of all."""
    arguments = [str(program), "--port", "0", "--slots-in-an-epoch", str(slots), *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        for line in process.stdout:
            if match := _LISTENING.search(line):
                break
        else:
            raise AssertionError("anvil ended")
        try:
            yield Chain(f"http://127.0.0.1:{match[1]}", process)
        finally:
            process.kill()


@dataclass(repr=False)
class Deployed:
    """A chain with the registry and a namespace of ours in it."""

    chain: Chain
    registry: Registry

    def account(self, key: bytes) -> str:
        """Address of an account with money."""
        address: str = account_of(key, "account").address
        self.chain.call("anvil_setBalance", address, hex(10**20))
        return address

    async def allow(self, extra: int) -> None:
        """The admin lets the log key revoke so many more on the chain's day."""
        newest = self.chain.call("eth_getBlockByNumber", *("latest", False))
        day = int(newest["timestamp"], 16) // 86_400
        await self.decide("Allow", {"day": day, "extra": (extra, 0)})

    async def decide(self, name: str, fields: dict[str, Any]) -> None:
        """The admin signs, and somebody else sends."""
        self.account(THIEF)
        async with connected([self.chain.url], CHAIN_ID) as nodes:
            found = await namespace(nodes, self.registry)
            said = change(self.registry, name, fields, found)
            call = said.call(sign_typed(account_of(ADMIN, "admin"), said.typed))
            desk = Desk(nodes, account_of(THIEF, "anybody"), CHAIN_ID, 100 * GWEI)
            sent = await desk.send(call)
            self.chain.mine()
            await desk.wait(sent)

    def ledger(self, nodes: Nodes, *log_keys: bytes) -> EvmLedger:
        keys = by_address(log_keys or (LOG_KEY,))
        return EvmLedger(nodes, self.registry, account_of(PAYER, "payer"), keys)


@asynccontextmanager
async def deployed(chain: Chain, caps: tuple[int, int] = CAPS) -> AsyncIterator[Deployed]:
    payer, admin = account_of(PAYER, "payer"), account_of(ADMIN, "admin")
    chain.call("anvil_setBalance", payer.address, hex(10**20))
    async with connected([chain.url], CHAIN_ID) as nodes:
        desk = Desk(nodes, payer, CHAIN_ID, 100 * GWEI)
        made = (await desk.wait(await desk.send(deployment()))).made
        assert made is not None
        registry = Registry(CHAIN_ID, made, CA_ID, address_of(admin))
        log_key = address_of(account_of(LOG_KEY, "log"))
        said = registration(registry, log_key, GUARDIAN, caps)
        signature = sign_typed(admin, said.typed)
        await desk.wait(await desk.send(said.call(signature)))
        chain.mine(4)  # a test may reorganise some blocks without losing the registry
    yield Deployed(chain, registry)


@dataclass(repr=False)
class Anchoring:
    """A log in a database, and who anchors it."""

    store: SqlStore
    ledger: EvmLedger
    rules: Rules = RULES
    # Behind the chain's clock, so that a test may let time pass.
    now: datetime = field(
        default_factory=lambda: datetime.fromtimestamp(int(time.time()) - 20_000, UTC)
    )
    witness: MemoryWitness = field(default_factory=MemoryWitness)
    revoked: list[bytes] = field(default_factory=list)

    @property
    def anchorer(self) -> Anchorer:
        return Anchorer(self.store.anchors, self.ledger, self.newest, self.rules)

    async def newest(self) -> Head | None:
        published = await self.store.log.checkpoint()
        if published is None or published.note is None:
            return None
        return KEY.verifier.open(published.note).head

    async def publish(self, later: timedelta = timedelta(minutes=1)) -> Head:
        """The log is sequenced and signed, after that time."""
        self.now += later
        await sequencer(self.store.log, self.witness).run(self.now)
        head = await self.newest()
        assert head is not None
        return head

    async def revoke(self, count: int = 1) -> None:
        for _ in range(count):
            handle = len(self.revoked).to_bytes(32, "big")
            self.revoked.append(handle)
            revocation = Revocation(
                handle, HandleKind.CHIP, "", self.now, RevocationReason.KEY_COMPROMISE, "me", ""
            )
            action = OperatorAction(self.now, "me", "revoke", handle.hex(), "")
            await self.store.revoke(revocation, action)

    async def turn(self, later: timedelta = timedelta(seconds=5)) -> Turn:
        self.now += later
        return await self.anchorer.turn(self.now)

    async def on_chain(self) -> Head:
        return (await self.ledger.standing()).head

    async def tombstones(self) -> list[bool]:
        """Of each that was revoked here: whether the chain has it."""
        from ca.ledger.evm import contract_of  # noqa: PLC0415

        registry = self.ledger.registry

        async def question(web3: Any) -> tuple[bool, ...]:  # noqa: ANN401
            asked = contract_of(web3, registry.address).functions
            _, times, _, _ = await asked.status(registry.namespace, self.revoked).call()
            return tuple(bool(one) for one in times)

        return list(await self.ledger.nodes.ask(question))

    async def anchored_events(self) -> list[Head]:
        """Every `Anchored` that is in the chain."""
        from ca.ledger.evm import contract_of, event_head  # noqa: PLC0415

        async def question(web3: Any) -> tuple[Head, ...]:  # noqa: ANN401
            contract = contract_of(web3, self.ledger.registry.address)
            events = await contract.events.Anchored().get_logs(from_block=0)
            return tuple(map(event_head, events))

        return list(await self.ledger.nodes.ask(question))


def keystore(folder: Path, name: str, key: bytes) -> tuple[Path, Path]:
    """A keystore file of this key, stretched little, and its passphrase in a file."""
    secret, passphrase = folder / f"{name}.json", folder / f"{name}.passphrase"
    box = Account.encrypt(key, "a passphrase of the chain lab", kdf="pbkdf2", iterations=2)
    secret.write_text(json.dumps(box))
    passphrase.write_text("a passphrase of the chain lab\n")
    passphrase.chmod(0o600)
    return secret, passphrase
