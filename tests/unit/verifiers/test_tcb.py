# SPDX-License-Identifier: Apache-2.0
"""How statuses converge: never better than the platform's, never better than any part."""

from __future__ import annotations

from itertools import product

import pytest

from verifiers.tcb import TcbStatus, converge, relaunch

# From best to worst, as far as they compare. Configuration and SW hardening are two axes.
BAD = {
    TcbStatus.UP_TO_DATE: set(),
    TcbStatus.SW_HARDENING_NEEDED: {"hardening"},
    TcbStatus.CONFIGURATION_NEEDED: {"configuration"},
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED: {"hardening", "configuration"},
    TcbStatus.OUT_OF_DATE: {"old"},
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED: {"old", "configuration"},
}
PLATFORM = tuple(BAD)
COMPONENT = (TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE, TcbStatus.REVOKED)


@pytest.mark.parametrize("platform", TcbStatus)
def test_never_better_than_its_parts(platform: TcbStatus) -> None:
    for components in product(TcbStatus, repeat=2):
        whole = converge(platform, *components)
        if TcbStatus.REVOKED in (platform, *components):
            assert whole is TcbStatus.REVOKED
        elif platform not in PLATFORM or not set(components) <= set(COMPONENT):
            assert whole is TcbStatus.UNKNOWN
        elif TcbStatus.OUT_OF_DATE in components:
            assert BAD[whole] == (BAD[platform] - {"hardening"}) | {"old"}
        else:
            assert whole is platform


def test_a_platform_alone() -> None:
    assert [converge(status) for status in PLATFORM] == list(PLATFORM)


@pytest.mark.parametrize("launch", PLATFORM)
def test_relaunch(launch: TcbStatus) -> None:
    """Advised only where relaunching would help: old at launch, not old now."""
    for current in PLATFORM:
        status = relaunch(launch, current)
        helps = "old" in BAD[launch] and "old" not in BAD[current]
        if not helps:
            assert status is launch
        elif "configuration" in BAD[launch] | BAD[current]:
            assert status is TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED
        else:
            assert status is TcbStatus.TD_RELAUNCH_ADVISED
