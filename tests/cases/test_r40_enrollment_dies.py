# SPDX-License-Identifier: Apache-2.0
"""R-40, the service's half: it is killed (-9) between any two steps of an enrollment: nothing lost, nothing twice.

The list of steps is held against what an enrollment really does, so a new step is a new case.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from ca.ports import CertificateQuery, Outcome
from ca.store.sql import SqlStore
from simulator.pki import pem
from tests import dying
from tests.app_lab import problem_of
from tests.service_lab import leaf_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ca.ports import CertificateRecord
    from tests.app_lab import App

CALLS = ("nonce_state", "policies", "record_intent", "sign", "record_certificate", "certificate")
NO_TRACE = ("before nonce_state", "before policies", "before record_intent")
INTENT = ("before sign", "before record_certificate")
ISSUED = ("before certificate", "after certificate")


@pytest.fixture(scope="module")
def enroller() -> Iterator[dying.Tell]:
    """The process whose children die."""
    with dying.started("tests.dying_enrollment") as tell:
        yield tell


async def die_at(step: str, body: bytes, app: App, enroller: dying.Tell) -> dying.Ended:
    order = {
        "folder": str(app.config.ca.directory.parent),
        "database": app.config.database.url.get_secret_value(),
        "vendor": app.pcs.base_url,
        "root": pem(app.intel.root_der),
        "body": body.decode(),
        "step": step,
    }
    ended = await asyncio.to_thread(enroller, order)  # the vendor runs in this loop
    if step:
        assert ended == {"status": dying.KILLED, "done": []}
    return ended


async def reopened(app: App) -> tuple[CertificateRecord, ...]:
    """What a process that starts now finds in the database."""
    store = await SqlStore.open(app.config.database.url.get_secret_value())
    try:
        return await store.certificates(CertificateQuery())
    finally:
        await store.close()


async def test_these_are_all_steps(app: App, enroller: dying.Tell) -> None:
    ended = await die_at("", app.body(await app.nonce()), app, enroller)
    steps = [f"{when} {call}" for call in CALLS for when in ("before", "after")]
    assert ended == {"status": 0, "done": steps}
    between = {*(f"before {call}" for call in CALLS), f"after {CALLS[-1]}"}
    assert {*NO_TRACE, *INTENT, *ISSUED} == between


@pytest.mark.parametrize("step", NO_TRACE)
async def test_before_the_intent_nothing_is_left(
    app_on_both: App, enroller: dying.Tell, step: str
) -> None:
    app = app_on_both
    body = app.body(await app.nonce())
    await die_at(step, body, app, enroller)
    assert await reopened(app) == ()
    reply = await app.post(body)
    assert reply.status == 201, "the same request goes through, for nothing of it was answered"
    (only,) = await reopened(app)
    assert only.serial == leaf_of(reply).serial_number


@pytest.mark.parametrize("step", INTENT)
async def test_an_intent_without_certificate_is_closed_and_never_signed_again(
    app_on_both: App, enroller: dying.Tell, step: str
) -> None:
    app = app_on_both
    nonce = await app.nonce()
    body = app.body(nonce)
    await die_at(step, body, app, enroller)
    (intent,) = await reopened(app)
    assert (intent.outcome, intent.der, intent.ear) == (Outcome.INTENT, None, None)
    problem_of(await app.post(body), 503, "in-progress")
    problem_of(await app.post(app.body(nonce)), 409, "nonce-used")
    problem_of(await app.get(f"/v1/certificates/{intent.serial:x}"), 404, "not-found")

    await app.run_job("abandoned-intents")
    assert [each.outcome for each in await reopened(app)] == [Outcome.INTENT], "too early to tell"
    later = intent.decision.decided_at + timedelta(minutes=5, seconds=1)
    await app.run_job("abandoned-intents", later)
    await app.run_job("certificates", later)
    (closed,) = await reopened(app)
    assert (closed.serial, closed.outcome, closed.der) == (intent.serial, Outcome.ABANDONED, None)
    problem_of(await app.post(body), 409, "nonce-used")
    crl = await app.crl(intent.issuer_key_id, intent.not_after)
    assert [entry.serial_number for entry in crl] == [intent.serial]
    assert (await app.enroll()).status == 201


@pytest.mark.parametrize("step", ISSUED)
async def test_a_certificate_on_record_is_handed_out_when_asked_again(
    app_on_both: App, enroller: dying.Tell, step: str
) -> None:
    app = app_on_both
    body = app.body(await app.nonce())
    await die_at(step, body, app, enroller)
    (issued,) = await reopened(app)
    assert issued.outcome is Outcome.ISSUED
    reply = await app.post(body)
    assert reply.status == 200
    assert leaf_of(reply) == x509.load_der_x509_certificate(issued.der or b"")
    assert len(await reopened(app)) == 1
