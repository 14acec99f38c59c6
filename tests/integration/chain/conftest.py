# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a chain of its own for each test, and a log that is anchored there.

anvil         the program; without it these tests are skipped
chain         running
place         with the registry and our namespace in it
anchoring     a log, and who anchors it there
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ca.ledger.rpc import connected
from ca.store.sql import SqlStore
from tests import chain_lab
from tests.chain_lab import CHAIN_ID, Anchoring, Chain, Deployed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def anvil() -> Path:
    found = chain_lab.find_anvil()
    if found is None:
        pytest.skip(chain_lab.NOT_INSTALLED)
    return found


@pytest.fixture
def chain(anvil: Path) -> Iterator[Chain]:
    with chain_lab.anvil(anvil) as running:
        yield running


@pytest.fixture
async def place(chain: Chain) -> AsyncIterator[Deployed]:
    async with chain_lab.deployed(chain) as there:
        yield there


@pytest.fixture
async def anchoring(place: Deployed, sqlite_url: str) -> AsyncIterator[Anchoring]:
    store = await SqlStore.open(sqlite_url)
    async with connected([place.chain.url], CHAIN_ID) as nodes:
        yield Anchoring(store, place.ledger(nodes))
    await store.close()
