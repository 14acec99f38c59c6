# SPDX-License-Identifier: Apache-2.0
"""How long a failing vendor is left alone: 2 s, then twice as long each time up to a minute, or as long as it asks.

What the next URL of the same origin would meet too (no connection, "too many requests") holds for the whole origin;
any other failure for its URL alone, so that one odd platform stops nobody else. Bounded, pure but for its own state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ca.fetch.client import FetchFailed, FetchOutcome
from ca.fetch.lru import Lru

if TYPE_CHECKING:
    from datetime import datetime

_FIRST = timedelta(seconds=2)
_LONGEST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Pause:
    detail: str
    outcome: FetchOutcome
    failures: int
    begun: datetime
    length: timedelta

    def left(self, now: datetime) -> timedelta:
        """What is left of it. A clock that was set back ends it."""
        return self.begun + self.length - now if now >= self.begun else timedelta(0)


class BackOff:
    """The pauses in force, of at most `size` URLs and origins."""

    def __init__(self, size: int) -> None:
        self._pauses: Lru[_Pause] = Lru(size)

    def check(self, url: str, now: datetime) -> None:
        """Raises FetchFailed with the earlier failure's reason while `url` or its origin is to be left alone."""
        for key in (_origin(url), url):
            pause = self._pauses.get(key)
            left = pause.left(now) if pause is not None else timedelta(0)
            if pause is not None and left > timedelta(0):
                wait = math.ceil(left.total_seconds())
                raise FetchFailed(pause.detail, pause.outcome, retry_after=wait)

    def failed(self, url: str, failure: FetchFailed, now: datetime) -> None:
        """Begin a pause, or a longer one."""
        key = _origin(url) if failure.outcome.concerns_origin else url
        before = self._pauses.get(key)
        failures = before.failures + 1 if before is not None else 1
        length = min(_FIRST * 2 ** min(failures - 1, 10), _LONGEST)
        if failure.outcome is FetchOutcome.BUSY:
            length = max(length, timedelta(seconds=failure.retry_after))
        self._pauses.put(key, _Pause(failure.detail, failure.outcome, failures, now, length))

    def succeeded(self, url: str) -> None:
        """The vendor answered: the next failure is a first one."""
        self._pauses.pop(_origin(url))
        self._pauses.pop(url)


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])
