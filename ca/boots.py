# SPDX-License-Identifier: Apache-2.0
"""Event logs of many records, judged once for all machines that booted the same.

What logs come to depends on their bytes and on the registers of the evidence beside them, and on nothing else
(`verifiers.eventlog.judge` is pure). So machines of one image that differ in nothing share the answer, and it is the
same object that each of them would have got. Kept are the newest answers, of logs of ordinary size: a guest that sends
1 MiB of its own costs its judgement each time, and no memory. Threads may share one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from verifiers.eventlog.judge import judge
from verifiers.logs import booted, registers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verifiers.claims import Claims
    from verifiers.eventlog.events import Algorithm, Register
    from verifiers.eventlog.judged import Boot
    from verifiers.eventlog.proven import Layout
    from verifiers.evidence import Evidence

KEPT: Final = 64  # answers
KEPT_BYTES: Final = 64 * 1024  # of the logs behind one of them; a firmware's has 20 to 30 kB


class Boots:
    """Callable: as `verifiers.logs.booted`."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._known = lru_cache(maxsize=KEPT)(_judged)

    def __call__(self, claims: Claims, logs: Sequence[Evidence]) -> Boot | None:
        """What the logs come to beside these claims. Raises VerificationError."""
        if sum(len(log.data) for log in logs) > KEPT_BYTES or not logs:
            return booted(claims, logs)
        registers, algorithm, layout = registers_of(claims)
        return self._known(tuple(logs), tuple(registers.items()), algorithm, layout)


def _judged(
    logs: tuple[Evidence, ...],
    registers: tuple[tuple[Register, bytes], ...],
    algorithm: Algorithm,
    layout: Layout,
) -> Boot:
    return judge(logs, dict(registers), algorithm, layout)
