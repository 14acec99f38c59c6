# SPDX-License-Identifier: Apache-2.0
"""A verifier's questions, round by round, within one budget."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from ca.errors import AuthorityError, Unavailable
from ca.fetch.cache import CacheLimits, CollateralCache
from ca.fetch.client import ClientLimits
from ca.fetch.endorser import MAX_ROUNDS, CachingEndorser
from verifiers.endorsements import MAX_FETCHES, Question
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ca import ports
    from tests.vendor_lab import Clock, Lab, MemoryStore, Vendor
    from verifiers.endorsements import Gather

LIMITS = CacheLimits(refresh_after={"tcb_info": dt.timedelta(hours=6)})


class Bench:
    """A vendor that answers with the path asked for, and two endorsers before it: a patient and a hasty one."""

    def __init__(self, vendor: Vendor, cache: CollateralCache, clock: Clock) -> None:
        self.vendor, self.cache, self.clock = vendor, cache, clock
        self.endorser: ports.Endorser = CachingEndorser(cache, budget=5)
        self.hasty = CachingEndorser(cache, budget=0.05)
        self.running = self.peak = 0
        self.closed = False
        self.stuck: set[str] = set()
        self.broken: set[str] = set()

    async def handler(self, request: web.Request) -> web.Response:
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await asyncio.sleep(60 if request.path in self.stuck else 0.01)
        finally:
            self.running -= 1
        if request.path == "/absent":
            return web.Response(status=404)
        return web.Response(status=503 if request.path in self.broken else 200, text=request.path)

    def ask(self, *rounds: tuple[str, ...]) -> Gather[list[bytes]]:
        """A verifier that asks these paths, round after round, and returns all bodies."""
        bodies = []
        try:
            for paths in rounds:
                answers = yield tuple(self.vendor.fetch(path) for path in paths)
                bodies += [answer.body for answer in answers]
        finally:
            self.closed = True
        return bodies


@pytest.fixture
async def bench(lab: Lab, store: MemoryStore, clock: Clock) -> AsyncIterator[Bench]:
    async def unset(_: web.Request) -> web.Response:
        return web.Response(status=500)

    vendor = await lab.vendor(unset)
    client = await lab.client(vendor.base, limits=ClientLimits(total=5))
    made = Bench(vendor, CollateralCache(client, store, LIMITS, clock), clock)
    vendor.handler = made.handler
    yield made
    await made.cache.close()


async def test_answers_come_in_the_order_of_the_questions(bench: Bench) -> None:
    bodies = await bench.endorser.run(bench.ask(("/a", "/b", "/c"), ("/d",), ("/b", "/a")))
    assert bodies == [b"/a", b"/b", b"/c", b"/d", b"/b", b"/a"]
    assert bench.vendor.count == 4
    assert bench.peak > 1  # a round is asked at the same time
    assert bench.closed


async def test_a_verifier_may_ask_nothing(bench: Bench) -> None:
    assert await bench.endorser.run(bench.ask()) == []
    assert await bench.endorser.run(bench.ask(())) == []


async def test_rounds_and_fetches_are_bounded(bench: Bench) -> None:
    most = [("/a",)] * MAX_ROUNDS
    assert len(await bench.endorser.run(bench.ask(*most))) == MAX_ROUNDS
    with pytest.raises(AuthorityError, match="rounds") as caught:
        await bench.endorser.run(bench.ask(*most, ("/a",)))
    assert caught.value.code == "internal"
    assert bench.closed
    wide = tuple(f"/{number}" for number in range(MAX_FETCHES + 1))
    with pytest.raises(AuthorityError, match="at once"):
        await bench.endorser.run(bench.ask(wide))


async def test_what_is_missing_is_named_with_all_its_parts(bench: Bench) -> None:
    bench.broken = {"/b", "/d"}
    with pytest.raises(Unavailable) as caught:
        await bench.endorser.run(bench.ask(("/a", "/b", "/c", "/d")))
    assert "/b: answered 503" in caught.value.detail
    assert "/d: answered 503" in caught.value.detail
    assert "/a:" not in caught.value.detail
    assert bench.closed


async def test_the_budget_ends_the_wait_and_not_the_request(bench: Bench) -> None:
    await bench.endorser.run(bench.ask(("/a",)))
    bench.stuck = {"/slow"}
    with pytest.raises(Unavailable) as caught:
        await bench.hasty.run(bench.ask(("/a",), ("/slow", "/b")))
    assert "/slow: no answer within 0.05 s" in caught.value.detail
    assert caught.value.retry_after == 5
    assert bench.closed
    assert bench.vendor.fetch("/slow").url in bench.cache._flights


async def test_within_the_budget_older_answers_stand_in_for_four_stuck_rounds(bench: Bench) -> None:
    rounds = [(f"/{number}",) for number in range(MAX_ROUNDS)]
    await bench.endorser.run(bench.ask(*rounds))
    bench.clock.advance(hours=7)
    bench.stuck = {path for (path,) in rounds}
    assert await CachingEndorser(bench.cache, budget=1.5).run(bench.ask(*rounds)) == [
        path.encode() for (path,) in rounds
    ]
    assert bench.cache.counters.stale == {"tcb_info": MAX_ROUNDS}


def refusing(bench: Bench, reason: Exception) -> Gather[None]:
    yield (bench.vendor.fetch("/a"),)
    raise reason


async def test_a_verifiers_refusal_passes_through_and_renews_what_it_refused(bench: Bench) -> None:
    await bench.endorser.run(bench.ask(("/a", "/b")))
    bench.clock.advance(minutes=2)
    refusal = VerificationError(Reason.COLLATERAL_MALFORMED, "not Intel's answer format")
    with pytest.raises(VerificationError) as caught:
        await bench.endorser.run(refusing(bench, refusal))
    assert caught.value is refusal
    assert bench.vendor.count == 2
    await bench.endorser.run(bench.ask(("/a", "/b")))
    assert [request.path for request in bench.vendor.requests[2:]] == ["/a"]


async def test_strangers_do_not_make_good_answers_be_asked_for_anew(
    bench: Bench,
) -> None:
    """ "There is nothing" is an answer, which anybody can have us given."""
    await bench.endorser.run(bench.ask(("/crl",)))
    bench.clock.advance(minutes=2)

    def gather() -> Gather[None]:
        yield bench.vendor.fetch("/absent"), bench.vendor.fetch("/crl")
        raise VerificationError(Reason.PLATFORM_UNKNOWN, "AMD does not know this chip")

    for _ in range(3):
        with pytest.raises(VerificationError):
            await bench.endorser.run(gather())
    assert [request.path for request in bench.vendor.requests] == ["/crl", "/absent"]


async def test_incomplete_answers_are_the_vendors_fault(bench: Bench) -> None:
    refusal = VerificationError(Reason.INCOMPLETE, "crl: answered 404")
    with pytest.raises(Unavailable, match="crl: answered 404") as caught:
        await bench.endorser.run(refusing(bench, refusal))
    assert (caught.value.code, caught.value.retry_after) == ("collateral-unusable", 60)


async def test_incomplete_evidence_is_not(bench: Bench) -> None:
    """Found before anything was asked."""

    def gather() -> Gather[None]:
        if not bench.closed:
            raise VerificationError(Reason.INCOMPLETE, "send the VLEK certificate with the report")
        yield ()

    with pytest.raises(VerificationError) as caught:
        await bench.endorser.run(gather())
    assert caught.value.reason is Reason.INCOMPLETE
    assert bench.vendor.count == 0


async def test_a_fault_of_a_verifier_is_not_dressed_up(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError):
        await bench.endorser.run(refusing(bench, ZeroDivisionError()))


async def test_a_refusal_before_the_first_question(bench: Bench) -> None:
    def gather() -> Gather[None]:
        if not bench.closed:
            raise VerificationError(Reason.CHAIN, "no chain")
        yield ()

    with pytest.raises(VerificationError):
        await bench.endorser.run(gather())
    assert bench.vendor.count == 0


async def test_a_caller_that_gives_up_closes_the_verifier(bench: Bench) -> None:
    bench.stuck = {"/slow"}
    run = asyncio.create_task(bench.endorser.run(bench.ask(("/slow",))))
    await asyncio.sleep(0.02)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert bench.closed


async def test_an_error_that_is_not_ours_is_not_taken_for_a_missing_answer(
    bench: Bench, store: MemoryStore
) -> None:
    store.broken = RuntimeError("a fault of the store")
    with pytest.raises(RuntimeError, match="a fault of the store"):
        await bench.endorser.run(bench.ask(("/a", "/b")))


async def test_refresh_renews_for_a_background_job(bench: Bench) -> None:
    await bench.endorser.run(bench.ask(("/a", "/b")))
    assert await bench.hasty.refresh() == 0
    bench.clock.advance(hours=5)
    assert await bench.hasty.refresh() == 2
    assert sum(bench.hasty.counters.fetches.values()) == 4


async def test_a_round_of_a_whole_machine(bench: Bench) -> None:
    """Eight GPUs and four switches have half as many questions."""
    paths = tuple(f"/{number}" for number in range(MAX_FETCHES))
    assert await bench.endorser.run(bench.ask(paths)) == [path.encode() for path in paths]


async def test_what_is_distrusted_is_a_question(bench: Bench) -> None:
    """Not all that was posted to the address."""

    def ask(*texts: bytes) -> Gather[int]:
        fetch = bench.vendor.fetch("/ocsp")
        wanted = [replace(fetch, question=Question(text, "text/plain")) for text in texts]
        return len((yield tuple(wanted)))

    assert await bench.endorser.run(ask(b"a", b"b")) == 2
    bench.clock.advance(minutes=2)
    bench.endorser.distrust(ask(b"a"))
    assert await bench.endorser.run(ask(b"a", b"b")) == 2
    assert bench.vendor.count == 3
