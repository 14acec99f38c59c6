# SPDX-License-Identifier: Apache-2.0
"""Transactions: what they call, what they may cost, and their signature (EIP-1559, type 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ca.ledger.contract import checksum, codec
from ca.ledger_ports import Transaction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eth_account.signers.local import LocalAccount

    from ca.ledger.rpc import W3
    from ca.ledger_ports import Fees

_SPARE: Final = (
    5,
    4,
)  # of the gas that a node estimates: the block that takes it may ask for a little more


@dataclass(frozen=True, slots=True)
class Call:
    """Whom, with what. `to`: 20 bytes; None makes a contract."""

    to: bytes | None
    data: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """As JSON-RPC has it."""
        to = {} if self.to is None else {"to": checksum(self.to)}
        return to | {"data": "0x" + self.data.hex(), "value": 0}


@dataclass(frozen=True, slots=True)
class Terms:
    """On which chain, as which transaction of the account, for how much."""

    chain_id: int
    nonce: int
    gas: int
    fees: Fees


def encode(name: str, *arguments: object) -> bytes:
    """Calldata for the registry's function with that name, of which there is one."""
    return bytes.fromhex(codec().encode_abi(name, arguments).removeprefix("0x"))


def nonce(address: bytes, number: int) -> Callable[[W3], Awaitable[int]]:
    """Question: the next of this account, as of the block of that height."""
    at: Any = number

    async def question(web3: W3) -> int:
        return int(await web3.eth.get_transaction_count(checksum(address), at))

    return question


async def tip(web3: W3) -> int:
    """Question: what is usually paid on top of the base fee."""
    return int(await web3.eth.max_priority_fee)


async def base_fee(web3: W3) -> int:
    """Question: what a unit of gas costs in the newest block."""
    return int((await web3.eth.get_block("latest")).get("baseFeePerGas", 0))


def gas(call: Call, payer: bytes) -> Callable[[W3], Awaitable[int]]:
    """Question: how much gas to allow. ContractLogicError where the contract would refuse."""
    request: Any = call.fields | {"from": checksum(payer)}
    times, of = _SPARE

    async def question(web3: W3) -> int:
        return int(await web3.eth.estimate_gas(request)) * times // of

    return question


def sign(payer: LocalAccount, call: Call, terms: Terms, base_size: int = 0) -> Transaction:
    """Ready to be sent."""
    fields = call.fields | {
        "type": 2,
        "chainId": terms.chain_id,
        "nonce": terms.nonce,
        "gas": terms.gas,
        "maxFeePerGas": terms.fees.max_fee,
        "maxPriorityFeePerGas": terms.fees.tip,
    }
    done = payer.sign_transaction(fields)
    return Transaction(bytes(done.raw_transaction), bytes(done.hash), terms.fees, base_size)
