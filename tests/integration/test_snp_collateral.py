# SPDX-License-Identifier: Apache-2.0
"""AMD's service as enrollments meet it: asked once for each chip and TCB, throttling, down, or lying; never a pass."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from ca.app.service import opened
from ca.enrollment import enroll
from ca.errors import CollateralUnusable
from ca.http.wire import decode_enrollment
from ca.ports import CertificateQuery
from simulator.amd import FakeAmd
from simulator.amd_certificates import crl
from simulator.kds import CRL, VCEK, Fault
from simulator.products import Tcb
from tests.app_lab import problem_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.snp import SnpMachine
    from tests.service_lab import Reply
    from tests.snp_app import SnpApp

OLDER = Tcb(bootloader=9, tee=0, snp=20, microcode=0x54)


@pytest.fixture
async def machine(snp: SnpApp) -> SnpMachine:
    """A machine that the service accepts and has not seen yet."""
    await snp.accept(rules="  tolerate_stale: {crl: 7d}")
    return snp.amd.machine("Genoa")


async def nothing_on_record(snp: SnpApp) -> bool:
    store = snp.app.service.store
    return not (await store.refusals(10, None) or await store.certificates(CertificateQuery()))


def retry_after(reply: Reply, code: str = "unavailable") -> int:
    problem_of(reply, 503, code)
    return int(reply.headers["Retry-After"])


async def test_a_chip_is_asked_for_once(snp_on_both: SnpApp) -> None:
    """Not for the second enrollment, not after years, and not after a restart."""
    snp = snp_on_both
    await snp.accept()
    machine = snp.amd.machine("Genoa")
    for _ in range(2):
        assert (await snp.enroll(machine)).status == 201
    assert snp.fetched == ["crl", "vcek"]
    snp.amd.line("Genoa").vcek_crl.alter(next_update=snp.app.clock().replace(year=2035))
    snp.app.clock.advance(days=60)
    snp.kds.faults[VCEK] = Fault(status=500)
    async with opened(snp.app.config) as again:
        body = snp.body(await snp.app.nonce(), machine)
        await enroll(decode_enrollment(body), again.authority, snp.app.clock())
    assert snp.fetched == ["crl", "crl", "vcek"]


async def test_a_chip_at_another_tcb_has_another_key(snp: SnpApp, machine: SnpMachine) -> None:
    """So it is asked for anew; and both are kept."""
    everywhere = dict.fromkeys(("committed_tcb", "current_tcb", "launch_tcb"), OLDER)
    for _ in range(2):
        assert (await snp.enroll(machine)).status == 201
        assert (await snp.enroll(machine, reported_tcb=OLDER, **everywhere)).status == 201
    assert snp.fetched == ["crl", "vcek", "vcek"]


async def test_many_at_once_are_one_request(snp: SnpApp, machine: SnpMachine) -> None:
    snp.kds.faults[VCEK] = Fault(delay=0.3)
    bodies = [snp.body(await snp.app.nonce(), machine) for _ in range(8)]
    replies = await asyncio.gather(*(snp.app.post(body) for body in bodies))
    assert {reply.status for reply in replies} == {201}
    assert snp.fetched == ["crl", "vcek"]


async def test_a_chip_that_amd_does_not_know(snp: SnpApp) -> None:
    """The attester's fault for good; asked for again after a while, and kept nowhere."""
    stranger = FakeAmd.create(snp.app.clock(), seed=b"other chips").machine("Genoa")
    for _ in range(3):
        problem_of(await snp.enroll(stranger), 422, "platform-unknown")
    assert await nothing_on_record(snp)
    assert snp.fetched == ["crl", "vcek"]
    (url,) = {snp.kds.base_url + path for path in snp.kds.requests if "/crl" not in path}
    assert await snp.app.service.store.cached_response(url) is None
    snp.app.clock.advance(minutes=11)
    problem_of(await snp.enroll(stranger), 422, "platform-unknown")
    assert snp.fetched == ["crl", "vcek", "vcek"], "and the list, which was good, was not"


# throttling


async def test_amd_throttles(snp: SnpApp) -> None:
    """Four in ten minutes, as the real one: who comes fifth is told to wait, and AMD is not asked meanwhile."""
    await snp.accept()
    snp.kds.allowance = 4
    machines = [snp.amd.machine("Genoa") for _ in range(6)]
    for one in machines[:4]:
        assert (await snp.enroll(one)).status == 201
    assert retry_after(await snp.enroll(machines[4])) == 300
    assert retry_after(await snp.enroll(machines[5])) == 300
    assert len(snp.fetched) == 1 + 5, "the sixth was not asked for"
    snp.app.clock.advance(minutes=2)
    assert retry_after(await snp.enroll(machines[4])) == 180
    # the known ones, those that bring it, and other technologies go on
    assert (await snp.enroll(machines[0])).status == 201
    brought = machines[4].certificate_table()
    assert (await snp.enroll(machines[4], certificates=brought)).status == 201
    assert (await snp.app.enroll()).status == 201
    # and longer each time: still throttled after the first pause
    snp.app.clock.advance(minutes=3)
    assert retry_after(await snp.enroll(machines[5])) == 600
    snp.kds.allowance = None
    snp.app.clock.advance(minutes=10)
    assert (await snp.enroll(machines[5])).status == 201
    assert await snp.app.service.store.refusals(10, None) == ()


async def test_amd_says_how_long(snp: SnpApp, machine: SnpMachine) -> None:
    snp.kds.allowance, snp.kds.retry_after = 0, "1000"
    assert retry_after(await snp.enroll(machine)) == 1000
    snp.app.clock.advance(seconds=999)
    assert retry_after(await snp.enroll(machine)) == 1
    assert snp.fetched == ["crl", "vcek"]


async def test_a_first_list_is_fetched_though_certificates_are_throttled(snp: SnpApp) -> None:
    """Strangers can have us throttled; who brings the certificate is served all the same."""
    await snp.accept()
    snp.kds.allowance = 0
    retry_after(await snp.enroll(snp.amd.machine("Milan")))
    turin = snp.amd.machine("Turin")
    reply = await snp.enroll(turin, certificates=turin.certificate_table())
    assert reply.status == 201


@pytest.mark.parametrize(
    "fault",
    [Fault(status=429), Fault(status=500), Fault(status=404), Fault(body=b"x" * 20_000)],
    ids=["throttled", "failing", "unknown", "too large"],
)
async def test_no_chip_id_is_logged_or_answered(
    snp: SnpApp, machine: SnpMachine, fault: Fault
) -> None:
    """AMD's address of a VCEK names the chip: neither the log nor a caller is shown it."""
    snp.kds.faults[VCEK] = fault
    with capture_logs() as logs:
        replies = [await snp.enroll(one) for one in (machine, snp.amd.machine("Genoa"))]
    assert {reply.status for reply in replies} <= {422, 503}
    said = repr(logs) + repr([reply.body for reply in replies])
    asked = [path.split("/")[4].partition("?")[0] for path in snp.kds.requests if "SPL" in path]
    assert {len(bytes.fromhex(chip)) for chip in asked} == {64}
    assert not [chip for chip in asked if chip in said]
    if fault.status != 404:  # which is an answer
        assert "/vcek/v1/Genoa/…?blSPL=" in said


# down


@pytest.mark.parametrize("part", [VCEK, CRL])
async def test_down_before_anything_is_known(snp: SnpApp, machine: SnpMachine, part: str) -> None:
    snp.kds.faults[part] = Fault(status=503)
    body = snp.body(await snp.app.nonce(), machine)
    assert retry_after(await snp.app.post(body)) == 5
    assert await nothing_on_record(snp)
    snp.kds.faults.clear()
    snp.app.clock.advance(seconds=60)
    assert (await snp.app.post(body)).status == 201, "the nonce was not spent"


async def test_down_with_all_that_is_needed_at_hand(snp: SnpApp, machine: SnpMachine) -> None:
    """A known chip, and a new one that brings its certificate, for as long as the list is kept."""
    new = snp.amd.machine("Genoa")
    assert (await snp.enroll(machine)).status == 201
    snp.kds.faults |= {part: Fault(status=500) for part in (VCEK, CRL)}
    brought = new.certificate_table()
    for hours in (1, 35, 35):
        snp.app.clock.advance(hours=hours)
        assert (await snp.enroll(machine)).status == 201
        assert (await snp.enroll(new, certificates=brought)).status == 201
        retry_after(await snp.enroll(new))
    snp.app.clock.advance(hours=2)
    retry_after(await snp.enroll(machine))


async def test_a_list_past_its_date_is_a_denial_by_policy(snp: SnpApp) -> None:
    await snp.accept()
    machine = snp.amd.machine("Genoa")
    snp.amd.line("Genoa").vcek_crl.alter(next_update=snp.app.clock())
    snp.app.clock.advance(seconds=1)
    problem = problem_of(await snp.enroll(machine), 403, "denied")
    assert [finding["rule"] for finding in problem["findings"]] == ["collateral-stale"]
    await snp.accept(version=2, rules="  tolerate_stale: {crl: 7d}")
    assert (await snp.enroll(machine)).status == 201


async def test_a_list_of_before_decides_nothing(snp: SnpApp, machine: SnpMachine) -> None:
    """AMD's numbers rise; a mirror that goes back is no source."""
    line = snp.amd.line("Genoa")
    older, newer = (crl(line.ark, snp.app.clock() - timedelta(days=1), number) for number in (1, 2))
    line.vcek_crl = newer
    assert (await snp.enroll(machine)).status == 201
    line.vcek_crl = older
    snp.app.clock.advance(hours=7)
    retry_after(await snp.enroll(machine), "collateral-unusable")
    line.vcek_crl = newer
    snp.app.clock.advance(minutes=2)
    assert (await snp.enroll(machine)).status == 201, "it was asked anew"


# lying


def _flipped(body: bytes) -> bytes:
    changed = bytearray(body)
    changed[len(body) // 2] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("part", [VCEK, CRL])
@pytest.mark.parametrize("lie", [_flipped, lambda _: b"<html>"], ids=["bit", "page"])
async def test_what_amd_did_not_sign(
    snp: SnpApp, machine: SnpMachine, part: str, lie: Callable[[bytes], bytes]
) -> None:
    """Not the attester's fault, never believed, and asked for anew although a VCEK has no age."""
    snp.kds.faults[part] = Fault(body=lie)
    retry_after(await snp.enroll(machine), "collateral-unusable")
    assert await nothing_on_record(snp)
    snp.kds.faults.clear()
    snp.app.clock.advance(minutes=2)
    assert (await snp.enroll(machine)).status == 201


async def test_a_certificate_that_was_changed_in_the_database(
    snp_on_both: SnpApp,
) -> None:
    """R-05, where it has no age: it decides nothing, and the next question to AMD mends it."""
    snp = snp_on_both
    await snp.accept()
    machine, other = snp.amd.machine("Genoa"), snp.amd.machine("Genoa")
    assert (await snp.enroll(machine)).status == 201
    store = snp.app.service.store
    (url,) = (snp.kds.base_url + path for path in snp.kds.requests if not path.endswith("/crl"))
    row = await store.cached_response(url)
    assert row is not None
    await store.put_cached_response(replace(row, body=other.vek().der))
    snp.app.clock.advance(minutes=2)
    async with opened(snp.app.config) as again:

        async def ask() -> None:
            body = snp.body(await snp.app.nonce(), machine)
            await enroll(decode_enrollment(body), again.authority, snp.app.clock())

        with pytest.raises(CollateralUnusable):
            await ask()
        await ask()
    mended = await store.cached_response(url)
    assert mended is not None
    assert (mended.body, mended.fetched_at) == (row.body, snp.app.clock())
    assert snp.fetched == ["crl", "crl", "vcek", "vcek"]


async def test_a_certificate_of_another_chip(snp: SnpApp, machine: SnpMachine) -> None:
    snp.kds.faults[VCEK] = Fault(body=snp.amd.machine("Genoa").vek().der)
    retry_after(await snp.enroll(machine), "collateral-unusable")
    assert await nothing_on_record(snp)


async def test_a_kept_certificate_that_has_ended(snp: SnpApp, machine: SnpMachine) -> None:
    """AMD gives another one for the same key."""
    snp.amd.line("Genoa").vcek_crl.alter(next_update=snp.app.clock().replace(year=2035))
    vcek = machine.vek()
    end = vcek.spec.not_after
    vcek.alter(not_after=snp.app.clock().replace(microsecond=0))
    snp.app.clock.advance(seconds=1)
    retry_after(await snp.enroll(machine), "collateral-unusable")
    vcek.alter(not_after=end)
    snp.app.clock.advance(minutes=2)
    assert (await snp.enroll(machine)).status == 201
    assert snp.fetched.count("vcek") == 2


async def test_a_redirect_is_not_followed(snp: SnpApp, machine: SnpMachine) -> None:
    snp.kds.faults[VCEK] = Fault(location=f"{snp.kds.base_url}/vcek/v1/Genoa/crl")
    retry_after(await snp.enroll(machine))
    assert snp.fetched == ["crl", "vcek"]


async def test_a_missing_list_is_amds(snp: SnpApp, machine: SnpMachine) -> None:
    snp.kds.faults[CRL] = Fault(status=404)
    retry_after(await snp.enroll(machine), "collateral-unusable")
    assert await nothing_on_record(snp)


# what must be sent


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"version": 2}, "send the VCEK"),
        ({"signing_key": "vlek"}, "send the VLEK"),
    ],
)
async def test_what_cannot_be_asked_for(
    snp: SnpApp, machine: SnpMachine, fields: dict[str, object], said: str
) -> None:
    problem = problem_of(await snp.enroll(machine, **fields), 422, "incomplete")
    assert said in problem["detail"]
    assert snp.fetched == []
    assert await nothing_on_record(snp)


async def test_metrics_name_the_parts(snp: SnpApp, machine: SnpMachine) -> None:
    snp.kds.allowance = 0
    await snp.enroll(machine)
    text = (await snp.app.get("/metrics")).body.decode()
    assert 'attestca_collateral_fetches_total{outcome="throttled",part="vcek"} 1.0' in text
    assert 'attestca_collateral_fetches_total{outcome="ok",part="crl"} 1.0' in text
    assert machine.chip_id.hex() not in text
