# SPDX-License-Identifier: Apache-2.0
"""How anchoring is doing, for /metrics. Names are always there; a service without a chain has no values for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from prometheus_client.core import Metric

    from ca.ledger_ports import ChainHealth


class ChainCollector(Collector):
    """Reads when it is asked."""

    def __init__(
        self, health: Callable[[], ChainHealth | None], clock: Callable[[], datetime]
    ) -> None:
        self._health = health
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """One family each."""
        health = self._health()
        age = GaugeMetricFamily(
            "attestca_anchor_age_seconds", "Since the head of the newest final anchor."
        )
        if health is not None and health.final_time is not None:
            age.add_metric((), max(0.0, self._clock().timestamp() - health.final_time))
        yield age
        for name, text, attribute in (
            ("tombstones_pending", "Revocations without a tombstone on its way.", "pending"),
            ("anchor_too_expensive", "1 while gas costs more than the cap.", "expensive"),
            ("chain_failing", "1 while turns at the chain fail.", "failing"),
            ("chain_halted", "1 while the chain has a head that is not ours.", "halted"),
        ):
            gauge = GaugeMetricFamily(f"attestca_{name}", text)
            if health is not None:
                gauge.add_metric((), float(getattr(health, attribute)))
            yield gauge
        gone = CounterMetricFamily(
            "attestca_anchors_reorganised", "Anchors that a reorganisation took out of their block."
        )
        if health is not None:
            gone.add_metric((), health.gone)
        yield gone
