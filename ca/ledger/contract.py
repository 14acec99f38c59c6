# SPDX-License-Identifier: Apache-2.0
"""The registry contract as Python sees it: its compiled artefact, what is signed for it, what its answers mean.

The artefact is a file: `artifact/` beside this module in the wheel, `contracts/artifact/` in a checkout. What is signed
is EIP-712 typed data of the domain ("attestca", "1", chain id, address); the types stand in
contracts/src/IAttestationRegistry.sol. No I/O but reading the artefact.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eth_account.messages import encode_typed_data
from web3 import Web3

from attestca_client.protocol.checkpoint import EMPTY_HEAD, Head
from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eth_account.messages import SignableMessage
    from web3.contract import Contract

_NAME: Final = "AttestationRegistry.json"
_HEAD: Final = (
    ("size", "uint64"),
    ("logRoot", "bytes32"),
    ("revocationCount", "uint64"),
    ("revocationRoot", "bytes32"),
    ("crlDigest", "bytes32"),
    ("time", "uint64"),
)
_CAPS: Final = (("logKeyPerDay", "uint32"), ("guardianPerDay", "uint32"))
_TYPES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "Head": _HEAD,
    "Caps": _CAPS,
    "Anchor": (("namespace", "bytes32"), ("head", "Head"), ("tombstones", "bytes32[]")),
    "Register": (
        ("caId", "bytes32"),
        ("admin", "address"),
        ("logKey", "address"),
        ("guardian", "address"),
        ("caps", "Caps"),
    ),
    "SetLogKey": (("namespace", "bytes32"), ("logKey", "address"), ("nonce", "uint64")),
    "SetGuardian": (("namespace", "bytes32"), ("guardian", "address"), ("nonce", "uint64")),
    "SetCaps": (("namespace", "bytes32"), ("caps", "Caps"), ("nonce", "uint64")),
    "Allow": (
        ("namespace", "bytes32"),
        ("day", "uint32"),
        ("extra", "Caps"),
        ("nonce", "uint64"),
    ),
    "HandOver": (("namespace", "bytes32"), ("admin", "address"), ("nonce", "uint64")),
    "Revoke": (("namespace", "bytes32"), ("handles", "bytes32[]")),
}


@dataclass(frozen=True, slots=True)
class Artifact:
    """What the compiler made. `bytecode`: what a deployment sends; `deployed`: what is on the chain then."""

    abi: tuple[dict[str, Any], ...]
    bytecode: bytes
    deployed: bytes


@functools.cache
def artifact() -> Artifact:
    """Of this version. Raises ConfigurationError."""
    packaged = Path(__file__).parent / "artifact"
    folder = packaged if packaged.is_dir() else Path(__file__).parents[2] / "contracts" / "artifact"
    try:
        found = json.loads((folder / _NAME).read_text())
        return Artifact(
            tuple(found["abi"]),
            bytes.fromhex(found["bytecode"].removeprefix("0x")),
            bytes.fromhex(found["deployedBytecode"].removeprefix("0x")),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{folder / _NAME}: not the artefact of the contract") from error


@dataclass(frozen=True, slots=True)
class Registry:
    """One deployment, and our namespace in it. `admin`: who registered it, 20 bytes; `ca_id`: 32."""

    chain_id: int
    address: bytes
    ca_id: bytes
    admin: bytes

    @property
    def namespace(self) -> bytes:
        """keccak256(abi.encode(ca_id, admin)), 32 bytes."""
        return bytes(Web3.keccak(self.ca_id + self.admin.rjust(32, b"\0")))

    @property
    def target(self) -> bytes:
        """32 bytes that name chain, contract and namespace."""
        place = self.chain_id.to_bytes(32, "big") + self.address
        return bytes(Web3.keccak(place + self.namespace))

    def anchor(self, head: Head, tombstones: tuple[bytes, ...]) -> SignableMessage:
        """What the log key signs."""
        message = {
            "namespace": self.namespace,
            "head": dict(zip((name for name, _ in _HEAD), head_fields(head), strict=True)),
            "tombstones": list(tombstones),
        }
        return encode_typed_data(full_message=self.typed("Anchor", message))

    def typed(self, name: str, message: Mapping[str, object]) -> dict[str, Any]:
        """Typed data of this deployment."""
        inner = (kind for _, kind in _TYPES[name] if kind in _TYPES)
        types = {used: _TYPES[used] for used in (name, *inner)}
        return {
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ]
            }
            | {
                used: [{"name": field, "type": kind} for field, kind in fields]
                for used, fields in types.items()
            },
            "primaryType": name,
            "domain": {
                "name": "attestca",
                "version": "1",
                "chainId": self.chain_id,
                "verifyingContract": checksum(self.address),
            },
            "message": message,
        }


def head_fields(head: Head) -> tuple[int, bytes, int, bytes, bytes, int]:
    """A head as the contract takes it."""
    return (
        head.size,
        head.root,
        head.revocation_count,
        head.revocation_root,
        head.crls_digest,
        head.time,
    )


def read_head(fields: tuple[int, bytes, int, bytes, bytes, int]) -> Head:
    """A head as the contract gives it; the empty one before the first anchor."""
    size, root, count, revocations, crls, time = fields
    return Head(size, root, count, revocations, crls, time) if time else EMPTY_HEAD


def checksum(address: bytes) -> Any:  # noqa: ANN401 - a NewType of a package that web3 brings
    """An address as text, with the capitals of EIP-55."""
    return Web3.to_checksum_address(address)


def address_bytes(text: str) -> bytes:
    """The 20 bytes of an address that web3 gave."""
    return bytes.fromhex(text.removeprefix("0x"))


def parse_address(text: str, what: str) -> bytes:
    """20 bytes. Where it has capitals they are its checksum (EIP-55). Raises ConfigurationError, which names `what`."""
    digits = text.removeprefix("0x")
    is_mixed = digits not in {digits.lower(), digits.upper()}
    if not Web3.is_address(text) or (is_mixed and not Web3.is_checksum_address(text)):
        raise ConfigurationError(f"{what}: not an address, or one with a typing error")
    return address_bytes(text)


@functools.cache
def codec() -> type[Contract]:
    """What encodes calls of the registry."""
    abi: Any = artifact().abi
    made: type[Contract] = Web3().eth.contract(address=None, abi=abi)
    return made


@functools.cache
def error_selectors() -> Mapping[str, str]:
    """Name of each of the registry's errors -> 0x and the four bytes that it begins with."""
    errors = (one for one in artifact().abi if one["type"] == "error")
    return {one["name"]: Web3.keccak(text=_signature(one))[:4].to_0x_hex() for one in errors}


def _signature(error: Mapping[str, Any]) -> str:
    return f"{error['name']}({','.join(field['type'] for field in error['inputs'])})"
