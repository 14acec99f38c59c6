# SPDX-License-Identifier: Apache-2.0
"""Answers of the vendors, kept: in memory, behind it the store, behind that one request at a time for each question.

A question is a URL, and where something is posted to it the digest of that too (`Fetch.key`).

Rules:
- Nothing here is believed. Bytes go to the verifier as they came, from memory, store or network alike: it checks
  signatures and dates at every use, so a wrong copy can lead to a refusal and never to a pass. An older copy that is
  still in date can be one of before a revocation. Where the vendor numbers its judgements, a decision on an older one
  than was used before is refused; of OCSP answers, one that is older than a revocation that was seen. A revocation that
  no replica has seen stays unseen until the copy's age, its own end and what the policy tolerates behind that.
- What is no answer at all (`Fetch.is_answer`) is a failure and displaces none: the older answer is handed on as where
  the vendor cannot be reached. One that is an answer and no verifier can use does displace it.
- An answer is fresh for `refresh_after` of its part, but not past the end that it names itself (`Fetch.ends`). After
  that it is asked for anew; where that fails, or takes longer than the caller's patience, the older answer is handed on
  up to `hard_age`.
- An answer of a `lasting` part has no age: a VCEK's URL names chip and TCB, and so its key for ever. It is asked for
  anew only where a verifier could not use it.
- One question has one request in flight. Its waiters share it; a waiter that gives up does not end it.
- `Fetch.fresh` is for the caller alone: it is asked at once, shared with nobody, and not kept.
- A failure is remembered for a while (`ca.fetch.backoff`).
- 404 and 410 are kept for a short time and in memory only, apart from the answers: whoever asks for thousands of
  platforms that do not exist displaces nothing and fills no table.
- Memory is bounded by the number of entries, and so is the store, which keeps what was used last: it is told once a
  day what is in use. A store that fails costs a request, not the answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import structlog

from ca.errors import Unavailable
from ca.fetch.backoff import BackOff
from ca.fetch.client import FetchFailed, FetchOutcome
from ca.fetch.lru import Lru
from ca.ports import CachedResponse
from verifiers.endorsements import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from ca.fetch.client import FetchClient
    from verifiers.endorsements import Fetch

OTHER_PART = "other"  # label of parts that the limits do not name
_RENEW_FROM = 0.75  # share of its refresh age from which `renew` asks for an answer anew
# `renew` leaves out what nobody asked for since. What is posted names single machines: it is renewed once after a use.
_KEEP_WARM = timedelta(hours=48)
_DISTRUST_AFTER = timedelta(minutes=1)  # a verifier's complaint renews an answer at most this often
_MARK_EVERY = timedelta(days=1)  # what the store knows of an answer's use may be this old

_log = structlog.get_logger(__name__)


class ResponseStore(Protocol):
    """What the cache needs of `ca.ports.Store`; every method may raise Unavailable."""

    async def cached_response(self, url: str) -> CachedResponse | None:
        """The answer kept under `url`, see CachedResponse."""
        ...

    async def put_cached_response(self, response: CachedResponse) -> None:
        """Keep it instead of an earlier one."""
        ...

    async def mark_response_used(self, url: str, now: datetime) -> None:
        """What is kept under `url` is in use."""
        ...


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Ages and sizes. `refresh_after`, `lasting` and `unkept` name the parts, which are the labels of the counters."""

    refresh_after: Mapping[str, timedelta]
    lasting: frozenset[str] = frozenset()  # parts whose answers have no age
    unkept: frozenset[str] = frozenset()  # parts of fresh questions
    default_refresh: timedelta = timedelta(hours=6)
    absent_for: timedelta = timedelta(minutes=10)  # 404 and 410
    hard_age: timedelta = timedelta(hours=72)
    # A machine has answers of its own, of 1 or 2 KiB each: a VCEK, and for each GPU and switch an OCSP answer. So this
    # holds a fleet of 300 machines with eight GPUs and four switches in some 10 MiB; the store has the others. What is
    # large, of at most `Fetch.max_bytes`, is of product lines and releases, and few.
    entries: int = 4096


@dataclass(frozen=True, slots=True)
class FetchCounters:
    """For /metrics; counts rise only. Parts and outcomes are closed lists, a caller chooses neither."""

    fetches: Counter[tuple[str, FetchOutcome]] = field(default_factory=Counter)  # by their end
    hits: Counter[str] = field(default_factory=Counter)  # answered without waiting for the vendor
    stale: Counter[str] = field(default_factory=Counter)  # older answers, no fresh one to be had


@dataclass(slots=True)
class _Entry:
    fetch: Fetch
    answer: CachedResponse
    used_at: datetime
    marked_at: datetime  # when the store was last told of a use
    ends: datetime | None  # the answer's own word
    distrusted: bool = False

    def response(self) -> Response:
        return Response(self.answer.status, self.answer.body, dict(self.answer.headers))


class CollateralCache:
    """Answers by question. `clock` gives the time, timezone-aware UTC. Belongs to one event loop."""

    def __init__(
        self,
        client: FetchClient,
        store: ResponseStore,
        limits: CacheLimits,
        clock: Callable[[], datetime],
    ) -> None:
        self.counters = FetchCounters()
        self._client = client
        self._store = store
        self._limits = limits
        self._clock = clock
        self._entries: Lru[_Entry] = Lru(limits.entries)
        self._absent: Lru[CachedResponse] = Lru(limits.entries)
        self._back_off = BackOff(limits.entries)
        self._flights: dict[str, asyncio.Task[Response]] = {}
        self._writes: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End the requests in flight, and wait for what the store is being told."""
        flights = tuple(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        await asyncio.gather(*self._writes)

    async def get(self, fetch: Fetch, *, patience: float) -> Response:
        """A fresh answer; an older one where a fresh one cannot be had within `patience` seconds.

        Where there is no older one it waits for as long as the request takes. Raises FetchFailed.
        """
        if fetch.fresh:
            return await self._ask_once(fetch)
        response = self._in_memory(fetch) or await self._share_flight(fetch, patience)
        if (entry := self._entries.get(fetch.key)) is not None:
            entry.used_at = self._clock()
            self._mark_used(entry)
        if len(response.body) > fetch.max_bytes:  # it was asked for with a wider bound before
            raise FetchFailed(f"{fetch.part}: {fetch.shown}: too large", FetchOutcome.TOO_LARGE)
        return response

    def distrust(self, fetch: Fetch) -> None:
        """A verifier could not use the answer: ask anew next time, but not before it is a minute old."""
        entry = self._entries.get(fetch.key)
        if entry is not None:
            entry.distrusted = True

    async def renew(self) -> int:
        """Ask anew for what is in use and near its age, one after another. Returns how many answers are new.

        Failures are logged and counted, and tried again the next time.
        """
        now = self._clock()
        renewed = 0
        for entry in self._entries.values():
            if now - entry.used_at < self._keep_warm(entry) and not self._is_fresh(
                entry, _RENEW_FROM
            ):
                try:
                    await asyncio.shield(self._flight(entry.fetch, _RENEW_FROM))
                except FetchFailed:
                    continue
                renewed += 1
        return renewed

    def _in_memory(self, fetch: Fetch) -> Response | None:
        entry, absent = self._entries.get(fetch.key), self._absent.get(fetch.key)
        if entry is not None and self._is_fresh(entry, 1.0):
            self.counters.hits[self._label(fetch)] += 1
            return entry.response()
        if absent is not None and self._age(absent) < self._limits.absent_for:
            self.counters.hits[self._label(fetch)] += 1
            return Response(absent.status, absent.body, dict(absent.headers))
        return None

    async def _share_flight(self, fetch: Fetch, patience: float) -> Response:
        flight = self._flight(fetch, 1.0)
        await asyncio.wait({flight}, timeout=patience)  # cancels nothing, raises nothing
        in_vain = not flight.done() or (
            not flight.cancelled() and isinstance(flight.exception(), FetchFailed)
        )
        older = self._entries.get(fetch.key)  # the flight may have brought one from the store
        if in_vain and older is not None and self._is_usable(older):
            self.counters.stale[self._label(fetch)] += 1
            return older.response()
        return await asyncio.shield(flight)

    def _flight(self, fetch: Fetch, share: float) -> asyncio.Task[Response]:
        flight = self._flights.get(fetch.key)
        if flight is None:
            flight = asyncio.create_task(self._obtain(fetch, share))
            self._flights[fetch.key] = flight
            flight.add_done_callback(lambda landed: self._land(fetch.key, landed))
        return flight

    def _land(self, key: str, flight: asyncio.Task[Response]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # where every waiter gave up nobody else looks at it

    async def _obtain(self, fetch: Fetch, share: float) -> Response:
        """A fresh answer, from the store (another replica may have been first) or the vendor."""
        entry = await self._stored(fetch)
        if entry is not None and self._is_fresh(entry, share):
            self.counters.hits[self._label(fetch)] += 1
            return entry.response()
        response = await self._ask(fetch)
        self._keep(fetch, response)
        return response

    async def _stored(self, fetch: Fetch) -> _Entry | None:
        """The newest copy that we have, in memory and looked up in the store."""
        entry = self._entries.get(fetch.key)
        try:
            row = await self._store.cached_response(fetch.key)
        except Unavailable as error:
            _log.warning("collateral.store-failed", url=fetch.shown, detail=error.detail)
            return entry
        # A row from the future would be fresh for ever; one that no request of ours can have written is none.
        if (
            row is None
            or row.status != 200
            or len(row.body) > fetch.max_bytes
            or not (fetch.is_answer is None or fetch.is_answer(row.body))
            or row.fetched_at > self._clock()
        ):
            return entry
        if entry is None or row.fetched_at > entry.answer.fetched_at:
            entry = self._remember(fetch, row)
        return entry

    async def _ask_once(self, fetch: Fetch) -> Response:
        """Ask for this caller alone: what it does not wait for is of no use to anybody else."""
        try:
            return await self._ask(fetch)
        except asyncio.CancelledError:
            self.counters.fetches[self._label(fetch), FetchOutcome.TIMEOUT] += 1
            raise

    async def _ask(self, fetch: Fetch) -> Response:
        self._back_off.check(fetch, self._clock())
        try:
            response = await self._client.get(fetch)
        except FetchFailed as failure:
            pause = self._back_off.failed(fetch, failure, self._clock())
            failure.retry_after = max(failure.retry_after, pause)
            self.counters.fetches[self._label(fetch), failure.outcome] += 1
            _log.warning("collateral.fetch-failed", outcome=failure.outcome, detail=failure.detail)
            raise
        self._back_off.succeeded(fetch)
        outcome = FetchOutcome.OK if response.status == 200 else FetchOutcome.ABSENT
        self.counters.fetches[self._label(fetch), outcome] += 1
        return response

    def _keep(self, fetch: Fetch, response: Response) -> None:
        headers = tuple(sorted(response.headers.items()))
        answer = CachedResponse(fetch.key, response.status, response.body, headers, self._clock())
        if response.status != 200:
            self._absent.put(fetch.key, answer)
            return
        self._remember(fetch, answer)
        self._write_behind(fetch, self._store.put_cached_response(answer))

    def _remember(self, fetch: Fetch, answer: CachedResponse) -> _Entry:
        before = self._entries.get(fetch.key)
        used_at = before.used_at if before is not None else self._clock()
        ends = fetch.ends(answer.body) if fetch.ends is not None else None
        entry = _Entry(fetch, answer, used_at, marked_at=answer.fetched_at, ends=ends)
        self._entries.put(fetch.key, entry)
        return entry

    def _mark_used(self, entry: _Entry) -> None:
        """Tell the store of a use, if it knows of none within a day."""
        if self._clock() - entry.marked_at < _MARK_EVERY:
            return
        entry.marked_at = self._clock()
        told = self._store.mark_response_used(entry.fetch.key, entry.marked_at)
        self._write_behind(entry.fetch, told)

    def _write_behind(self, fetch: Fetch, writing: Awaitable[None]) -> None:
        """Tell the store behind the caller's back: who waits for an answer does not wait for a disk."""

        async def write() -> None:
            try:
                await writing
            except Unavailable as error:
                _log.warning("collateral.store-failed", url=fetch.shown, detail=error.detail)

        task = asyncio.create_task(write())
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    def _is_fresh(self, entry: _Entry, share: float) -> bool:
        if entry.distrusted:
            return self._age(entry.answer) < _DISTRUST_AFTER
        if entry.fetch.part in self._limits.lasting:
            return True
        return self._age(entry.answer) < self._refresh_age(entry) * share

    def _refresh_age(self, entry: _Entry) -> timedelta:
        """The age from which on an answer is asked for anew; one that came past its end is no fault for a minute."""
        age = self._limits.refresh_after.get(entry.fetch.part, self._limits.default_refresh)
        if entry.ends is None:
            return age
        left = entry.ends - entry.answer.fetched_at
        return min(age, left if left > timedelta(0) else _DISTRUST_AFTER)

    def _keep_warm(self, entry: _Entry) -> timedelta:
        return _KEEP_WARM if entry.fetch.question is None else self._refresh_age(entry)

    def _is_usable(self, entry: _Entry) -> bool:
        """Whether it may be handed on where a fresh one cannot be had."""
        lasts = entry.fetch.part in self._limits.lasting
        return lasts or self._age(entry.answer) < self._limits.hard_age

    def _age(self, answer: CachedResponse) -> timedelta:
        return self._clock() - answer.fetched_at

    def _label(self, fetch: Fetch) -> str:
        limits = self._limits
        known = limits.refresh_after.keys() | limits.lasting | limits.unkept
        return fetch.part if fetch.part in known else OTHER_PART
