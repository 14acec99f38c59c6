# SPDX-License-Identifier: Apache-2.0
"""Google's confidential VMs enroll with their vTPM: what is certified, refused and on record, and what was fetched."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography import x509

from attestca_client.protocol import DEFAULT_OID_ARC
from ca.issuance import extension
from ca.ports import CertificateQuery
from simulator import eventlog, pki
from simulator.bucket import CRL, Fault
from simulator.google_certificates import KEY_ENCIPHERMENT
from simulator.machine import register
from simulator.snp import MEASUREMENT
from simulator.tpm_eventlog import of_tpm
from tests.app_lab import problem_of
from tests.google_app import BOOT, USUAL, open_google_app, policy
from tests.integration.test_recomputed import both_ways
from tests.service_lab import leaf_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ca.issuance.extension import AttestationInfo
    from ca.ports import Decision
    from simulator.google import GoogleCvm, GoogleTd
    from simulator.stage import Stage
    from tests.google_app import GoogleApp
    from tests.service_lab import Reply
    from tests.vendor_lab import Clock

TPM = ["tpm-attest", "tpm-signature", "tpm-pcrs", "tpm-ak-certificate"]
OTHER_PROJECT = replace(USUAL, project_id="another-project", instance_id=7)
LOGS = "boot: {secure_boot: enabled}"


@pytest.fixture
async def google(app_clock: Clock, sqlite_url: str, tmp_path: Path) -> AsyncIterator[GoogleApp]:
    async with open_google_app(tmp_path, sqlite_url, app_clock) as running:
        yield running


@pytest.fixture
async def google_on_both(
    app_clock: Clock, database_url: str, tmp_path: Path
) -> AsyncIterator[GoogleApp]:
    async with open_google_app(tmp_path, database_url, app_clock) as running:
        yield running


def info_of(reply: Reply) -> AttestationInfo:
    """What the certificate of an answer says."""
    assert reply.status == 201, reply.body
    oid = x509.ObjectIdentifier(extension.info_oid(DEFAULT_OID_ARC))
    found = leaf_of(reply).extensions.get_extension_for_oid(oid)
    return extension.decode(found.value.public_bytes())


def refusing(reply: Reply) -> set[tuple[str, str, str]]:
    problem = problem_of(reply, 403, "denied")
    return {(one["rule"], one["path"], one["result"]) for one in problem["findings"]}


def vm_of(google: GoogleApp, tee: str) -> GoogleCvm | GoogleTd:
    return google.cvm() if tee == "snp" else google.td()


async def decisions(google: GoogleApp) -> tuple[list[Decision], list[Decision]]:
    """(issued, refused)."""
    store = google.app.service.store
    issued = [one.decision for one in await store.certificates(CertificateQuery())]
    return issued, [one.decision for one in await store.refusals(100, None)]


# what is certified


@pytest.mark.parametrize("tee", ["snp", "tdx"])
async def test_what_is_certified_and_on_record(google_on_both: GoogleApp, tee: str) -> None:
    google = google_on_both
    await google.app.accept_image(policy(tee, boot=LOGS))
    vm = vm_of(google, tee)
    reply = await google.enroll(vm, logs=True)
    info = info_of(reply)
    pcrs = of_tpm(BOOT).pcrs
    assert info.tee == tee
    assert dict(info.registers) == (
        {"measurement": MEASUREMENT, **{f"pcr{one}": pcrs[one] for one in (4, 8, 9, 11, 12)}}
        if tee == "snp"
        else {
            "mr_td": register("simulated firmware"),
            **{one: BOOT.registers[one] for one in ("rtmr0", "rtmr1", "rtmr2")},
        }
    )
    assert ("google-vm:tpm.pcrs" in info.tolerated) is (tee == "snp")
    (record,), refused = await decisions(google)
    cpu, log = ("snp-report", "tpm-event-log") if tee == "snp" else ("tdx-quote", "ccel")
    assert [kind for kind, _ in record.evidence] == [cpu, *TPM, log]
    assert not refused
    serial = leaf_of(reply).serial_number
    token = (await google.app.get(f"/v1/certificates/{serial:x}/ear")).body
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    said = claims["submods"]["cpu"]["ear_verifier_claims"]
    assert said["event_logs"] == ["tcg2" if tee == "snp" else "ccel"]
    assert "google_root_crl" in json.dumps([blob.data.decode() for blob in record.collateral])


@pytest.mark.parametrize("tee", ["snp", "tdx"])
async def test_a_certificate_ends_with_the_list(google: GoogleApp, tee: str) -> None:
    """Plus what the policy grants past its end, which is nothing."""
    await google.app.accept_image(policy(tee))
    end = google.app.clock() + timedelta(minutes=20)
    google.google.crl.alter(next_update=end)
    reply = await google.enroll(vm_of(google, tee))
    assert leaf_of(reply).not_valid_after_utc <= end


async def test_the_same_machine_without_its_vtpm(google: GoogleApp) -> None:
    """It is another kind of machine, which this policy is not about."""
    await google.app.accept_image(policy("snp"))
    denied = refusing(await google.enroll(google.cvm(), without=tuple(TPM)))
    assert denied == {("no-policy", "policy", "missing")}


# what is refused


async def test_the_vtpm_of_another_project(google: GoogleApp) -> None:
    """Genuine, over this very binding, of a VM that booted the same: by the policy alone it is refused."""
    await google.app.accept_image(policy("snp"))
    other = google.cvm(OTHER_PROJECT, "another vtpm")
    denied = refusing(await google.enroll(google.cvm(), vtpm=other))
    assert denied == {("google-vm", "gce.project_id", "fail")}
    denied = refusing(await google.enroll(other))
    assert denied == {("google-vm", "gce.project_id", "fail")}


async def test_the_vtpm_of_a_neighbour(google: GoogleApp) -> None:
    """What the section does not buy: any VM of a listed project can lend its vTPM, unless instances are listed."""
    await google.app.accept_image(policy("snp"))
    neighbour = google.cvm(replace(USUAL, instance_id=7), "another vtpm")
    assert (await google.enroll(google.cvm(), vtpm=neighbour)).status == 201
    only = f", instances: [{USUAL.instance_id}]"
    await google.app.accept_image(policy("snp", version=2, google=only))
    denied = refusing(await google.enroll(google.cvm(), vtpm=neighbour))
    assert denied == {("google-vm", "gce.instance_id", "fail")}
    assert (await google.enroll(google.cvm())).status == 201


async def test_what_another_image_measures(google: GoogleApp) -> None:
    await google.app.accept_image(policy("snp"))
    vm = google.cvm()
    vm.boot(eventlog.grub_boot(cmdline="/vmlinuz init=/bin/sh"))
    denied = refusing(await google.enroll(vm))
    assert denied == {("measurement", "reference_sets.release", "fail")}


async def test_a_log_of_another_boot(google: GoogleApp) -> None:
    for tee, path in (("snp", "boot.replayed.pcr8"), ("tdx", "boot.replayed.rtmr2")):
        await google.app.accept_image(policy(tee, boot=LOGS))
        vm = vm_of(google, tee)
        boot = eventlog.grub_boot(cmdline="/vmlinuz init=/bin/sh")
        vm.logs = [("tpm-event-log", of_tpm(boot).log)] if tee == "snp" else boot.logs()
        assert ("boot-replay", path, "fail") in refusing(await google.enroll(vm, logs=True))


async def test_evidence_that_is_not_authentic(google: GoogleApp) -> None:
    """The attester's fault, of whose part it may be: 422, nothing on record, and no vendor is doubted."""
    for tee in ("snp", "tdx"):
        await google.app.accept_image(policy(tee))
        vm = vm_of(google, tee)
        assert (await google.enroll(vm)).status == 201
        asked = [*google.bucket.requests, *google.kds.requests]
        for without, code in (
            (("tpm-ak-certificate",), "ak-not-bound"),
            (("tpm-pcrs",), "evidence"),
            (tuple(TPM[:3]), "evidence"),
        ):
            problem_of(await google.enroll(vm, without=without), 422, code)
        problem_of(await google.enroll(vm, report_data=bytes(64)), 422, "binding-mismatch")
        vm.ak = google.google.certify(vm.tpm.ak.spki, vm.instance, KEY_ENCIPHERMENT)
        problem_of(await google.enroll(vm), 422, "chain")
        vm.ak = google.google.certify(vm.tpm.ek.spki, vm.instance)
        problem_of(await google.enroll(vm), 422, "signature")
        for dates, code in (
            ({"not_after": google.app.clock() - timedelta(days=1)}, "certificate-expired"),
            ({"not_before": google.app.clock() + timedelta(days=1)}, "certificate-not-yet-valid"),
        ):
            vm.ak = google.google.certify(vm.tpm.ak.spki, vm.instance)
            vm.ak.alter(**dates)
            problem_of(await google.enroll(vm), 422, code)
        assert [*google.bucket.requests, *google.kds.requests] == asked
    issued, refused = await decisions(google)
    assert (len(issued), len(refused)) == (2, 0)


# what is fetched


async def test_the_list_is_asked_for_once(google: GoogleApp) -> None:
    for tee in ("snp", "tdx"):
        await google.app.accept_image(policy(tee))
        assert (await google.enroll(vm_of(google, tee))).status == 201
    assert len(google.bucket.requests) == 1
    google.app.clock.advance(hours=7)
    google.google.crl.put(pki.crl_number(2))
    google.google.crl.revoke(google.google.intermediate().spec.serial)
    problem_of(await google.enroll(google.cvm()), 403, "certificate-revoked")
    assert len(google.bucket.requests) == 2


async def test_a_list_that_cannot_be_had(google: GoogleApp) -> None:
    await google.app.accept_image(policy("snp"))
    for fault in (Fault(status=500), Fault(status=404), Fault(body=b"no list")):
        google.bucket.faults[CRL] = fault
        reply = await google.enroll(google.cvm())
        assert (reply.status, "Retry-After" in reply.headers) == (503, True), reply.body
    google.bucket.faults.clear()
    google.app.clock.advance(minutes=11)
    assert (await google.enroll(google.cvm())).status == 201
    issued, refused = await decisions(google)
    assert (len(issued), len(refused)) == (1, 0)


async def test_a_list_that_is_no_longer_new(google: GoogleApp) -> None:
    """One that was issued before one that was used is not; one past its end is the policy's to judge."""
    await google.app.accept_image(policy("snp"))
    google.google.crl.put(pki.crl_number((1 << 159) - 1))  # as large as one may be
    issued = google.google.crl.spec.this_update
    assert (await google.enroll(google.cvm())).status == 201
    google.google.crl.alter(this_update=issued - timedelta(seconds=1))
    google.app.clock.advance(hours=7)
    assert (await google.enroll(google.cvm())).status == 503
    google.google.crl.alter(this_update=issued)
    google.google.crl.alter(next_update=google.app.clock() - timedelta(hours=1))
    google.app.clock.advance(minutes=11)
    denied = refusing(await google.enroll(google.cvm()))
    assert denied == {("collateral-stale", "collateral.google_root_crl", "fail")}
    tolerant = policy("snp", version=2, google=", tolerate_stale_crl: 6h")
    await google.app.accept_image(tolerant)
    assert (await google.enroll(google.cvm())).status == 201


# what is on record


@pytest.mark.parametrize("tee", ["snp", "tdx"])
async def test_every_decision_recomputes(google_on_both: GoogleApp, tee: str) -> None:
    """Issued, denied by the policy, and refused for a revoked authority: to the bit, years later."""
    google = google_on_both
    await google.app.accept_image(policy(tee, boot=LOGS))
    good, other = vm_of(google, tee), vm_of(google, tee)
    other.ak = google.google.certify(other.tpm.ak.spki, OTHER_PROJECT)
    other.beside = [google.google.intermediate().der]
    assert (await google.enroll(good, logs=True)).status == 201
    assert (await google.enroll(good)).status == 403
    assert (await google.enroll(other, logs=True)).status == 403
    google.app.clock.advance(hours=7)
    google.google.crl.put(pki.crl_number(2))
    google.google.crl.revoke(google.google.intermediate().spec.serial)
    problem_of(await google.enroll(good, logs=True), 403, "certificate-revoked")
    google.app.clock.advance(days=900)
    issued, refused = await decisions(google)
    assert (len(issued), len(refused)) == (1, 3)
    store, authority = google.app.service.store, google.app.service.authority
    for made in (*issued, *refused):
        again = await both_ways(made, store, authority.anchors, authority.ca_id)
        assert again == made.result_json


# by other processes


@pytest.mark.parametrize("tee", ["snp", "tdx"])
def test_by_the_client_and_the_service(sqlite_stage: Stage, tmp_path: Path, tee: str) -> None:
    """`attestca-client` on a simulated machine, `attestca serve`, the list from the fake bucket."""
    file = tmp_path / "policy.yaml"
    file.write_text(policy(tee, boot=LOGS))
    sqlite_stage.operate("policy", "add", str(file))
    sqlite_stage.operate("policy", "activate", f"google-{tee}", "1")
    machine = ("--google", "--tee", tee, "--profile", f"google-{tee}")
    done = sqlite_stage.enroll(tmp_path / "vm", "--json", *machine)
    assert done.returncode == 0, done.stderr
    serial = json.loads(done.stdout)["serial"]
    shown = json.loads(sqlite_stage.operate("certs", "show", serial, "--json"))
    kinds = [piece["kind"] for piece in shown["decision"]["evidence"]]
    cpu, log = ("snp-report", "tpm-event-log") if tee == "snp" else ("tdx-quote", "ccel")
    assert kinds == [cpu, *TPM, log]
    changed = sqlite_stage.enroll(tmp_path / "changed", "--tamper", *machine)
    assert (changed.returncode, "refused (signature)" in changed.stderr) == (1, True)
    field = "pcr8=" + "ab" * 32 if tee == "snp" else "rtmr2=" + "ab" * 48
    other = sqlite_stage.enroll(tmp_path / "other", "--field", field, *machine)
    assert other.returncode == 1
    assert "measurement" in other.stderr
