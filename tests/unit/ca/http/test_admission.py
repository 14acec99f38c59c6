# SPDX-License-Identifier: Apache-2.0
"""The queue of enrollments: bounded in places, in length and in time."""

from __future__ import annotations

import asyncio

import pytest

from ca.errors import Unavailable
from ca.http.admission import Admission, ByteBudget
from ca.http.refusals import RefusalRing, SampledRefusal
from tests.authority_lab import NOW
from tests.vendor_lab import until


async def _hold(admission: Admission, release: asyncio.Event) -> None:
    async with admission.place():
        await release.wait()


async def test_places_and_queue_are_bounded() -> None:
    admission, release = Admission(workers=2, queue=1), asyncio.Event()
    tasks = [asyncio.create_task(_hold(admission, release)) for _ in range(3)]
    await until(lambda: (admission.under_way, admission.waiting) == (2, 1))
    with pytest.raises(Unavailable) as caught:
        admission.refuse_if_full()
    assert (caught.value.code, caught.value.retry_after) == ("busy", 2)
    with pytest.raises(Unavailable):
        await _hold(admission, release)
    release.set()
    await asyncio.gather(*tasks)
    assert (admission.under_way, admission.waiting) == (0, 0)
    admission.refuse_if_full()


async def test_waiting_ends() -> None:
    admission, release = Admission(workers=1, queue=5, patience=0.02), asyncio.Event()
    first = asyncio.create_task(_hold(admission, release))
    await until(lambda: admission.under_way == 1)
    with pytest.raises(Unavailable, match="waited"):
        await _hold(admission, release)
    release.set()
    await first
    assert admission.waiting == 0


async def test_a_place_is_given_back_whatever_happens() -> None:
    admission = Admission(workers=1, queue=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with admission.place():
                raise ZeroDivisionError
    assert admission.under_way == 0
    task = asyncio.create_task(_hold(admission, asyncio.Event()))
    await until(lambda: admission.under_way == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert admission.under_way == 0


def test_the_ring_keeps_the_newest() -> None:
    ring = RefusalRing(3)
    for number in range(10):
        ring.add(SampledRefusal(NOW, "malformed", str(number), "192.0.2.0/24"))
    assert [refusal.detail for refusal in ring.newest(100)] == ["9", "8", "7"]
    assert [refusal.detail for refusal in ring.newest(2)] == ["9", "8"]
    assert RefusalRing(3).newest(5) == ()


def test_bodies_share_one_budget_and_give_it_back() -> None:
    budget = ByteBudget(10)
    budget.take(6)
    with pytest.raises(Unavailable) as refused:
        budget.take(5)
    assert refused.value.code == "busy"
    budget.take(4)
    budget.give_back(10)
    budget.take(10)
