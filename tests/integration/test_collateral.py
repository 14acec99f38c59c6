# SPDX-License-Identifier: Apache-2.0
"""The vendor's service is down, lies, or changes its mind: 503 where we cannot know, 403 where we do, never a pass."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ca.app.service import opened
from ca.enrollment import enroll
from ca.http.wire import decode_enrollment
from ca.ports import CertificateQuery
from simulator.intel import FakeIntel
from simulator.pcs import PCK_CRL, QE_IDENTITY, ROOT_CA_CRL, TCB_INFO, Fault
from tests.app_lab import problem_of

if TYPE_CHECKING:
    from tests.app_lab import App

PARTS = (TCB_INFO, QE_IDENTITY, PCK_CRL, ROOT_CA_CRL)


async def nothing_on_record(app: App) -> bool:
    store = app.service.store
    return not (await store.refusals(10, None) or await store.certificates(CertificateQuery()))


@pytest.mark.parametrize("part", PARTS)
async def test_unreachable_before_anything_is_known(app: App, part: str) -> None:
    app.pcs.faults[part] = Fault(status=503)
    body = app.body(await app.nonce())
    problem = problem_of(await app.post(body), 503, "unavailable")
    assert app.pcs.base_url not in str(problem)
    assert await nothing_on_record(app)
    app.pcs.faults.clear()
    app.clock.advance(seconds=60)  # the vendor is left alone for a while after a failure
    assert (await app.post(body)).status == 201, "the nonce was not spent"


async def test_renewals_go_on_while_the_vendor_is_down(app: App) -> None:
    assert (await app.enroll()).status == 201
    app.pcs.faults |= {part: Fault(status=503) for part in PARTS}
    for _ in range(5):  # longer than an answer is fresh, shorter than one is kept
        app.clock.advance(hours=12)
        assert (await app.enroll()).status == 201
    stranger = app.intel.platform(ca="processor")  # of whom nothing is known
    problem_of(await app.enroll(machine=stranger), 503, "unavailable")
    app.clock.advance(hours=24)
    problem_of(await app.enroll(), 503, "unavailable")
    app.pcs.faults.clear()
    app.clock.advance(hours=1)
    assert (await app.enroll()).status == 201


async def test_what_was_fetched_outlives_a_restart_of_the_service(app: App) -> None:
    assert (await app.enroll()).status == 201
    asked = len(app.pcs.requests)
    body = app.body(await app.nonce())
    async with opened(app.config) as again:
        await enroll(decode_enrollment(body), again.authority, app.clock())
    assert len(app.pcs.requests) == asked


def _raised(body: bytes) -> bytes:
    """An OutOfDate level called UpToDate, as a network that edits TCB info would have it."""
    assert b'"OutOfDate"' in body
    return body.replace(b'"OutOfDate"', b'"UpToDate"')


async def test_edited_tcb_info_is_never_believed(app: App) -> None:
    """With the machine that would gain by it: its microcode is old."""
    app.machine.fields["tee_tcb_svn"] = bytes((11, 1, 3)) + bytes(13)
    app.pcs.faults[TCB_INFO] = Fault(body=_raised)
    problem_of(await app.enroll(), 503, "collateral-unusable")
    assert await nothing_on_record(app)
    app.pcs.faults.clear()
    app.clock.advance(hours=7)
    problem_of(await app.enroll(), 403, "denied")


@pytest.mark.parametrize("part", PARTS)
async def test_a_flipped_bit_in_any_part(app: App, part: str) -> None:
    def flip(body: bytes) -> bytes:
        changed = bytearray(body)
        changed[len(body) // 2] ^= 1
        return bytes(changed)

    app.pcs.faults[part] = Fault(body=flip)
    reply = await app.enroll()
    assert reply.status == 503
    problem_of(reply, 503, reply.code)
    assert await nothing_on_record(app)


async def test_collateral_of_another_vendor(app: App) -> None:
    """Signed by a key that does not chain to the pinned root."""
    app.pcs.intel = FakeIntel.create(app.clock(), seed=b"somebody else")
    reply = await app.enroll()
    assert reply.status == 503
    assert await nothing_on_record(app)


async def test_a_platform_that_the_vendor_does_not_know(app: App) -> None:
    """Its own fault for good, and nothing of it is kept: the vendor gives no word on what it is."""
    stranger = app.intel.platform(fmspc="00a067110000")
    problem_of(await app.enroll(machine=stranger), 422, "platform-unknown")
    assert await nothing_on_record(app)


async def test_expired_collateral_is_a_denial_by_policy(app: App) -> None:
    """Authentic, too old, and the policy tolerates nothing: on record with the part by its name."""
    app.clock.advance(days=30)
    app.intel.root_crl.alter(next_update=app.clock())
    problem = problem_of(await app.enroll(), 403, "denied")
    assert {finding["rule"] for finding in problem["findings"]} == {"collateral-stale"}
    (refusal,) = await app.service.store.refusals(10, None)
    assert "collateral.tcb_info" in refusal.decision.result_json


async def test_revoked_after_it_had_a_certificate(app: App) -> None:
    """The vendor's list of today counts, once it is asked for."""
    assert (await app.enroll()).status == 201
    app.intel.platform_crl.revoke(app.machine.pck.spec.serial)
    app.clock.advance(hours=7)
    problem_of(await app.enroll(), 403, "certificate-revoked")
    (refusal,) = await app.service.store.refusals(10, None)
    assert json.loads(refusal.decision.result_json)["reason"]["code"] == "certificate-revoked"


async def test_the_refresh_job_asks_before_an_enrollment_must_wait(app: App) -> None:
    assert (await app.enroll()).status == 201
    asked = len(app.pcs.requests)
    app.clock.advance(hours=5)
    await app.run_job("collateral")
    assert len(app.pcs.requests) == asked + len(PARTS)
    assert (await app.enroll()).status == 201
    assert len(app.pcs.requests) == asked + len(PARTS)
