# SPDX-License-Identifier: Apache-2.0
"""What listeners and jobs are given: chains, lists, keys, readiness, and the jobs themselves."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import SecretStr

from attestca_client.protocol import HandleKind
from ca import jobs
from ca.app.keys import key_id
from ca.app.service import clock, load_tls, opened
from ca.errors import ConfigurationError, Unavailable
from ca.issuance import crl
from ca.issuance.reasons import RevocationReason
from ca.revocation import Why, revoke
from ca.subjects import Subject
from policies.floors import builtin_floors
from policies.minimums import builtin_minimums
from tests import records
from tests.app_lab import install_issuing
from tests.service_lab import leaf_of

if TYPE_CHECKING:
    from datetime import date, datetime
    from pathlib import Path

    from tests.app_lab import App

DAY = timedelta(days=1)


def test_the_clock_is_utc() -> None:
    assert clock().utcoffset() == timedelta(0)


async def test_chain_is_that_of_the_issuing_ca_in_force(app: App) -> None:
    service = app.service
    (old,) = service.keys.issuing_cas
    assert x509.load_pem_x509_certificates(service.chain_pem()) == [
        old.certificate,
        service.keys.root,
    ]
    app.clock.advance(days=1)
    install_issuing(app.config, app.clock())
    await app.run_job("certificates")
    new = service.keys.issuing_cas[-1]
    assert x509.load_pem_x509_certificates(service.chain_pem())[0] == new.certificate
    former = service.former_chain(key_id(old.certificate))
    assert former == tuple(
        each.public_bytes(Encoding.DER) for each in (old.certificate, service.keys.root)
    )
    assert service.former_chain(bytes(20)) is None


async def test_lists_of_the_issuing_ca_the_root_and_nobody_else(app: App) -> None:
    (issuing,) = app.service.keys.issuing_cas
    root = app.service.keys.root
    der = app.service.root_crl(key_id(root))
    assert x509.load_der_x509_crl(der or b"").issuer == root.subject
    for foreign in (key_id(issuing.certificate), bytes(20)):
        assert app.service.root_crl(foreign) is None
    today = app.clock().date()
    for certificate in (issuing.certificate, *(held.certificate for held in app.service.keys.tls)):
        day = min(certificate.not_valid_after_utc, app.clock() + crl.SHARDS_AHEAD).date()
        found = await crl_of(app, issuing.certificate, day)
        assert found.issuer == issuing.certificate.subject
    assert await app.service.store.crl(bytes(20), today) is None
    assert await app.service.store.crl(key_id(root), today) is None


async def test_the_lists_of_an_issuing_ca_that_has_ended_are_served_and_not_renewed(
    app: App,
) -> None:
    (old,) = app.service.keys.issuing_cas
    app.clock.advance(days=80)
    install_issuing(app.config, app.clock())
    await app.run_job("certificates")
    last = await crl_of(app, old.certificate, old.ends.date())
    app.clock.advance(days=11)
    assert app.clock() > old.ends
    for job in ("certificates", "retention"):
        await app.run_job(job)
    assert await crl_of(app, old.certificate, old.ends.date()) == last
    new = app.service.keys.issuing_cas[-1].certificate
    assert (await crl_of(app, new, old.ends.date())).last_update_utc == app.clock()
    app.clock.advance(days=1)
    await app.run_job("retention")
    assert await app.service.store.crl(key_id(old.certificate), old.ends.date()) is None


async def crl_of(app: App, issuing: x509.Certificate, day: date) -> x509.CertificateRevocationList:
    record = await app.service.store.crl(key_id(issuing), day)
    assert record is not None
    return x509.load_der_x509_crl(record.der)


async def test_how_old_the_lists_are(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured by the clock, not by turns of the job; a day without a new list counts though others have one."""
    (old,) = (key_id(held.certificate).hex() for held in app.service.keys.issuing_cas)
    assert app.service.list_ages() == {old: 0}
    app.clock.advance(minutes=40)
    await app.run_job("certificates")
    assert app.service.list_ages() == {old: 40 * 60}
    assert f'attestca_crl_age_seconds{{issuer="{old}"}} 2400.0' in await metrics_of(app)
    await revoke_certificate(app, leaf_of(await app.enroll()))
    await app.run_job("certificates")
    assert app.service.list_ages() == {old: 40 * 60}
    app.clock.advance(minutes=20)
    await app.run_job("certificates")
    assert app.service.list_ages() == {old: 20 * 60}, "of the one that was signed in between"

    async def failing(*_: object) -> int:
        raise Unavailable("no signature", code="unavailable")

    app.clock.advance(hours=3)
    with monkeypatch.context() as patched:
        patched.setattr(jobs, "publish_crls", failing)
        with pytest.raises(Unavailable):
            await app.run_job("certificates")
    assert app.service.list_ages() == {old: 3 * 3600 + 20 * 60}
    app.clock.advance(days=80)
    install_issuing(app.config, app.clock())
    app.clock.advance(days=11)
    await app.run_job("certificates")
    new = key_id(app.service.keys.issuing_cas[-1].certificate).hex()
    assert app.service.list_ages() == {new: 0}


async def metrics_of(app: App) -> str:
    return (await app.send("GET", f"{app.public}/metrics")).body.decode()


async def revoke_certificate(app: App, leaf: x509.Certificate) -> None:
    subject = Subject(kind=HandleKind.CERTIFICATE, value=f"{leaf.serial_number:x}")
    why = Why(RevocationReason.KEY_COMPROMISE, "")
    await revoke(subject, why, app.service.authority, "test", app.clock())


async def test_ready_needs_an_issuing_ca_and_the_database(app: App) -> None:
    await app.service.check_ready()
    app.clock.advance(days=91)
    with pytest.raises(ConfigurationError):
        await app.service.check_ready()


async def test_every_job_goes_through_twice(app: App) -> None:
    todo = app.service.jobs(app.tls)
    names = [job.name for job in todo]
    assert names[:2] == ["floors", "minimums"]
    assert names[2:] == ["abandoned-intents", "certificates", "log", "retention", "collateral"]
    for _ in range(2):
        for job in todo:
            await job.run(app.clock())
            assert job.every >= timedelta(minutes=1) or job.name == "log"


async def test_retention_is_what_the_configuration_says(app: App) -> None:
    await app.enroll(rtmr1=bytes(48))
    (refusal,) = await app.service.store.refusals(10, None)
    kept = app.config.retention
    nonce = refusal.decision.nonce
    await app.run_job(
        "retention", refusal.decision.nonce_expires + timedelta(hours=kept.nonce_hours)
    )
    assert await app.service.store.nonce_state(nonce) is not None
    late = refusal.decision.nonce_expires + timedelta(hours=kept.nonce_hours, seconds=1)
    await app.run_job("retention", late)
    assert await app.service.store.nonce_state(nonce) is None
    assert len(await app.service.store.refusals(10, None)) == 1
    await app.run_job("retention", app.clock() + timedelta(days=kept.refusal_days, seconds=1))
    assert await app.service.store.refusals(10, None) == ()


async def test_a_serial_that_is_abandoned_is_in_the_list_of_the_same_turn(app: App) -> None:
    held = app.service.keys.current(app.clock())
    (policy,) = await app.service.store.policies(active_only=True)
    decision = replace(records.decision(), decided_at=app.clock(), policy_sha256=policy.sha256)
    intent = records.intent(
        of=decision, issuer_key_id=key_id(held.certificate), not_after=app.clock() + DAY
    )
    await app.service.store.record_intent(intent)
    later = app.clock() + timedelta(minutes=5, seconds=1)
    for job in app.service.jobs(app.tls):
        await job.run(later)
    found = await crl_of(app, held.certificate, intent.not_after.date())
    assert [entry.serial_number for entry in found] == [intent.serial]


async def test_a_revocation_is_on_a_list_without_waiting_for_a_turn(app: App) -> None:
    """Jobs have their turn every minute; this one is woken."""
    leaf = leaf_of(await app.enroll())
    issuing = app.service.keys.current(app.clock()).certificate
    (job,) = (job for job in app.service.jobs(app.tls) if job.name == "certificates")
    turns: asyncio.Queue[None] = asyncio.Queue()

    async def turn(now: datetime) -> None:
        await job.run(now)
        turns.put_nowait(None)

    faults: list[tuple[str, Exception]] = []
    running = asyncio.create_task(
        jobs.run_forever([replace(job, run=turn)], app.clock, lambda *fault: faults.append(fault))
    )
    await turns.get()
    await revoke_certificate(app, leaf)
    await asyncio.wait_for(turns.get(), job.every.total_seconds() / 2)
    found = await crl_of(app, issuing, leaf.not_valid_after_utc.date())
    (entry,) = found
    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert (entry.serial_number, reason) == (leaf.serial_number, x509.ReasonFlags.key_compromise)
    assert faults == []
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_new_tls_certificate_from_the_next_handshake_on(app: App) -> None:
    def shown() -> x509.Certificate:
        host, _, port = app.public.removeprefix("https://").partition(":")
        return x509.load_pem_x509_certificate(
            ssl.get_server_certificate((host, int(port))).encode()
        )

    first = await asyncio.to_thread(shown)
    assert first == app.service.keys.tls[-1].certificate
    app.clock.advance(days=23)
    await app.run_job("certificates")
    second = await asyncio.to_thread(shown)
    assert second == app.service.keys.tls[-1].certificate != first


async def test_a_context_takes_the_newest_valid_one(app: App) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    load_tls(context, app.service.keys, app.clock())
    with pytest.raises(IndexError):
        load_tls(context, app.service.keys, app.clock() + 31 * DAY)


async def test_no_database(app: App) -> None:
    url = app.config.database.model_copy(
        update={"url": SecretStr(f"sqlite:///{app.config.ca.directory}/none.db")}
    )
    with pytest.raises((ConfigurationError, Unavailable)):
        async with opened(app.config.model_copy(update={"database": url})):
            pass


@pytest.mark.parametrize("broken", [True, False])
async def test_floors_that_are_broken_or_of_before_end_the_start(
    app: App, tmp_path: Path, *, broken: bool
) -> None:
    """R-51; this start has logged which are in force."""
    actions = await app.service.store.actions(99, None)
    assert {one.target for one in actions if one.actor == "service"} == {
        f"amd-floors@{builtin_floors().file.version}",
        f"nvidia-minimums@{builtin_minimums().file.version}",
    }
    file = tmp_path / "floors.yaml"
    text = builtin_floors().text.decode()
    version = f"version: {builtin_floors().file.version}"
    assert version in text
    file.write_text("{" if broken else text.replace(version, "version: 9"))
    named = app.config.policies.model_copy(update={"amd_floors_file": file})
    config = app.config.model_copy(update={"policies": named})
    if not broken:
        async with opened(config) as service:
            assert service.authority.floors().file.version == 9
        config = app.config
    with pytest.raises(ConfigurationError, match=r"policies\.amd_floors_file"):
        async with opened(config):
            pass


async def test_results_need_the_issuing_ca_that_signed_their_key(app: App) -> None:
    """A folder from which somebody took the issuing CA that signed the newest key of results."""
    keys = app.service.keys
    app.clock.advance(days=1)
    install_issuing(app.config, app.clock())
    keys.reload()
    keys.issuing_cas = keys.issuing_cas[1:]
    with pytest.raises(ConfigurationError, match="not in the folder"):
        app.service.authority.issuing()
    assert (await app.enroll()).status == 503
