# SPDX-License-Identifier: Apache-2.0
"""One turn of the log: what waits gets its position, and the tree that is committed gets its checkpoint.

The order is what keeps the log from ever showing two histories, whatever dies in between:
  1 entries get their positions and the tree grows          commit; from here on nothing moves
  2 the committed tree begins with the tree that this key signed last, and with the one that is published; so does
    what its entries revoke
  3 sign
  4 the witness keeps the new checkpoint                    durable, before anybody else has it
  5 publish                                                 commit; only a larger tree replaces a smaller one
Any number of replicas may run this. 1 lets one in at a time, and all of them sign the one tree of the one database.
Each has a witness of its own perhaps, so on every turn, whether anything waits or not, a published checkpoint that is
larger or later than what the witness has is held against the tree, and kept: what one replica signed all of them
remember.

Where nothing waits, the tree is signed again once a minute, with the time, so that whoever has a checkpoint knows how
old it is. Time never goes back: a clock that is behind what was signed last signs that time again, and publishes no
tree twice until it has caught up.

Where the database lost what was signed (it was restored, or failed over to a copy that lagged), or another key may
sign, nothing is signed: LogHalted. Enrollment goes on, its entries wait. Nothing here is on the issuing path.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from attestca_client.protocol import crls_digest
from attestca_client.protocol.checkpoint import Head, NoteError
from ca.errors import LogHalted
from ca.log_ports import LogCheckpoint
from ca.tree_history import with_revoked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime

    from attestca_client.protocol.checkpoint import Checkpoint
    from ca.log_ports import LogStore, LogTree, Witness
    from ca.note import LogKey
    from ca.ports import ServedList
    from ca.tree_history import TreeHistory

BATCH: Final = 1024  # entries per transaction
HEARTBEAT: Final = 60  # seconds
_HOW: Final = "see `attestca log --help`"


@dataclass(frozen=True, slots=True)
class Sequencer:
    """Who runs the log on this replica.

    `history`: its revocation trees. `lists`: the revocation lists that are served now.
    """

    store: LogStore
    key: LogKey
    witness: Witness
    history: TreeHistory
    lists: Callable[[], Awaitable[Iterable[ServedList]]]

    @property
    def key_sha256(self) -> bytes:
        """What the database knows the key by."""
        return sha256(self.key.verifier.key).digest()

    async def run(self, now: datetime) -> None:
        """Place everything that waits and publish it, batch by batch. Raises LogHalted, Unavailable."""
        time = int(now.timestamp())
        _, published = await self._seen()
        while await self.store.pending():
            placed = await self.store.sequence(BATCH)
            await self._publish(time)
            if placed < BATCH:
                return
        if published is None or time >= published.time + HEARTBEAT:
            await self._publish(time)

    async def _publish(self, time: int) -> None:
        """Steps 2 to 5."""
        last, published = await self._seen()
        tree = await self._tree(last)
        if published is not None:
            if tree.size == published.size and time < published.time + HEARTBEAT:
                return
            time = max(time, published.time)
        head = await self._head(last, tree, max(time, last.time))
        must_follow(last, head)
        note = self.key.sign(head)
        await self.witness.keep(note)
        await self.store.publish(LogCheckpoint(self.key_sha256, head.size, head.time, note))

    async def _head(self, last: Head, tree: LogTree, time: int) -> Head:
        """Of the committed tree, which begins with that of `last`."""
        revoked = await with_revoked(await self.history.tree(last), tree.revoked)
        await self.history.keep(tree.size, revoked)
        lists = {one.url: one.sha256 for one in await self.lists()}
        return Head(tree.size, tree.root, revoked.count, revoked.root, crls_digest(lists), time)

    async def _seen(self) -> tuple[Head, Head | None]:
        """The largest tree that this key is known to have signed, which the witness has then; the published one."""
        bound = await self.store.checkpoint()
        if bound is not None and bound.key_sha256 != self.key_sha256:
            raise LogHalted(f"another key signs the log of this database, or none may; {_HOW}")
        note = await self.witness.last()
        if note is None:
            raise LogHalted(
                "the folder has the key and no checkpoint beside it, so nobody knows what was signed: copy"
                f" log-*.checkpoint from another replica; {_HOW}"
            )
        last = self._opened(note, "on file").head
        if bound is None or bound.note is None:
            return last, None
        published = self._opened(bound.note, "in the database").head
        if published != last:
            await self._tree(last)
            await self._tree(published)
        if (published.size, published.time) <= (last.size, last.time):
            return last, published
        await self.witness.keep(bound.note)
        return published, published

    async def _tree(self, signed: Head) -> LogTree:
        """The committed tree. Raises LogHalted where it, or what it revokes, does not begin with what was signed."""
        tree = await self.store.tree(signed.size)
        if tree.signed_root != signed.root:
            raise LogHalted(
                f"the database has not the {signed.size} entries that were signed; {_HOW}"
            )
        await self.history.tree(signed)
        return tree

    def _opened(self, note: bytes, where: str) -> Checkpoint:
        try:
            return self.key.verifier.open(note)
        except NoteError as error:
            raise LogHalted(f"the last checkpoint {where} is damaged: {error}; {_HOW}") from error


def must_follow(last: Head, new: Head) -> None:
    """The last look before a signature, whatever was computed before. Raises LogHalted.

    Nothing shrinks and time does not go back; what did not grow is the same; every new revocation is a new entry. The
    contract of an anchor on a chain asks for the same.
    """
    shrunk = (
        new.size < last.size or new.revocation_count < last.revocation_count or new.time < last.time
    )
    changed = (new.size == last.size and new.root != last.root) or (
        new.revocation_count == last.revocation_count
        and new.revocation_root != last.revocation_root
    )
    outgrown = new.revocation_count - last.revocation_count > new.size - last.size
    if shrunk or changed or outgrown:
        raise LogHalted(f"what would be signed does not follow what was signed last; {_HOW}")
