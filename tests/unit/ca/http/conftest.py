# SPDX-License-Identifier: Apache-2.0
"""A running service per test: `service` on SQLite, `service_on_both` once on each database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.service_lab import open_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.service_lab import Service


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    async with open_service(sqlite_url, trust=lambda: b"{}") as running:
        yield running


@pytest.fixture
async def service_on_both(database_url: str) -> AsyncIterator[Service]:
    async with open_service(database_url) as running:
        yield running
