# SPDX-License-Identifier: Apache-2.0
"""The artefact on a chain, called as others call it: signed by eth-account, encoded by web3, sent by JSON-RPC.

The chain is one of the rules that the code is compiled for (Paris), and no later.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from eth_account import Account
from web3 import Web3

from attestca_client.protocol import is_consistent
from ca.ledger.contract import codec
from simulator.devchain import DevChain, DevChainError
from simulator.node import CONTRACTS
from tests import registry_vectors

if TYPE_CHECKING:
    from collections.abc import Iterator

CA_ID = Web3.keccak(text="root")
SECRETS = {name: Web3.keccak(text=name) for name in ("admin", "log key", "guardian")}
KEYS = {name: Account.from_key(secret).address for name, secret in SECRETS.items()}
CAPS = (100, 10)
NAMESPACE = Web3.keccak(CA_ID + bytes.fromhex(KEYS["admin"][2:]).rjust(32, b"\0"))
HEAD = [
    ("size", "uint64"),
    ("logRoot", "bytes32"),
    ("revocationCount", "uint64"),
    ("revocationRoot", "bytes32"),
    ("crlDigest", "bytes32"),
    ("time", "uint64"),
]
TYPES = {
    "Head": HEAD,
    "Caps": [("logKeyPerDay", "uint32"), ("guardianPerDay", "uint32")],
    "Register": [
        ("caId", "bytes32"),
        ("admin", "address"),
        ("logKey", "address"),
        ("guardian", "address"),
        ("caps", "Caps"),
    ],
    "Anchor": [("namespace", "bytes32"), ("head", "Head"), ("tombstones", "bytes32[]")],
}
GAS = json.loads((CONTRACTS / "snapshots" / "Gas.json").read_text())


class Caller:
    """Somebody with an account and no key of the namespace."""

    def __init__(self, chain: DevChain) -> None:
        self.chain = chain
        self.account = chain.accounts[3]

    def sign(self, key: str, kind: str, nested: str, message: dict[str, Any]) -> bytes:
        types = {
            name: [{"name": field, "type": type_} for field, type_ in TYPES[name]]
            for name in (kind, nested)
        }
        domain = {
            "name": "attestca",
            "version": "1",
            "chainId": self.chain.chain_id,
            "verifyingContract": self.chain.contract,
        }
        signed = Account.sign_typed_data(SECRETS[key], domain, types, message)
        return bytes(signed.signature)

    def send(self, function: str, *arguments: object) -> int:
        """The gas it took."""
        data = codec().encode_abi(function, list(arguments))
        transaction = {"from": self.account, "to": self.chain.contract, "data": data}
        return int(self.chain.send(transaction)["gasUsed"], 16)

    def read(self, signature: str, *arguments: object) -> tuple[Any, ...]:
        function = codec().get_function_by_signature(signature)(*arguments)
        call = {"to": self.chain.contract, "data": function._encode_transaction_data()}
        answer = bytes.fromhex(self.chain.request("eth_call", call, "latest")[2:])
        outputs = [output_type(one) for one in function.abi["outputs"]]
        return tuple(Web3().codec.decode(outputs, answer))

    def register(self) -> int:
        message = {
            "caId": CA_ID,
            "admin": KEYS["admin"],
            "logKey": KEYS["log key"],
            "guardian": KEYS["guardian"],
            "caps": {"logKeyPerDay": CAPS[0], "guardianPerDay": CAPS[1]},
        }
        signature = self.sign("admin", "Register", "Caps", message)
        keys = (KEYS["admin"], KEYS["log key"], KEYS["guardian"])
        return self.send("register", CA_ID, *keys, CAPS, signature)

    def anchor(
        self, head: tuple[Any, ...], proof: list[bytes], tombstones: list[bytes] | None = None
    ) -> int:
        tombstones = tombstones or []
        named = dict(zip((name for name, _ in HEAD), head, strict=True))
        message = {"namespace": NAMESPACE, "head": named, "tombstones": tombstones}
        signature = self.sign("log key", "Anchor", "Head", message)
        return self.send("anchor", NAMESPACE, head, proof, tombstones, signature)


def output_type(output: dict[str, Any]) -> str:
    if output["type"] != "tuple":
        return str(output["type"])
    return f"({','.join(output_type(one) for one in output['components'])})"


@pytest.fixture(scope="module")
def chain() -> Iterator[DevChain]:
    with DevChain(options=("--hardfork", "paris")) as running:
        yield running


@pytest.fixture
def caller(chain: DevChain) -> Iterator[Caller]:
    """A namespace that was just made; the chain goes back afterwards."""
    before = chain.request("evm_snapshot")
    caller = Caller(chain)
    caller.register()
    yield caller
    chain.request("evm_revert", before)


def now(caller: Caller) -> int:
    block = caller.chain.request("eth_getBlockByNumber", "latest", False)  # noqa: FBT003 - JSON
    return int(block["timestamp"], 16)


def step(which: int) -> tuple[tuple[int, bytes], tuple[int, bytes], list[bytes]]:
    """Size and root of the older and the newer log, and the proof."""
    found: Any = registry_vectors.vectors()["consistency"][which]
    old, new = (bytes.fromhex(found[name][2:]) for name in ("oldRoot", "newRoot"))
    proof = [bytes.fromhex(node[2:]) for node in found["proof"]]
    assert is_consistent(found["oldSize"], found["newSize"], proof, old, new)
    return (found["oldSize"], old), (found["newSize"], new), proof


def head(
    log: tuple[int, bytes], count: int, time: int
) -> tuple[int, bytes, int, bytes, bytes, int]:
    return (*log, count, Web3.keccak(text=f"{count}"), Web3.keccak(text=f"crls {time}"), time)


def handles(many: int) -> list[bytes]:
    return [bytes(Web3.keccak(number.to_bytes(4, "big"))) for number in range(many)]


def test_what_is_anchored_is_read(caller: Caller) -> None:
    old, new, proof = step(0)
    time = now(caller)
    caller.anchor(head(old, 2, time - 60), [])
    caller.anchor(head(new, 4, time), proof, handles(2))
    assert caller.read("head(bytes32)", NAMESPACE) == (head(new, 4, time),)
    assert caller.read("head(bytes32,uint64)", NAMESPACE, 60) == (head(new, 4, time),)
    known, revoked, _number, when = caller.read("status(bytes32,bytes32[])", NAMESPACE, handles(3))
    assert known == head(new, 4, time)
    assert revoked == (when, when, 0)
    assert caller.read("anyRevoked(bytes32,bytes32[],uint64)", NAMESPACE, handles(3)[2:], 60) == (
        False,
    )
    assert caller.read("keys(bytes32)", NAMESPACE) == (
        *(key.lower() for key in KEYS.values()),
        0,
    )
    assert caller.read("caps(bytes32)", NAMESPACE) == (CAPS, CAPS[0] - 2, CAPS[1])


def test_another_log_is_refused_and_the_head_stays(caller: Caller) -> None:
    old, new, proof = step(0)
    time = now(caller)
    caller.anchor(head(old, 2, time - 60), [])
    with pytest.raises(DevChainError, match="revert"):
        caller.anchor(head((new[0], Web3.keccak(text="forged")), 2, time), proof)
    with pytest.raises(DevChainError, match="revert"):
        caller.anchor(head((old[0] - 1, old[1]), 2, time), [])
    assert caller.read("head(bytes32)", NAMESPACE) == (head(old, 2, time - 60),)


@pytest.mark.parametrize(("which", "nodes"), [(0, 13), (1, 24)])
def test_an_anchor_costs_what_the_snapshot_says(caller: Caller, which: int, nodes: int) -> None:
    """To a few zero bytes of other hashes and times."""
    old, new, proof = step(which)
    assert len(proof) == nodes
    time = now(caller)
    caller.anchor(head(old, 1, time - 60), [])
    assert caller.anchor(head(new, 5, time), proof) == pytest.approx(
        int(GAS[f"anchor {nodes} nodes"]), abs=300
    )


def test_tombstones_cost_what_the_snapshot_says(caller: Caller) -> None:
    old, new, proof = step(0)
    time = now(caller)
    caller.anchor(head(old, 1, time - 60), [])
    expected = int(GAS["anchor 13 nodes and 100 tombstones"])
    assert caller.anchor(head(new, 5, time), proof, handles(100)) == pytest.approx(
        expected, abs=900
    )


def test_registering_costs_what_the_snapshot_says(chain: DevChain) -> None:
    before = chain.request("evm_snapshot")
    assert Caller(chain).register() == pytest.approx(int(GAS["register"]), abs=300)
    chain.request("evm_revert", before)
