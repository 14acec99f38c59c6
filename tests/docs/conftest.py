# SPDX-License-Identifier: Apache-2.0
"""One authority for all documents: `simulator.stage`, started once by the first test that runs a command."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from simulator.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The authority with the policy `demo` in force, a vendor, a machine."""
    # Documents run more commands in a minute than a person types.
    generous = {"ATTESTCA_LIMITS__REQUESTS_PER_MINUTE": "6000", "ATTESTCA_LIMITS__BURST": "1000"}
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # other tests' stage is measured
            place = tmp_path_factory.mktemp("stage")
            running = stack.enter_context(Stage(place, overrides=generous))
        yield running
