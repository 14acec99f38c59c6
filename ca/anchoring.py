# SPDX-License-Identifier: Apache-2.0
"""One turn of anchoring: what became of what was sent, and what is to be sent next.

An anchor is a published head, the proof that its tree begins with the tree anchored last, and tombstones of the
revocations that have none yet. Exactly one transaction of an anchor survives, whatever dies in between:
  1 what is on record is held against the chain: mined, gone again, refused, final
  2 the head on the chain is one that is on record here, or nothing more is done: ChainHalted
  3 an anchor that is in no block is sent again; where it is stuck, or rests on a block that is gone, another
    transaction with the same nonce takes its place
  4 otherwise a new one, if there is something to tell or the heartbeat is due: recorded, then sent
Only the `finalized` height makes an anchor final. What a reorganisation took away is open again, and 3 sees to it.
Several replicas may run this with one database: the record of one counts, and all send the same bytes.

Nothing here is on the issuing path: a chain that is down delays anchors and stops nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from attestca_client.protocol.checkpoint import EMPTY_HEAD
from ca.errors import AnchorRefused, ChainHalted, Unavailable
from ca.ledger_ports import Anchor, Fees, Mark, NewAnchor, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime

    from attestca_client.protocol.checkpoint import Head
    from ca.ledger_ports import (
        AnchorRecord,
        AnchorStore,
        Ledger,
        Mined,
        Progress,
        Standing,
    )

_OUTBID: Final = (9, 8)  # nodes want a tenth more of a replacement
_SEE: Final = "see docs/chain.md, Recovery"


class Step(StrEnum):
    """What a turn did."""

    IDLE = "idle"  # nothing to tell
    SENT = "sent"
    WAITING = "waiting"  # for a block; sent once more
    REPLACED = "replaced"  # by a transaction that pays more, or rests on what is there now
    EXPENSIVE = "expensive"  # the chain asks for more than the cap
    DROPPED = "dropped"  # it will never be mined; the next turn makes another
    OVERTAKEN = "overtaken"  # by another replica


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decided.

    Attributes:
        heartbeat: the newest head is anchored at least so often.
        max_fee: wei, the most that a unit of gas may cost.
        batch: tombstones in one transaction.
        patience: a transaction that is in no block for so long is replaced.
    """

    heartbeat: timedelta
    max_fee: int
    batch: int = 200
    patience: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn saw and did.

    Attributes:
        anchored: the head on the chain when it began, final or not; final: the newest that is.
        pending: revocations of the newest head that have no tombstone on its way.
        gone: anchors that a reorganisation took out of their block.
    """

    step: Step
    anchored: Head
    final: Head | None
    pending: int
    gone: int


@dataclass(frozen=True, slots=True)
class Anchorer:
    """Who anchors. `newest`: the head of the newest published checkpoint; None before the first."""

    store: AnchorStore
    ledger: Ledger
    newest: Callable[[], Awaitable[Head | None]]
    rules: Rules

    async def turn(self, now: datetime) -> Turn:
        """Steps 1 to 4. Raises ChainHalted, AnchorRefused, LogHalted, Unavailable."""
        gone = await self._settle(await self.progress())
        standing, progress = await self.ledger.standing(), await self.progress()
        await self._check(standing, progress)
        unmined = [one for one in progress.unsettled if one.state is State.OPEN]
        newest = await self.newest() or EMPTY_HEAD
        if unmined:
            step = await self._push(unmined[0], standing, now)
        else:
            step = await self._begin(newest, standing, progress, now)
        final = progress.final.head if progress.final else None
        pending = max(0, newest.revocation_count - (await self.progress()).mark.count)
        return Turn(step, standing.head, final, pending, gone)

    async def progress(self) -> Progress:
        """What is on record."""
        return await self.store.progress(self.ledger.target)

    # 1

    async def _settle(self, progress: Progress) -> int:
        """Returns how many anchors are in the block no more in which they were."""
        gone = 0
        final = await self.ledger.finalized() if progress.unsettled else 0
        for record in progress.unsettled:
            found = await self._find(record)
            state = await self._state(record, found, final)
            block = found.block if found else None
            if (state, block) != (record.state, record.block):
                await self.store.settle(self.ledger.target, record.number, state, block)
                gone += record.state is State.MINED and block != record.block
        return gone

    async def _find(self, record: AnchorRecord, *, surely: bool = False) -> Mined | None:
        for transaction in reversed(record.transactions):
            found = await self.ledger.mined(transaction.hash, surely=surely)
            if found is not None:
                return found
        return None

    async def _state(self, record: AnchorRecord, found: Mined | None, final: int) -> State:
        if found is None:
            return State.OPEN
        if found.head != record.head:
            return State.DROPPED
        block = found.block
        if block.number <= final and await self.ledger.block_hash(block.number) == block.hash:
            return State.FINAL
        return State.MINED

    # 2

    async def _check(self, standing: Standing, progress: Progress) -> None:
        """Raises ChainHalted unless the head on the chain is ours."""
        mined = (one.block.number for one in progress.unsettled if one.block)
        if max(mined, default=0) > standing.block.number:
            raise Unavailable("the chain's nodes lag behind what they said before")
        head, final = standing.head, progress.final
        if final is not None and head.time < final.head.time:
            raise ChainHalted(
                f"the chain has the head of {head.time}, and not that of {final.head.time} which was final; {_SEE}"
            )
        if head == EMPTY_HEAD or await self.store.is_ours(self.ledger.target, head):
            return
        growth = await self.store.growth(head.size, head.size)
        if growth is None or growth.old_root != head.root:
            raise ChainHalted(
                f"the chain has a head of {head.size} entries that are not those of our log: the key that signs anchors"
                f" is in other hands, or this database has lost entries; {_SEE}"
            )
        raise ChainHalted(
            f"the chain has a head of our log, {head.size} entries at {head.time}, that was not anchored from here: the"
            f" key that signs anchors is in other hands, or this database was restored; {_SEE}"
        )

    # 3

    async def _push(self, record: AnchorRecord, standing: Standing, now: datetime) -> Step:
        if record.nonce != standing.nonce or record.head.time <= standing.head.time:
            # Surely: what is dropped stays so, and one node that denies a receipt must not make a second anchor.
            mined_since = await self._find(record, surely=True) is not None
            return Step.WAITING if mined_since else await self._drop(record)
        last = record.transactions[-1]
        fits = last.base_size == standing.head.size
        is_payable = last.fees.max_fee >= standing.base_fee
        if fits and is_payable and now < record.sent_at + self.rules.patience:
            await self.ledger.send(last.raw)
            return Step.WAITING
        fees = await self._fees(standing)
        if fees is None:
            if fits and is_payable:
                await self.ledger.send(last.raw)
            return Step.EXPENSIVE
        anchor = await self._anchor(record.head, record.tombstones, standing)
        try:
            transaction = await self.ledger.sign(anchor, standing, fees)
        except AnchorRefused:
            if await self._find(record, surely=True) is not None:
                return Step.WAITING  # it was mined meanwhile
            await self._drop(record)
            raise
        if not await self.store.replace(self.ledger.target, record, transaction, now):
            return Step.OVERTAKEN
        await self.ledger.send(transaction.raw)
        return Step.REPLACED

    async def _drop(self, record: AnchorRecord) -> Step:
        await self.store.settle(self.ledger.target, record.number, State.DROPPED, None)
        return Step.DROPPED

    # 4

    async def _begin(
        self, newest: Head, standing: Standing, progress: Progress, now: datetime
    ) -> Step:
        # A head of this second may still get a larger one of the same time, which could not be anchored behind it.
        if not standing.head.time < newest.time < int(now.timestamp()):
            return Step.IDLE
        mark = progress.mark
        limit = min(self.rules.batch, standing.left)
        revoked = await self.store.revoked_after(mark.position, newest.size, limit)
        if not revoked and not self._is_due(newest, standing.head):
            return Step.IDLE
        fees = await self._fees(standing)
        if fees is None:
            return Step.EXPENSIVE
        handles = tuple(handle for _, handle in revoked)
        anchor = await self._anchor(newest, handles, standing)
        try:
            transaction = await self.ledger.sign(anchor, standing, fees)
        except AnchorRefused:
            if (await self.progress()).number != progress.number:
                return Step.OVERTAKEN
            raise
        new = NewAnchor(
            number=progress.number + 1,
            nonce=standing.nonce,
            head=newest,
            tombstones=handles,
            before=mark,
            after=Mark(mark.count + len(revoked), revoked[-1][0]) if revoked else mark,
            transaction=transaction,
        )
        if not await self.store.record(self.ledger.target, new, now):
            return Step.OVERTAKEN
        await self.ledger.send(transaction.raw)
        return Step.SENT

    def _is_due(self, newest: Head, anchored: Head) -> bool:
        """Whether it is time for the heartbeat, or something was revoked that the head on the chain does not know."""
        age = timedelta(seconds=newest.time - anchored.time)
        return newest.revocation_count > anchored.revocation_count or age >= self.rules.heartbeat

    async def _anchor(
        self, head: Head, tombstones: tuple[bytes, ...], standing: Standing
    ) -> Anchor:
        """With the proof from what is on the chain now. Raises ChainHalted where that is not of our log."""
        before = standing.head
        growth = await self.store.growth(before.size, head.size)
        if growth is None or growth.old_root != before.root:
            raise ChainHalted(f"the tree anchored last is not the beginning of our log; {_SEE}")
        return Anchor(head, growth.proof, tombstones)

    async def _fees(self, standing: Standing) -> Fees | None:
        """What to pay now; None where it is above the cap. More than any transaction of the same nonce pays."""
        earlier = await self.store.fees_of(self.ledger.target, standing.nonce)
        tip = max(standing.tip, _above(fees.tip for fees in earlier))
        cap = self.rules.max_fee
        if standing.base_fee + tip > cap:
            return None
        most = min(cap, 2 * standing.base_fee + tip)
        most = max(most, _above(fees.max_fee for fees in earlier))
        return None if most > cap else Fees(most, tip)


def _above(amounts: Iterable[int]) -> int:
    """An eighth more than the highest of them."""
    times, of = _OUTBID
    return -(-max(amounts, default=0) * times // of)
