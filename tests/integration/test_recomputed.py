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
from ca.issuance import extension
from ca.ports import CertificateQuery, Decision
from ca.store.sql import SqlStore
from policies.appraise import appraise
from policies.errors import NameRefused
from policies.loader import LoadedPolicy, load_policy
from policies.names import render_names
from policies.result import Decision as Appraised
from policies.select import select
from simulator.machine import register
from simulator.stage import POLICY
from simulator.world import World
from tests.app_lab import IMAGE
from tests.databases import run_to_end
from tests.service_lab import leaf_of
from tests.stage_lab import Enrolled, database_url
from verifiers import registry
from verifiers.anchors import Anchor, Anchors
from verifiers.claims import to_json
from verifiers.errors import VerificationError
from verifiers.evidence import Binding, Evidence, EvidenceKind

if TYPE_CHECKING:
    from ca.ports import Store
    from tests.app_lab import App


async def recomputed(made: Decision, store: Store, anchors: Anchors, authority: bytes) -> str:
    """`result_json` of a decision, from nothing but the record."""
    assert made.anchors_sha256 == anchors.sha256
    ((kind, blob),) = made.evidence
    (bundle,) = made.collateral
    for kept in (blob, bundle):
        assert sha256(kept.data).digest() == kept.sha256
    expected = binding(
        ca_id=authority, profile=made.profile, nonce=made.nonce, spki_der=made.spki_der
    )
    parsed = registry.parse([Evidence(EvidenceKind(kind), blob.data)])
    endorsements = registry.parse_bundle(parsed, bundle.data)
    try:
        claims = registry.verify(
            parsed, endorsements, anchors, Binding(expected, tpm_extra(expected)), made.decided_at
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
    result = appraise(claims, chosen, made.decided_at)
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
    world = World.load(enrolled.stage.world_file)
    anchors = Anchors(Anchor.from_der(world.intel.root_der))
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
