# SPDX-License-Identifier: Apache-2.0
"""Answers kept: fresh, older, shared, bounded, and handed on as they came."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from ca.errors import Unavailable
from ca.fetch.cache import OTHER_PART, CacheLimits, CollateralCache
from ca.fetch.client import FetchFailed, FetchOutcome
from ca.ports import CachedResponse
from tests.unit.ca.fetch.cache_bench import HOUR, LIMITS
from tests.vendor_lab import START, until

if TYPE_CHECKING:
    import datetime as dt

    from tests.unit.ca.fetch.cache_bench import Bench
    from tests.vendor_lab import Clock, Lab, MemoryStore


@pytest.mark.parametrize(
    ("part", "hours"), [("tcb_info", 6), ("pck_crl", 1), ("of_another_vendor", 6)]
)
async def test_fresh_for_the_age_of_its_part(bench: Bench, part: str, hours: float) -> None:
    assert await bench.body(part=part) == "answer 1"
    bench.clock.advance(hours=hours, seconds=-1)
    assert await bench.body(part=part) == "answer 1"
    bench.clock.advance(seconds=1)
    assert await bench.body(part=part) == "answer 2"
    label = part if part in LIMITS.refresh_after else OTHER_PART
    assert bench.cache.counters.fetches == {(label, FetchOutcome.OK): 2}
    assert bench.cache.counters.hits == {label: 1}
    assert not bench.cache.counters.stale


async def test_one_get_for_all_who_wait(bench: Bench) -> None:
    bench.gate.clear()
    waiters = [asyncio.create_task(bench.body()) for _ in range(100)]
    other = asyncio.create_task(bench.body("/other"))
    await bench.reached(2)
    bench.gate.set()
    assert len(set(await asyncio.gather(*waiters))) == 1
    await other
    assert bench.vendor.count == 2


async def test_a_waiter_that_gives_up_ends_nothing(bench: Bench) -> None:
    bench.gate.clear()
    first, second = (asyncio.create_task(bench.body()) for _ in range(2))
    await bench.reached(1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    bench.gate.set()
    assert await second == "answer 1"
    assert bench.vendor.count == 1


async def test_the_answer_is_kept_though_everybody_gave_up(bench: Bench) -> None:
    bench.gate.clear()
    waiter = asyncio.create_task(bench.body())
    await bench.reached(1)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    bench.gate.set()
    assert await bench.body() == "answer 1"
    assert bench.vendor.count == 1


async def test_a_failure_that_nobody_waits_for_is_quiet(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.gate.clear()
    bench.status = 500
    waiter = asyncio.create_task(bench.body())
    await bench.reached(1)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    bench.gate.set()
    await until(lambda: not bench.cache._flights)
    gc.collect()
    assert bench.cache.counters.fetches == {("tcb_info", FetchOutcome.STATUS): 1}
    assert not caplog.records  # asyncio would log an exception that was never looked at


async def test_older_answer_while_the_vendor_fails_up_to_the_hard_age(bench: Bench) -> None:
    assert await bench.body() == "answer 1"
    bench.status = 500
    bench.clock.advance(hours=72, seconds=-1)
    assert await bench.body() == "answer 1"
    assert bench.cache.counters.stale == {"tcb_info": 1}
    bench.clock.advance(seconds=1)
    with pytest.raises(FetchFailed):
        await bench.body()


async def test_older_answer_after_the_callers_patience_and_the_new_one_next(bench: Bench) -> None:
    assert await bench.body() == "answer 1"
    bench.clock.advance(hours=7)
    bench.gate.clear()
    assert await bench.body(patience=0.01) == "answer 1"
    bench.gate.set()
    assert await bench.body() == "answer 2"
    assert bench.vendor.count == 2


async def test_without_an_older_answer_patience_is_not_the_end(bench: Bench) -> None:
    bench.gate.clear()
    waiter = asyncio.create_task(bench.body(patience=0.001))
    await bench.reached(1)
    await asyncio.sleep(0.01)
    bench.gate.set()
    assert await waiter == "answer 1"


async def test_a_failing_vendor_is_left_alone_for_a_while(bench: Bench) -> None:
    bench.status = 500
    for _ in range(5):
        with pytest.raises(FetchFailed) as caught:
            await bench.body()
        assert caught.value.outcome is FetchOutcome.STATUS
        assert caught.value.retry_after in {2, 5}
    assert bench.vendor.count == 1
    bench.clock.advance(seconds=2)
    bench.status = 200
    assert await bench.body() == "answer 2"


@pytest.mark.parametrize(("status", "seconds"), [(429, 300), (503, 5)])
async def test_a_busy_vendor_is_asked_for_nothing_else_of_that_part(
    bench: Bench, status: int, seconds: int
) -> None:
    bench.status = status
    for path in ("/a", "/b", "/c"):
        with pytest.raises(FetchFailed) as caught:
            await bench.body(path, part="vcek")
        assert caught.value.retry_after == seconds
    assert bench.vendor.count == 1
    bench.clock.advance(seconds=seconds)
    bench.status = 200
    assert await bench.body("/b", part="vcek") == "answer 2"


async def test_who_is_throttled_again_is_told_to_wait_longer(bench: Bench) -> None:
    bench.status = 429
    for seconds in (300, 600, 1200):
        for path in ("/a", "/b"):
            with pytest.raises(FetchFailed) as caught:
                await bench.body(path, part="vcek")
            assert caught.value.retry_after == seconds
        bench.clock.advance(seconds=seconds)
    assert bench.vendor.count == 3


async def test_throttled_certificates_do_not_stop_revocation_lists(bench: Bench) -> None:
    """Neither where a list is at hand nor where it is not: strangers can have us throttled."""
    assert await bench.body("/crl", part="crl") == "answer 1"
    bench.status = 429
    with pytest.raises(FetchFailed):
        await bench.body("/vcek", part="vcek")
    bench.clock.advance(seconds=1)
    assert await bench.body("/crl", part="crl") == "answer 1"
    bench.status = 200
    assert await bench.body("/other-crl", part="crl") == "answer 3"
    with pytest.raises(FetchFailed):
        await bench.body("/vcek", part="vcek")
    assert bench.vendor.count == 3


async def test_a_throttled_list_is_answered_from_what_is_at_hand(bench: Bench) -> None:
    assert await bench.body("/crl", part="crl") == "answer 1"
    bench.status = 429
    bench.clock.advance(hours=71)
    assert await bench.body("/crl", part="crl") == "answer 1"
    assert bench.cache.counters.stale == {"crl": 1}
    assert bench.cache.counters.fetches["crl", FetchOutcome.THROTTLED] == 1


async def test_a_lasting_answer_has_no_age(
    bench: Bench, lab: Lab, store: MemoryStore, clock: Clock
) -> None:
    """Not in memory, not in the store, not where the vendor is gone, and no job renews it."""
    assert await bench.body("/vcek", part="vcek") == "answer 1"
    bench.status = 500
    bench.clock.advance(days=3000)
    assert await bench.body("/vcek", part="vcek") == "answer 1"
    assert await bench.cache.renew() == 0
    again = CollateralCache(await lab.client(bench.vendor.base), store, LIMITS, clock)
    fetch = bench.vendor.fetch("/vcek", part="vcek")
    assert (await again.get(fetch, patience=5)).body == b"answer 1"
    assert bench.vendor.count == 1
    assert bench.cache.counters.hits == {"vcek": 1}
    assert again.counters.hits == {"vcek": 1}
    assert not bench.cache.counters.stale


async def test_a_lasting_answer_that_no_verifier_could_use_is_asked_for_anew(bench: Bench) -> None:
    fetch = bench.vendor.fetch("/vcek", part="vcek")
    await bench.body("/vcek", part="vcek")
    bench.clock.advance(days=300)
    bench.cache.distrust(fetch)
    bench.status = 500
    assert await bench.body("/vcek", part="vcek") == "answer 1"  # which leads to a refusal again
    bench.clock.advance(minutes=1)
    bench.status = 200
    assert await bench.body("/vcek", part="vcek") == "answer 3"
    assert bench.vendor.count == 3


async def test_the_store_is_told_once_a_day_what_is_in_use(
    bench: Bench, store: MemoryStore
) -> None:
    """So that it forgets what nobody asks for, and not what this process has in memory."""
    url = bench.vendor.fetch("/vcek").url
    for _ in range(49):
        await bench.body("/vcek", part="vcek")
        bench.clock.advance(hours=1)
    await bench.cache.close()
    assert store.used == [(url, START + 24 * HOUR), (url, START + 48 * HOUR)]


async def test_who_waits_for_an_answer_waits_for_no_disk(bench: Bench, store: MemoryStore) -> None:
    """A store that is slow is told later; closing waits for it."""
    on, put = asyncio.Event(), store.put_cached_response

    async def slow(response: CachedResponse) -> None:
        await on.wait()
        await put(response)

    store.put_cached_response = slow  # type: ignore[method-assign]
    assert await bench.body() == "answer 1"
    assert not store.rows
    on.set()
    await bench.cache.close()
    assert store.rows


async def test_a_store_that_cannot_be_told_costs_nothing(bench: Bench, store: MemoryStore) -> None:
    await bench.body("/vcek", part="vcek")
    store.broken = Unavailable("database is locked")
    bench.clock.advance(hours=25)
    assert await bench.body("/vcek", part="vcek") == "answer 1"
    assert bench.vendor.count == 1


@pytest.mark.parametrize("status", [404, 410])
async def test_absent_is_kept_for_a_short_time_and_never_stored(
    bench: Bench, store: MemoryStore, status: int
) -> None:
    bench.status = status
    fetch = bench.vendor.fetch()
    for _ in range(3):
        assert (await bench.cache.get(fetch, patience=5)).status == status
    assert bench.vendor.count == 1
    assert not store.rows
    bench.clock.advance(minutes=10)
    bench.status = 200
    assert await bench.body() == "answer 2"


async def test_absent_answers_displace_no_others(bench: Bench) -> None:
    assert await bench.body() == "answer 1"
    bench.status = 404
    for number in range(20):
        await bench.cache.get(bench.vendor.fetch(f"/tcb?fmspc={number}"), patience=5)
    assert await bench.body() == "answer 1"
    assert bench.vendor.count == 21


async def test_what_the_vendor_withdrew_is_not_answered_from_memory(bench: Bench) -> None:
    assert await bench.body() == "answer 1"
    bench.clock.advance(hours=7)
    bench.status = 404
    for _ in range(2):
        assert (await bench.cache.get(bench.vendor.fetch(), patience=5)).status == 404
    assert bench.vendor.count == 2


async def test_memory_is_bounded_and_the_store_answers_for_what_was_dropped(
    bench: Bench, store: MemoryStore
) -> None:
    for number in range(20):
        await bench.body(f"/{number}")
    assert len(bench.cache._entries) == 8
    assert len(store.rows) == 20
    assert await bench.body("/0") == "answer 1"
    assert bench.vendor.count == 20


async def test_a_restart_finds_the_answers_with_their_headers(
    bench: Bench, lab: Lab, store: MemoryStore, clock: Clock
) -> None:
    await bench.body()
    client = await lab.client(bench.vendor.base)
    again = CollateralCache(client, store, LIMITS, clock)
    response = await again.get(bench.vendor.fetch(), patience=5)
    assert response.body == b"answer 1"
    assert response.headers["x-chain"] == "c"
    assert bench.vendor.count == 1


async def test_another_replicas_newer_answer_is_taken(bench: Bench, store: MemoryStore) -> None:
    await bench.body()
    bench.clock.advance(hours=7)
    url = bench.vendor.fetch().url
    store.rows[url] = CachedResponse(url, 200, b"of another", (), bench.clock() - HOUR)
    assert await bench.body() == "of another"
    assert bench.vendor.count == 1


@pytest.mark.parametrize(
    ("status", "body", "age"),
    [
        (404, b"", HOUR),
        (500, b"x", HOUR),
        (200, b"x" * 300_000, HOUR),
        (200, b"x", -HOUR),
        (200, b"x", 80 * HOUR),
    ],
    ids=["not-found", "error", "too-large", "from-the-future", "too-old"],
)
async def test_rows_that_are_no_answer_of_ours_are_left_aside(
    bench: Bench, store: MemoryStore, status: int, body: bytes, age: dt.timedelta
) -> None:
    url = bench.vendor.fetch().url
    store.rows[url] = CachedResponse(url, status, body, (), START - age)
    bench.status = 500
    with pytest.raises(FetchFailed):
        await bench.body()
    bench.clock.advance(seconds=2)
    bench.status = 200
    assert await bench.body() == "answer 2"


async def test_a_broken_store_costs_a_get_and_not_the_answer(
    bench: Bench, store: MemoryStore
) -> None:
    store.broken = Unavailable("database is locked")
    assert await bench.body() == "answer 1"
    assert await bench.body() == "answer 1"


async def test_an_answer_larger_than_this_caller_allows(bench: Bench) -> None:
    await bench.body()
    with pytest.raises(FetchFailed) as caught:
        await bench.cache.get(bench.vendor.fetch(max_bytes=3), patience=5)
    assert caught.value.outcome is FetchOutcome.TOO_LARGE


async def test_a_distrusted_answer_is_asked_for_anew_once_a_minute(
    bench: Bench, store: MemoryStore
) -> None:
    fetch = bench.vendor.fetch()
    bench.cache.distrust(fetch)  # unknown: nothing to do
    await bench.body()
    bench.clock.advance(seconds=59)
    bench.cache.distrust(fetch)
    assert await bench.body() == "answer 1"
    bench.clock.advance(seconds=1)
    assert await bench.body() == "answer 2"
    assert store.rows[fetch.url].body == b"answer 2"
    bench.cache.distrust(fetch)
    assert await bench.body() == "answer 2"


async def test_renew_asks_for_what_is_in_use_and_near_its_age(bench: Bench) -> None:
    await bench.body("/a")
    await bench.body("/b", part="pck_crl")
    bench.clock.advance(minutes=44)
    assert await bench.cache.renew() == 0
    bench.clock.advance(minutes=1)
    assert await bench.cache.renew() == 1  # three quarters of pck_crl's hour
    assert await bench.body("/b", part="pck_crl") == "answer 3"
    assert bench.vendor.count == 3


async def test_renew_leaves_out_what_nobody_asked_for_in_two_days(bench: Bench) -> None:
    await bench.body()
    for _ in range(20):
        bench.clock.advance(hours=5)
        await bench.cache.renew()
    assert bench.vendor.count == 1 + 9  # every five hours for two days


async def test_renew_keeps_what_is_asked_for_now_and_then(bench: Bench) -> None:
    await bench.body()
    for _ in range(4):
        for _ in range(5):
            bench.clock.advance(hours=5)
            await bench.cache.renew()
        await bench.body()  # from memory, every 25 hours
    assert bench.vendor.count == 1 + 20


async def test_renew_survives_failures_and_counts_them(bench: Bench) -> None:
    await bench.body("/a")
    await bench.body("/b")
    bench.clock.advance(hours=5)
    bench.status = 500
    assert await bench.cache.renew() == 0
    assert bench.cache.counters.fetches["tcb_info", FetchOutcome.STATUS] == 2
    assert not bench.cache.counters.stale
    assert await bench.body("/a") == "answer 1"


async def test_close_ends_what_is_in_flight(bench: Bench) -> None:
    bench.gate.clear()
    waiter = asyncio.create_task(bench.body())
    await bench.reached(1)
    await bench.cache.close()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert not bench.cache._flights


def test_a_fleet_fits() -> None:
    machines = 300  # of eight GPUs, four switches and a CPU, each with an answer of its own
    assert CacheLimits({}).entries > machines * (8 + 4 + 1)
