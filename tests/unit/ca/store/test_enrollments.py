# SPDX-License-Identifier: Apache-2.0
"""Nonces, refusals, intents, certificates: what each transaction promises, on both databases."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from attestca_client.protocol import HandleKind, certificate_handle
from ca.errors import (
    AuthorityError,
    CollateralOutdated,
    Conflict,
    HandleRevoked,
    IntentClosed,
    NonceUsed,
    NotFound,
    PolicyChanged,
)
from ca.issuance.crl import Revoked
from ca.ports import Blob, CertificateQuery, NonceState, Outcome, PolicyState, Store
from tests import records

if TYPE_CHECKING:
    from ca.store.sql import SqlStore


async def test_is_the_port(store: SqlStore) -> None:
    port: Store = store
    assert await port.nonce_state(b"never seen") is None


async def test_certificate_comes_back_as_it_went_in(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent()
    await store.record_intent(intent)

    before = await store.certificate(intent.serial)
    assert before is not None
    assert (before.outcome, before.der, before.ear) == (Outcome.INTENT, None, None)

    await store.record_certificate(intent.serial, b"\x30der", "header.payload.signature")
    after = await store.certificate(intent.serial)
    assert after is not None
    assert (after.outcome, after.der, after.ear) == (
        Outcome.ISSUED,
        b"\x30der",
        "header.payload.signature",
    )
    assert after.decision == intent.decision
    assert after.handles == intent.handles
    assert after.subject_alt_names == intent.subject_alt_names
    assert (after.not_before, after.not_after) == (intent.not_before, intent.not_after)
    assert after.issuer_key_id == intent.issuer_key_id


@pytest.mark.parametrize("serial", [1, 2**64, 2**159 - 1])
async def test_every_serial_that_fits_20_bytes(store: SqlStore, serial: int) -> None:
    await records.activate(store)
    await store.record_intent(records.intent(serial=serial))
    found = await store.certificate(serial)
    assert found is not None
    assert found.serial == serial


@pytest.mark.parametrize(
    "instant",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2038, 1, 19, 3, 14, 8, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
async def test_instants_to_the_microsecond(store: SqlStore, instant: datetime) -> None:
    await store.record_refusal(records.decision(decided_at=instant))
    (refusal,) = await store.refusals(1, None)
    assert refusal.decision.decided_at == instant
    assert refusal.decision.decided_at.utcoffset() == timedelta(0)


async def test_naive_instant_is_our_fault_and_writes_nothing(store: SqlStore) -> None:
    naive = records.decision(decided_at=datetime(2026, 1, 1))  # noqa: DTZ001 (that is the case)
    with pytest.raises(AuthorityError) as raised:
        await store.record_refusal(naive)
    assert raised.value.code == "internal"
    assert await store.nonce_state(naive.nonce) is None


async def test_refusal_comes_back_as_it_went_in(store: SqlStore) -> None:
    decision = records.decision(
        policy_name=None, policy_version=None, policy_sha256=None, collateral=()
    )
    await store.record_refusal(decision)
    (refusal,) = await store.refusals(10, None)
    assert refusal.decision == decision
    assert await store.nonce_state(decision.nonce) == NonceState(
        decision.request_sha256, Outcome.DENIED, decision.decided_at, None
    )


async def test_nonce_state_follows_the_certificate(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent()
    await store.record_intent(intent)
    state = await store.nonce_state(intent.decision.nonce)
    assert state == NonceState(
        intent.decision.request_sha256, Outcome.INTENT, records.NOW, intent.serial
    )
    await store.record_certificate(intent.serial, b"der", "ear")
    state = await store.nonce_state(intent.decision.nonce)
    assert state is not None
    assert state.outcome is Outcome.ISSUED


async def test_one_nonce_one_answer(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent()
    again = records.intent(of=records.decision(nonce=intent.decision.nonce))
    await store.record_intent(intent)
    with pytest.raises(NonceUsed):
        await store.record_intent(again)
    with pytest.raises(NonceUsed):
        await store.record_refusal(again.decision)
    assert await store.certificate(again.serial) is None
    assert await store.refusals(10, None) == ()
    assert len(await store.certificates(CertificateQuery())) == 1


async def test_a_refusal_spends_the_nonce(store: SqlStore) -> None:
    await records.activate(store)
    refused = records.decision()
    await store.record_refusal(refused)
    with pytest.raises(NonceUsed):
        await store.record_intent(records.intent(of=records.decision(nonce=refused.nonce)))


async def test_a_used_serial_is_not_called_a_used_nonce(store: SqlStore) -> None:
    await records.activate(store)
    first = records.intent()
    second = records.intent(serial=first.serial)
    await store.record_intent(first)
    with pytest.raises(Conflict) as raised:
        await store.record_intent(second)
    assert raised.value.code == "serial-used"
    assert await store.nonce_state(second.decision.nonce) is None  # all of it was taken back


async def test_a_serial_is_used_up_by_an_abandoned_intent_too(store: SqlStore) -> None:
    await records.activate(store)
    first = records.intent()
    await store.record_intent(first)
    await store.abandon_intents(records.NOW + timedelta(seconds=1), records.NOW)
    with pytest.raises(Conflict):
        await store.record_intent(records.intent(serial=first.serial))


async def test_a_row_that_breaks_a_constraint_is_not_called_a_used_nonce(store: SqlStore) -> None:
    await records.activate(store)
    broken = replace(records.intent(), not_before=None)  # type: ignore[arg-type] # that is the case
    with pytest.raises(AuthorityError) as raised:
        await store.record_intent(broken)
    assert raised.value.code == "internal"
    assert await store.nonce_state(broken.decision.nonce) is None


async def test_a_blob_under_a_false_digest_is_refused(store: SqlStore) -> None:
    false = Blob(records.digest("something else"), b"quote")
    with pytest.raises(AuthorityError) as raised:
        await store.record_refusal(records.decision(evidence=(("tdx-quote", false),)))
    assert raised.value.code == "internal"


async def test_intent_needs_its_policy_to_be_active(store: SqlStore) -> None:
    with pytest.raises(PolicyChanged):
        await store.record_intent(records.intent())
    policy = await records.activate(store)
    await store.record_intent(records.intent())

    newer = await records.activate(store, records.policy(version=2))
    late = records.intent()
    with pytest.raises(PolicyChanged):
        await store.record_intent(late)
    assert await store.nonce_state(late.decision.nonce) is None
    await store.record_intent(records.intent(of=records.decision(policy_sha256=newer.sha256)))

    await store.set_policy_state(
        "cvm", 2, PolicyState.RETIRED, records.ACTION, expect_active=frozenset({newer.sha256})
    )
    for sha256 in (policy.sha256, newer.sha256, None):
        with pytest.raises(PolicyChanged):
            await store.record_intent(records.intent(of=records.decision(policy_sha256=sha256)))


async def test_a_revoked_handle_stops_an_intent(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent()
    kind, handle = intent.handles[1]
    await store.revoke(records.revocation(handle, kind=HandleKind(kind)), records.ACTION)
    with pytest.raises(HandleRevoked, match="key"):
        await store.record_intent(intent)
    assert await store.nonce_state(intent.decision.nonce) is None
    await store.record_intent(records.intent())


async def test_a_revoked_serial_stops_its_intent(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent()
    own = certificate_handle(intent.issuer_key_id, intent.serial)
    await store.revoke(records.revocation(own, kind=HandleKind.CERTIFICATE), records.ACTION)
    with pytest.raises(HandleRevoked, match="certificate"):
        await store.record_intent(intent)


async def test_certificate_without_intent(store: SqlStore) -> None:
    with pytest.raises(NotFound):
        await store.record_certificate(4711, b"der", "ear")


async def test_an_intent_is_closed_once(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent()
    await store.record_intent(intent)
    await store.record_certificate(intent.serial, b"der", "ear")
    await store.record_certificate(intent.serial, b"der", "ear")  # its answer was lost
    for other in ((b"other", "ear"), (b"der", "other")):
        with pytest.raises(IntentClosed):
            await store.record_certificate(intent.serial, *other)
    found = await store.certificate(intent.serial)
    assert found is not None
    assert (found.der, found.ear) == (b"der", "ear")


async def test_abandoned_means_revoked_and_never_issued(store: SqlStore) -> None:
    await records.activate(store)
    old, signed, young = records.intent(), records.intent(), records.intent()
    young = replace(
        young, decision=replace(young.decision, decided_at=records.NOW + timedelta(minutes=9))
    )
    for intent in (old, signed, young):
        await store.record_intent(intent)
    await store.record_certificate(signed.serial, b"der", "ear")

    later = records.NOW + timedelta(minutes=10)
    older_than = records.NOW + timedelta(minutes=5)
    assert await store.abandon_intents(older_than, later) == (old.serial,)
    assert await store.abandon_intents(older_than, later) == ()

    with pytest.raises(IntentClosed):
        await store.record_certificate(old.serial, b"der", "ear")
    found = await store.certificate(old.serial)
    assert found is not None
    assert (found.outcome, found.der) == (Outcome.ABANDONED, None)
    state = await store.nonce_state(old.decision.nonce)
    assert state is not None
    assert state.outcome is Outcome.ABANDONED
    day = old.not_after.date()
    assert await store.revoked_on(records.ISSUER, day) == (Revoked(old.serial, later),)
    await store.record_certificate(young.serial, b"der", "ear")


async def test_an_intent_decided_at_the_limit_is_not_abandoned(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent()
    await store.record_intent(intent)
    assert await store.abandon_intents(records.NOW, records.NOW) == ()
    after = records.NOW + timedelta(microseconds=1)
    assert await store.abandon_intents(after, records.NOW) == (intent.serial,)


async def test_an_older_evaluation_decides_nothing(store: SqlStore) -> None:
    """Neither a refusal nor an intent; the nonce is not spent, and a line that rises does not rise either."""
    await records.activate(store)
    newer = records.decision(evaluations={"a": 20, "b": 5})
    await store.record_refusal(newer)
    old = records.decision(evaluations={"a": 21, "b": 4})
    with pytest.raises(CollateralOutdated):
        await store.record_refusal(old)
    with pytest.raises(CollateralOutdated):
        await store.record_intent(records.intent(of=old))
    assert await store.nonce_state(old.nonce) is None
    await store.record_intent(records.intent(of=records.decision(evaluations={"a": 20, "b": 5})))
    await store.record_refusal(records.decision(evaluations={"c": 0}))


async def test_a_good_word_of_before_a_revocation_decides_nothing(store: SqlStore) -> None:
    """Nor one of the same second; and of what is good nothing is remembered, for replicas ask at different times."""
    await records.activate(store)
    await store.record_refusal(records.decision(revoked={"a": 100}, good={"b": 100}))
    for number in (99, 100):
        old = records.decision(good={"a": number, "b": 100})
        with pytest.raises(CollateralOutdated, match="revoked"):
            await store.record_intent(records.intent(of=old))
        with pytest.raises(CollateralOutdated):
            await store.record_refusal(old)
        assert await store.nonce_state(old.nonce) is None
    for number in (300, 101):  # of two replicas
        await store.record_intent(records.intent(of=records.decision(good={"a": number, "b": 1})))


async def test_what_is_remembered_of_a_revocation_only_rises(store: SqlStore) -> None:
    """An older word that says the same is no fault, and lowers nothing."""
    await records.activate(store)
    for number in (100, 200, 150):
        await store.record_refusal(records.decision(revoked={"a": number}))
    for number, good in ((200, False), (201, True)):
        intent = records.intent(of=records.decision(good={"a": number}))
        with nullcontext() if good else pytest.raises(CollateralOutdated):
            await store.record_intent(intent)


async def test_a_revocation_on_outdated_collateral_is_not_remembered(store: SqlStore) -> None:
    """Nothing of such a decision is."""
    await records.activate(store)
    await store.record_refusal(records.decision(revoked={"a": 100}))
    with pytest.raises(CollateralOutdated):
        await store.record_refusal(records.decision(revoked={"b": 100}, good={"a": 50}))
    await store.record_intent(records.intent(of=records.decision(good={"b": 50})))
