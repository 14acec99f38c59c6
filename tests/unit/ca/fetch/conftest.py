# SPDX-License-Identifier: Apache-2.0
"""What the tests of ca.fetch start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.ca.fetch.cache_bench import Bench, make
from tests.vendor_lab import Authority, Clock, Lab, MemoryStore, make_authority, open_lab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab() as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def bench(lab: Lab, store: MemoryStore, clock: Clock) -> AsyncIterator[Bench]:
    made = await make(lab, store, clock)
    yield made
    made.gate.set()
    await made.cache.close()
