# SPDX-License-Identifier: Apache-2.0
"""One enrolled machine per stage, for tests that look at what it was given; services with a fake AMD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.snp_app import SnpApp, open_snp_app
from tests.stage_lab import Enrolled, enrolled_once

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from simulator.stage import Stage
    from tests.vendor_lab import Clock


@pytest.fixture
def enrolled(stage: Stage) -> Enrolled:
    """The machine's first enrollment on this stage."""
    return enrolled_once(stage)


@pytest.fixture
async def snp(app_clock: Clock, sqlite_url: str, tmp_path: Path) -> AsyncIterator[SnpApp]:
    """A running service that trusts a fake AMD as well, without a policy for its machines."""
    async with open_snp_app(tmp_path, sqlite_url, app_clock) as running:
        yield running


@pytest.fixture
async def snp_on_both(app_clock: Clock, database_url: str, tmp_path: Path) -> AsyncIterator[SnpApp]:
    """The same, on each of the two databases."""
    async with open_snp_app(tmp_path, database_url, app_clock) as running:
        yield running
