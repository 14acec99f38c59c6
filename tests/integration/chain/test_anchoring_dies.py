# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every step of a turn: who comes next brings each head onto the chain once, and no tombstone is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ca.ledger.rpc import connected
from ca.store.sql import SqlStore
from tests.chain_lab import CHAIN_ID, ROOT, Anchoring, deployed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chain_lab import Chain, Deployed

MOMENTS = tuple(
    f"{when} {what}"
    for what in ("sign", "record", "send", "mined", "settle")
    for when in ("before", "after")
)


@pytest.fixture(scope="module")
def dying() -> Iterator[Callable[[dict[str, str]], dict[str, object]]]:
    """Has a child anchor as it is told."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.dying_anchorer"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def tell(order: dict[str, str]) -> dict[str, object]:
            stdin.write(json.dumps(order) + "\n")
            stdin.flush()
            answer: dict[str, object] = json.loads(stdout.readline())
            return answer

        yield tell
        stdin.close()


async def test_exactly_one_anchor_whenever_it_dies(
    chain: Chain, database_url: str, dying: Callable[[dict[str, str]], dict[str, object]]
) -> None:
    async with deployed(chain, caps=(100, 0)) as place:
        await kill_at_every_moment(place, database_url, dying)


async def kill_at_every_moment(
    place: Deployed,
    database_url: str,
    dying: Callable[[dict[str, str]], dict[str, object]],
) -> None:
    store = await SqlStore.open(database_url)
    order = {
        "database": database_url,
        "node": place.chain.url,
        "contract": place.registry.address.hex(),
    }
    heads = []
    try:
        async with connected([place.chain.url], CHAIN_ID) as nodes:
            ours = Anchoring(store, place.ledger(nodes))
            for moment in ("", *MOMENTS):
                await ours.revoke()
                heads.append(await ours.publish())
                soon = ours.now + timedelta(seconds=2)
                answer = dying(order | {"now": soon.isoformat(), "step": moment})
                assert answer["status"] == (-signal.SIGKILL if moment else 0), moment
                await ours.turn()
            assert await ours.anchored_events() == heads
            assert all(await ours.tombstones())
            place.chain.mine(8)
            assert (await ours.turn()).final == heads[-1]
            assert (await ours.anchorer.progress()).unsettled == ()
    finally:
        await store.close()
