# SPDX-License-Identifier: Apache-2.0
"""A process whose children run the log's sequencer, and die at a step (see `tests.dying`).

A line names the database, the folder of the witness, the time in seconds, and the number of the step. A step is a
statement on its way to the database, a commit, a look at the lists, a signature, a write of the witness. What the child
signs is in the file `signed` before it does anything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy.dialects.postgresql.asyncpg  # noqa: F401 - loaded by name later; once is enough
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, event

from attestca_client.protocol.checkpoint import EMPTY_HEAD, Head
from ca.note import LogKey
from ca.sequencing import Sequencer
from ca.signers import files
from ca.signers.log import FileWitness
from ca.store.sql import SqlStore
from ca.tree_history import TreeHistory
from tests import dying

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = LogKey("ca.example.org", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@dataclass(frozen=True)
class WatchedKey(LogKey):
    signed: Path
    step: Callable[[], None]

    def sign(self, head: Head) -> bytes:
        self.step()
        note = KEY.sign(head)
        with self.signed.open("a") as file:
            file.write(note.hex() + "\n")
        self.step()
        return note


@dataclass(frozen=True)
class WatchedWitness(FileWitness):
    step: Callable[[], None]

    async def keep(self, note: bytes) -> None:
        self.step()
        await super().keep(note)
        self.step()


async def run(order: dict[str, str], steps: dying.Steps) -> None:
    folder = Path(order["folder"])

    def step(*_: object) -> None:
        steps(str(len(steps.done) + 1))

    store = await SqlStore.open(order["database"])
    event.listen(Engine, "before_cursor_execute", step)
    event.listen(Engine, "commit", step)
    key = WatchedKey(KEY.name, KEY.key, folder / "signed", step)
    witness = WatchedWitness(folder / "checkpoint", step)
    if not witness.path.exists():
        files.replace(witness.path, KEY.sign(EMPTY_HEAD))  # as it comes with the key

    async def no_lists() -> tuple[()]:
        step()
        return ()

    history = TreeHistory(store.log)
    now = datetime.fromtimestamp(int(order["now"]), UTC)
    await Sequencer(store.log, key, witness, history, no_lists).run(now)
    await store.close()


if __name__ == "__main__":
    dying.serve(run)
