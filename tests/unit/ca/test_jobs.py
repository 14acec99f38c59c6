# SPDX-License-Identifier: Apache-2.0
"""What is done by the clock: CRLs when they must be, once among replicas; a failure is reported and tried again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from ca import jobs
from ca.errors import LintFailed, Unavailable
from ca.signers.file import FileSigner
from tests import records
from tests.authority_lab import NOW, make_lab

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import datetime

    from ca.ports import CrlRecord
    from ca.store.sql import SqlStore

LAB = make_lab()
KEY_ID = LAB.issuer.key_id
SECOND = timedelta(seconds=1)


@pytest.fixture
def signer() -> FileSigner:
    return FileSigner(LAB.issuer_key, LAB.issuer.certificate, LAB.root)


async def abandoned(store: SqlStore, now: datetime) -> int:
    """One serial that is revoked at `now`."""
    intent = records.intent(issuer_key_id=KEY_ID, not_after=now + timedelta(days=1))
    early = replace(intent.decision, decided_at=now - timedelta(hours=1))
    await store.record_intent(replace(intent, decision=early))
    assert await jobs.abandon_intents(store, now) == (intent.serial,)
    return intent.serial


async def newest(store: SqlStore) -> tuple[CrlRecord, set[int]]:
    record = await store.latest_crl(KEY_ID)
    assert record is not None
    crl = x509.load_der_x509_crl(record.der)
    assert crl.is_signature_valid(LAB.issuer.public_key)
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    assert number == record.number
    return record, {entry.serial_number for entry in crl}


async def test_the_first_is_published_and_empty(store: SqlStore, signer: FileSigner) -> None:
    assert await jobs.publish_crl(store, signer, NOW)
    record, listed = await newest(store)
    assert (record.number, listed) == (1, set())
    assert (record.this_update, record.next_update) == (NOW, NOW + jobs.CRL_LIFETIME)


async def test_not_again_before_its_time(store: SqlStore, signer: FileSigner) -> None:
    await jobs.publish_crl(store, signer, NOW)
    assert not await jobs.publish_crl(store, signer, NOW + jobs.CRL_EVERY - SECOND)
    assert await jobs.publish_crl(store, signer, NOW + jobs.CRL_EVERY)
    record, _ = await newest(store)
    assert record.number == 2
    assert record.next_update - record.this_update == jobs.CRL_LIFETIME


async def test_at_once_where_something_was_revoked(store: SqlStore, signer: FileSigner) -> None:
    await records.activate(store)
    await jobs.publish_crl(store, signer, NOW)
    serial = await abandoned(store, NOW + SECOND)
    assert await jobs.publish_crl(store, signer, NOW + SECOND)
    assert await newest(store) == ((await newest(store))[0], {serial})
    assert not await jobs.publish_crl(store, signer, NOW + 2 * SECOND)


async def test_what_has_expired_is_listed_once_more(store: SqlStore, signer: FileSigner) -> None:
    """Who fetches lists now and then sees each entry on a list of after the certificate's end."""
    await records.activate(store)
    serial = await abandoned(store, NOW)
    await jobs.publish_crl(store, signer, NOW)
    later = NOW + timedelta(days=1, seconds=1)
    assert await jobs.publish_crl(store, signer, later)
    assert (await newest(store))[1] == {serial}
    assert not await jobs.publish_crl(store, signer, later + SECOND)
    assert await jobs.publish_crl(store, signer, later + jobs.CRL_EVERY)
    record, listed = await newest(store)
    assert (record.number, listed) == (3, set())


async def test_serials_of_another_issuer_are_not_listed(
    store: SqlStore, signer: FileSigner
) -> None:
    await records.activate(store)
    intent = records.intent(not_after=NOW + timedelta(days=1))
    await store.record_intent(intent)
    assert await jobs.abandon_intents(store, NOW) == (intent.serial,)
    await jobs.publish_crl(store, signer, NOW)
    assert (await newest(store))[1] == set()


async def test_one_of_two_replicas_publishes(store: SqlStore, signer: FileSigner) -> None:
    """Both saw the same state; the second finds its number taken, and nothing of it remains."""
    waiting, go_on = asyncio.Event(), asyncio.Event()

    class Slow(FileSigner):
        async def sign(self, tbs_der: bytes) -> bytes:
            waiting.set()
            await go_on.wait()
            return await super().sign(tbs_der)

    slow = Slow(LAB.issuer_key, LAB.issuer.certificate, LAB.root)
    overtaken = asyncio.create_task(jobs.publish_crl(store, slow, NOW))
    await waiting.wait()
    assert await jobs.publish_crl(store, signer, NOW + SECOND)
    go_on.set()
    assert not await overtaken
    record, _ = await newest(store)
    assert (record.number, record.this_update) == (1, NOW + SECOND)


async def test_a_signature_of_another_key_is_not_published(store: SqlStore) -> None:
    class Wrong(FileSigner):
        async def sign(self, _tbs: bytes) -> bytes:
            other = make_lab()
            return await FileSigner(other.issuer_key, other.issuer.certificate, other.root).sign(
                _tbs
            )

    wrong = Wrong(LAB.issuer_key, LAB.issuer.certificate, LAB.root)
    with pytest.raises(LintFailed):
        await jobs.publish_crl(store, wrong, NOW)
    assert await store.latest_crl(KEY_ID) is None


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
