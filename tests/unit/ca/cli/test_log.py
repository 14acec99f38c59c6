# SPDX-License-Identifier: Apache-2.0
"""`attestca log key|rekey` on the authority's machine; `audit` is in tests/integration/test_log_audit.py."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from typing import TYPE_CHECKING

from ca.note import parse_verifier
from ca.store.sql import SqlStore
from tests.unit.ca.cli.test_initialize import actions

if TYPE_CHECKING:
    from ca.log_ports import LogCheckpoint
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
    assert (newest.action, newest.target) == ("log.rekey", "localhost")
    assert json.loads(newest.detail) == {"key": second.strip()}
