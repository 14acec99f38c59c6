# SPDX-License-Identifier: Apache-2.0
"""What anchoring needs of the world: Ledger, AnchorStore, and the records that cross those lines.

Records are plain frozen data. Amounts are in wei, times in seconds since 1970-01-01T00:00:00Z as the chain has them,
hashes 32 bytes, addresses 20. Every method may raise `ca.errors.Unavailable`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from attestca_client.protocol.checkpoint import Head


@dataclass(frozen=True, slots=True)
class Block:
    """One block, by its height and its hash: after a reorganisation another block has the height."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """Where our namespace stands in the newest block that the nodes agree on.

    Attributes:
        block: that block.
        base_fee: of one unit of gas in it.
        tip: what is usually paid on top.
        nonce: of the next transaction of the account that pays.
        head: what was anchored last; the empty head before the first anchor.
        log_key: whose signature the contract takes.
        left: tombstones that the log key may still write on this day.
    """

    block: Block
    base_fee: int
    tip: int
    nonce: int
    head: Head
    log_key: bytes
    left: int


@dataclass(frozen=True, slots=True)
class Fees:
    """What one unit of gas may cost at most, and how much of that goes to who makes the block (EIP-1559)."""

    max_fee: int
    tip: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """What is to be anchored.

    Attributes:
        head: a published one.
        proof: that its tree begins with the tree anchored last (RFC 9162, section 2.1.4).
        tombstones: handles whose revocation the chain is to record for ever.
    """

    head: Head
    proof: tuple[bytes, ...]
    tombstones: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """Signed and ready to be sent, again and again. `base_size`: of the tree that its proof begins with."""

    raw: bytes
    hash: bytes
    fees: Fees
    base_size: int


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in a block. `head`: what it anchored; None where the contract refused it."""

    block: Block
    head: Head | None


class State(StrEnum):
    """What became of an anchor."""

    OPEN = "open"  # recorded; sent perhaps, and in no block
    MINED = "mined"  # in a block that may still go away
    FINAL = "final"
    DROPPED = "dropped"  # it never will be: what it was to say is said by a later one


@dataclass(frozen=True, slots=True)
class Mark:
    """How far revocations have their tombstones: the first `count` of the log, the last at this position in it."""

    count: int
    position: int


NOTHING: Final = Mark(0, -1)


@dataclass(frozen=True, slots=True)
class NewAnchor:
    """An intent, recorded before anything is sent.

    `number`: one above that of the anchor before. `before` and `after`: the marks without it and with it.
    """

    number: int
    nonce: int
    head: Head
    tombstones: tuple[bytes, ...]
    before: Mark
    after: Mark
    transaction: Transaction


@dataclass(frozen=True, slots=True)
class AnchorRecord:
    """An anchor that was recorded. `transactions`: one, and those that replaced it; all have the one nonce."""

    number: int
    state: State
    nonce: int
    head: Head
    tombstones: tuple[bytes, ...]
    transactions: tuple[Transaction, ...]
    created_at: datetime
    sent_at: datetime  # the newest of them
    block: Block | None


@dataclass(frozen=True, slots=True)
class Progress:
    """What the database knows of the anchors of one namespace.

    Attributes:
        number: of the newest anchor; 0 before the first.
        mark: how far tombstones are sent.
        unsettled: anchors that are open or not final, the oldest first.
        final: the newest that is.
    """

    number: int
    mark: Mark
    unsettled: tuple[AnchorRecord, ...]
    final: AnchorRecord | None


@dataclass(frozen=True, slots=True)
class Growth:
    """Our tree from one size to another: the root of the smaller, and the consistency proof."""

    old_root: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ChainHealth:
    """How anchoring is doing, as this process knows it.

    Attributes:
        final_time: of the head of the newest final anchor, seconds since 1970-01-01T00:00:00Z; None before the first.
        pending: revocations that have no tombstone on its way.
        expensive: gas costs more than the cap.
        failing: the last turn failed; halted: because of a head that is not ours.
        gone: anchors that a reorganisation took out of their block, since the process began.
    """

    final_time: int | None = None
    pending: int = 0
    expensive: bool = False
    failing: bool = False
    halted: bool = False
    gone: int = 0


class Ledger(Protocol):
    """A registry contract on a chain, and an account that pays for what is written there."""

    @property
    def target(self) -> bytes:
        """32 bytes that name chain, contract and namespace."""
        ...

    async def standing(self) -> Standing:
        """Of the newest block."""
        ...

    async def finalized(self) -> int:
        """Height up to which the chain is final."""
        ...

    async def block_hash(self, number: int) -> bytes | None:
        """Of the block that has this height now."""
        ...

    async def mined(self, transaction: bytes, *, surely: bool = False) -> Mined | None:
        """Where the transaction with this hash is; None if it is in no block.

        Nodes that are behind know less than others: then None too, or with `surely` Unavailable.
        """
        ...

    async def sign(self, anchor: Anchor, standing: Standing, fees: Fees) -> Transaction:
        """The next transaction, which the contract would take as it stands.

        Raises `ca.errors.AnchorRefused` where it would not, or where the key that it wants is not here.
        """
        ...

    async def send(self, raw: bytes) -> None:
        """Hand it to the nodes; a second time changes nothing. Raises Unavailable where no node takes it."""
        ...


class AnchorStore(Protocol):
    """What was anchored, in the database. Each method is one transaction."""

    async def progress(self, target: bytes) -> Progress:
        """Where it stands."""
        ...

    async def is_ours(self, target: bytes, head: Head) -> bool:
        """Whether this very head was recorded, whatever became of it."""
        ...

    async def growth(self, old: int, new: int) -> Growth | None:
        """Of the log; None where its tree has not `old` entries. Raises LogHalted."""
        ...

    async def revoked_after(
        self, position: int, size: int, limit: int
    ) -> tuple[tuple[int, bytes], ...]:
        """Position and handle of what the first `size` entries revoke behind that position, in their order."""
        ...

    async def record(self, target: bytes, new: NewAnchor, now: datetime) -> bool:
        """Keep an intent; False where another replica was first."""
        ...

    async def replace(
        self, target: bytes, record: AnchorRecord, transaction: Transaction, now: datetime
    ) -> bool:
        """Keep another transaction of an open anchor; False where another replica was first."""
        ...

    async def settle(self, target: bytes, number: int, state: State, block: Block | None) -> None:
        """What became of an anchor. Dropped: tombstones go on where they stood before it."""
        ...

    async def fees_of(self, target: bytes, nonce: int) -> Sequence[Fees]:
        """Of every transaction that was ever signed with this nonce."""
        ...
