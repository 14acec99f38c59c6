# SPDX-License-Identifier: Apache-2.0
"""`enroll` up to the evidence: what a certificate leaves on record, whose the nonce is, who was first, the request."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ca.errors import (
    Denied,
    NonceUsed,
    Unavailable,
)
from ca.http.wire import decode_enrollment
from ca.ports import CertificateQuery, Outcome
from simulator.tdx_policies import POLICY
from tests import records
from tests.app_lab import IMAGE
from tests.desk_lab import Desk

if TYPE_CHECKING:
    from ca.authority import EnrollmentRequest
    from ca.ports import Intent, NonceState, Store
    from tests.app_lab import App


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
        nonce=request.nonce, request_sha256=request.body_sha256, policy_sha256=await desk.active()
    )
    intent = records.intent(of=decision)
    await desk.store.record_intent(intent)
    with pytest.raises(Unavailable) as caught:
        await desk(request)
    assert caught.value.code == "in-progress"
    await desk.store.abandon_intents(decision.decided_at + timedelta(1), desk.app.clock())
    with pytest.raises(NonceUsed):
        await desk(request)


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
