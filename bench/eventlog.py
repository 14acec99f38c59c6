# SPDX-License-Identifier: Apache-2.0
"""Event logs of 1 MiB, judged, beside the hashes that this cannot do without: `python -m bench.eventlog`.

Judged: parsed, replayed, data bound to digests, claims drawn. What that cannot do without: one hash
of what each event's digest covers, and one that extends a register. Processor time, for other work on the machine
stretches any other; the median of rounds that run all logs in turns.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.large_logs import every

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 9
AIM = 50.0  # ms


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one log. Times in ms of processor time."""

    name: str
    size: int  # bytes
    events: int
    judged: float
    hashed: float

    @property
    def ratio(self) -> float:
        """How many times its hashes a log costs."""
        return self.judged / self.hashed


HEAD = (
    f"| log | KiB | events | judged, ms of CPU time | its hashes, ms | ratio | under {AIM:.0f} ms |\n"
    "|---|---|---|---|---|---|---|"
)


def measure() -> list[Cost]:
    """The cost of each log, after it was seen to replay."""
    logs = [(one, one.registers()) for one in every()]
    for one, registers in logs:
        if len(one.judge(registers).claims.events) != one.events:
            raise AssertionError(one.name)
    judged: list[list[float]] = [[] for _ in logs]
    hashed: list[list[float]] = [[] for _ in logs]
    for _ in range(ROUNDS):
        for at, (one, registers) in enumerate(logs):
            judged[at].append(_spent(lambda: one.judge(registers)))  # noqa: B023 - called at once
            hashed[at].append(_spent(one.hash))
    return [
        Cost(
            one.name,
            sum(len(piece.data) for piece in one.pieces),
            one.events,
            statistics.median(judged[at]),
            statistics.median(hashed[at]),
        )
        for at, (one, _) in enumerate(logs)
    ]


def _spent(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return 1000 * (time.process_time() - start)


def row(cost: Cost) -> str:
    """A line below HEAD."""
    return (
        f"| {cost.name} | {cost.size / 1024:,.0f} | {cost.events:,} | {cost.judged:.0f} | {cost.hashed:.1f}"
        f" | {cost.ratio:.1f} | {'yes' if cost.judged < AIM else 'no'} |"
    )


if __name__ == "__main__":
    print(HEAD)
    for each in measure():
        print(row(each))
