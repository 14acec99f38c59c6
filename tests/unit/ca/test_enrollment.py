# SPDX-License-Identifier: Apache-2.0
"""`enroll`, step by step: what each refusal is, and what it leaves on record; at the use case, without HTTP."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.protocol import binding
from ca import policy_admin
from ca.enrollment import enroll
from ca.errors import (
    Denied,
    LintFailed,
    NonceUsed,
    PolicyChanged,
    RequestRefused,
    Unavailable,
)
from ca.http.problems import problem_of
from ca.http.wire import decode_enrollment
from ca.issuance import csr, tbs
from ca.issuance import nonce as nonces
from ca.ports import CertificateQuery, Outcome
from policies.loader import load_policy
from simulator.tdx_policies import POLICY
from tests import records
from tests.app_lab import IMAGE
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Evidence, EvidenceKind

if TYPE_CHECKING:
    from ca.authority import Authority, EnrollmentRequest, Issuing
    from ca.enrollment import Enrolled
    from ca.ports import Intent, NonceState, PolicySource, Store
    from policies.loader import LoadedPolicy
    from tests.app_lab import App


class Desk:
    """Requests of the usual machine, and `enroll` at the app's clock."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.store = app.service.store
        self.authority = app.service.authority

    def nonce(self) -> bytes:
        a = self.authority
        return nonces.make(a.nonce_keys[0], a.ca_id, self.app.clock(), a.entropy(24)).value

    def request(self, **fields: Any) -> EnrollmentRequest:  # noqa: ANN401 - of App.body
        return decode_enrollment(self.app.body(self.nonce(), **fields))

    async def __call__(
        self, request: EnrollmentRequest | None = None, authority: Authority | None = None
    ) -> Enrolled:
        wanted = request or self.request()
        return await enroll(wanted, authority or self.authority, self.app.clock())

    async def refused(self, request: EnrollmentRequest, code: str) -> None:
        """Refused with that code, and the nonce is not spent."""
        with pytest.raises(RequestRefused) as caught:
            await self(request)
        assert caught.value.code == code
        assert await self.is_untouched(request)

    async def is_untouched(self, request: EnrollmentRequest) -> bool:
        kept = await self.store.certificates(CertificateQuery())
        return not (
            kept
            or await self.store.refusals(1, None)
            or await self.store.nonce_state(request.nonce)
        )


@pytest.fixture
def desk(app: App) -> Desk:
    return Desk(app)


# it goes well


async def test_a_certificate_is_what_is_on_record(desk: Desk) -> None:
    request = desk.request()
    enrolled = await desk(request)
    record = enrolled.certificate
    assert not enrolled.repeated
    assert await desk.store.certificate(record.serial) == record
    assert (record.outcome, record.decision.nonce) == (Outcome.ISSUED, request.nonce)
    assert record.decision.request_sha256 == request.body_sha256
    assert record.decision.decided_at == desk.app.clock()
    leaf = x509.load_der_x509_certificate(record.der or b"")
    assert leaf.serial_number == record.serial
    assert record.subject_alt_names[0] == "dns:demo.example.org"
    assert {kind for kind, _ in record.handles} >= {
        "certificate",
        "key",
        "measurement",
        "chip",
        "policy",
    }
    state = await desk.store.nonce_state(request.nonce)
    assert state is not None
    assert (state.outcome, state.serial) == (Outcome.ISSUED, record.serial)


async def test_the_intent_is_that_of_what_is_signed(desk: Desk) -> None:
    intents: list[Intent] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the store's
            return getattr(desk.store, name)

        async def record_intent(self, intent: Intent) -> None:
            intents.append(intent)
            await desk.store.record_intent(intent)

    watched = replace(desk.authority, store=cast("Store", Watched()))
    record = (await desk(authority=watched)).certificate
    (intent,) = intents
    leaf = x509.load_der_x509_certificate(record.der or b"")
    assert intent.tbs_sha256 == hashlib.sha256(leaf.tbs_certificate_bytes).digest()
    assert (intent.not_before, intent.not_after) == (
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
    )


async def test_a_policy_may_withhold_the_chip(desk: Desk) -> None:
    await accept(desk, "  withhold_chip_handle: true\n")
    record = (await desk()).certificate
    assert "chip" not in {kind for kind, _ in record.handles}


async def accept(desk: Desk, issue: str, version: int = 2) -> None:
    """Another version of the policy, with more in its issue section."""
    values = {name: bytes(desk.app.machine.fields[name]).hex() for name in IMAGE}
    text = POLICY.format(**values).replace("version: 1", f"version: {version}") + issue
    await desk.app.accept_image(text)


# 1 the nonce


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda value: value[:-1], "nonce-malformed"),
        (lambda value: value[:-1] + bytes([value[-1] ^ 1]), "nonce-foreign"),
    ],
)
async def test_a_nonce_that_is_none_of_ours(desk: Desk, change: Any, code: str) -> None:  # noqa: ANN401 - a value of any type is what it takes
    request = desk.request()
    await desk.refused(replace(request, nonce=change(request.nonce)), code)


async def test_a_nonce_that_is_too_old(desk: Desk) -> None:
    request = desk.request()
    desk.app.clock.advance(seconds=120)
    await desk.refused(request, "nonce-expired")


async def test_an_older_nonce_key_still_counts(desk: Desk) -> None:
    request = desk.request()
    rotated = replace(desk.authority, nonce_keys=(bytes(32), *desk.authority.nonce_keys))
    assert (await desk(request, rotated)).certificate.outcome is Outcome.ISSUED


async def test_the_same_request_again(desk: Desk) -> None:
    request = desk.request()
    first = await desk(request)
    again = await desk(request)
    assert (again.certificate, again.repeated) == (first.certificate, True)
    assert len(await desk.store.certificates(CertificateQuery())) == 1


async def test_another_request_with_that_nonce(desk: Desk) -> None:
    request = desk.request()
    await desk(request)
    with pytest.raises(NonceUsed):
        await desk(replace(request, body_sha256=bytes(32)))
    with pytest.raises(NonceUsed):
        await desk(decode_enrollment(desk.app.body(request.nonce)))


async def test_after_a_denial_the_nonce_is_spent_for_the_same_request_too(desk: Desk) -> None:
    request = desk.request(rtmr1=bytes(48))
    with pytest.raises(Denied):
        await desk(request)
    with pytest.raises(NonceUsed):
        await desk(request)
    assert len(await desk.store.refusals(10, None)) == 1


async def test_while_it_is_being_answered(desk: Desk) -> None:
    request = desk.request()
    decision = records.decision(
        nonce=request.nonce, request_sha256=request.body_sha256, policy_sha256=await active(desk)
    )
    intent = records.intent(of=decision)
    await desk.store.record_intent(intent)
    with pytest.raises(Unavailable) as caught:
        await desk(request)
    assert caught.value.code == "in-progress"
    await desk.store.abandon_intents(decision.decided_at + timedelta(1), desk.app.clock())
    with pytest.raises(NonceUsed):
        await desk(request)


async def active(desk: Desk) -> bytes:
    (policy,) = await desk.store.policies(active_only=True)
    return policy.sha256


class Overtaken:
    """A store before whose every intent somebody else is faster. `blind`: it knows of no nonce."""

    def __init__(self, desk: Desk, faster: EnrollmentRequest, *, blind: bool = False) -> None:
        self.desk, self.faster, self.blind = desk, faster, blind

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the store's
        return getattr(self.desk.store, name)

    async def nonce_state(self, nonce: bytes) -> NonceState | None:
        return None if self.blind else await self.desk.store.nonce_state(nonce)

    async def record_intent(self, intent: Intent) -> None:
        await self.desk(self.faster)
        await self.desk.store.record_intent(intent)


async def test_the_same_request_twice_at_once(desk: Desk) -> None:
    request = desk.request()
    store = cast("Store", Overtaken(desk, request))
    slower = await desk(request, replace(desk.authority, store=store))
    assert slower.repeated
    assert await desk.store.certificates(CertificateQuery()) == (slower.certificate,)


async def test_another_request_with_the_nonce_at_once(desk: Desk) -> None:
    request = desk.request()
    faster = decode_enrollment(desk.app.body(request.nonce))
    store = cast("Store", Overtaken(desk, faster))
    with pytest.raises(NonceUsed):
        await desk(request, replace(desk.authority, store=store))
    (only,) = await desk.store.certificates(CertificateQuery())
    assert only.decision.request_sha256 == faster.body_sha256


async def test_a_spent_nonce_whose_answer_cannot_be_read(desk: Desk) -> None:
    request = desk.request()
    store = cast("Store", Overtaken(desk, request, blind=True))
    with pytest.raises(Unavailable, match="nonce is spent"):
        await desk(request, replace(desk.authority, store=store))


# 2, 3 the request


async def test_what_is_no_csr(desk: Desk) -> None:
    await desk.refused(replace(desk.request(), csr_der=b"no request"), "csr-malformed")


async def test_a_csr_that_was_changed(desk: Desk) -> None:
    request = desk.request()
    broken = bytearray(request.csr_der)
    broken[-1] ^= 1
    await desk.refused(replace(request, csr_der=bytes(broken)), "csr-signature")


async def test_a_key_that_is_not_certified(desk: Desk) -> None:
    key = rsa.generate_private_key(65537, 2048)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    der = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    await desk.refused(replace(desk.request(), csr_der=der), "key-type")


# 4 to 6 the evidence


@pytest.mark.parametrize("count", [0, 2, 17])
async def test_one_piece_of_the_cpus_own(desk: Desk, count: int) -> None:
    request = desk.request()
    changed = replace(request, evidence=request.evidence * count)
    with pytest.raises(VerificationError) as caught:
        await desk(changed)
    assert problem_of(caught.value, "").status == 422
    assert problem_of(caught.value, "").code == "evidence"
    assert await desk.is_untouched(changed)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"report_data": bytes(64)}, Reason.BINDING_MISMATCH),
        ({"qe_report_data": bytes(64)}, Reason.SIGNATURE),
        ({"trailing": b"\1"}, Reason.TRAILING_BYTES),
        ({"version": 3}, Reason.UNSUPPORTED_TEE),
    ],
)
async def test_evidence_that_is_not_authentic_leaves_nothing(
    desk: Desk, fields: dict[str, Any], reason: Reason
) -> None:
    request = desk.request()
    quote = desk.app.machine.quote(**{"report_data": report_data(desk, request)} | fields)
    changed = replace(request, evidence=(Evidence(EvidenceKind.TDX_QUOTE, quote),))
    with pytest.raises(VerificationError) as caught:
        await desk(changed)
    assert caught.value.reason is reason
    assert caught.value.__cause__ is None
    assert await desk.is_untouched(changed)


def report_data(desk: Desk, request: EnrollmentRequest) -> bytes:
    """The report_data that the request's evidence must have."""
    return binding(
        ca_id=desk.authority.ca_id,
        profile=request.profile,
        nonce=request.nonce,
        spki_der=csr.parse(request.csr_der).spki_der,
    )


async def test_another_authoritys_binding(desk: Desk) -> None:
    request = desk.request()
    with pytest.raises(RequestRefused, match="did not make the nonce"):
        await desk(request, replace(desk.authority, ca_id=bytes(32)))


@pytest.mark.parametrize("status", ["Revoked", "SomethingNew"])
async def test_a_platform_that_the_vendor_refuses_is_on_record(desk: Desk, status: str) -> None:
    for level in desk.app.intel.tcb_info["tcbLevels"]:
        level["tcbStatus"] = status
    request = desk.request()
    with pytest.raises(Denied) as caught:
        await desk(request)
    error = caught.value
    assert error.code == {"Revoked": "tcb-revoked", "SomethingNew": "tcb-status-unknown"}[status]
    assert error.findings == ()
    (refusal,) = await desk.store.refusals(10, None)
    made = refusal.decision
    assert made.result_json == error.record
    assert json.loads(made.result_json)["reason"]["code"] == error.code
    assert (made.policy_name, made.policy_version, made.policy_sha256) == (None, None, None)
    assert made.tcb_status == {"Revoked": "Revoked", "SomethingNew": "Unknown"}[status]
    assert made.evidence[0][1].data == request.evidence[0].data
    state = await desk.store.nonce_state(request.nonce)
    assert state is not None
    assert state.outcome is Outcome.DENIED


async def test_collateral_that_is_not_for_this_platform_is_not_its_fault(desk: Desk) -> None:
    desk.app.intel.tcb_info["pceId"] = "0001"
    request = desk.request()
    with pytest.raises(Unavailable) as caught:
        await desk(request)
    assert (caught.value.code, caught.value.retry_after) == ("collateral-unusable", 60)
    assert await desk.is_untouched(request)


# 7, 8 the policy


async def test_a_denial_is_on_record_with_everything(desk: Desk) -> None:
    with pytest.raises(Denied) as caught:
        await desk(desk.request(rtmr1=bytes(48)))
    (refusal,) = await desk.store.refusals(10, None)
    assert caught.value.record == refusal.decision.result_json
    assert [finding["rule"] for finding in caught.value.findings] == ["measurement"]
    assert set(caught.value.findings[0]) == {"rule", "path", "result", "hint"}
    assert refusal.decision.policy_sha256 == await active(desk)


async def test_two_policies_that_both_apply(desk: Desk) -> None:
    """Activation refuses it; should the database say so nevertheless, nobody is let in."""
    (record,) = await desk.store.policies(active_only=True)
    loaded = load_policy(record.document)

    class Both:
        async def current(self) -> tuple[LoadedPolicy, ...]:
            return (loaded, loaded)

    with pytest.raises(Denied) as caught:
        await desk(authority=replace(desk.authority, policies=cast("PolicySource", Both())))
    assert [finding["rule"] for finding in caught.value.findings] == ["several-policies"]
    (refusal,) = await desk.store.refusals(10, None)
    assert refusal.decision.policy_name is None


async def test_a_name_that_cannot_be_given(desk: Desk) -> None:
    """A template over a field that this machine leaves empty."""
    text = (
        "name: named\nversion: 1\nmatch: {tee: tdx}\n"
        "reference_sets:\n  release:\n    - id: one\n      values:\n"
        + "".join(
            f'        {name}: "{bytes(desk.app.machine.fields[name]).hex()}"\n' for name in IMAGE
        )
        + "      source: {kind: computed}\n"
        "tdx:\n  measurements: [release]\n"
        "issue:\n  profile: named\n  lifetime: 1h\n"
        '  san: {uri: ["spiffe://example.org/{mr_config_id}"]}\n'
        "  shared_name: for the test\n"
    )
    await desk.app.accept_image(text)
    with pytest.raises(Denied) as caught:
        await desk(desk.request(profile="named"))
    assert caught.value.code == "name-refused"
    (refusal,) = await desk.store.refusals(10, None)
    assert refusal.decision.policy_name == "named"
    assert await desk.store.certificates(CertificateQuery()) == ()


# 9 to 13 the certificate


async def test_a_policy_that_is_retired_meanwhile(desk: Desk) -> None:
    """Between appraisal and intent: nothing is signed under it, and the machine may ask again."""
    request = desk.request()

    class Slow:
        async def current(self) -> tuple[LoadedPolicy, ...]:
            found = await desk.authority.policies.current()
            await policy_admin.retire("demo", 1, desk.store, "cli:test", desk.app.clock())
            return found

    with pytest.raises(PolicyChanged):
        await desk(request, replace(desk.authority, policies=cast("PolicySource", Slow())))
    assert await desk.is_untouched(request)


async def test_a_measurement_that_is_revoked(desk: Desk) -> None:
    record = (await desk()).certificate
    handle = dict(record.handles)["measurement"]
    await desk.store.revoke(records.revocation(handle), records.ACTION)
    request = desk.request()
    with pytest.raises(Denied, match="revoked: measurement") as caught:
        await desk(request)
    assert caught.value.code == "handle-revoked"
    assert '"code":"handle-revoked"' in caught.value.record
    state = await desk.store.nonce_state(request.nonce)
    assert state is not None
    assert (state.outcome, state.serial) == (Outcome.DENIED, None)
    (refusal,) = await desk.store.refusals(10, None)
    assert refusal.decision.result_json.count("handle-revoked") == 1
    assert len(await desk.store.certificates(CertificateQuery())) == 1


async def test_a_signature_that_is_not_the_issuers(desk: Desk) -> None:
    """Linted before it is recorded: the intent stays without a certificate, and is closed later."""
    request = desk.request()
    stranger = ec.generate_private_key(ec.SECP256R1())

    class Wrong:
        async def sign(self, content: bytes) -> bytes:
            return tbs.sign(stranger, content)

    def issuing() -> Issuing:
        return replace(desk.authority.issuing(), signer=cast("Any", Wrong()))

    with pytest.raises(LintFailed):
        await desk(request, replace(desk.authority, issuing=issuing))
    (intent,) = await desk.store.certificates(CertificateQuery())
    assert (intent.outcome, intent.der) == (Outcome.INTENT, None)


async def test_collateral_that_ends_before_a_certificate_could_begin_to_be_of_use(
    desk: Desk,
) -> None:
    end = desk.app.intel.qe_identity["nextUpdate"]
    desk.app.clock.now = datetime.fromisoformat(end) - timedelta(seconds=30)
    request = desk.request()
    with pytest.raises(Unavailable) as caught:
        await desk(request)
    assert caught.value.code == "validity-too-short"
    assert await desk.is_untouched(request)


async def test_a_certificate_that_cannot_be_read_back(desk: Desk) -> None:
    class Forgetful:
        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the store's
            return getattr(desk.store, name)

        async def certificate(self, _serial: int) -> None:
            return None

    request = desk.request()
    broken = replace(desk.authority, store=cast("Store", Forgetful()))
    with pytest.raises(Unavailable, match="cannot be read"):
        await desk(request, broken)
    assert (await desk(request)).repeated, "it is there, and is handed out when asked again"
