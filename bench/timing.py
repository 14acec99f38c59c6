# SPDX-License-Identifier: Apache-2.0
"""Rates of functions that are compared with each other: measured in turns, so that a machine that slows down slows all.

Each round runs every function for a short while; the median of the rounds is reported.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUNDS = 9
SLICE = 0.25  # seconds per function and round


def rates(functions: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Calls per second of each function, by name."""
    for function in functions.values():
        function()
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            samples[name].append(_rate(function))
    return {name: statistics.median(values) for name, values in samples.items()}


def _rate(function: Callable[[], object]) -> float:
    calls = 0
    start = time.perf_counter()
    end = start + SLICE
    while time.perf_counter() < end:
        function()
        calls += 1
    return calls / (time.perf_counter() - start)
