# SPDX-License-Identifier: Apache-2.0
"""A process that forks for each line on stdin; the child runs the log's sequencer and kills itself (-9) at a step.

A line is JSON: the database, the folder of the witness, the time in seconds, and at which step to die (0: at none). A
step is a statement on its way to the database, a commit, a look at the lists, a signature, a write of the witness. What
the child signs is in the file `signed` before it does anything else. The answer is one line: the status of the child,
and how many steps it came through.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

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

KEY = LogKey("ca.example.org", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@dataclass(eq=False)
class Steps:
    fatal: int
    done: int = 0

    def __call__(self, *_: object) -> None:
        self.done += 1
        if self.done == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class WatchedKey(LogKey):
    signed: Path
    step: Steps

    def sign(self, head: Head) -> bytes:
        self.step()
        note = KEY.sign(head)
        with self.signed.open("a") as file:
            file.write(note.hex() + "\n")
        self.step()
        return note


@dataclass(frozen=True)
class WatchedWitness(FileWitness):
    step: Steps

    async def keep(self, note: bytes) -> None:
        self.step()
        await super().keep(note)
        self.step()


async def run(order: dict[str, str], steps: Steps) -> None:
    folder = Path(order["folder"])
    store = await SqlStore.open(order["database"])
    event.listen(Engine, "before_cursor_execute", steps)
    event.listen(Engine, "commit", steps)
    key = WatchedKey(KEY.name, KEY.key, folder / "signed", steps)
    witness = WatchedWitness(folder / "checkpoint", steps)
    if not witness.path.exists():
        files.replace(witness.path, KEY.sign(EMPTY_HEAD))  # as it comes with the key

    async def no_lists() -> tuple[()]:
        steps()
        return ()

    history = TreeHistory(store.log)
    now = datetime.fromtimestamp(int(order["now"]), UTC)
    await Sequencer(store.log, key, witness, history, no_lists).run(now)
    await store.close()


def child(order: dict[str, str], answer: int) -> None:
    steps = Steps(int(order["step"]))
    try:
        asyncio.run(run(order, steps))
        os.write(answer, str(steps.done).encode())
    except BaseException:  # noqa: BLE001 - a forked process must not go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main() -> None:
    for line in sys.stdin:
        told, answer = os.pipe()
        pid = os.fork()
        if pid == 0:
            child(json.loads(line), answer)
        os.close(answer)
        with os.fdopen(told) as words:
            done = words.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sys.stdout.write(json.dumps({"status": status, "steps": int(done or 0)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
