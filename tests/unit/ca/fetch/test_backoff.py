# SPDX-License-Identifier: Apache-2.0
"""How long a failing vendor is left alone."""

from __future__ import annotations

import datetime as dt

import pytest

from ca.fetch.backoff import BackOff
from ca.fetch.client import FetchFailed, FetchOutcome
from tests.vendor_lab import START

URL = "https://pcs.example/tcb?fmspc=00"
OTHER = "https://pcs.example/qe/identity"
FOREIGN = "https://crl.example/root.der"


def failure(outcome: FetchOutcome, retry_after: int = 5) -> FetchFailed:
    return FetchFailed("why", outcome, retry_after=retry_after)


def wait(back_off: BackOff, url: str, now: dt.datetime) -> int:
    """Seconds that `url` is to be left alone; 0 if it may be asked."""
    try:
        back_off.check(url, now)
    except FetchFailed as refused:
        assert refused.detail == "why"  # noqa: PT017 - the value is what this function returns
        return refused.retry_after
    return 0


def test_pauses_double_up_to_a_minute_and_a_success_ends_them() -> None:
    back_off, now, lengths = BackOff(8), START, []
    for _ in range(8):
        back_off.failed(URL, failure(FetchOutcome.STATUS), now)
        lengths.append(wait(back_off, URL, now))
        now += dt.timedelta(seconds=lengths[-1])
        assert wait(back_off, URL, now) == 0
    assert lengths == [2, 4, 8, 16, 32, 60, 60, 60]
    back_off.succeeded(URL)
    back_off.failed(URL, failure(FetchOutcome.STATUS), now)
    assert wait(back_off, URL, now) == 2


@pytest.mark.parametrize("outcome", FetchOutcome)
def test_whom_a_failure_concerns(outcome: FetchOutcome) -> None:
    back_off = BackOff(8)
    back_off.failed(URL, failure(outcome, retry_after=1), START)
    whole_origin = outcome in {
        FetchOutcome.CONNECT,
        FetchOutcome.TLS,
        FetchOutcome.BUSY,
        FetchOutcome.ADDRESS_REFUSED,
    }
    assert wait(back_off, URL, START) == 2
    assert (wait(back_off, OTHER, START) == 2) is whole_origin
    assert wait(back_off, FOREIGN, START) == 0
    back_off.succeeded(OTHER if whole_origin else URL)
    assert wait(back_off, URL, START) == 0


def test_a_busy_vendor_gets_the_time_it_asks_for() -> None:
    back_off = BackOff(8)
    back_off.failed(URL, failure(FetchOutcome.BUSY, retry_after=300), START)
    assert wait(back_off, OTHER, START + dt.timedelta(seconds=299.5)) == 1
    assert wait(back_off, OTHER, START + dt.timedelta(seconds=300)) == 0


def test_a_clock_that_is_set_back_ends_a_pause() -> None:
    back_off = BackOff(8)
    back_off.failed(URL, failure(FetchOutcome.STATUS), START)
    assert wait(back_off, URL, START - dt.timedelta(days=1)) == 0


def test_pauses_are_bounded() -> None:
    back_off = BackOff(2)
    for number in range(3):
        back_off.failed(f"{URL}{number}", failure(FetchOutcome.STATUS), START)
    assert [wait(back_off, f"{URL}{number}", START) for number in range(3)] == [0, 2, 2]
