# SPDX-License-Identifier: Apache-2.0
"""What the contract `AttestationRegistry` says of an authority and of a certificate's handles, as several nodes see it.

**The rule.** What is agreed on is the contract's state in one block, the newest that all nodes have, or a few before
it: its hash and the contract's answer must be the same from each. That block need not be final, for on some chains the
final one is further behind than nodes keep state (some 128 blocks). Of the newest block that is final for all, only
the header is asked. It must be the same from each, and its time says how old the view is. The state is never older
than that block.

Why this is as safe as the state of the final block:
- The agreed block builds on the final one, and no function of the contract takes a tombstone back. So what was revoked
  there is revoked here, whatever happens to the blocks between; and the caller refuses a final block that is too old.
- A tombstone in the newest state of any node counts, wherever the others are and though a reorganisation may take it
  away. One node that lies can choose which of the other's blocks is agreed on, and not hide what that node knows.
- A head can be lost in a reorganisation. What it shows is that the authority's log key signed it for this contract at
  its time, and that stays true. Two heads that contradict each other stay evidence, final or not.
- Whoever can replace blocks that are not final can keep a tombstone out of them, and carry there the anchor that the
  authority signed after it. Such a head becomes final as well, so waiting for that would not help.

With one node, all of this is what its operator says.

`status(bytes32,bytes32[])` is one call for the head and all handles; its encoding is written out here (the contract
ABI, static and dynamic types), so that nothing of a chain's libraries is needed. All nodes are asked at the same time,
and all of it ends after `SECONDS`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from attestca_client.checks import SourceError
from attestca_client.protocol.checkpoint import Head
from attestca_client.rpc import Reverted
from attestca_client.runtime import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attestca_client.protocol.trust import Deployment
    from attestca_client.rpc import Block, Node

T = TypeVar("T")

SECONDS: Final = 30.0  # for all nodes together
STATUS: Final = bytes.fromhex("842bf911")  # status(bytes32,bytes32[])
NOT_REGISTERED: Final = bytes.fromhex("8cc00d16")  # NotRegistered(bytes32)
# Blocks before the newest that all have: the tip may be replaced, and one address may be of several machines, not all
# of which have it yet.
_MARGIN: Final = 8
_WORD: Final = 32
_HEAD_WORDS: Final = 9  # the head's six, where the array is, block number and time


@dataclass(frozen=True, slots=True)
class Status:
    """What one call of `status` returned. `revoked`: of each handle when, seconds; 0 where it is not."""

    head: Head
    revoked: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Agreed:
    """What all nodes say alike.

    Attributes:
        block: whose state it is; final or not.
        final: the newest block that is final for all.
        head: the authority's, in `block`.
    """

    block: Block
    final: Block
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


@dataclass(frozen=True, slots=True)
class _Tip:
    """Where one node is, and its newest state."""

    final: Block
    newest: Block
    status: Status


@dataclass(frozen=True, slots=True)
class _State:
    """What one node says of the blocks that are to be agreed on."""

    final: Block
    block: Block
    status: Status


def view(deployment: Deployment, nodes: Sequence[Node], handles: Sequence[bytes]) -> View:
    """Ask all nodes. A node that does not answer, or not for this chain, is a fault of the view; nothing is raised."""
    deadline = SYSTEM.monotonic() + SECONDS
    nodes = [replace(node, deadline=deadline) for node in nodes]
    tips, faults = _ask_all(nodes, lambda node: _tip(node, deployment, handles))
    revoked = _revoked(handles, [tip.status for tip in tips])
    if faults:
        return View(None, revoked, "; ".join(faults))
    final = min((tip.final for tip in tips), key=lambda block: block.number)
    number = max(final.number, min(tip.newest.number for tip in tips) - _MARGIN)

    def state(node: Node) -> _State:
        status = _status(node, deployment, handles, number)
        return _State(node.block(final.number), node.block(number), status)

    states, faults = _ask_all(nodes, state)
    revoked |= _revoked(handles, [one.status for one in states])
    if any(one.final != final for one in states):
        faults.append(f"the nodes disagree about block {final.number}")
    elif any(one != states[0] for one in states):
        faults.append(f"the nodes disagree about block {number}")
    if faults:
        return View(None, revoked, "; ".join(faults))
    return View(Agreed(states[0].block, final, states[0].status.head), revoked, "")


def _ask_all(nodes: Sequence[Node], question: Callable[[Node], T]) -> tuple[list[T], list[str]]:
    """All at the same time: the answers, and of those that gave none why, with their names.

    A thread that is stuck where no deadline reaches, in the system's resolver, is left behind.
    """
    answers: dict[int, T] = {}
    faults: dict[int, str] = {}

    def ask(at: int, node: Node) -> None:
        try:
            answers[at] = question(node)
        except SourceError as error:
            faults[at] = str(error)

    threads = [threading.Thread(target=ask, args=asked, daemon=True) for asked in enumerate(nodes)]
    for thread in threads:
        thread.start()
    for thread, node in zip(threads, nodes, strict=True):
        thread.join(max(0.0, node.deadline - SYSTEM.monotonic()))
    given = dict(answers)
    missing = [at for at in range(len(nodes)) if at not in given]
    why = [f"{nodes[at].name}: {faults.get(at, 'no answer in time')}" for at in missing]
    return [given[at] for at in sorted(given)], why


def _tip(node: Node, deployment: Deployment, handles: Sequence[bytes]) -> _Tip:
    chain_id = node.chain_id()
    if chain_id != deployment.chain_id:
        raise SourceError(f"follows chain {chain_id}, not {deployment.chain_id}")
    final, newest = node.block("finalized"), node.block("latest")
    return _Tip(final, newest, _status(node, deployment, handles, "latest"))


def _revoked(handles: Sequence[bytes], said: Sequence[Status]) -> dict[bytes, int]:
    return {
        handle: when
        for status in said
        for handle, when in zip(handles, status.revoked, strict=True)
        if when
    }


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
