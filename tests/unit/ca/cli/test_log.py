# SPDX-License-Identifier: Apache-2.0
"""`attestca log key|adopt|rekey` on the authority's machine; `audit` is in tests/integration/test_log_audit.py."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from typing import TYPE_CHECKING

from attestca_client.protocol.checkpoint import parse_verifier
from ca.cli.exits import Exit
from ca.log_ports import LogCheckpoint
from ca.signers.log import add_log_key, log_key
from ca.store.sql import SqlStore
from tests.unit.ca.cli.test_initialize import actions

if TYPE_CHECKING:
    from tests.cli_lab import Cli, Place


async def checkpoint(url: str) -> LogCheckpoint | None:
    store = await SqlStore.open(url)
    try:
        return await store.log.checkpoint()
    finally:
        await store.close()


def test_the_key_is_alone_on_standard_output(cli: Cli, place: Place) -> None:
    first = cli.good("log", "key", "--config", place.path).out
    verifier = parse_verifier(first.removesuffix("\n"))
    assert verifier.name == "localhost"
    assert cli.good("log", "key", "--config", place.path).out == first


def test_a_checkpoint_is_adopted_where_none_is_left(cli: Cli, place: Place) -> None:
    (witness,) = place.keys.glob("log-*.checkpoint")
    empty = witness.read_bytes()
    verifier = parse_verifier(cli.good("log", "key", "--config", place.path).out.strip())
    assert verifier.open(empty).head.size == 0, "it comes with the key"
    nothing = cli("log", "adopt", "--config", place.path)
    assert (nothing.code, "no checkpoint is published" in nothing.err) == (Exit.REFUSED, True)
    asyncio.run(publish(place, empty.replace(b"0", b"9", 1)))
    damaged = cli("log", "adopt", "--config", place.path)
    assert (damaged.code, "is damaged" in damaged.err) == (Exit.UNREADABLE, True)
    asyncio.run(publish(place, empty, again=True))
    there = cli("log", "adopt", "--config", place.path)
    assert (there.code, "never overwritten" in there.err) == (Exit.UNREADABLE, True)
    witness.unlink()
    assert cli.good("log", "adopt", "--config", place.path).out == empty.decode()
    assert witness.read_bytes() == empty
    newest, *_ = actions(place.database)
    assert (newest.action, newest.target) == ("log.adopt", "localhost")
    assert json.loads(newest.detail) == {"checkpoint": empty.decode()}


async def publish(place: Place, note: bytes, *, again: bool = False) -> None:
    """Put a note into the database, as one of the key in the folder."""
    store = await SqlStore.open(place.database)
    try:
        key, _ = log_key(place.open(), "localhost")
        digest = sha256(key.verifier.key).digest()
        if again:
            await store.log.replace_key(digest)
        await store.log.publish(LogCheckpoint(digest, 0, 0, note))
    finally:
        await store.close()


def test_a_key_that_a_copy_of_the_database_was_given(cli: Cli, place: Place) -> None:
    """With this folder: what signs here is what the database here names, and that is what is shown."""
    first = cli.good("log", "key", "--config", place.path).out
    (witness,) = place.keys.glob("log-*.checkpoint")
    asyncio.run(publish(place, witness.read_bytes()))
    add_log_key(place.open(), "localhost")
    assert cli.good("log", "key", "--config", place.path).out == first


def test_a_new_key(cli: Cli, place: Place) -> None:
    first = cli.good("log", "key", "--config", place.path).out
    before = set(place.keys.glob("log-*.secret"))
    second = cli.good("log", "rekey", "--config", place.path).out
    assert second != first
    assert cli.good("log", "key", "--config", place.path).out == second
    after = set(place.keys.glob("log-*.secret"))
    assert (len(before), len(after)) == (1, 2)
    assert before < after
    bound = asyncio.run(checkpoint(place.database))
    assert bound is not None
    key = parse_verifier(second.strip())
    assert (bound.key_sha256, bound.size, bound.note) == (sha256(key.key).digest(), 0, None)
    newest, *_ = actions(place.database)
    assert (newest.action, newest.target) == ("log.rekey", "localhost/2")
    assert json.loads(newest.detail) == {"key": second.strip()}
