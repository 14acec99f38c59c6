# SPDX-License-Identifier: Apache-2.0
"""R-40, the log's half: the sequencer is killed (-9) at every step; nothing is lost, nothing twice, no two histories.

A step is a statement, a commit, a signature or a write of the witness, so a new one is a new case by itself. Every
checkpoint that was ever signed, whoever died before it was published, is of a tree that the last one begins with.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attestca_client.protocol import EMPTY_TREE, is_consistent
from ca import audit, merkle
from ca.sequencing import Sequencer
from ca.signers.log import FileWitness
from ca.store import log
from ca.store.database import Database
from ca.store.sql import SqlStore
from tests import records
from tests.dying_sequencer import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from ca.note import Checkpoint

ROOT = Path(__file__).parents[2]
EACH = 100  # entries between two deaths: tiles become full on the way


@pytest.fixture(scope="module")
def sequencer() -> Iterator[subprocess.Popen[str]]:
    """The process whose children die."""
    program = [sys.executable, "-m", "tests.dying_sequencer"]
    with subprocess.Popen(  # noqa: S603 - our own
        program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def run(process: subprocess.Popen[str], url: str, folder: Path, step: int) -> dict[str, int]:
    assert process.stdin is not None
    assert process.stdout is not None
    order = {"database": url, "folder": str(folder), "step": step}
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    ended: dict[str, int] = json.loads(process.stdout.readline())
    return ended


def entries(first: int) -> list[audit.Entry]:
    return [
        audit.Revocation(records.NOW, number, "key", records.digest(f"{number}"), "unspecified")
        for number in range(first, first + EACH)
    ]


def everything(connection: Connection, size: int) -> list[audit.Entry | audit.Unknown]:
    found: list[audit.Entry | audit.Unknown] = []
    for number in range(-(-size // merkle.WIDTH)):
        width = merkle.tile_width(0, number, size)
        bundle = log.bundle(connection, number, width)
        assert bundle is not None
        found += map(audit.decode, merkle.decode_bundle(bundle))
    return found


async def test_killed_at_every_step(
    database_url: str, tmp_path: Path, sequencer: subprocess.Popen[str]
) -> None:
    database = Database(database_url)
    written: list[audit.Entry] = []

    async def more() -> None:
        new = entries(len(written))
        await database.write(log.append_all, new)
        written.extend(new)

    try:
        await more()
        step = 1
        while True:
            ended = await asyncio.to_thread(run, sequencer, database_url, tmp_path, step)
            if ended["status"] == 0:
                break
            assert ended == {"status": -signal.SIGKILL, "steps": 0}
            await remembered(database, FileWitness(tmp_path / "checkpoint"))
            step += 1
            await more()
        assert 12 < ended["steps"] < step  # so it died at each of them
        newest = await database.read(log.checkpoint)
        assert newest is not None
        assert newest.note is not None
        checkpoint = KEY.verifier.open(newest.note)
        assert checkpoint.size == newest.size == len(written)
        logged = await database.read(everything, checkpoint.size)
        assert sorted(logged, key=str) == sorted(written, key=str)
        await consistent(database, tmp_path, checkpoint)
    finally:
        await database.close()


async def remembered(database: Database, witness: FileWitness) -> None:
    """Whatever died where: nothing is published that the witness does not have."""
    newest = await database.read(log.checkpoint)
    if newest is not None:
        note = await witness.last()
        assert note is not None
        assert newest.size <= KEY.verifier.open(note).size


async def consistent(database: Database, folder: Path, newest: Checkpoint) -> None:
    """Every checkpoint that was signed is of the beginning of the newest tree."""
    notes = (folder / "signed").read_text().split()
    signed = [KEY.verifier.open(bytes.fromhex(note)) for note in notes]
    assert len({one.size for one in signed}) > 3

    def prove(connection: Connection, old: int) -> tuple[bytes, ...]:
        def read(level: int, number: int) -> bytes:
            width = merkle.tile_width(level, number, newest.size)
            return log.tile(connection, level, number, width) or b""

        return merkle.consistency_proof(read, old, newest.size)

    for one in signed:
        proof = await database.read(prove, one.size)
        assert is_consistent(one.size, newest.size, proof, one.root, newest.root)


async def test_replicas_at_once(database_url: str, tmp_path: Path) -> None:
    """Several processes' worth of sequencers and writers, each with connections and a witness of its own."""
    stores = [await SqlStore.open(database_url) for _ in range(3)]
    writer = Database(database_url)
    written = [entry for number in range(8) for entry in entries(number * EACH)]

    async def replica(number: int) -> None:
        witness = FileWitness(tmp_path / f"{number}")
        await witness.keep(KEY.sign(0, EMPTY_TREE))
        mine = Sequencer(stores[number].log, KEY, witness)
        for _ in range(20):
            await mine.run()

    async def write(part: list[audit.Entry]) -> None:
        for entry in part:
            await writer.write(log.append, entry)

    try:
        parts = (write(written[n * EACH : (n + 1) * EACH]) for n in range(8))
        await asyncio.gather(*parts, *(replica(number) for number in range(3)))
        await Sequencer(stores[0].log, KEY, FileWitness(tmp_path / "0")).run()
        newest = await stores[1].log.checkpoint()
        assert newest is not None
        assert newest.size == len(written)
        logged = await writer.read(everything, newest.size)
        assert sorted(logged, key=str) == sorted(written, key=str)
        for number in range(3):
            last = KEY.verifier.open((tmp_path / f"{number}").read_bytes())
            tree = await stores[2].log.tree(last.size)
            assert tree.signed_root == last.root
    finally:
        for store in stores:
            await store.close()
        await writer.close()
