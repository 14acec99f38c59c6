# SPDX-License-Identifier: Apache-2.0
"""`enroll` from the evidence on: what each refusal is, and what it leaves on record."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from attestca_client.protocol import binding
from ca import policy_admin
from ca.errors import (
    Denied,
    LintFailed,
    PolicyChanged,
    RequestRefused,
    Unavailable,
)
from ca.http.problems import problem_of
from ca.issuance import csr, tbs
from ca.ports import CertificateQuery, Outcome
from policies.loader import load_policy
from tests import records
from tests.app_lab import IMAGE
from tests.desk_lab import Desk
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Evidence, EvidenceKind

if TYPE_CHECKING:
    from ca.authority import EnrollmentRequest, Issuing
    from ca.ports import PolicySource, Store
    from policies.loader import LoadedPolicy
    from tests.app_lab import App


@pytest.fixture
def desk(app: App) -> Desk:
    return Desk(app)


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
    kept, shown = json.loads(refusal.decision.result_json), json.loads(caught.value.record)
    failed = [one for one in kept["findings"] if one["result"] != "pass"]
    assert [one["rule"] for one in failed] == ["measurement"]
    assert len(kept["findings"]) > len(failed), "what passed is on record too"
    assert shown == kept | {"findings": failed}, "and the service's own log has all but that"
    assert [finding["rule"] for finding in caught.value.findings] == ["measurement"]
    assert set(caught.value.findings[0]) == {"rule", "path", "result", "hint"}
    assert refusal.decision.policy_sha256 == await desk.active()


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
