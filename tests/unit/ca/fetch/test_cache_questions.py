# SPDX-License-Identifier: Apache-2.0
"""Answers to questions that are posted, questions of one moment, and answers that name their own end."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ca.fetch.cache import OTHER_PART, CollateralCache
from ca.fetch.client import FetchFailed, FetchOutcome
from tests.unit.ca.fetch.cache_bench import HOUR, LIMITS, make
from tests.vendor_lab import START
from verifiers.endorsements import Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.ca.fetch.cache_bench import Bench
    from tests.vendor_lab import Clock, Lab, MemoryStore
    from verifiers.endorsements import Fetch


def ask(bench: Bench, text: str, **changes: Any) -> Fetch:  # noqa: ANN401 - of a Fetch
    question = Question(text.encode(), "application/ocsp-request")
    return replace(bench.vendor.fetch("/ocsp", part="pck_crl"), question=question, **changes)


async def said(bench: Bench, fetch: Fetch) -> str:
    return (await bench.cache.get(fetch, patience=5)).body.decode()


async def test_answers_are_kept_by_what_was_posted(bench: Bench, store: MemoryStore) -> None:
    for _ in range(2):
        assert await said(bench, ask(bench, "a")) == "answer 1"
        assert await said(bench, ask(bench, "b")) == "answer 2"
    assert await bench.body("/ocsp") == "answer 3", "nothing posted is another question"
    url = bench.vendor.fetch("/ocsp").url
    assert store.rows.keys() == {url, ask(bench, "a").key, ask(bench, "b").key}
    assert ask(bench, "a").key == f"{url}#{hashlib.sha256(b'a').hexdigest()}"
    await bench.cache.close()
    again = CollateralCache(bench.cache._client, store, LIMITS, bench.clock)
    assert (await again.get(ask(bench, "b"), patience=5)).body == b"answer 2"
    assert bench.vendor.count == 3


async def test_one_request_for_all_who_ask_the_same(bench: Bench) -> None:
    bench.gate.clear()
    waiters = [asyncio.create_task(said(bench, ask(bench, text))) for text in "abab"]
    await bench.reached(2)
    bench.gate.set()
    first, second, *others = await asyncio.gather(*waiters)
    assert others == [first, second]
    assert (first != second, bench.vendor.count) == (True, 2)


async def test_an_answer_to_a_question_is_distrusted_alone(bench: Bench) -> None:
    await said(bench, ask(bench, "a"))
    await said(bench, ask(bench, "b"))
    bench.clock.advance(minutes=1)
    bench.cache.distrust(ask(bench, "a"))
    assert await said(bench, ask(bench, "b")) == "answer 2"
    assert await said(bench, ask(bench, "a")) == "answer 3"


async def test_absence_is_of_a_question(bench: Bench) -> None:
    bench.status = 404
    assert (await bench.cache.get(ask(bench, "a"), patience=5)).status == 404
    bench.status = 200
    assert await said(bench, ask(bench, "b")) == "answer 2"
    assert (await bench.cache.get(ask(bench, "a"), patience=5)).status == 404
    assert bench.vendor.count == 2


async def test_a_question_of_this_moment_is_asked_each_time(
    bench: Bench, store: MemoryStore
) -> None:
    """And answered from nothing that is kept, wherever it came from."""
    kept, fresh = ask(bench, "a"), ask(bench, "a", fresh=True)
    assert await said(bench, kept) == "answer 1"
    assert await said(bench, fresh) == "answer 2"
    assert await said(bench, fresh) == "answer 3"
    assert await said(bench, kept) == "answer 1"
    assert [row.body for row in store.rows.values()] == [b"answer 1"]
    assert bench.cache.counters.hits == {"pck_crl": 1}


async def test_questions_of_this_moment_are_not_shared(bench: Bench) -> None:
    bench.gate.clear()
    fresh = ask(bench, "a", fresh=True)
    waiters = [asyncio.create_task(said(bench, fresh)) for _ in range(3)]
    await bench.reached(3)
    assert not bench.cache._flights
    bench.gate.set()
    assert len(set(await asyncio.gather(*waiters))) == 3


async def test_who_waits_no_longer_for_an_answer_of_this_moment_ends_the_request(
    bench: Bench,
) -> None:
    bench.gate.clear()
    waiter = asyncio.create_task(said(bench, ask(bench, "a", fresh=True)))
    await bench.reached(1)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert bench.cache.counters.fetches == {("pck_crl", FetchOutcome.TIMEOUT): 1}


async def test_a_question_of_this_moment_waits_for_no_patience(bench: Bench) -> None:
    """There is no older answer to stand in."""
    bench.gate.clear()
    fresh = ask(bench, "a", fresh=True)
    waiter = asyncio.create_task(bench.cache.get(fresh, patience=0.001))
    await bench.reached(1)
    await asyncio.sleep(0.01)
    bench.gate.set()
    assert (await waiter).body == b"answer 1"


async def test_a_busy_service_is_not_asked_other_questions_of_this_moment(bench: Bench) -> None:
    bench.status = 503
    for text in "abc":
        with pytest.raises(FetchFailed) as caught:
            await said(bench, ask(bench, text, fresh=True))
        assert caught.value.retry_after == 5
    assert bench.vendor.count == 1


async def test_one_refused_question_of_this_moment_stops_no_other(bench: Bench) -> None:
    bench.status = 400
    for text in "ab":
        with pytest.raises(FetchFailed):
            await said(bench, ask(bench, text, fresh=True))
    assert bench.vendor.count == 2
    assert bench.cache.counters.fetches == {("pck_crl", FetchOutcome.STATUS): 2}


async def test_an_absent_answer_of_this_moment_is_not_kept(bench: Bench) -> None:
    bench.status = 404
    for _ in range(2):
        response = await bench.cache.get(ask(bench, "a", fresh=True), patience=5)
        assert response.status == 404
    assert bench.vendor.count == 2


async def test_parts_of_questions_of_this_moment_are_labels(
    lab: Lab, store: MemoryStore, clock: Clock
) -> None:
    limits = replace(LIMITS, unkept=frozenset({"nras-gpu"}))
    bench = await make(lab, store, clock, limits)
    for part in ("nras-gpu", "nras-other"):
        await said(bench, replace(ask(bench, "a", fresh=True), part=part))
    assert bench.cache.counters.fetches == {
        ("nras-gpu", FetchOutcome.OK): 1,
        (OTHER_PART, FetchOutcome.OK): 1,
    }


def ending(end: dt.datetime | None) -> Callable[[bytes], dt.datetime | None]:
    return lambda _: end


@pytest.mark.parametrize("minutes", [1, 10, 59])
async def test_an_answer_is_not_used_past_its_own_end(bench: Bench, minutes: int) -> None:
    """Where a fresh one can be had, and not a second later."""
    fetch = ask(bench, "a", ends=ending(START + dt.timedelta(minutes=minutes)))
    assert await said(bench, fetch) == "answer 1"
    bench.clock.advance(minutes=minutes, seconds=-1)
    assert await said(bench, fetch) == "answer 1"
    bench.clock.advance(seconds=1)
    assert await said(bench, fetch) == "answer 2"


@pytest.mark.parametrize("end", [None, START + 24 * HOUR])
async def test_a_later_end_lengthens_no_age(bench: Bench, end: dt.datetime | None) -> None:
    fetch = ask(bench, "a", ends=ending(end))
    assert await said(bench, fetch) == "answer 1"
    bench.clock.advance(hours=1)
    assert await said(bench, fetch) == "answer 2"


async def test_an_answer_past_its_end_stands_in_where_none_can_be_had(bench: Bench) -> None:
    """What a verifier makes of it is the policy's: it is stale, and says so."""
    fetch = ask(bench, "a", ends=ending(START + HOUR / 2))
    assert await said(bench, fetch) == "answer 1"
    bench.status = 500
    bench.clock.advance(hours=2)
    assert await said(bench, fetch) == "answer 1"
    assert bench.cache.counters.stale == {"pck_crl": 1}


@pytest.mark.parametrize("age", [0, 1, 60 * 24])
async def test_an_answer_that_came_past_its_end_is_asked_for_anew_once_a_minute(
    bench: Bench, age: int
) -> None:
    fetch = ask(bench, "a", ends=ending(START - dt.timedelta(minutes=age)))
    assert await said(bench, fetch) == "answer 1"
    bench.clock.advance(seconds=59)
    assert await said(bench, fetch) == "answer 1"
    bench.clock.advance(seconds=1)
    assert await said(bench, fetch) == "answer 2"


async def test_the_store_gives_no_answer_past_its_end(bench: Bench, store: MemoryStore) -> None:
    fetch = ask(bench, "a", ends=ending(START + HOUR / 2))
    assert await said(bench, fetch) == "answer 1"
    again = CollateralCache(bench.cache._client, store, LIMITS, bench.clock)
    bench.clock.advance(minutes=31)
    assert (await again.get(fetch, patience=5)).body == b"answer 2"


async def test_renew_is_in_time_for_the_end_of_an_answer(bench: Bench) -> None:
    fetch = ask(bench, "a", ends=ending(START + dt.timedelta(minutes=20)))
    await said(bench, fetch)
    bench.clock.advance(minutes=14)
    assert await bench.cache.renew() == 0
    bench.clock.advance(minutes=1)
    assert await bench.cache.renew() == 1


async def test_renew_asks_once_for_one_machine_after_it_was_here(bench: Bench) -> None:
    """There are as many such questions as machines: no background job asks for a whole fleet for days."""
    await said(bench, ask(bench, "a"))
    for _ in range(8):
        bench.clock.advance(minutes=45)
        await bench.cache.renew()
    assert bench.vendor.count == 2


def taken(body: bytes) -> bool:
    return body != b"answer 2"


async def test_what_is_no_answer_displaces_none(bench: Bench, store: MemoryStore) -> None:
    """HTTP calls it a success: a page for people, a refusal. The older answer serves until its age, here and later."""
    fetch = ask(bench, "a", is_answer=taken)
    assert await said(bench, fetch) == "answer 1"
    bench.clock.advance(hours=1)
    assert await said(bench, fetch) == "answer 1"
    assert bench.cache.counters.fetches["pck_crl", FetchOutcome.MALFORMED] == 1
    assert bench.cache.counters.stale == {"pck_crl": 1}
    assert store.rows[fetch.key].body == b"answer 1"
    bench.clock.advance(minutes=1)
    assert await said(bench, fetch) == "answer 3"


async def test_what_is_no_answer_is_none_where_there_is_no_older_one(
    bench: Bench, store: MemoryStore
) -> None:
    def never(_: bytes) -> bool:
        return False

    for fresh in (False, True):
        with pytest.raises(FetchFailed, match="no answer") as caught:
            await said(bench, ask(bench, f"{fresh}", fresh=fresh, is_answer=never))
        assert caught.value.outcome is FetchOutcome.MALFORMED
    assert not store.rows


async def test_an_older_answer_does_not_serve_past_its_age_for_lack_of_another(
    bench: Bench,
) -> None:
    fetch = ask(bench, "a", is_answer=lambda body: body == b"answer 1")
    assert await said(bench, fetch) == "answer 1"
    bench.clock.advance(hours=72)
    with pytest.raises(FetchFailed, match="no answer"):
        await said(bench, fetch)


async def test_a_row_of_the_store_that_is_no_answer_is_none(
    bench: Bench, store: MemoryStore
) -> None:
    fetch = ask(bench, "a", is_answer=taken)
    assert await said(bench, fetch) == "answer 1"
    store.rows[fetch.key] = replace(store.rows[fetch.key], body=b"answer 2")
    again = CollateralCache(bench.cache._client, store, LIMITS, bench.clock)
    with pytest.raises(FetchFailed, match="no answer"):
        await again.get(fetch, patience=5)  # and asks, which is the vendor's second
    bench.clock.advance(minutes=1)
    assert (await again.get(fetch, patience=5)).body == b"answer 3"
