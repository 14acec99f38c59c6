# SPDX-License-Identifier: Apache-2.0
"""One turn of the log: what waits gets its position, and the tree that is committed gets its checkpoint.

The order is what keeps the log from ever showing two histories, whatever dies in between:
  1 entries get their positions and the tree grows          commit; from here on nothing moves
  2 the committed tree begins with the tree that this key signed last (the witness says which that was)
  3 sign
  4 the witness keeps the new checkpoint                    durable, before anybody else has it
  5 publish                                                 commit; only a larger tree replaces a smaller one
Any number of replicas may run this. 1 lets one in at a time, and all of them sign the one tree of the one database.

Where the database lost what was signed (it was restored, or failed over to a copy that lagged), or another key may
sign, nothing is signed: LogHalted. Enrollment goes on, its entries wait. Nothing here is on the issuing path.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from attestca_client.protocol import EMPTY_TREE
from ca.errors import LogHalted
from ca.log_ports import LogCheckpoint
from ca.note import Checkpoint, LogKey, NoteError

if TYPE_CHECKING:
    from ca.log_ports import LogStore, Witness

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
        while await self.store.pending():
            placed = await self.store.sequence(BATCH)
            await self._publish()
            if placed < BATCH:
                return

    async def _publish(self) -> None:
        """Steps 2 to 5."""
        published = await self.store.checkpoint()
        if published is not None and published.key_sha256 != self.key_sha256:
            raise LogHalted(f"another key signs the log of this database, or none may; {_HOW}")
        last = await self._last()
        tree = await self.store.tree(last.size)
        if tree.signed_root != last.root:
            raise LogHalted(
                f"the database has not the {last.size} entries that were signed; {_HOW}"
            )
        if published is not None and published.note is not None and published.size == tree.size:
            return
        note = self.key.sign(tree.size, tree.root)
        await self.witness.keep(note)
        await self.store.publish(LogCheckpoint(self.key_sha256, tree.size, note))

    async def _last(self) -> Checkpoint:
        note = await self.witness.last()
        if note is None:
            return Checkpoint(self.key.name, 0, EMPTY_TREE)
        try:
            return self.key.verifier.open(note)
        except NoteError as error:
            raise LogHalted(f"the last checkpoint on file is damaged: {error}; {_HOW}") from error
