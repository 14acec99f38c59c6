# SPDX-License-Identifier: Apache-2.0
"""One turn of the log: what waits gets its position, and the tree that is committed gets its checkpoint.

The order is what keeps the log from ever showing two histories, whatever dies in between:
  1 entries get their positions and the tree grows          commit; from here on nothing moves
  2 the committed tree begins with the tree that this key signed last, and with the one that is published
  3 sign
  4 the witness keeps the new checkpoint                    durable, before anybody else has it
  5 publish                                                 commit; only a larger tree replaces a smaller one
Any number of replicas may run this. 1 lets one in at a time, and all of them sign the one tree of the one database.
Each has a witness of its own perhaps, so on every turn, whether anything waits or not, a published checkpoint that is
larger than what the witness has is held against the tree, and kept: what one replica signed all of them remember.

Where the database lost what was signed (it was restored, or failed over to a copy that lagged), or another key may
sign, nothing is signed: LogHalted. Enrollment goes on, its entries wait. Nothing here is on the issuing path.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from ca.errors import LogHalted
from ca.log_ports import LogCheckpoint
from ca.note import NoteError

if TYPE_CHECKING:
    from ca.log_ports import LogStore, LogTree, Witness
    from ca.note import Checkpoint, LogKey

BATCH: Final = 1024  # entries per transaction
_HOW: Final = "see `attestca log --help`"


@dataclass(frozen=True, slots=True)
class Sequencer:
    """Who runs the log on this replica."""

    store: LogStore
    key: LogKey
    witness: Witness

    @property
    def key_sha256(self) -> bytes:
        """What the database knows the key by."""
        return sha256(self.key.verifier.key).digest()

    async def run(self) -> None:
        """Place everything that waits and publish it, batch by batch. Raises LogHalted, Unavailable."""
        await self._seen()
        while await self.store.pending():
            placed = await self.store.sequence(BATCH)
            await self._publish()
            if placed < BATCH:
                return

    async def _publish(self) -> None:
        """Steps 2 to 5."""
        last, published = await self._seen()
        tree = await self._tree(last)
        if published is not None and published.size == tree.size:
            return
        note = self.key.sign(tree.size, tree.root)
        await self.witness.keep(note)
        await self.store.publish(LogCheckpoint(self.key_sha256, tree.size, note))

    async def _seen(self) -> tuple[Checkpoint, Checkpoint | None]:
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
        last = self._opened(note, "on file")
        if bound is None or bound.note is None:
            return last, None
        published = self._opened(bound.note, "in the database")
        if published != last:
            await self._tree(last)
            await self._tree(published)
        if published.size <= last.size:
            return last, published
        await self.witness.keep(bound.note)
        return published, published

    async def _tree(self, signed: Checkpoint) -> LogTree:
        """The committed tree. Raises LogHalted where it does not begin with what was signed."""
        tree = await self.store.tree(signed.size)
        if tree.signed_root != signed.root:
            raise LogHalted(
                f"the database has not the {signed.size} entries that were signed; {_HOW}"
            )
        return tree

    def _opened(self, note: bytes, where: str) -> Checkpoint:
        try:
            return self.key.verifier.open(note)
        except NoteError as error:
            raise LogHalted(f"the last checkpoint {where} is damaged: {error}; {_HOW}") from error
