# SPDX-License-Identifier: Apache-2.0
"""Machines, keys and quotes of every kind at the running service: what is issued, and by which reason the rest is not.

Every problem document is held against the API's own description, every certificate against an independent linter.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from pkilint import loader

from ca import policy_admin
from ca.ports import CertificateQuery
from simulator.intel import FakeIntel
from tests.app_lab import problem_of
from tests.service_lab import leaf_of
from tests.unit.ca.issuance.test_outsiders import CERTIFICATE_VALIDATOR, CRL_VALIDATOR, findings

if TYPE_CHECKING:
    from tests.app_lab import App
    from tests.service_lab import Reply

KEYS: dict[str, Any] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def assert_clean(app: App, reply: Reply) -> x509.Certificate:
    """The leaf of an answer, in which pkilint finds nothing but a URI scheme that it does not know."""
    assert reply.status == 201, reply.body
    leaf = leaf_of(reply)
    found = findings(
        loader.load_certificate(leaf.public_bytes(Encoding.DER), "leaf"), CERTIFICATE_VALIDATOR
    )
    assert [each for each in found if "spiffe://" not in each] == []
    issuer = app.service.keys.current(app.clock()).certificate
    leaf.verify_directly_issued_by(issuer)
    return leaf


@pytest.mark.parametrize("kind", KEYS)
async def test_key_types(app: App, kind: str) -> None:
    key = KEYS[kind]()
    leaf = assert_clean(app, await app.enroll(key=key))
    assert leaf.public_key() == key.public_key()
    result = await app.get(f"/v1/certificates/{leaf.serial_number:x}/ear")
    assert result.status == 200


@pytest.mark.parametrize(
    ("version", "body_type"),
    [(4, 2), (5, 2), (5, 3), (5, 4)],
    ids=["v4", "v5", "v5-1.5", "v5-1.5ex"],
)
async def test_quote_layouts(app: App, version: int, body_type: int) -> None:
    reply = await app.enroll(version=version, body_type=body_type)
    leaf = assert_clean(app, reply)
    record = await app.service.store.certificate(leaf.serial_number)
    assert record is not None
    (kind, blob), *none = record.decision.evidence
    assert (kind, none) == ("tdx-quote", [])
    assert int.from_bytes(blob.data[:2], "little") == version


async def test_a_machine_of_the_processor_ca(app: App) -> None:
    machine = app.intel.platform(ca="processor")
    assert_clean(app, await app.enroll(machine=machine))
    assert any("ca=processor" in asked for asked in app.pcs.requests)


async def test_authoritys_own_certificates_are_clean(app: App) -> None:
    keys = app.service.keys
    own = (keys.root, *(held.certificate for held in (*keys.issuing_cas, *keys.tls, *keys.ear)))
    assert len(own) == 4
    for certificate in own:
        container = loader.load_certificate(certificate.public_bytes(Encoding.DER), "own")
        assert findings(container, CERTIFICATE_VALIDATOR) == []
    lists = loader.RFC5280CertificateListDocumentLoader()
    for certificate in own[
        1:
    ]:  # the list of the root, and those of the days on which the others end
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        (name,) = points[0].full_name or []
        reply = await app.get(str(name.value).removeprefix(app.config.server.public_url))
        assert reply.status == 200
        assert findings(lists.load_document(reply.body, "list"), CRL_VALIDATOR) == []


async def test_tampered_foreign_and_unbound_quotes(app: App) -> None:
    """Not authentic, so nothing of it is on record; each by its reason."""
    stranger = FakeIntel.create(app.clock(), seed=b"somebody else").platform()
    forger = replace(app.machine, attestation_key=stranger.attestation_key)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"report_data": bytes(64)}, "binding-mismatch"),
        ({"machine": stranger}, "untrusted-root"),
        ({"machine": forger, "qe_report_data": bytes(64)}, "signature"),
    ]
    bodies = [(app.body(await app.nonce(), **fields), code) for fields, code in cases]
    for body, code in [(_tampered(app.body(await app.nonce())), "signature"), *bodies]:
        problem = problem_of(await app.post(body), 422, code)
        assert "findings" not in problem
    assert await app.service.store.refusals(10, None) == ()
    assert await app.service.store.certificates(CertificateQuery()) == ()


def _tampered(body: bytes) -> bytes:
    """One bit of mr_td of the quote in a request."""
    tree = json.loads(body)
    quote = bytearray(base64.b64decode(tree["evidence"][0]["data"]))
    quote[48 + 136] ^= 1
    tree["evidence"][0]["data"] = base64.b64encode(quote).decode()
    return json.dumps(tree).encode()


async def test_a_denied_machine_learns_the_rule(app_on_both: App) -> None:
    app = app_on_both
    reply = await app.enroll(rtmr1=b"\xab" * 48)
    problem = problem_of(reply, 403, "denied")
    (finding,) = problem["findings"]
    assert (finding["rule"], finding["result"]) == ("measurement", "fail")
    for name in ("mr_td", "rtmr0", "rtmr1", "rtmr2"):
        assert bytes(app.machine.fields[name]).hex() not in reply.body.decode()
    (refusal,) = await app.service.store.refusals(10, None)
    assert "demo-image-1" in refusal.decision.result_json


async def test_an_old_platform_is_denied_and_the_operator_sees_what_is_short(app: App) -> None:
    """Microcode behind by one: genuine, OutOfDate, on record with the component."""
    components = list(app.machine.sgx.components)
    components[0] -= 1
    app.machine.certify(replace(app.machine.sgx, components=tuple(components)))
    problem = problem_of(await app.enroll(), 403, "denied")
    (finding,) = problem["findings"]
    assert finding["rule"] == "tcb-out-of-date"
    assert "sgxtcbcomponents[0] 3 < 4; update: BIOS" in finding["hint"]
    (refusal,) = await app.service.store.refusals(10, None)
    assert refusal.decision.tcb_status == "OutOfDate"
    assert finding["hint"] in refusal.decision.result_json


async def test_a_revoked_machine_is_denied_and_on_record(app: App) -> None:
    app.intel.platform_crl.revoke(app.machine.pck.spec.serial)
    problem_of(await app.enroll(), 403, "certificate-revoked")
    (refusal,) = await app.service.store.refusals(10, None)
    assert json.loads(refusal.decision.result_json)["reason"]["code"] == "certificate-revoked"
    assert refusal.decision.policy_name is None


async def test_a_profile_that_no_policy_is_about(app: App) -> None:
    problem = problem_of(await app.enroll(profile="other"), 403, "denied")
    assert [finding["rule"] for finding in problem["findings"]] == ["no-policy"]


async def test_no_policy_at_all(app: App) -> None:
    await policy_admin.retire("demo", 1, app.service.store, "cli:test", app.clock())
    problem = problem_of(await app.enroll(), 403, "denied")
    assert [finding["rule"] for finding in problem["findings"]] == ["no-policy"]
