# SPDX-License-Identifier: Apache-2.0
"""How long a failing vendor is left alone: 2 s, then twice as long each time up to a minute, or as long as it asks.

- What the next URL of the same origin would meet too (no connection) holds for the whole origin.
- "Busy" and "too many requests" hold for the part of that origin: strangers who have us ask AMD for one VCEK after the
  other until it throttles us do not stop its CRLs.
- Any other failure holds for its URL, and what was posted to it, alone, so that one odd platform stops nobody else. It
  is forgotten of a question that nobody asks again (`Fetch.fresh`).
- Who is throttled again waits twice as long as it was asked to, then four times, up to an hour: each request in the
  meantime may count against us.

Bounded, pure but for its own state.
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

    from verifiers.endorsements import Fetch

_FIRST = timedelta(seconds=2)
_LONGEST = timedelta(minutes=1)
_LONGEST_THROTTLED = timedelta(hours=1)
_MAX_DOUBLINGS = 10


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
    """The pauses in force, of at most `size` questions, parts and origins."""

    def __init__(self, size: int) -> None:
        self._pauses: Lru[_Pause] = Lru(size)

    def check(self, fetch: Fetch, now: datetime) -> None:
        """Raises FetchFailed with the earlier failure's reason while this fetch is not to be made."""
        for key in _keys(fetch):
            pause = self._pauses.get(key)
            left = pause.left(now) if pause is not None else timedelta(0)
            if pause is not None and left > timedelta(0):
                wait = math.ceil(left.total_seconds())
                raise FetchFailed(pause.detail, pause.outcome, retry_after=wait)

    def failed(self, fetch: Fetch, failure: FetchFailed, now: datetime) -> int:
        """Begin a pause, or a longer one. Returns its seconds."""
        origin, part, key = _keys(fetch)
        if failure.outcome.concerns_origin:
            key = origin
        elif failure.outcome.concerns_part:
            key = part
        before = self._pauses.get(key)
        failures = before.failures + 1 if before is not None else 1
        length = _length(failure, min(failures - 1, _MAX_DOUBLINGS))
        if key != fetch.key or not fetch.fresh:
            self._pauses.put(key, _Pause(failure.detail, failure.outcome, failures, now, length))
        return math.ceil(length.total_seconds())

    def succeeded(self, fetch: Fetch) -> None:
        """The vendor answered: the next failure is a first one."""
        for key in _keys(fetch):
            self._pauses.pop(key)


def _length(failure: FetchFailed, doublings: int) -> timedelta:
    wished = timedelta(seconds=failure.retry_after)
    times: int = 2**doublings
    length = min(_FIRST * times, _LONGEST)
    match failure.outcome:
        case FetchOutcome.THROTTLED:
            return max(length, min(wished * times, _LONGEST_THROTTLED))
        case FetchOutcome.BUSY:
            return max(length, wished)
        case _:
            return length


def _keys(fetch: Fetch) -> tuple[str, str, str]:
    """What a pause may be about: the origin, this part of it, this question. No two of them are ever the same text."""
    origin = "/".join(fetch.url.split("/", 3)[:3])
    return origin, f"{origin} {fetch.part}", fetch.key
