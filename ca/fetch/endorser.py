# SPDX-License-Identifier: Apache-2.0
"""`ca.ports.Endorser`: asks the collateral cache what a verifier's `gather()` wants to know.

Rules:
- The fetches of a round are made at the same time. All rounds together have one budget of seconds; what cannot be had
  within it is `Unavailable` with Retry-After, while what can be kept is waited for behind it, for the next try.
- The generator is closed however it ends. What it raises, VerificationError above all, passes through unchanged; but
  where it finds the vendor's answers `incomplete`, that is no fault of who sent the evidence: CollateralUnusable.
- A generator that raises at an answer makes the cache ask for that round's answers anew next time, unless one of them
  was that there is nothing: that is an answer, and strangers can have us given it as often as they like.

It does not judge an answer and knows no vendor.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar, cast

from ca.errors import AuthorityError, CollateralUnusable, Unavailable
from verifiers.endorsements import MAX_FETCHES
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from ca.fetch.cache import CollateralCache, FetchCounters
    from verifiers.endorsements import Fetch, Gather, Response

T = TypeVar("T")

MAX_ROUNDS = 4


class CachingEndorser:
    """Runs `gather()` generators against one cache. `budget`: seconds for one run."""

    def __init__(self, cache: CollateralCache, *, budget: float) -> None:
        self._cache = cache
        self._budget = budget
        # Each round may wait this long for the vendor where an older answer is at hand.
        self._patience = budget / (MAX_ROUNDS + 1)

    @property
    def counters(self) -> FetchCounters:
        """Fetches, hits and stale answers by part, for /metrics."""
        return self._cache.counters

    async def run(self, gather: Gather[T]) -> T:
        """What `gather` returns. Raises Unavailable (which parts, what to do), and whatever `gather` raises."""
        deadline = asyncio.get_running_loop().time() + self._budget
        try:
            return await self._drive(gather, deadline)
        finally:
            gather.close()

    def distrust(self, gather: Gather[T]) -> None:
        """Ask anew next time for what `gather` wants first. Raises what `gather` raises."""
        try:
            for fetch in next(gather):
                self._cache.distrust(fetch)
        finally:
            gather.close()

    async def refresh(self) -> int:
        """For a background job: renew what is in use and near its age. Returns how many answers are new."""
        return await self._cache.renew()

    async def _drive(self, gather: Gather[T], deadline: float) -> T:
        try:
            wanted = next(gather)
            for _ in range(MAX_ROUNDS):
                answers = await self._round(wanted, deadline)
                wanted = self._send(gather, wanted, answers)
        except StopIteration as end:
            return cast("T", end.value)
        raise AuthorityError(f"a verifier asked for collateral in more than {MAX_ROUNDS} rounds")

    def _send(
        self, gather: Gather[T], asked: tuple[Fetch, ...], answers: tuple[Response, ...]
    ) -> tuple[Fetch, ...]:
        try:
            return gather.send(answers)
        except VerificationError as error:
            if all(answer.status == 200 for answer in answers):
                for fetch in asked:
                    self._cache.distrust(fetch)
            if error.reason is Reason.INCOMPLETE:
                detail = f"the vendor's answers are incomplete: {error.detail}"
                raise CollateralUnusable(detail, retry_after=60) from error
            raise

    async def _round(self, wanted: tuple[Fetch, ...], deadline: float) -> tuple[Response, ...]:
        if len(wanted) > MAX_FETCHES:
            raise AuthorityError(f"a verifier asked for {len(wanted)} pieces of collateral at once")
        tasks = [self._answer(fetch, deadline) for fetch in wanted]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        missing = [result for result in results if isinstance(result, Unavailable)]
        if missing:
            detail = "; ".join(failure.detail for failure in missing)
            raise Unavailable(detail, retry_after=max(each.retry_after for each in missing))
        answers = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            answers.append(result)
        return tuple(answers)

    async def _answer(self, fetch: Fetch, deadline: float) -> Response:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._cache.get(fetch, patience=self._patience)
        except TimeoutError:
            detail = f"{fetch.part}: {fetch.shown}: no answer within {self._budget:g} s; ask again"
            raise Unavailable(detail, retry_after=5) from None
