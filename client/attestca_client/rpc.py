# SPDX-License-Identifier: Apache-2.0
"""What is asked of an Ethereum node: JSON-RPC 2.0 over the standard library, three methods, nothing signed or sent.

A node is believed no more than that it relays: what it answers has limits and forms, and everything else is a
`SourceError`. A node that lies well cannot be told from a true one; that is why two of different operators are asked.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from attestca_client.checks import SourceError
from attestca_client.protocol.jsontext import read_object
from attestca_client.runtime import SYSTEM

if TYPE_CHECKING:
    from attestca_client.sources import Url

MAX_ANSWER: Final = 1 << 20  # bytes; a block of a busy chain lists its transactions' hashes
_QUANTITY: Final = re.compile(r"0x(0|[1-9a-f][0-9a-f]{0,15})", re.ASCII)
_HASH: Final = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
_DATA: Final = re.compile(r"0x([0-9a-f]{2})*", re.ASCII)


class Reverted(Exception):
    """The contract refused the call. `data`: what it said, ABI-encoded; may be empty."""

    def __init__(self, data: bytes) -> None:
        super().__init__("reverted")
        self.data = data


@dataclass(frozen=True, slots=True)
class Block:
    """Number, hash (32 bytes) and time (seconds since 1970-01-01T00:00:00Z) of one block."""

    number: int
    hash: bytes
    time: int


@dataclass(frozen=True, slots=True)
class Node:
    """One node. Every method raises SourceError. `deadline`: of `SYSTEM.monotonic`, for all that is asked."""

    url: Url
    deadline: float = math.inf

    @property
    def name(self) -> str:
        """For people."""
        return self.url.name

    def chain_id(self) -> int:
        """Of the chain that it follows."""
        return _quantity(self._ask("eth_chainId"))

    def block(self, which: int | str) -> Block:
        """A block by number, or "finalized" or "latest"."""
        wanted = hex(which) if isinstance(which, int) else which
        found = self._ask("eth_getBlockByNumber", wanted, False)  # noqa: FBT003 - JSON-RPC has no names
        if not isinstance(found, dict):
            raise SourceError(f"has no block {wanted}")
        block = Block(
            _quantity(found.get("number")),
            bytes.fromhex(_matching(_HASH, found.get("hash"))[2:]),
            _quantity(found.get("timestamp")),
        )
        if isinstance(which, int) and block.number != which:
            raise SourceError("answered with another block")
        return block

    def call(self, to: bytes, data: bytes, at: int | str) -> bytes:
        """What a view of the contract `to` returns in a block, by number or "latest". Raises Reverted too."""
        call = {"to": f"0x{to.hex()}", "data": f"0x{data.hex()}"}
        found = self._ask("eth_call", call, hex(at) if isinstance(at, int) else at)
        return bytes.fromhex(_matching(_DATA, found)[2:])

    def _ask(self, method: str, *parameters: object) -> object:
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        left = self.deadline - SYSTEM.monotonic()
        if left <= 0:
            raise SourceError("no answer in time")
        answer = _object(self.url.post(json.dumps(question).encode(), MAX_ANSWER, left))
        if answer.get("id") != 1 or ("error" in answer) is ("result" in answer):
            raise SourceError("not an answer of JSON-RPC")
        if "error" in answer:
            raise _error(method, answer["error"])
        return answer["result"]


def _error(method: str, error: object) -> Exception:
    """A revert carries what the contract said as its data (EIP-1474, code 3); nodes differ in how they wrap it."""
    data = error.get("data") if isinstance(error, dict) else None
    data = data.get("data") if isinstance(data, dict) else data
    if method == "eth_call" and isinstance(data, str) and _DATA.fullmatch(data):
        return Reverted(bytes.fromhex(data[2:]))
    code = error.get("code") if isinstance(error, dict) else None
    return SourceError(f"{method}: error {code if isinstance(code, int) else 'without a code'}")


def _object(data: bytes) -> dict[str, Any]:
    try:
        return read_object(data)
    except ValueError as error:
        raise SourceError("not an answer of JSON-RPC") from error


def _quantity(value: object) -> int:
    return int(_matching(_QUANTITY, value), 0)


def _matching(pattern: re.Pattern[str], value: object) -> str:
    """Nodes write hexadecimal in lower case (EIP-1474)."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise SourceError("a value of an answer has another form")
    return value
