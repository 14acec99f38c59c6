# SPDX-License-Identifier: Apache-2.0
"""What is done by the clock: CRLs when they must be, once among replicas; a failure is reported and tried again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from ca import jobs
from ca.errors import LintFailed, Unavailable
from ca.issuance import crl
from ca.signers.file import FileSigner
from tests import records
from tests.authority_lab import NOW, make_lab

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ca.ports import CrlRecord
    from ca.store.sql import SqlStore

LAB = make_lab()
KEY_ID = LAB.issuer.key_id
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
END = NOW + DAY


@pytest.fixture
def signer() -> FileSigner:
    return FileSigner(LAB.issuer_key, LAB.issuer.certificate, LAB.root)


async def abandoned(store: SqlStore, now: datetime, not_after: datetime = END) -> int:
    """One serial that is revoked at `now`."""
    intent = records.intent(issuer_key_id=KEY_ID, not_after=not_after)
    early = replace(intent.decision, decided_at=now - timedelta(hours=1))
    await store.record_intent(replace(intent, decision=early))
    assert await jobs.abandon_intents(store, now) == (intent.serial,)
    return intent.serial


async def publish(store: SqlStore, signer: FileSigner, now: datetime) -> int:
    return await jobs.publish_crls(store, LAB.issuer, signer, now)


async def on(store: SqlStore, day: date) -> tuple[CrlRecord, set[int]]:
    """The list of a day, and the serials on it."""
    record = await store.crl(KEY_ID, day)
    assert record is not None
    found = x509.load_der_x509_crl(record.der)
    assert found.is_signature_valid(LAB.issuer.public_key)
    assert found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == (
        record.number
    )
    scope = found.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    at_noon = datetime.combine(day, time(12), UTC)
    assert scope.full_name == [x509.UniformResourceIdentifier(LAB.issuer.crl_url(at_noon))]
    listed = {entry.serial_number for entry in found}
    assert len(listed) == record.entries
    return record, listed


async def test_the_first_are_published_and_empty(store: SqlStore, signer: FileSigner) -> None:
    """One for each day on which a certificate can end."""
    days = crl.days(LAB.issuer.certificate, NOW)
    assert await publish(store, signer, NOW) == len(days)
    for number, day in enumerate(days, 1):
        record, listed = await on(store, day)
        assert (record.number, listed) == (number, set())
        assert (record.this_update, record.next_update) == (NOW, NOW + jobs.CRL_LIFETIME)


async def test_the_oldest_of_the_newest(store: SqlStore, signer: FileSigner) -> None:
    """A list that is signed before its time makes no other one younger, and a day without one is not passed over."""
    assert await jobs.oldest_list(store, LAB.issuer, NOW) is None
    await publish(store, signer, NOW)
    assert await jobs.oldest_list(store, LAB.issuer, NOW) == NOW
    days = crl.days(LAB.issuer.certificate, NOW)
    state = await store.crl_state(KEY_ID, days[0], days[-1])
    later = NOW + timedelta(minutes=1)
    record, _ = await on(store, days[0])
    newer = replace(record, number=state.number + 1, this_update=later)
    assert await store.publish_crls([newer], state.number)
    assert await jobs.oldest_list(store, LAB.issuer, later) == NOW
    assert await jobs.oldest_list(store, LAB.issuer, NOW + timedelta(days=1)) is None


async def test_not_again_before_their_time(store: SqlStore, signer: FileSigner) -> None:
    count = await publish(store, signer, NOW)
    assert await publish(store, signer, NOW + jobs.CRL_EVERY - SECOND) == 0
    assert await publish(store, signer, NOW + jobs.CRL_EVERY) == count
    record, _ = await on(store, NOW.date() - DAY)
    assert record.number == count + 1
    assert record.next_update - record.this_update == jobs.CRL_LIFETIME


async def test_at_once_where_something_was_revoked_and_nowhere_else(
    store: SqlStore, signer: FileSigner
) -> None:
    await records.activate(store)
    count = await publish(store, signer, NOW)
    first = await abandoned(store, NOW + SECOND)
    second = await abandoned(store, NOW + SECOND, END + 3 * DAY)
    assert await publish(store, signer, NOW + SECOND) == 2
    for serial, end, number in ((first, END, 1), (second, END + 3 * DAY, 2)):
        record, listed = await on(store, end.date())
        assert (record.number, listed) == (count + number, {serial})
    assert (await on(store, END.date() + DAY))[1] == set()
    assert await publish(store, signer, NOW + 2 * SECOND) == 0


async def test_the_day_is_that_of_the_end_to_the_second(
    store: SqlStore, signer: FileSigner
) -> None:
    await records.activate(store)
    midnight = datetime(2026, 11, 27, tzinfo=UTC)
    before, after = [await abandoned(store, NOW, end) for end in (midnight - SECOND, midnight)]
    await publish(store, signer, NOW)
    assert (await on(store, date(2026, 11, 26)))[1] == {before}
    assert (await on(store, date(2026, 11, 27)))[1] == {after}


async def test_a_new_day_has_its_list_before_a_certificate_names_it(
    store: SqlStore, signer: FileSigner
) -> None:
    await publish(store, signer, NOW)
    tomorrow = datetime(2026, 11, 26, tzinfo=UTC)
    last = (tomorrow + crl.SHARDS_AHEAD).date()
    assert await store.crl(KEY_ID, last) is None
    await publish(store, signer, tomorrow)
    assert (await on(store, last))[1] == set()


async def test_an_entry_stays_until_a_day_after_the_last_of_its_day_ended(
    store: SqlStore, signer: FileSigner
) -> None:
    """Who fetches lists now and then sees each entry on a list of after the certificate's end."""
    await records.activate(store)
    serial = await abandoned(store, NOW)
    over = datetime.combine(END.date() + 2 * DAY, time(), UTC)
    await publish(store, signer, over - SECOND)
    record, listed = await on(store, END.date())
    assert listed == {serial}
    assert record.this_update > END
    await jobs.forget(store, over - SECOND, DAY, DAY)
    assert await on(store, END.date()) == (record, listed)
    await publish(store, signer, over + jobs.CRL_EVERY)
    assert await on(store, END.date()) == (record, listed), "signed no more"
    await jobs.forget(store, over, DAY, DAY)
    assert await store.crl(KEY_ID, END.date()) is None
    assert (await on(store, END.date() + DAY))[1] == set()


async def test_serials_of_another_issuer_are_not_listed(
    store: SqlStore, signer: FileSigner
) -> None:
    await records.activate(store)
    intent = records.intent(not_after=END)
    await store.record_intent(intent)
    assert await jobs.abandon_intents(store, NOW) == (intent.serial,)
    await publish(store, signer, NOW)
    assert (await on(store, END.date()))[1] == set()


class Slow(FileSigner):
    """Signs when it may."""

    def __init__(self) -> None:
        super().__init__(LAB.issuer_key, LAB.issuer.certificate, LAB.root)
        self.waiting, self.go_on = asyncio.Event(), asyncio.Event()

    async def sign(self, tbs_der: bytes) -> bytes:
        self.waiting.set()
        await self.go_on.wait()
        return await super().sign(tbs_der)


async def test_one_of_two_replicas_publishes(store: SqlStore, signer: FileSigner) -> None:
    """Both saw the same state; the second finds the numbers taken, and nothing of it remains."""
    slow = Slow()
    overtaken = asyncio.create_task(publish(store, slow, NOW))
    await slow.waiting.wait()
    count = await publish(store, signer, NOW + SECOND)
    slow.go_on.set()
    assert await overtaken == 0
    record, _ = await on(store, NOW.date() - DAY)
    assert (record.number, record.this_update) == (1, NOW + SECOND)
    assert (await on(store, (NOW + crl.SHARDS_AHEAD).date()))[0].number == count


async def test_a_replica_that_was_overtaken_adds_what_the_other_did_not_know(
    store: SqlStore, signer: FileSigner
) -> None:
    """Revoked after the one that was faster had read what is revoked of that day, which is the first."""
    await records.activate(store)
    count = await publish(store, signer, NOW)
    early = Slow()  # looks before the revocation, and is slow
    first = asyncio.create_task(publish(store, early, NOW + jobs.CRL_EVERY))
    await early.waiting.wait()
    serial = await abandoned(store, NOW + SECOND, NOW - DAY)
    late = Slow()  # looks after it, and is slower
    second = asyncio.create_task(publish(store, late, NOW + jobs.CRL_EVERY + SECOND))
    await late.waiting.wait()
    early.go_on.set()
    assert await first == count
    late.go_on.set()
    assert await second == 1
    record, listed = await on(store, (NOW - DAY).date())
    assert (record.number, listed) == (2 * count + 1, {serial})


async def test_a_clock_that_is_behind_delays_nothing(store: SqlStore, signer: FileSigner) -> None:
    """The list of another replica is a minute ahead: a revocation is published all the same, none goes back in time."""
    await records.activate(store)
    await publish(store, signer, NOW)
    serial = await abandoned(store, NOW - 60 * SECOND)
    assert await publish(store, signer, NOW - 60 * SECOND) == 1
    record, listed = await on(store, END.date())
    assert (record.this_update, listed) == (NOW, {serial})


async def test_a_signature_of_another_key_is_not_published(store: SqlStore) -> None:
    other = make_lab()
    wrong = FileSigner(other.issuer_key, other.issuer.certificate, other.root)
    with pytest.raises(LintFailed):
        await publish(store, wrong, NOW)
    assert await store.crl(KEY_ID, NOW.date()) is None


async def test_intents_are_given_their_time(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent(of=records.decision(decided_at=NOW))
    await store.record_intent(intent)
    assert await jobs.abandon_intents(store, NOW + jobs.INTENT_PATIENCE) == ()
    assert await jobs.abandon_intents(store, NOW + jobs.INTENT_PATIENCE + SECOND) == (
        intent.serial,
    )
    assert await jobs.abandon_intents(store, NOW + timedelta(days=1)) == ()


async def test_forget(store: SqlStore) -> None:
    decision = records.decision(decided_at=NOW, nonce_expires=NOW)
    await store.record_refusal(decision)
    day, hour = timedelta(days=1), timedelta(hours=1)
    await jobs.forget(store, NOW + hour, day, 2 * hour)
    assert await store.nonce_state(decision.nonce) is not None
    await jobs.forget(store, NOW + 3 * hour, day, 2 * hour)
    assert await store.nonce_state(decision.nonce) is None
    assert len(await store.refusals(10, None)) == 1
    await jobs.forget(store, NOW + 2 * day, day, 2 * hour)
    assert await store.refusals(10, None) == ()


# the loop


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> asyncio.Semaphore:
    """Each release lets one job that waits for its next turn go on."""
    allowed = asyncio.Semaphore(0)

    async def wait(woken: Coroutine[Any, Any, bool], _seconds: float) -> None:
        woken.close()
        await allowed.acquire()

    monkeypatch.setattr("ca.jobs.asyncio.wait_for", wait)
    return allowed


async def test_run_forever_reports_and_goes_on(turns: asyncio.Semaphore) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()
    reports: list[tuple[str, str]] = []

    async def fails(_now: datetime) -> None:
        seen.put_nowait("fails")
        raise Unavailable("gone")

    async def breaks(_now: datetime) -> None:
        seen.put_nowait("breaks")
        raise ZeroDivisionError

    async def works(now: datetime) -> None:
        assert now == NOW
        seen.put_nowait("works")

    todo = [jobs.Job(work.__name__, SECOND, work) for work in (fails, breaks, works)]

    def report(name: str, error: Exception) -> None:
        reports.append((name, type(error).__name__))

    running = asyncio.create_task(jobs.run_forever(todo, lambda: NOW, report))
    for _ in range(3):
        assert {await seen.get() for _ in todo} == {"fails", "breaks", "works"}
        for _ in todo:
            turns.release()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert set(reports) == {("fails", "Unavailable"), ("breaks", "ZeroDivisionError")}
    assert len(reports) >= 6


async def test_a_slow_job_does_not_hold_up_the_others(turns: asyncio.Semaphore) -> None:
    quick: asyncio.Queue[None] = asyncio.Queue()

    async def hangs(_now: datetime) -> None:
        await asyncio.Event().wait()

    async def works(_now: datetime) -> None:
        quick.put_nowait(None)

    todo = [jobs.Job("hangs", SECOND, hangs), jobs.Job("works", SECOND, works)]
    running = asyncio.create_task(jobs.run_forever(todo, lambda: NOW, lambda *_: None))
    for _ in range(3):
        await quick.get()
        turns.release()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_job_that_is_woken_runs_at_once_and_once_more_if_that_was_meanwhile() -> None:
    runs: asyncio.Queue[int] = asyncio.Queue()
    go_on = asyncio.Semaphore(0)
    count = 0

    async def counts(_now: datetime) -> None:
        nonlocal count
        count += 1
        runs.put_nowait(count)
        await go_on.acquire()

    wake = asyncio.Event()
    todo = [jobs.Job("counts", timedelta(days=1), counts, wake)]
    running = asyncio.create_task(jobs.run_forever(todo, lambda: NOW, lambda *_: None))
    assert await runs.get() == 1
    for _ in range(3):  # while it runs: three times is once
        wake.set()
    go_on.release()
    assert await runs.get() == 2
    go_on.release()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert runs.empty()
    wake.set()
    assert await runs.get() == 3
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
