# SPDX-License-Identifier: Apache-2.0
"""There is no fact without its entry in the log, and no entry without its fact: they are one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from attestca_client.protocol import certificate_handle
from ca import audit
from ca.errors import IntentClosed, NonceUsed, PolicyChanged, PolicyConflict
from ca.ports import PolicyState
from ca.record import committed
from tests import log_lab, records

if TYPE_CHECKING:
    from ca.ports import Decision
    from ca.store.sql import SqlStore

LATER = records.NOW + timedelta(minutes=10)


async def told(store: SqlStore) -> list[audit.Entry | audit.Unknown]:
    """Everything that the log says."""
    return await log_lab.entries(store.log, await log_lab.sequence(store.log))


def commitment(decision: Decision) -> bytes:
    assert decision.salt is not None
    return audit.commitment(decision.salt, committed(decision))


async def test_a_certificate(store: SqlStore) -> None:
    policy = await records.activate(store)
    intent = records.intent()
    await store.record_intent(intent)
    assert [audit.kind_of(one) for one in await told(store)] == ["policy"], "an intent is none yet"
    await store.record_certificate(intent.serial, b"der", "ear")
    await store.record_certificate(intent.serial, b"der", "ear")  # an answer that was lost
    _, issuance = await told(store)
    assert issuance == audit.Issuance(
        time=intent.decision.decided_at,
        issuer_key_id=intent.issuer_key_id,
        serial=intent.serial,
        certificate_sha256=sha256(b"der").digest(),
        policy_sha256=policy.sha256,
        commitment=commitment(intent.decision),
    )
    proof = await store.log.proof(intent.serial)
    assert proof is not None
    assert audit.decode(proof.entry) == issuance
    assert await store.log.proof(intent.serial + 1) is None


async def test_a_refusal(store: SqlStore) -> None:
    first = records.decision()
    second = records.decision(policy_name=None, policy_version=None, policy_sha256=None)
    for decision in (first, second):
        await store.record_refusal(decision)
    with pytest.raises(NonceUsed):
        await store.record_refusal(replace(second, result_json="{}"))
    assert await told(store) == [
        audit.Refusal(first.decided_at, first.policy_sha256, commitment(first)),
        audit.Refusal(second.decided_at, None, commitment(second)),
    ]


async def test_an_issuance_that_is_abandoned(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent()
    await store.record_intent(intent)
    await store.abandon_intents(LATER, LATER)
    with pytest.raises(IntentClosed):
        await store.record_certificate(intent.serial, b"der", "ear")
    _, revocation = await told(store)
    assert revocation == audit.Revocation(
        time=LATER,
        number=1,
        handle_kind="certificate",
        handle=certificate_handle(intent.issuer_key_id, intent.serial),
        reason="unspecified",
    )


async def test_a_revocation(store: SqlStore) -> None:
    one, other = (records.revocation(records.digest(name)) for name in ("one", "other"))
    for revocation in (one, one, other):
        await store.revoke(revocation, records.ACTION)
    first, second = await told(store)
    assert first == audit.Revocation(one.revoked_at, 1, one.kind, one.handle, one.reason)
    assert second == audit.Revocation(other.revoked_at, 2, other.kind, other.handle, other.reason)
    assert one.note.encode() not in audit.encode(first)


async def test_policies_that_come_into_force_and_leave_it(store: SqlStore) -> None:
    first, second, third = (records.policy(version=version) for version in (1, 2, 3))
    await records.activate(store, first)
    await records.activate(store, second)
    await store.add_policy(third, records.ACTION)
    active = frozenset({second.sha256})
    retire = (PolicyState.RETIRED, records.ACTION)
    await store.set_policy_state("cvm", 3, *retire, expect_active=active)  # a draft, never in force
    with pytest.raises(PolicyConflict):
        await store.set_policy_state("cvm", 3, *retire, expect_active=active)
    await store.set_policy_state("cvm", 2, *retire, expect_active=active)
    await store.record_list("amd-floors", 7, records.digest("floors"), records.ACTION)
    await store.record_list("amd-floors", 7, records.digest("floors"), records.ACTION)
    changes = [one for one in await told(store) if isinstance(one, audit.PolicyChange)]
    assert [(one.what, one.name, one.version, one.sha256, one.state) for one in changes] == [
        ("policy", "cvm", 1, first.sha256, "active"),
        ("policy", "cvm", 1, first.sha256, "retired"),
        ("policy", "cvm", 2, second.sha256, "active"),
        ("policy", "cvm", 2, second.sha256, "retired"),
        ("list", "amd-floors", 7, records.digest("floors"), "active"),
    ]
    assert {one.time for one in changes} == {records.ACTION.done_at}


async def test_what_is_rolled_back_is_not_told(store: SqlStore) -> None:
    with pytest.raises(PolicyChanged):
        await store.record_intent(records.intent())
    broken = replace(records.decision(), tcb_status="x" * 10, salt=b"short")
    with pytest.raises(ValueError, match="32 random bytes"):
        await store.record_refusal(broken)
    assert await store.nonce_state(broken.nonce) is None
    assert await told(store) == []


async def test_everything_on_record_changes_the_commitment() -> None:
    decision = records.decision()
    changes: dict[str, Any] = {
        "request_sha256": bytes(32),
        "nonce": b"another",
        "profile": "another",
        "spki_der": b"another",
        "tee": "snp",
        "evidence": (("tdx-quote", records.blob("another")),),
        "collateral": (records.blob("another"),),
        "anchors_sha256": bytes(32),
        "policy_sha256": None,
        "tcb_status": "Revoked",
        "result_json": "{}",
        "salt": bytes(32),
    }
    seen = {commitment(decision)}
    seen |= {commitment(replace(decision, **{name: value})) for name, value in changes.items()}
    assert len(seen) == 1 + len(changes)
