# SPDX-License-Identifier: Apache-2.0
"""What the contract `AttestationRegistry` says of an authority and of a certificate's handles, as several nodes see it.

Two states are asked: that of the newest block which all nodes have as final, on which they must agree to the last byte,
and each node's newest one, where a revocation shows before it is final. A tombstone in any of them counts.

`status(bytes32,bytes32[])` is one call for the head and all handles; its encoding is written out here (the contract
ABI, static and dynamic types), so that nothing of a chain's libraries is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from attestca_client.checks import SourceError
from attestca_client.protocol.checkpoint import Head
from attestca_client.rpc import Reverted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attestca_client.protocol.trust import Deployment
    from attestca_client.rpc import Block, Node

STATUS: Final = bytes.fromhex("842bf911")  # status(bytes32,bytes32[])
NOT_REGISTERED: Final = bytes.fromhex("8cc00d16")  # NotRegistered(bytes32)
_WORD: Final = 32
_HEAD_WORDS: Final = 9  # the head's six, where the array is, block number and time


@dataclass(frozen=True, slots=True)
class Status:
    """What one call of `status` returned. `revoked`: of each handle when, seconds; 0 where it is not."""

    head: Head
    revoked: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Agreed:
    """The newest block that is final for all nodes, and the authority's head in it."""

    block: Block
    head: Head


@dataclass(frozen=True, slots=True)
class View:
    """What all nodes together say.

    Attributes:
        agreed: what they agree on; None where they do not, or one of them gave no answer.
        revoked: handle -> when, seconds, of those that any node has as revoked, final or not.
        fault: why nothing is agreed on; empty where it is.
    """

    agreed: Agreed | None
    revoked: dict[bytes, int]
    fault: str


def view(deployment: Deployment, nodes: Sequence[Node], handles: Sequence[bytes]) -> View:
    """Ask all nodes. A node that does not answer, or not for this chain, is a fault of the view; nothing is raised."""
    try:
        final = _common_block(deployment, nodes)
    except SourceError as error:
        return View(None, {}, str(error))
    revoked: dict[bytes, int] = {}
    answers: list[Status] = []
    faults: list[str] = []
    for node in nodes:
        try:
            answers.append(_status(node, deployment, handles, final.number))
            latest = _status(node, deployment, handles, "latest")
        except SourceError as error:
            faults.append(f"{node.name}: {error}")
            continue
        for status in (answers[-1], latest):
            revoked |= {
                one: when for one, when in zip(handles, status.revoked, strict=True) if when
            }
    if not faults and any(answer != answers[0] for answer in answers):
        faults.append(f"the nodes disagree about block {final.number}")
    return View(None if faults else Agreed(final, answers[0].head), revoked, "; ".join(faults))


def _common_block(deployment: Deployment, nodes: Sequence[Node]) -> Block:
    """The newest block that every node has as final. Raises SourceError, with the node's name."""
    lowest = min((_final(node, deployment) for node in nodes), key=lambda block: block.number)
    for node in nodes:
        if _named(node, lowest.number) != lowest:
            raise SourceError(f"the nodes disagree about block {lowest.number}")
    return lowest


def _final(node: Node, deployment: Deployment) -> Block:
    try:
        chain_id = node.chain_id()
    except SourceError as error:
        raise SourceError(f"{node.name}: {error}") from error
    if chain_id != deployment.chain_id:
        raise SourceError(f"{node.name}: follows chain {chain_id}, not {deployment.chain_id}")
    return _named(node, "finalized")


def _named(node: Node, which: int | str) -> Block:
    """A block. Raises SourceError, with the node's name."""
    try:
        return node.block(which)
    except SourceError as error:
        raise SourceError(f"{node.name}: {error}") from error


def _status(node: Node, deployment: Deployment, handles: Sequence[bytes], at: int | str) -> Status:
    call = encode_status(deployment.namespace, handles)
    try:
        return decode_status(node.call(deployment.contract, call, at), len(handles))
    except Reverted as error:
        known = error.data == NOT_REGISTERED + deployment.namespace
        raise SourceError(
            "the contract does not know the authority" if known else "the contract refused the call"
        ) from error


def encode_status(namespace: bytes, handles: Sequence[bytes]) -> bytes:
    """The call's data."""
    words = (namespace, _word(2 * _WORD), _word(len(handles)), *handles)
    return STATUS + b"".join(words)


def decode_status(data: bytes, count: int) -> Status:
    """What the call returned for `count` handles. Raises SourceError unless it is exactly that."""
    words = [data[at : at + _WORD] for at in range(0, len(data), _WORD)]
    numbers = [int.from_bytes(word, "big") for word in words]
    if len(data) != (_HEAD_WORDS + 1 + count) * _WORD:
        raise SourceError("the contract's answer has another length")
    small = (numbers[0], numbers[2], numbers[5], *numbers[_HEAD_WORDS + 1 :])
    if numbers[6] != _HEAD_WORDS * _WORD or numbers[_HEAD_WORDS] != count:
        raise SourceError("the contract's answer has another form")
    if any(number >> 64 for number in small):
        raise SourceError("the contract's answer has a number that is too large")
    head = Head(
        size=numbers[0],
        root=words[1],
        revocation_count=numbers[2],
        revocation_root=words[3],
        crls_digest=words[4],
        time=numbers[5],
    )
    return Status(head, tuple(numbers[_HEAD_WORDS + 1 :]))


def _word(number: int) -> bytes:
    return number.to_bytes(_WORD, "big")
