# SPDX-License-Identifier: Apache-2.0
"""How long a failing vendor is left alone."""

from __future__ import annotations

import datetime as dt

import pytest

from ca.fetch.backoff import BackOff
from ca.fetch.client import FetchFailed, FetchOutcome
from tests.vendor_lab import START
from verifiers.endorsements import Fetch, Question

PCS = "https://pcs.example"
FETCH = Fetch("tcb_info", f"{PCS}/tcb?fmspc=00")
SAME_PART = Fetch("tcb_info", f"{PCS}/tcb?fmspc=01")
SAME_ORIGIN = Fetch("qe_identity", f"{PCS}/qe/identity")
FOREIGN = Fetch("tcb_info", "https://pcs.other/tcb?fmspc=00")
OF_ORIGIN = {FetchOutcome.CONNECT, FetchOutcome.TLS, FetchOutcome.ADDRESS_REFUSED}
OF_PART = {FetchOutcome.BUSY, FetchOutcome.THROTTLED}


def failure(outcome: FetchOutcome, retry_after: int = 5) -> FetchFailed:
    return FetchFailed("why", outcome, retry_after=retry_after)


def wait(back_off: BackOff, fetch: Fetch, now: dt.datetime) -> int:
    """Seconds for which `fetch` is not to be made; 0 if it may be."""
    try:
        back_off.check(fetch, now)
    except FetchFailed as refused:
        assert refused.detail == "why"  # noqa: PT017 - the value is what this function returns
        return refused.retry_after
    return 0


def lengths(back_off: BackOff, failed: FetchFailed, count: int) -> list[int]:
    """Of so many pauses, each begun when the one before has ended."""
    now, found = START, []
    for _ in range(count):
        found.append(back_off.failed(FETCH, failed, now))
        assert wait(back_off, FETCH, now) == found[-1]
        now += dt.timedelta(seconds=found[-1])
        assert wait(back_off, FETCH, now) == 0
    return found


def test_pauses_double_up_to_a_minute_and_a_success_ends_them() -> None:
    back_off = BackOff(8)
    assert lengths(back_off, failure(FetchOutcome.STATUS), 8) == [2, 4, 8, 16, 32, 60, 60, 60]
    back_off.succeeded(FETCH)
    assert lengths(back_off, failure(FetchOutcome.STATUS), 1) == [2]


@pytest.mark.parametrize("outcome", FetchOutcome)
def test_whom_a_failure_concerns(outcome: FetchOutcome) -> None:
    back_off = BackOff(8)
    back_off.failed(FETCH, failure(outcome, retry_after=1), START)
    paused = [
        wait(back_off, fetch, START) == 2 for fetch in (FETCH, SAME_PART, SAME_ORIGIN, FOREIGN)
    ]
    assert paused == [True, outcome in OF_ORIGIN | OF_PART, outcome in OF_ORIGIN, False]


@pytest.mark.parametrize("outcome", FetchOutcome)
def test_an_answer_ends_what_concerned_it(outcome: FetchOutcome) -> None:
    back_off = BackOff(8)
    back_off.failed(FETCH, failure(outcome), START)
    back_off.succeeded(FOREIGN)
    assert wait(back_off, FETCH, START) > 0
    back_off.succeeded(SAME_ORIGIN if outcome in OF_ORIGIN else FETCH)
    assert wait(back_off, FETCH, START) == 0


def test_a_busy_vendor_gets_the_time_it_asks_for() -> None:
    back_off = BackOff(8)
    back_off.failed(FETCH, failure(FetchOutcome.BUSY, retry_after=300), START)
    assert wait(back_off, SAME_PART, START + dt.timedelta(seconds=299.5)) == 1
    assert wait(back_off, SAME_PART, START + dt.timedelta(seconds=300)) == 0


@pytest.mark.parametrize(
    ("retry_after", "pauses"),
    [
        (300, [300, 600, 1200, 2400, 3600, 3600]),
        (3600, [3600, 3600]),
        (1, [2, 4, 8, 16, 32, 60, 64, 128]),
    ],
)
def test_who_is_throttled_again_waits_longer(retry_after: int, pauses: list[int]) -> None:
    throttled = failure(FetchOutcome.THROTTLED, retry_after)
    assert lengths(BackOff(8), throttled, len(pauses)) == pauses


def test_a_clock_that_is_set_back_ends_a_pause() -> None:
    back_off = BackOff(8)
    back_off.failed(FETCH, failure(FetchOutcome.STATUS), START)
    assert wait(back_off, FETCH, START - dt.timedelta(days=1)) == 0


def test_pauses_are_bounded() -> None:
    back_off = BackOff(2)
    fetches = [Fetch("tcb_info", f"{PCS}/{number}") for number in range(3)]
    for fetch in fetches:
        back_off.failed(fetch, failure(FetchOutcome.STATUS), START)
    assert [wait(back_off, fetch, START) for fetch in fetches] == [0, 2, 2]


def posted(text: str, *, fresh: bool = False) -> Fetch:
    return Fetch("ocsp", PCS, question=Question(text.encode(), "text/plain"), fresh=fresh)


def test_a_question_fails_for_itself() -> None:
    """Though all are posted to one address, which is the origin's own text."""
    back_off = BackOff(8)
    back_off.failed(posted("a"), failure(FetchOutcome.STATUS), START)
    waits = [wait(back_off, fetch, START) for fetch in (posted("a"), posted("b"), FETCH)]
    assert waits == [2, 0, 0]


@pytest.mark.parametrize("outcome", FetchOutcome)
def test_of_a_question_that_is_asked_once(outcome: FetchOutcome) -> None:
    """What concerns others too is remembered; what would concern it alone takes no place of another's."""
    back_off = BackOff(1)
    back_off.failed(FETCH, failure(FetchOutcome.STATUS), START)
    assert back_off.failed(posted("a", fresh=True), failure(outcome, 1), START) == 2
    of_others = outcome in OF_ORIGIN | OF_PART
    assert wait(back_off, posted("b", fresh=True), START) == (2 if of_others else 0)
    assert wait(back_off, FETCH, START) == (2 if outcome not in OF_PART else 0)
