# SPDX-License-Identifier: Apache-2.0
"""How many enrollments are under way at once, and how many wait: both bounded, so that load is refused, not piled up.

Whoever finds the queue full, or has waited too long in it, is told 503 with Retry-After before anything was verified.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from ca.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE: Final = 10.0  # seconds in the queue
BODIES: Final = 64 << 20  # bytes of all bodies that are being read at once


class Admission:
    """Belongs to one event loop. `patience`: seconds that one may wait."""

    def __init__(self, *, workers: int, queue: int, patience: float = PATIENCE) -> None:
        self._places = asyncio.Semaphore(workers)
        self._queue = queue
        self._patience = patience
        self.waiting = 0
        self.under_way = 0

    def refuse_if_full(self) -> None:
        """Raises Unavailable `busy`: to be asked before a body is read."""
        if self._places.locked() and self.waiting >= self._queue:
            raise _busy("the queue of enrollments is full")

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place among those under way. Raises Unavailable `busy`."""
        self.refuse_if_full()
        await self._wait()
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1
            self._places.release()

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise _busy(f"waited {self._patience:g} s for a place") from None
        finally:
            self.waiting -= 1


class ByteBudget:
    """Memory for bodies that are being read, shared by all callers: when it is used up, the next is told to come again.

    Belongs to one event loop.
    """

    def __init__(self, limit: int = BODIES) -> None:
        self._left = limit

    def take(self, count: int) -> None:
        """Raises Unavailable `busy`."""
        if count > self._left:
            raise _busy("too many bodies are being read")
        self._left -= count

    def give_back(self, count: int) -> None:
        """What was taken and is no longer held."""
        self._left += count


def _busy(detail: str) -> Unavailable:
    return Unavailable(detail, code="busy", retry_after=2)
