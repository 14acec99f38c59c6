# SPDX-License-Identifier: Apache-2.0
"""Every decision on record, recomputed from the record alone: the same verdict, bit for bit.

What is used: evidence and collateral blobs, the policy's text of that version, the binding's inputs, the instant of the
decision, and the trust anchors, which the record names by digest.
"""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cryptography import x509

from attestca_client.chain import spki
from attestca_client.protocol import (
    DEFAULT_OID_ARC,
    attachment,
    binding,
    ca_id,
    gpu_nonce,
    tpm_extra,
)
from ca.app.keys import anchors_of
from ca.boots import Boots
from ca.config import load
from ca.issuance import extension
from ca.ports import CertificateQuery, Decision
from ca.recomputation import Recalled, Setting, Word, causes_on_record
from ca.record import ATTACHMENT, restored
from ca.store.sql import SqlStore
from policies.appraise import appraise
from policies.case import UnverifiedDevices
from policies.errors import NameRefused
from policies.loader import LoadedPolicy, load_policy
from policies.names import render_names
from policies.result import Decision as Appraised
from policies.select import select
from simulator.azure import AzureCvm
from simulator.machine import register
from simulator.nvidia.vendor import REVOKED, FakeNvidia
from simulator.products import Tcb
from simulator.snp import CSP
from simulator.tdx_policies import POLICY
from tests.app_lab import IMAGE
from tests.databases import run_to_end
from tests.device_app import DeviceApp, open_device_app, policy
from tests.service_lab import leaf_of
from tests.snp_app import open_snp_app
from tests.stage_lab import Enrolled, database_url
from verifiers import registry
from verifiers.anchors import Anchor, Anchors
from verifiers.claims import to_json
from verifiers.errors import VerificationError
from verifiers.evidence import DEVICE_KINDS, Binding
from verifiers.logs import booted
from verifiers.nvidia.system import appraise_set, authenticate_set

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ca.ports import Store
    from ca.record import Basis
    from tests.app_lab import App
    from tests.snp_app import SnpApp
    from tests.vendor_lab import Clock
    from verifiers.nvidia.claims import NvidiaSetClaims


async def recomputed(made: Decision, store: Store, anchors: Anchors, authority: bytes) -> str:
    """`result_json` of a decision, from nothing but the record."""
    assert made.anchors_sha256 == anchors.sha256
    for kept in (*made.collateral, *(blob for _, blob in made.evidence)):
        assert sha256(kept.data).digest() == kept.sha256
    basis, expected = restored(made), bound(made, authority)
    policies = () if made.policy_name is None else (await _policy(made, store),)
    try:
        claims = registry.verify(
            basis.parsed, basis.endorsements, anchors, expected, made.decided_at
        )
        chosen = select(policies, claims, made.profile, made.decided_at)
        if not isinstance(chosen, LoadedPolicy):
            return chosen.to_json()
        boot = booted(claims, basis.logs)
        devices = devices_of(basis, chosen, anchors, expected, made.decided_at)
    except VerificationError as error:
        return json.dumps(
            {
                "decision": "denied",
                "reason": {"code": error.reason.value, "detail": error.detail},
                "tcb": to_json(error.tcb),
            },
            sort_keys=True,
        )
    result = appraise(
        *(claims, chosen, made.decided_at),
        basis.floors,
        devices=devices,
        minimums=basis.minimums,
        boot=boot,
    )
    try:
        render_names(chosen.document, claims)
    except NameRefused as error:
        if result.decision is Appraised.ACCEPTED:
            reason = {"code": "name-refused", "detail": str(error)}
            facts = result.as_json() | {"decision": "denied", "reason": reason}
            return json.dumps(facts, sort_keys=True)
    return result.to_json()


REMEMBERED = Boots()  # over all records of all tests: none may get the answer of another


async def both_ways(made: Decision, store: Store, anchors: Anchors, authority: bytes) -> str:
    """The same by `ca.recomputation`, which must say it too."""
    again = await recomputed(made, store, anchors, authority)
    setting = Setting(anchors, authority, reserved=frozenset({"ca.example.org"}), boots=REMEMBERED)
    policies = () if made.policy_name is None else (await _policy(made, store),)
    for _ in range(2):  # by now its logs are known
        verdict = Recalled(made, setting).under(policies)
        assert verdict.record is not None
        assert verdict.record() == again
        assert verdict.word == json.loads(again)["decision"]
        assert verdict.causes == (() if verdict.word is Word.ACCEPTED else causes_on_record(made))
    return again


def bound(made: Decision, authority: bytes) -> Binding:
    """What the evidence of this decision had to carry."""
    about: Any = {
        "ca_id": authority,
        "profile": made.profile,
        "nonce": made.nonce,
        "spki_der": made.spki_der,
    }
    attachments = [
        attachment(kind, blob.data) if kind in DEVICE_KINDS else blob.data
        for kind, blob in made.evidence
        if kind in {*DEVICE_KINDS, ATTACHMENT}
    ]
    report_data = binding(**about, attachments=attachments)
    return Binding(report_data, tpm_extra(report_data), gpu_nonce(**about))


def devices_of(
    basis: Basis, policy: LoadedPolicy, anchors: Anchors, expected: Binding, now: datetime
) -> NvidiaSetClaims | UnverifiedDevices | None:
    """Claims of the devices, if the record says that anybody looked at them. Raises VerificationError."""
    if basis.attachments:
        return UnverifiedDevices(len(basis.attachments))
    rules = policy.document.nvidia
    if not basis.devices or rules is None:
        return None
    found = authenticate_set(basis.devices, anchors, expected.gpu_nonce, now)
    assert basis.of_devices is not None
    return appraise_set(found, basis.of_devices, anchors, rules.appraisal, now)


async def _policy(made: Decision, store: Store) -> LoadedPolicy:
    record = await store.policy(made.policy_name or "", made.policy_version or 0)
    assert record is not None
    assert sha256(record.document).digest() == made.policy_sha256
    return load_policy(record.document)


def named_by_configuration() -> str:
    """A policy of another profile, whose one name is made of MRCONFIGID."""
    values = {name: register(f"simulated {what}").hex() for name, what in IMAGE.items()}
    text = POLICY.format(**values).replace("name: demo", "name: named")
    text = text.replace("profile: default", "profile: named")
    return text.replace("demo.example.org", "{mr_config_id_32}.example.org")


async def test_certificates_and_refusals(app_on_both: App) -> None:
    app = app_on_both
    store = app.service.store
    anchors = Anchors(Anchor.from_der(app.intel.root_der))
    assert (await app.enroll()).status == 201
    assert (await app.enroll(version=5, body_type=3)).status == 201
    assert (await app.enroll(rtmr1=bytes(48))).status == 403
    assert (await app.enroll(td_attributes=1)).status == 403
    assert (await app.enroll(profile="unknown")).status == 403
    old = app.machine.sgx
    app.machine.certify(replace(old, components=(3, *old.components[1:])))
    assert (await app.enroll()).status == 403
    app.machine.certify(replace(old, components=(0,) * 16, pcesvn=0))
    assert (await app.enroll()).status == 403  # no level of Intel's matches
    app.machine.certify(old)
    await app.accept_image(named_by_configuration())
    assert (await app.enroll(profile="named")).status == 403  # MRCONFIGID is zero: it names nobody
    # the world goes on: what was decided does not change with it
    app.clock.advance(days=200)
    app.intel.tcb_info["tcbLevels"].clear()
    refused = [record.decision for record in await store.refusals(100, None)]
    issued = [record.decision for record in await store.certificates(CertificateQuery())]
    assert (len(refused), len(issued)) == (6, 2)
    assert {json.loads(made.result_json)["decision"] for made in refused} == {"denied"}
    for made in (*refused, *issued):
        again = await both_ways(made, store, anchors, app.service.authority.ca_id)
        assert again == made.result_json


ADVISORIES = "{advisories: [T-1]}"


def write_floors(path: Path, version: int, microcode: int) -> None:
    """A list of one advisory about Milan."""
    advisory = {
        "title": "of a test",
        "source": "https://vendor.example",
        "date": "2026-01-01",
        "floors": {"19-01-1": {"reported": {"microcode": microcode}}},
    }
    said = {"version": version, "date": "2026-11-25", "advisories": {"T-1": advisory}}
    path.write_text(json.dumps(said))


async def snp_decisions(snp: SnpApp, floors: Path) -> None:
    """Every kind of decision on SEV-SNP evidence, under two lists of floors."""
    await snp.accept(tcb=ADVISORIES, rules=f'  vlek: {{csp_ids: ["{CSP}"]}}')
    await snp.accept(name="azure", provider="azure")
    await snp.accept(name="other", profile="other")
    machine, cvm = snp.amd.machine("Milan"), AzureCvm(snp.amd.machine("Turin"))
    table = machine.certificate_table("vlek")
    above = Tcb(bootloader=5, tee=0, snp=0x1D, microcode=0xDE)
    for status, body in (
        (201, {"machine": machine}),
        (201, {"machine": machine, "certificates": machine.certificates_pem()}),
        (201, {"machine": machine, "certificates": table, "signing_key": "vlek"}),
        (201, {"machine": cvm}),
        (403, {"machine": cvm, "measurement": bytes(48)}),
        (403, {"machine": machine, "version": 2, "certificates": machine.vek().der}),
        (403, {"machine": snp.amd.machine("Genoa")}),  # no floor for it
        (403, {"machine": machine, "committed_tcb": above}),
        (403, {"machine": machine, "profile": "unknown"}),
        (201, {"machine": machine, "profile": "other"}),
    ):
        reply = await snp.enroll(**body)
        assert reply.status == status, reply.body
    write_floors(floors, 8, 0xDF)
    await snp.app.run_job("floors")
    assert (await snp.enroll(machine)).status == 403
    snp.amd.line("Milan").vcek_crl.revoke(snp.amd.line("Milan").ask.spec.serial)
    snp.app.clock.advance(hours=7)
    assert (await snp.enroll(machine)).status == 403


async def test_sev_snp(app_clock: Clock, database_url: str, tmp_path: Path) -> None:
    floors = tmp_path / "floors.yaml"
    write_floors(floors, 7, 0xDE)
    files: dict[str, object] = {"amd_floors_file": str(floors)}
    async with open_snp_app(tmp_path, database_url, app_clock, policies=files) as snp:
        await snp_decisions(snp, floors)
        store, authority = snp.app.service.store, snp.app.service.authority
        # the world goes on
        write_floors(floors, 9, 0)
        await snp.app.run_job("floors")
        app_clock.advance(days=900)
        refused = [record.decision for record in await store.refusals(100, None)]
        issued = [record.decision for record in await store.certificates(CertificateQuery())]
        assert (len(refused), len(issued)) == (7, 5)
        for made in (*refused, *issued):
            again = await both_ways(made, store, authority.anchors, authority.ca_id)
            assert again == made.result_json
        asked = [one for one in (*issued, *refused) if len(one.collateral) == 2]
        lists = {json.loads(one.collateral[1].data)["version"]: one for one in asked}
        assert lists.keys() == {7, 8}
        earlier, later = lists[7], lists[8]
        swapped = replace(earlier, collateral=later.collateral)
        again = await recomputed(swapped, store, authority.anchors, authority.ca_id)
        assert again != earlier.result_json, "the floors are those that it was judged by"


async def device_decisions(lab: DeviceApp) -> None:
    """Every kind of decision on devices."""
    await lab.accept()
    await lab.app.accept_image(
        policy("nras", appraisal="nras").replace("profile: gpu", "profile: nras")
    )
    await lab.app.accept_image(
        policy("both", appraisal="both").replace("profile: gpu", "profile: both")
    )
    gpu, old, revoked = lab.nvidia.gpu(), lab.nvidia.gpu(driver="580.95.05"), lab.nvidia.gpu()
    forged = FakeNvidia.create(lab.app.clock(), seed=b"forger " * 5).gpu()
    altered = lab.nvidia.gpu()
    altered.written = altered.written.but(blocks=old.written.blocks)
    unpublished = lab.nvidia.gpu(vbios="96.00.CF.00.02")
    del lab.nvidia.manifests[unpublished.rim_ids[1]]
    lab.nvidia.status(revoked.device.parties[1], REVOKED)
    for status, devices, fields in (
        (201, (gpu,), {}),
        (201, lab.nvidia.ppcie(), {}),
        (201, (gpu,), {"profile": "nras"}),
        (201, (gpu,), {"profile": "both"}),
        (403, (gpu,), {"profile": "default"}),
        (403, (), {}),
        (403, (old,), {}),
        (422, (forged,), {}),
        (403, (gpu,), {"mr_td": bytes(48)}),
        (403, (revoked,), {}),
        (403, (altered,), {}),
        (403, (altered,), {"profile": "nras"}),
        (403, (unpublished,), {}),
        (403, (gpu, gpu), {}),
        (422, (gpu,), {"asked": lambda _: bytes(32)}),
    ):
        reply = await lab.enroll(*devices, **fields)
        assert reply.status == status, reply.body


async def test_devices(app_clock: Clock, database_url: str, tmp_path: Path) -> None:
    async with open_device_app(tmp_path, database_url, app_clock) as lab:
        await device_decisions(lab)
        store, authority = lab.app.service.store, lab.app.service.authority
        # the world goes on
        app_clock.advance(days=900)
        lab.nvidia.manifests.clear()
        refused = [record.decision for record in await store.refusals(100, None)]
        issued = [record.decision for record in await store.certificates(CertificateQuery())]
        assert (len(refused), len(issued)) == (9, 4)
        for made in (*refused, *issued):
            again = await both_ways(made, store, authority.anchors, authority.ca_id)
            assert again == made.result_json
        manifests = [
            blob.sha256 for made in issued for blob in made.collateral if b'"rim"' in blob.data
        ]
        assert len(set(manifests)) < len(manifests), "kept once"


async def test_the_services_own_name_is_a_denial_on_record(app: App) -> None:
    """An accepted appraisal on record would say the contrary of what happened."""
    text = named_by_configuration().replace("{mr_config_id_32}.example.org", "ca.example.org")
    await app.accept_image(text)
    reply = await app.enroll(profile="named")
    assert (reply.status, reply.code) == (403, "name-refused")
    (record,) = await app.service.store.refusals(10, None)
    result = json.loads(record.decision.result_json)
    assert (result["decision"], result["reason"]["code"]) == ("denied", "name-refused")
    assert {finding["result"] for finding in result["findings"]} == {"pass"}
    verdict = Recalled(
        record.decision,
        Setting(
            app.service.authority.anchors,
            app.service.authority.ca_id,
            reserved=frozenset({"ca.example.org"}),
        ),
    ).under([load_policy(text.encode())])
    assert verdict.record is not None
    assert verdict.record() == record.decision.result_json


async def test_the_evidence_on_record_is_what_the_certificate_names(app: App) -> None:
    """Kernels hand out quotes with zero bytes behind them; one digest stands everywhere all the same."""
    serial = leaf_of(await app.enroll(trailing=bytes(70))).serial_number
    record = await app.service.store.certificate(serial)
    assert record is not None
    assert record.der is not None
    ((_, blob),) = record.decision.evidence
    found = x509.load_der_x509_certificate(record.der).extensions.get_extension_for_oid(
        x509.ObjectIdentifier(extension.info_oid(DEFAULT_OID_ARC))
    )
    said = extension.decode(found.value.public_bytes()).evidence_sha256
    assert said == blob.sha256 == sha256(blob.data).digest()
    shown = (await app.get(f"/v1/certificates/{serial:x}")).json()
    assert shown["evidence_sha256"] == [said.hex()]


async def test_a_record_that_was_changed_does_not_recompute(app: App) -> None:
    """The comparison above can fail: another instant, another quote, another collateral give another text."""
    first, second = await app.enroll(), await app.enroll(rtmr3=b"\1" * 48)
    store, anchors = app.service.store, Anchors(Anchor.from_der(app.intel.root_der))
    made, other = [
        record.decision
        for record in [
            await store.certificate(leaf_of(each).serial_number) for each in (first, second)
        ]
        if record is not None
    ]
    authority = app.service.authority.ca_id
    for changed in (
        replace(made, decided_at=other.decided_at.replace(year=other.decided_at.year + 1)),
        replace(made, evidence=other.evidence),
        replace(made, nonce=other.nonce),
        replace(made, profile="other"),
    ):
        assert await recomputed(changed, store, anchors, authority) != made.result_json


def test_by_another_process_than_the_service(enrolled: Enrolled) -> None:
    """On the database of `attestca serve`, which runs."""
    anchors = anchors_of(load(enrolled.stage.config))
    run_to_end(_check(enrolled, anchors, enrolled.leaf))


async def _check(enrolled: Enrolled, anchors: Anchors, leaf: x509.Certificate) -> None:
    store = await SqlStore.open(database_url(enrolled.stage))
    try:
        record = await store.certificate(leaf.serial_number)
        assert record is not None
        authority = ca_id(spki(enrolled.root.public_key()))
        again = await recomputed(record.decision, store, anchors, authority)
        assert again == record.decision.result_json
    finally:
        await store.close()
