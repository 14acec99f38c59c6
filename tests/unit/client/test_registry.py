# SPDX-License-Identifier: Apache-2.0
"""The contract's ABI as it is written out in the client, against the artefact and a codec of other authors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3

from attestca_client import registry
from attestca_client.checks import SourceError
from attestca_client.protocol.checkpoint import Head

ARTIFACT = Path(__file__).parents[3] / "contracts" / "artifact" / "AttestationRegistry.json"
ABI: list[dict[str, Any]] = json.loads(ARTIFACT.read_text())["abi"]
HEAD = "(uint64,bytes32,uint64,bytes32,bytes32,uint64)"
RETURNS = [HEAD, "uint64[]", "uint256", "uint256"]

words = st.binary(min_size=32, max_size=32)
small = st.integers(0, 2**64 - 1)
heads = st.builds(Head, small, words, small, words, words, small)


def entry(kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in ABI if one["type"] == kind and one.get("name") == name)
    return found


def canonical(parameter: dict[str, Any]) -> str:
    if not parameter["type"].startswith("tuple"):
        return str(parameter["type"])
    inner = ",".join(map(canonical, parameter["components"]))
    return f"({inner}){parameter['type'].removeprefix('tuple')}"


def selector(found: dict[str, Any]) -> bytes:
    inputs = ",".join(map(canonical, found["inputs"]))
    return bytes(Web3.keccak(text=f"{found['name']}({inputs})")[:4])


def test_selectors_are_those_of_the_artefact() -> None:
    assert selector(entry("function", "status")) == registry.STATUS
    assert selector(entry("error", "NotRegistered")) == registry.NOT_REGISTERED


def test_status_returns_what_is_read() -> None:
    status = entry("function", "status")
    assert [canonical(one) for one in status["outputs"]] == RETURNS
    assert [one["name"] for one in status["outputs"][0]["components"]] == [
        *("size", "logRoot", "revocationCount", "revocationRoot", "crlDigest", "time")
    ]


@given(words, st.lists(words, max_size=20))
def test_a_call_is_encoded_as_others_do(namespace: bytes, handles: list[bytes]) -> None:
    data = registry.encode_status(namespace, handles)
    assert data == registry.STATUS + encode(["bytes32", "bytes32[]"], [namespace, handles])
    assert list(decode(["bytes32", "bytes32[]"], data[4:])) == [namespace, tuple(handles)]


def encoded(head: Head, revoked: list[int]) -> bytes:
    fields = (
        *(head.size, head.root, head.revocation_count, head.revocation_root),
        *(head.crls_digest, head.time),
    )
    return encode(RETURNS, [fields, revoked, 7, 8])


@given(heads, st.lists(small, max_size=20))
def test_an_answer_is_read_as_others_encode_it(head: Head, revoked: list[int]) -> None:
    found = registry.decode_status(encoded(head, revoked), len(revoked))
    assert (found.head, found.revoked) == (head, tuple(revoked))


GOOD = encoded(Head(1, b"a" * 32, 2, b"b" * 32, b"c" * 32, 3), [4, 5])


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"", 0),
        (GOOD, 1),
        (GOOD, 3),
        (GOOD[:-1], 2),
        (GOOD + b"\0", 2),
        (GOOD[:223] + b"\1" + GOOD[224:], 2),  # where the array is
        (GOOD[:319] + b"\3" + GOOD[320:], 2),  # how long it says it is
        (b"\1" + GOOD[1:], 2),  # a size of more than 64 bits
        (GOOD[:-32] + b"\1" + GOOD[-31:], 2),  # a time likewise
    ],
    ids=["nothing", "fewer", "more", "cut", "longer", "offset", "length", "size", "time"],
)
def test_an_answer_that_is_none(data: bytes, count: int) -> None:
    with pytest.raises(SourceError):
        registry.decode_status(data, count)
