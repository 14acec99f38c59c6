# SPDX-License-Identifier: Apache-2.0
"""One enrolled machine per stage, for tests that look at what it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stage_lab import Enrolled, enrolled_once

if TYPE_CHECKING:
    from simulator.stage import Stage


@pytest.fixture
def enrolled(stage: Stage) -> Enrolled:
    """The machine's first enrollment on this stage."""
    return enrolled_once(stage)
