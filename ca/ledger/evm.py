# SPDX-License-Identifier: Apache-2.0
"""`ca.ledger_ports.Ledger` on an EVM chain.

Rules:
- What is decided on is of one block that enough nodes have, and all of it of that block: see `ca.ledger.rpc`.
- State is only read of the newest block, for nodes forget older state. What is final is judged by heights, hashes and
  receipts, which they keep.
- A receipt with a log that is marked `removed` is of a block that is gone: as if it were in none.
- Signing is deterministic: the same anchor with the same nonce and fees is the same transaction.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from web3.exceptions import ContractCustomError, ContractLogicError, TransactionNotFound
from web3.logs import DISCARD

from ca.errors import AnchorRefused
from ca.ledger import transactions
from ca.ledger.accounts import address_of
from ca.ledger.contract import (
    address_bytes,
    artifact,
    checksum,
    error_selectors,
    head_fields,
    read_head,
)
from ca.ledger_ports import Block, Mined, Standing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from eth_account.signers.local import LocalAccount
    from web3.contract.async_contract import AsyncContract
    from web3.types import EventData, TxReceipt

    from attestca_client.protocol.checkpoint import Head
    from ca.ledger.contract import Registry
    from ca.ledger.rpc import W3, Nodes
    from ca.ledger_ports import Anchor, Fees, Transaction

_EVENT: Final = ("size", "logRoot", "revocationCount", "revocationRoot", "crlDigest", "time")


@dataclass(frozen=True, slots=True)
class EvmLedger:
    """One registry, as our account sees it.

    Attributes:
        payer: who pays for gas, and can do nothing else.
        log_keys: by address, those that may be the log key in the contract.
    """

    nodes: Nodes
    registry: Registry
    payer: LocalAccount
    log_keys: Mapping[bytes, LocalAccount]

    @property
    def target(self) -> bytes:
        """See the port."""
        return self.registry.target

    async def standing(self) -> Standing:
        """See the port. Raises AnchorRefused where the namespace is not registered."""
        number = await self.nodes.level(height("latest"))
        block, base_fee = await self.nodes.ask(block_at(number))
        tip = await self.nodes.level(transactions.tip)
        nonce = await self.nodes.ask(transactions.nonce(address_of(self.payer), number))
        with refusals():
            head, log_key, left = await self.nodes.ask(self._state(number))
        return Standing(block, base_fee, tip, nonce, head, log_key, left)

    async def finalized(self) -> int:
        """See the port."""
        return await self.nodes.level(height("finalized"))

    async def block_hash(self, number: int) -> bytes | None:
        """See the port."""
        block, _ = await self.nodes.ask(block_at(number))
        return block.hash

    async def mined(self, transaction: bytes, *, surely: bool = False) -> Mined | None:
        """See the port."""

        async def question(web3: W3) -> Mined | None:
            try:
                receipt = await web3.eth.get_transaction_receipt(_hash(transaction))
            except TransactionNotFound:
                return None
            return self._read(contract_of(web3, self.registry.address), receipt)

        return await self.nodes.ask(question, surely=surely)

    async def sign(self, anchor: Anchor, standing: Standing, fees: Fees) -> Transaction:
        """See the port."""
        key = self.log_keys.get(standing.log_key)
        if key is None:
            wanted = checksum(standing.log_key)
            raise AnchorRefused(
                f"the contract wants the log key {wanted}, which is not in the folder"
            )
        message = self.registry.anchor(anchor.head, anchor.tombstones)
        signature = bytes(key.sign_message(message).signature)
        call = transactions.Call(
            self.registry.address,
            transactions.encode(
                "anchor",
                self.registry.namespace,
                head_fields(anchor.head),
                list(anchor.proof),
                list(anchor.tombstones),
                signature,
            ),
        )
        with refusals():
            gas = await self.nodes.level(transactions.gas(call, address_of(self.payer)))
        gas = max(gas, _least_gas(anchor))
        terms = transactions.Terms(self.registry.chain_id, standing.nonce, gas, fees)
        return transactions.sign(self.payer, call, terms, standing.head.size)

    async def send(self, raw: bytes) -> None:
        """See the port."""
        await self.nodes.tell(raw)

    def _state(self, number: int) -> Callable[[W3], Awaitable[tuple[Head, bytes, int]]]:
        """Head, log key, and the tombstones that are left today."""
        namespace = self.registry.namespace

        async def question(web3: W3) -> tuple[Head, bytes, int]:
            asked = contract_of(web3, self.registry.address).functions
            head, *_ = await asked.status(namespace, []).call(block_identifier=number)
            _, log_key, *_ = await asked.keys(namespace).call(block_identifier=number)
            _, left, _ = await asked.caps(namespace).call(block_identifier=number)
            return read_head(head), address_bytes(log_key), int(left)

        return question

    def _read(self, contract: AsyncContract, receipt: TxReceipt) -> Mined | None:
        """What a receipt says."""
        if any(log.get("removed") for log in receipt["logs"]):
            return None
        block = Block(receipt["blockNumber"], bytes(receipt["blockHash"]))
        if receipt["status"] != 1:
            return Mined(block, None)
        events = contract.events.Anchored().process_receipt(receipt, errors=DISCARD)
        heads = [event_head(event) for event in events if self._is_ours(event)]
        return Mined(block, heads[0] if heads else None)

    def _is_ours(self, event: EventData) -> bool:
        return (
            event["address"] == checksum(self.registry.address)
            and bytes(event["args"]["namespace"]) == self.registry.namespace
        )


def _least_gas(anchor: Anchor) -> int:
    """What an anchor may need (docs/chain.md, Gas) and a little more; what is not used is not paid.

    So a node that estimates too little cannot have us pay for transactions that fail.
    """
    return 150_000 + 3_500 * len(anchor.proof) + 28_000 * len(anchor.tombstones)


def contract_of(web3: W3, address: bytes) -> AsyncContract:
    """The registry at this address."""
    found: AsyncContract = web3.eth.contract(address=checksum(address), abi=artifact().abi)
    return found


def event_head(event: EventData) -> Head:
    """The head in an `Anchored`."""
    fields: Any = tuple(event["args"][name] for name in _EVENT)
    return read_head(fields)


@contextmanager
def refusals() -> Iterator[None]:
    """What the contract refuses is AnchorRefused, with the name of its error."""
    try:
        yield
    except ContractLogicError as error:
        raise AnchorRefused(f"the registry refuses: {_name(error)}") from error


def _name(error: ContractLogicError) -> str:
    """Of the contract's errors, by the four bytes that stand before its fields."""
    data = error.data if isinstance(error.data, str) else ""
    if isinstance(error, ContractCustomError):
        for name, selector in error_selectors().items():
            if data.startswith(selector):
                return name
    return str(error)[:200]


def height(tag: Any) -> Callable[[W3], Awaitable[int]]:  # noqa: ANN401 - web3 has literals of its own
    """Question: of the block with this tag ("latest", "finalized")."""

    async def question(web3: W3) -> int:
        return int((await web3.eth.get_block(tag))["number"])

    return question


def block_at(number: int) -> Callable[[W3], Awaitable[tuple[Block, int]]]:
    """Question: the block of this height, and its base fee."""

    async def question(web3: W3) -> tuple[Block, int]:
        found = await web3.eth.get_block(_at(number))
        if found["number"] != number:
            raise ValueError("another height")
        return Block(number, bytes(found["hash"])), int(found.get("baseFeePerGas", 0))

    return question


def _at(number: int) -> Any:  # noqa: ANN401 - a NewType of web3's
    return number


def _hash(value: bytes) -> Any:  # noqa: ANN401 - likewise
    return value
