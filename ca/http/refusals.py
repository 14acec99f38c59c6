# SPDX-License-Identifier: Apache-2.0
"""A sample of the refusals that are not on record: in memory, bounded, without anything that a caller sent.

Anonymous callers can be refused as often as they like; what that may cost us is this ring and a counter. Refusals of
authentic evidence are in the store, not here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class SampledRefusal:
    """One refusal.

    Attributes:
        detail: our own words. address_prefix: /24 or /48 of the caller.
    """

    at: datetime
    code: str
    detail: str
    address_prefix: str


class RefusalRing:
    """The last `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self._kept: deque[SampledRefusal] = deque(maxlen=capacity)

    def add(self, refusal: SampledRefusal) -> None:
        """Keep one; the oldest goes where there is no room."""
        self._kept.append(refusal)

    def newest(self, limit: int) -> tuple[SampledRefusal, ...]:
        """Newest first."""
        return tuple(self._kept)[: -limit - 1 : -1]
