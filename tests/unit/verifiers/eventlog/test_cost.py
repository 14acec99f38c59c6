# SPDX-License-Identifier: Apache-2.0
"""What a log costs is a few times what its hashes cost, whatever a guest writes: no kind of log keeps a verifier busy.

Both are measured in turns and in processor time, the better of two rounds each; no time is asserted.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tests.large_logs import every

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.large_logs import Large

MOST: Final = 200  # 5 to 20 are seen, and some four times that where coverage is traced
ROUNDS: Final = 2


def spent(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def ratio(log: Large) -> float:
    """How many times its hashes a log costs."""
    registers = log.registers()
    assert len(log.judge(registers).claims.events) == log.events
    rounds = [(spent(lambda: log.judge(registers)), spent(log.hash)) for _ in range(ROUNDS)]
    return min(judged for judged, _ in rounds) / min(hashed for _, hashed in rounds)


def test_cost_beside_the_hashes() -> None:
    ratios = {log.name: ratio(log) for log in every()}
    assert {name: found for name, found in ratios.items() if found > MOST} == {}
