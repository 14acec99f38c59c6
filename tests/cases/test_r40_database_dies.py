# SPDX-License-Identifier: Apache-2.0
"""R-40 (the store's half): the database or the service dies between any two steps: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from ca.errors import IntentClosed, NonceUsed, Unavailable
from ca.issuance.crl import Revoked
from ca.ports import CertificateQuery, Outcome
from ca.store.sql import SqlStore
from tests import records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.databases import PostgresServer

ROOT = Path(__file__).parents[2]
STEPS = ("opened", "intent", "signed", "certificate")
LATER = records.NOW + timedelta(minutes=10)


def set_up(url: str) -> None:
    async def body() -> None:
        store = await SqlStore.open(url)
        await records.activate(store)
        await store.close()

    asyncio.run(body())


@contextmanager
def enrolling(url: str, mode: str) -> Iterator[subprocess.Popen[str]]:
    """A process that enrolls; killed (-9) at the end in any case."""
    program = [sys.executable, "-m", "tests.store_steps", url, mode]
    with subprocess.Popen(  # noqa: S603 - our own interpreter and files
        program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def run_up_to(url: str, last: str) -> None:
    """Run the steps up to `last`, then kill."""
    with enrolling(url, "steps") as process:
        stdin, stdout = _pipes(process)
        for step in STEPS:
            assert stdout.readline().split()[0] == step
            if step == last:
                return
            stdin.write("\n")
            stdin.flush()


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


@pytest.mark.parametrize("last", STEPS)
def test_killed_between_two_steps(database_url: str, last: str) -> None:
    set_up(database_url)
    run_up_to(database_url, last)
    asyncio.run(check_after(database_url, last))


async def check_after(url: str, last: str) -> None:
    store = await SqlStore.open(url)
    nonce = records.digest("nonce of step 1")
    state = await store.nonce_state(nonce)
    found = await store.certificate(1)
    again = records.intent(of=records.decision(nonce=nonce))
    if last == "opened":
        assert state is None
        assert found is None
        await store.record_intent(again)  # the same nonce may still be answered
    else:
        assert state is not None
        assert found is not None
        issued = last == "certificate"
        assert state.outcome is found.outcome is (Outcome.ISSUED if issued else Outcome.INTENT)
        with pytest.raises(NonceUsed):
            await store.record_intent(again)
        assert await store.abandon_intents(LATER, LATER) == (() if issued else (1,))
        if not issued:
            with pytest.raises(IntentClosed):
                await store.record_certificate(1, b"a signature that came late", "ear")
            day = found.not_after.date()
            assert await store.revoked_on(records.ISSUER, day) == (Revoked(1, LATER),)
    await store.close()


def test_killed_in_the_middle(database_url: str) -> None:
    """At an instant that nobody chose: what was acknowledged is there, and each nonce has its whole answer."""
    set_up(database_url)
    acknowledged: set[int] = set()

    def take(line: str) -> None:
        word, _, serial = line.partition(" ")
        if word == "certificate" and line.endswith("\n"):
            acknowledged.add(int(serial))

    with enrolling(database_url, "many") as process:
        _, stdout = _pipes(process)
        while len(acknowledged) < 25:
            take(stdout.readline())
        process.send_signal(signal.SIGKILL)
        for line in stdout:
            take(line)
    asyncio.run(check_all(database_url, acknowledged))


async def check_all(url: str, acknowledged: set[int]) -> None:
    store = await SqlStore.open(url)
    found = {
        record.serial: record for record in await store.certificates(CertificateQuery(limit=1000))
    }
    issued = {serial for serial, record in found.items() if record.outcome is Outcome.ISSUED}
    assert acknowledged <= issued
    assert len(found) - len(issued) <= 1  # the one that was under way
    for serial, record in found.items():
        state = await store.nonce_state(records.digest(f"nonce of step {serial}"))
        assert state is not None
        assert (state.serial, state.outcome) == (serial, record.outcome)
        assert len(record.handles) == 2
        assert len(record.decision.evidence) == 1
        assert len(record.decision.collateral) == 3
    abandoned = await store.abandon_intents(LATER, LATER)
    assert set(abandoned) == found.keys() - issued
    await store.ping()
    await store.close()


async def test_postgres_dies_between_intent_and_certificate(
    postgres: PostgresServer, postgres_url: str
) -> None:
    """The signature is in hand; asking again once the database is back closes the intent, once."""
    store = await SqlStore.open(postgres_url)
    await records.activate(store)
    intent = records.intent()
    await store.record_intent(intent)
    await asyncio.to_thread(postgres.stop)
    try:
        with pytest.raises(Unavailable):
            await store.record_certificate(intent.serial, b"der", "ear")
        unwritten = records.intent()
        with pytest.raises(Unavailable):
            await store.record_intent(unwritten)
    finally:
        await asyncio.to_thread(postgres.start)
    assert await store.nonce_state(unwritten.decision.nonce) is None
    await store.record_certificate(intent.serial, b"der", "ear")
    await store.record_certificate(intent.serial, b"der", "ear")
    (only,) = await store.certificates(CertificateQuery())
    assert (only.outcome, only.der) == (Outcome.ISSUED, b"der")
    assert await store.abandon_intents(LATER, LATER) == ()
    await store.close()


async def test_postgres_dies_under_load(postgres: PostgresServer, postgres_url: str) -> None:
    """Each call either went through or says Unavailable; one that says so was written whole or not at all."""
    store = await SqlStore.open(postgres_url)
    await records.activate(store)
    intents = [records.intent() for _ in range(400)]

    async def enroll(number: int) -> None:
        await store.record_intent(intents[number])
        await store.record_certificate(intents[number].serial, b"der", "ear")

    tasks = [asyncio.create_task(enroll(number)) for number in range(len(intents))]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.to_thread(postgres.stop)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.to_thread(postgres.start)

    assert {type(result) for result in results} == {type(None), Unavailable}
    for intent, result in zip(intents, results, strict=True):
        found = await store.certificate(intent.serial)
        state = await store.nonce_state(intent.decision.nonce)
        assert (found is None) == (state is None)
        if result is None:
            assert found is not None
            assert found.outcome is Outcome.ISSUED
        if found is not None:
            assert found.decision == intent.decision
            assert found.handles == intent.handles
    await store.close()
