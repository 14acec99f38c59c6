# SPDX-License-Identifier: Apache-2.0
"""The public service from end to end: a simulated machine gets a certificate, and everybody can look at it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store
from structlog.testing import capture_logs

from attestca_client import wire
from ca import policy_admin
from ca.errors import ConfigurationError, Unavailable
from simulator.intel import FakeIntel
from simulator.pcs import TCB_INFO, Fault
from tests.authority_lab import NOW
from tests.service_lab import body_of, leaf_of, open_service

if TYPE_CHECKING:
    from ca.authority import Issuing
    from ca.issuance.request import Issuer
    from policies.loader import LoadedPolicy
    from simulator.machine import Platform
    from tests.service_lab import Service


async def test_enroll_end_to_end(service_on_both: Service) -> None:
    service = service_on_both
    key = ec.generate_private_key(ec.SECP256R1())
    reply = await service.post(service.request(await service.nonce(), key=key))
    assert reply.status == 201, reply.body
    leaf = leaf_of(reply)
    assert leaf.public_key() == key.public_key()
    assert reply.headers["Location"] == f"/v1/certificates/{leaf.serial_number:x}"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.json()["assurance"] == "simulated"
    issued = wire.parse_issued(reply.body)  # what the client makes of it
    assert (issued.certificate, issued.policy) == (leaf, "demo@1")
    _verify_to_root(leaf, issued.chain, service)
    assert service.signer.asked == 1
    assert service.count("attestca_enrollments_total", outcome="issued") == 1


def _verify_to_root(
    leaf: x509.Certificate, chain: tuple[x509.Certificate, ...], service: Service
) -> None:
    """By the library's own path validation, from the root that the test made."""
    verifier = PolicyBuilder().store(Store([service.lab.root])).time(NOW).build_client_verifier()
    verified = verifier.verify(leaf, list(chain[:1]))
    assert [c.subject for c in verified.chain] == [
        leaf.subject,
        chain[0].subject,
        service.lab.root.subject,
    ]
    assert chain[1] == service.lab.root


async def test_byte_identical_repeat_gets_the_same_answer(service: Service) -> None:
    body = service.request(await service.nonce())
    first, second = await service.post(body), await service.post(body)
    assert (first.status, second.status) == (201, 200)
    assert first.body == second.body
    assert service.signer.asked == 1
    assert service.count("attestca_enrollments_total", outcome="repeated") == 1


async def test_chain_and_crl_are_cacheable_and_whole(service: Service) -> None:
    chain = await service.get("/v1/ca/chain")
    certificates = x509.load_pem_x509_certificates(chain.body)
    assert certificates == [service.lab.issuer.certificate, service.lab.root]
    assert chain.headers["Content-Type"] == "application/pem-certificate-chain"
    assert chain.headers["Cache-Control"].startswith("public")
    crl = await service.get(f"/v1/crl/{service.lab.issuer.key_id.hex()}/2026-11-25.crl")
    assert crl.headers["Content-Type"] == "application/pkix-crl"
    assert crl.headers["Cache-Control"].startswith("public")
    loaded = x509.load_der_x509_crl(crl.body)
    assert loaded.is_signature_valid(service.lab.issuer.public_key)
    assert list(loaded) == []


async def test_crl_url_of_a_certificate_is_served(service: Service) -> None:
    leaf = leaf_of(await service.enrolled())
    points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    (name,) = points[0].full_name or []
    path = str(name.value).removeprefix("https://ca.example.org")
    assert (await service.get(path)).status == 200


async def test_the_root_has_one_crl(service: Service) -> None:
    reply = await service.get(f"/v1/crl/{service.lab.root_key_id.hex()}.crl")
    assert x509.load_der_x509_crl(reply.body).issuer == service.lab.root.subject
    assert reply.headers["Content-Type"] == "application/pkix-crl"
    assert reply.headers["Cache-Control"].startswith("public")


async def test_nobody_else_has_a_crl(service: Service) -> None:
    ours = service.lab.issuer.key_id.hex()
    for path in (
        *(f"{key_id}.crl" for key_id in ("00" * 20, "00", "x" * 40, "AB" * 20, ours)),
        *(f"{key_id}/2026-11-25.crl" for key_id in ("00" * 20, "00", ours.upper())),
        f"{service.lab.root_key_id.hex()}/2026-11-25.crl",
        *(f"{ours}/{day}.crl" for day in ("2026-11-23", "2027-11-25", "2026-02-30", "20261125")),
        *(
            f"{ours}/{day}.crl"
            for day in ("2026-W48-3", "0000-00-00", "-", "today", "2026-11-2\uff15")
        ),
        f"{ours}/",
        ours,
    ):
        reply = await service.get(f"/v1/crl/{path}")
        assert (reply.status, reply.code) == (404, "not-found"), path


async def test_record_and_result_of_a_certificate(service: Service) -> None:
    leaf = leaf_of(await service.enrolled())
    path = f"/v1/certificates/{leaf.serial_number:x}"
    record = (await service.get(path)).json()
    assert x509.load_pem_x509_certificate(record["certificate"].encode()) == leaf
    assert (record["tee"], record["tcb_status"], record["assurance"]) == (
        "tdx",
        "UpToDate",
        "simulated",
    )
    result = await service.get(path + "/ear")
    assert result.headers["Content-Type"] == "application/eat+jwt"
    claims = await _result_claims(service, result.body.decode())
    assert claims["jti"] == f"{leaf.serial_number:x}"
    assert claims["exp"] == int(leaf.not_valid_after_utc.timestamp())


async def _result_claims(service: Service, token: str) -> dict[str, object]:
    """Verified with the key that the service publishes."""
    reply = await service.get("/.well-known/jwks.json")
    assert reply.headers["Content-Type"].startswith("application/jwk-set+json")
    keys = jwt.PyJWKSet.from_dict(reply.json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, object] = jwt.decode(
        token, key, algorithms=["ES256"], options={"verify_iat": False, "verify_exp": False}
    )
    return claims


async def test_serials_that_name_no_certificate(service_on_both: Service) -> None:
    for serial in ("1234", "0", "01", "ABC", "f" * 40, "f" * 41, "zz", "%00", "-1"):
        for path in (f"/v1/certificates/{serial}", f"/v1/certificates/{serial}/ear"):
            reply = await service_on_both.get(path)
            assert (reply.status, reply.code) == (404, "not-found"), path


async def test_denial_tells_the_rule_and_not_what_is_allowed(service: Service) -> None:
    body = service.request(await service.nonce(), rtmr1=bytes(48))
    with capture_logs() as logs:
        reply = await service.post(body)
    problem = reply.json()
    assert (reply.status, problem["code"]) == (403, "denied")
    assert problem["findings"]
    allowed = [service.machine.fields[name] for name in ("mr_td", "rtmr0", "rtmr1", "rtmr2")]
    for value in allowed:
        assert isinstance(value, bytes)
        assert value.hex().encode() not in reply.body
    assert all(set(one) == {"rule", "path", "result", "hint"} for one in problem["findings"])
    (line,) = [entry for entry in logs if entry["event"] == "enrollment.denied"]
    record = json.loads(line["record"])
    assert all({"expected", "actual"} <= set(finding) for finding in record["findings"])
    denied = [one["rule"] for one in problem["findings"]]
    assert [one["rule"] for one in record["findings"] if one["result"] == "fail"] == denied


async def test_denial_spends_the_nonce(service: Service) -> None:
    nonce = await service.nonce()
    assert (await service.post(service.request(nonce, rtmr1=bytes(48)))).status == 403
    reply = await service.post(service.request(nonce))
    assert (reply.status, reply.code) == (409, "nonce-used")
    assert service.count("attestca_refusals_total", code="nonce-used") == 1


async def test_platform_that_the_vendor_revoked_is_denied_by_its_reason(service: Service) -> None:
    for level in service.intel.tcb_info["tcbLevels"]:
        level["tcbStatus"] = "Revoked"
    reply = await service.post(service.request(await service.nonce()))
    assert (reply.status, reply.code) == (403, "tcb-revoked")
    (refusal,) = await service.store.refusals(10, None)
    assert json.loads(refusal.decision.result_json)["reason"]["code"] == "tcb-revoked"


async def test_forged_and_foreign_quotes_are_refused_by_reason(service: Service) -> None:
    stranger = FakeIntel.create(NOW, seed=b"somebody else").platform()
    own = service.machine
    cases: list[tuple[Platform, dict[str, Any], str]] = [
        (own, {"report_data": bytes(64)}, "binding-mismatch"),
        (stranger, {}, "untrusted-root"),
        (
            replace(own, attestation_key=stranger.attestation_key),
            {"qe_report_data": bytes(64)},
            "signature",
        ),
    ]
    for machine, fields, code in cases:
        service.machine = machine
        reply = await service.post(service.request(await service.nonce(), **fields))
        assert (reply.status, reply.code) == (422, code)
    assert await service.store.refusals(10, None) == ()
    assert service.signer.asked == 0


@dataclass
class StalePolicies:
    """What another replica still has in its hands a moment after an operator retired it."""

    policies: tuple[LoadedPolicy, ...]

    async def current(self) -> tuple[LoadedPolicy, ...]:
        return self.policies


async def test_a_policy_that_was_retired_meanwhile(service: Service) -> None:
    before = await service.doors.authority.policies.current()
    late = await service.add_variant(policies=StalePolicies(before))
    await policy_admin.retire("demo", 1, service.store, "cli:test", NOW)
    nonce = await service.nonce()
    reply = await service.post(service.request(nonce), to=late.public)
    assert (reply.status, reply.code) == (409, "policy-changed")
    assert (
        late.doors.state.metrics.registry.get_sample_value(
            "attestca_enrollments_total", {"outcome": "conflict"}
        )
        == 1
    )
    assert service.signer.asked == 0
    assert await service.store.nonce_state(nonce) is None


async def test_collateral_that_cannot_be_had_is_a_503(service: Service) -> None:
    service.pcs.faults[TCB_INFO] = Fault(status=500)
    nonce = await service.nonce()
    reply = await service.post(service.request(nonce))
    assert (reply.status, reply.code) == (503, "unavailable")
    assert int(reply.headers["Retry-After"]) > 0
    assert service.pcs.base_url.encode() not in reply.body, "where we ask is not the caller's"
    assert service.signer.asked == 0
    assert await service.store.nonce_state(nonce) is None


async def test_collateral_that_is_garbage_is_not_the_callers_fault(service: Service) -> None:
    service.pcs.faults[TCB_INFO] = Fault(body=b"{}")
    reply = await service.post(service.request(await service.nonce()))
    assert reply.status == 503
    assert int(reply.headers["Retry-After"]) > 0


NO_ROUTE = (
    ("GET", "/", 404, "not-found"),
    ("GET", "/v2/nonce", 404, "not-found"),
    ("GET", "/v1/nonce/", 404, "not-found"),
    ("POST", "/v1/nonce", 405, "method-not-allowed"),
    ("DELETE", "/v1/enrollments", 405, "method-not-allowed"),
    ("HEAD", "/v1/nonce", 405, None),
    ("GET", "/v1/admin/whoami", 404, "not-found"),
    ("GET", "/v1/admin/policies", 404, "not-found"),
)


async def test_what_no_route_answers(service: Service) -> None:
    for method, path, status, code in NO_ROUTE:
        reply = await service.send(method, service.public + path)
        assert reply.status == status, path
        assert reply.headers["Content-Type"] == "application/problem+json"
        if code is not None:  # an answer to HEAD has no body
            assert reply.code == code
        if status == 405:
            assert reply.headers["Allow"] in {"GET", "POST"}


async def test_health_and_readiness(sqlite_url: str) -> None:
    faults: list[Exception] = []
    asked = 0

    async def check() -> None:
        nonlocal asked
        asked += 1
        if faults:
            raise faults[0]

    async with open_service(sqlite_url, accepting=False, check_ready=check) as service:
        for _ in range(20):
            assert (await service.get("/readyz")).json() == {"status": "ready", "warnings": []}
        assert asked < 20, "many askers cost one check"
        faults.append(ConfigurationError("no issuing CA certificate is valid now"))
        for fault in (faults[0], Unavailable("database: disk I/O error")):
            faults[:] = [fault]
            replica = await service.add_replica(sqlite_url, check_ready=check)
            reply = await service.send("GET", replica.public + "/readyz")
            assert (reply.status, reply.code) == (503, "not-ready")
            assert b"issuing" not in reply.body
            assert b"disk" not in reply.body
        assert (await service.get("/healthz")).json() == {"status": "ok"}


async def test_repeat_after_the_issuing_ca_was_renewed(service: Service, sqlite_url: str) -> None:
    body = service.request(await service.nonce())
    first = await service.post(body)
    old = service.lab.issuer
    renewed = service.lab.renew(NOW)
    chain = service.signer.chain_der
    issuing = service.doors.authority.issuing()
    replica = await service.add_variant(issuing=lambda: _with_issuer(issuing, renewed.issuer))
    reply = await service.post(body, to=replica.public)
    assert (reply.status, reply.code) == (503, "unavailable"), "a wrong chain is worse than none"
    knows = await service.add_replica(
        sqlite_url,
        authority=replica.doors.authority,
        former_chain={old.key_id: chain}.get,
    )
    assert (await service.post(body, to=knows.public)).body == first.body


def _with_issuer(issuing: Issuing, issuer: Issuer) -> Issuing:
    return replace(issuing, issuer=issuer)


async def test_headers_of_every_answer(service: Service) -> None:
    seen = set()
    for path in ("/v1/nonce", "/v1/ca/chain", "/nothing", "/metrics"):
        headers = (await service.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Server"] == "attestca"
        assert "Strict-Transport-Security" not in headers, "this listener speaks plain http"
        seen.add(headers["X-Request-Id"])
    assert len(seen) == 4


async def test_the_callers_request_id_is_not_taken_over(service: Service) -> None:
    reply = await service.get("/v1/nonce", headers={"X-Request-Id": "mine"})
    assert reply.headers["X-Request-Id"] != "mine"


async def test_nonces_differ_and_are_not_stored(service: Service) -> None:
    nonces = {await service.nonce() for _ in range(5)}
    assert len(nonces) == 5
    for nonce in nonces:
        assert await service.store.nonce_state(nonce) is None
    assert service.count("attestca_nonces_total") == 5


async def test_what_a_csr_asks_for_is_not_granted(service: Service) -> None:
    reply = await service.enrolled()
    names = leaf_of(reply).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    firmware = service.machine.fields["mr_td"]
    assert isinstance(firmware, bytes)
    (name,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert name == f"spiffe://example.org/tdx/{firmware.hex()[:32]}"


async def test_unknown_kind_of_evidence(service: Service) -> None:
    body = body_of(await service.nonce(), b"x", [("sgx-quote", b"x")])
    reply = await service.post(body)
    assert (reply.status, reply.code) == (422, "unsupported-tee")


async def test_record_names_the_evidence(service: Service) -> None:
    body = service.request(await service.nonce())
    serial = (await service.post(body)).json()["serial"]
    record = await service.store.certificate(int(serial, 16))
    assert record is not None
    assert record.decision.request_sha256 == hashlib.sha256(body).digest()
    shown = (await service.get(f"/v1/certificates/{serial}")).json()
    assert shown["evidence_sha256"] == [record.decision.evidence[0][1].sha256.hex()]
