# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every step of a turn: who comes next brings each head onto the chain once, and no tombstone is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ca.ledger.rpc import connected
from ca.store.sql import SqlStore
from tests import dying
from tests.chain_lab import CHAIN_ID, Anchoring, deployed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chain_lab import Chain, Deployed

MOMENTS = tuple(
    f"{when} {what}"
    for what in ("sign", "record", "send", "mined", "settle")
    for when in ("before", "after")
)


@pytest.fixture(scope="module")
def anchorer() -> Iterator[dying.Tell]:
    """Has a child anchor as it is told."""
    with dying.started("tests.dying_anchorer") as tell:
        yield tell


async def test_exactly_one_anchor_whenever_it_dies(
    chain: Chain, database_url: str, anchorer: dying.Tell
) -> None:
    async with deployed(chain, caps=(100, 0)) as place:
        await kill_at_every_moment(place, database_url, anchorer)


async def kill_at_every_moment(
    place: Deployed,
    database_url: str,
    anchorer: dying.Tell,
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
                answer = anchorer(order | {"now": soon.isoformat(), "step": moment})
                assert answer["status"] == (dying.KILLED if moment else 0), moment
                await ours.turn()
            assert await ours.anchored_events() == heads
            assert all(await ours.tombstones())
            place.chain.mine(8)
            assert (await ours.turn()).final == heads[-1]
            assert (await ours.anchorer.progress()).unsettled == ()
    finally:
        await store.close()
