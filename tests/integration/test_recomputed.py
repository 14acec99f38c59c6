# SPDX-License-Identifier: Apache-2.0
"""Every decision on record, recomputed from the record alone: the same verdict, bit for bit.

What is used: evidence and collateral blobs, the policy's text of that version, the binding's inputs, the instant of the
decision, and the trust anchors, which the record names by digest.
"""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography import x509

from attestca_client.chain import spki
from attestca_client.protocol import DEFAULT_OID_ARC, binding, ca_id, tpm_extra
from ca.app.keys import anchors_of
from ca.config import load
from ca.issuance import extension
from ca.ports import CertificateQuery, Decision
from ca.store.sql import SqlStore
from policies.appraise import appraise
from policies.errors import NameRefused
from policies.floors import load_floors
from policies.loader import LoadedPolicy, load_policy
from policies.names import render_names
from policies.result import Decision as Appraised
from policies.select import select
from simulator.azure import AzureCvm
from simulator.machine import register
from simulator.products import Tcb
from simulator.snp import CSP
from simulator.stage import POLICY
from tests.app_lab import IMAGE
from tests.databases import run_to_end
from tests.service_lab import leaf_of
from tests.snp_app import open_snp_app
from tests.stage_lab import Enrolled, database_url
from verifiers import registry
from verifiers.anchors import Anchor, Anchors
from verifiers.claims import to_json
from verifiers.errors import VerificationError
from verifiers.evidence import Binding, Evidence, EvidenceKind

if TYPE_CHECKING:
    from pathlib import Path

    from ca.ports import Store
    from tests.app_lab import App
    from tests.snp_app import SnpApp
    from tests.vendor_lab import Clock


async def recomputed(made: Decision, store: Store, anchors: Anchors, authority: bytes) -> str:
    """`result_json` of a decision, from nothing but the record."""
    assert made.anchors_sha256 == anchors.sha256
    pieces = [Evidence(EvidenceKind(kind), blob.data) for kind, blob in made.evidence]
    bundle, *floors = made.collateral
    for kept in (*made.collateral, *(blob for _, blob in made.evidence)):
        assert sha256(kept.data).digest() == kept.sha256
    expected = binding(
        ca_id=authority, profile=made.profile, nonce=made.nonce, spki_der=made.spki_der
    )
    parsed = registry.parse(pieces)
    endorsements = registry.parse_bundle(parsed, bundle.data)
    try:
        claims = registry.verify(
            parsed,
            endorsements,
            anchors,
            Binding(expected, tpm_extra(expected), bytes(32)),
            made.decided_at,
        )
    except VerificationError as error:
        return json.dumps(
            {
                "decision": "denied",
                "reason": {"code": error.reason.value, "detail": error.detail},
                "tcb": to_json(error.tcb),
            },
            sort_keys=True,
        )
    policies = () if made.policy_name is None else (await _policy(made, store),)
    chosen = select(policies, claims, made.profile, made.decided_at)
    if not isinstance(chosen, LoadedPolicy):
        return chosen.to_json()
    kept_floors = [load_floors(blob.data) for blob in floors]
    result = appraise(claims, chosen, made.decided_at, *kept_floors)
    try:
        render_names(chosen.document, claims)
    except NameRefused as error:
        if result.decision is Appraised.ACCEPTED:
            reason = {"code": "name-refused", "detail": str(error)}
            facts = result.as_json() | {"decision": "denied", "reason": reason}
            return json.dumps(facts, sort_keys=True)
    return result.to_json()


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
        again = await recomputed(made, store, anchors, app.service.authority.ca_id)
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
            again = await recomputed(made, store, authority.anchors, authority.ca_id)
            assert again == made.result_json
        asked = [one for one in (*issued, *refused) if len(one.collateral) == 2]
        lists = {json.loads(one.collateral[1].data)["version"]: one for one in asked}
        assert lists.keys() == {7, 8}
        earlier, later = lists[7], lists[8]
        swapped = replace(earlier, collateral=(earlier.collateral[0], later.collateral[1]))
        again = await recomputed(swapped, store, authority.anchors, authority.ca_id)
        assert again != earlier.result_json, "the floors are those that it was judged by"


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
