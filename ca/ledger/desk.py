# SPDX-License-Identifier: Apache-2.0
"""What an operator does on the chain by hand: one transaction, sent and waited for; and what the registry says.

Nothing is recorded: an operator sees what became of it, and does it again where it was lost. Anchors never go this way.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eth_account.messages import encode_typed_data
from web3.exceptions import ContractLogicError, TransactionNotFound

from ca.errors import AnchorRefused, ConfigurationError, NotFound, Unavailable
from ca.ledger import transactions
from ca.ledger.accounts import address_of
from ca.ledger.contract import address_bytes, artifact, checksum, read_head
from ca.ledger.evm import contract_of, height, refusals
from ca.ledger.transactions import Call, Terms
from ca.ledger_ports import Fees

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eth_account.signers.local import LocalAccount

    from attestca_client.protocol.checkpoint import Head
    from ca.ledger.contract import Registry
    from ca.ledger.rpc import W3, Nodes
    from ca.ledger_ports import Transaction

_EVERY: Final = 0.5  # seconds
_TRIES: Final = 600


@dataclass(frozen=True, slots=True)
class Done:
    """A transaction in a block. `made`: the address of the contract that it made, 20 bytes."""

    number: int
    gas_used: int
    made: bytes | None


@dataclass(frozen=True, slots=True)
class Desk:
    """Who sends. `max_fee`: wei, the most that a unit of gas may cost."""

    nodes: Nodes
    payer: LocalAccount
    chain_id: int
    max_fee: int

    async def send(self, call: Call) -> Transaction:
        """Raises AnchorRefused where the contract would refuse, Unavailable where gas costs more than the cap."""
        number = await self.nodes.level(height("latest"))
        base_fee = await self.nodes.level(transactions.base_fee)
        tip = await self.nodes.level(transactions.tip)
        if base_fee + tip > self.max_fee:
            raise Unavailable(f"gas costs {base_fee + tip} wei, and chain.max_fee_gwei is below")
        payer = address_of(self.payer)
        nonce = await self.nodes.ask(transactions.nonce(payer, number))
        with refusals():
            gas = await self.nodes.level(transactions.gas(call, payer))
        fees = Fees(min(self.max_fee, 2 * base_fee + tip), tip)
        transaction = transactions.sign(self.payer, call, Terms(self.chain_id, nonce, gas, fees))
        await self.nodes.tell(transaction.raw)
        return transaction

    async def wait(self, transaction: Transaction, tries: int = _TRIES) -> Done:
        """Until it is in a block. Raises AnchorRefused where it failed there, Unavailable after some minutes."""
        for _ in range(tries):
            with refusals():
                done = await self.nodes.ask(_outcome(transaction.hash), surely=False)
            if done is not None:
                return done
            await asyncio.sleep(_EVERY)
        raise Unavailable(
            f"0x{transaction.hash.hex()} is in no block yet; it may still come into one"
        )


def deployment() -> Call:
    """What puts the registry on a chain."""
    return Call(None, artifact().bytecode)


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that one who has a say in a namespace signs, and anybody may send.

    Attributes:
        name: of the signed message. signer: who must sign, 20 bytes.
        typed: what is signed, as wallets take it (`eth_signTypedData_v4`).
        function: of the registry. arguments: of the function, before the signature.
    """

    name: str
    registry: Registry
    signer: bytes
    typed: dict[str, Any]
    function: str
    arguments: tuple[object, ...]

    def call(self, *signatures: bytes) -> Call:
        """With the signature of who decides; what hands over has that of the new admin besides."""
        return Call(
            self.registry.address,
            transactions.encode(self.function, *self.arguments, *signatures),
        )


def registration(
    registry: Registry, log_key: bytes, guardian: bytes, caps: tuple[int, int]
) -> Decision:
    """What makes the namespace. `caps`: tombstones per day (UTC), of the log key and of the guardian.

    Addresses are 20 bytes; the zero address as guardian is nobody.
    """
    who = tuple(map(checksum, (registry.admin, log_key, guardian)))
    message = {
        "caId": "0x" + registry.ca_id.hex(),
        "admin": who[0],
        "logKey": who[1],
        "guardian": who[2],
        "caps": _caps(caps),
    }
    typed = registry.typed("Register", message)
    arguments = (registry.ca_id, *who, caps)
    return Decision("Register", registry, registry.admin, typed, "register", arguments)


def change(registry: Registry, name: str, fields: dict[str, Any], found: Namespace) -> Decision:
    """What changes the namespace: "SetLogKey", "SetGuardian", "SetCaps", "Allow" or "HandOver", with its own fields.

    Addresses are 20 bytes, caps a pair of numbers. `found`: the namespace as it stands. Its admin signs, who need not
    be the one that registered it.
    """
    plain = {key: checksum(one) if isinstance(one, bytes) else one for key, one in fields.items()}
    said = {key: _caps(one) if isinstance(one, tuple) else one for key, one in plain.items()}
    ns = registry.namespace
    typed = registry.typed(name, {"namespace": "0x" + ns.hex(), **said, "nonce": found.nonce})
    function = name[0].lower() + name[1:]
    return Decision(name, registry, found.admin, typed, function, (ns, *plain.values()))


def revocation(registry: Registry, handles: tuple[bytes, ...], found: Namespace) -> Decision:
    """What the guardian says of these handles. It sends it with an empty signature where it pays itself."""
    ns = registry.namespace
    message = {"namespace": "0x" + ns.hex(), "handles": ["0x" + one.hex() for one in handles]}
    typed = registry.typed("Revoke", message)
    arguments = (ns, list(handles))
    return Decision("Revoke", registry, found.guardian, typed, "guardianRevoke", arguments)


def _caps(caps: tuple[int, int]) -> dict[str, int]:
    return {"logKeyPerDay": caps[0], "guardianPerDay": caps[1]}


def sign_typed(account: LocalAccount, typed: dict[str, Any]) -> bytes:
    """The 65-byte signature of typed data."""
    return bytes(account.sign_message(encode_typed_data(full_message=typed)).signature)


async def balance(nodes: Nodes, address: bytes) -> int:
    """Coins of an account, in wei."""
    return await nodes.level(_balance(address))


async def check_deployed(nodes: Nodes, address: bytes) -> None:
    """Raises ConfigurationError unless this version's registry is at that address."""

    async def question(web3: W3) -> bytes:
        return bytes(await web3.eth.get_code(checksum(address)))

    if await nodes.ask(question) != artifact().deployed:
        raise ConfigurationError(f"{checksum(address)} is not this version's registry contract")


@dataclass(frozen=True, slots=True)
class Namespace:
    """What the registry says of a namespace. Addresses are 20 bytes.

    Attributes:
        nonce: of the next thing that the admin signs.
        caps: tombstones per day, of the log key and of the guardian; left: of these today.
    """

    head: Head
    block: int
    block_time: int
    admin: bytes
    log_key: bytes
    guardian: bytes
    nonce: int
    caps: tuple[int, int]
    left: tuple[int, int]


async def namespace(nodes: Nodes, registry: Registry) -> Namespace:
    """Raises NotFound where nobody registered it."""
    number: Any = await nodes.level(height("latest"))

    async def question(web3: W3) -> Namespace:
        asked, ns = contract_of(web3, registry.address).functions, registry.namespace
        head, _, block, time = await asked.status(ns, []).call(block_identifier=number)
        admin, log_key, guardian, nonce = await asked.keys(ns).call(block_identifier=number)
        caps, *left = await asked.caps(ns).call(block_identifier=number)
        return Namespace(
            head=read_head(head),
            block=block,
            block_time=time,
            admin=address_bytes(admin),
            log_key=address_bytes(log_key),
            guardian=address_bytes(guardian),
            nonce=nonce,
            caps=(caps[0], caps[1]),
            left=(left[0], left[1]),
        )

    try:
        with refusals():
            return await nodes.ask(question)
    except AnchorRefused as error:
        raise NotFound(f"the namespace is not registered: {error.detail}") from error


def _balance(address: bytes) -> Callable[[W3], Awaitable[int]]:
    async def question(web3: W3) -> int:
        return int(await web3.eth.get_balance(checksum(address)))

    return question


def _outcome(transaction: bytes) -> Callable[[W3], Awaitable[Done | None]]:
    name: Any = transaction

    async def question(web3: W3) -> Done | None:
        try:
            receipt = await web3.eth.get_transaction_receipt(name)
        except TransactionNotFound:
            return None
        if receipt["status"] != 1:
            raise ContractLogicError("the transaction failed in its block")
        made = receipt.get("contractAddress")
        return Done(
            receipt["blockNumber"], receipt["gasUsed"], address_bytes(made) if made else None
        )

    return question
