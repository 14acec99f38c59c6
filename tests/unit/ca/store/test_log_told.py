# SPDX-License-Identifier: Apache-2.0
"""What the log is told by each write of the store: once, by the transaction that does it, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from attestca_client.protocol import HandleKind, certificate_handle
from ca import audit
from ca.errors import HandleRevoked, PolicyConflict
from ca.issuance.reasons import RevocationReason
from ca.ports import PolicyRecord, PolicyState
from tests import log_lab, records

if TYPE_CHECKING:
    from ca.store.sql import SqlStore

LATER: Final = records.NOW + timedelta(hours=1)
THEN: Final = replace(records.ACTION, done_at=LATER)


async def told(store: SqlStore, kind: str) -> list[audit.Entry | audit.Unknown]:
    """All that the log says of that kind by now."""
    size = await log_lab.sequence(store.log)
    return [one for one in await log_lab.entries(store.log, size) if audit.kind_of(one) == kind]


# revocations


async def test_a_revocation(store: SqlStore) -> None:
    handles = [records.digest(name) for name in "ab"]
    for handle, reason in zip(handles, list(RevocationReason)[:2], strict=True):
        revocation = records.revocation(
            handle, kind=HandleKind.CHIP, reason=reason, revoked_at=LATER
        )
        await store.revoke(revocation, records.ACTION)
    await store.revoke(records.revocation(handles[0]), THEN)
    first, second = list(RevocationReason)[:2]
    assert await told(store, "revocation") == [
        audit.Revocation(LATER, 1, "chip", handles[0], first),
        audit.Revocation(LATER, 2, "chip", handles[1], second),
    ], "again is not told again"


async def test_abandoned_intents(store: SqlStore) -> None:
    await records.activate(store)
    intents = [records.intent() for _ in range(2)]
    for intent in intents:
        await store.record_intent(intent)
    await store.abandon_intents(LATER, LATER)
    found = await told(store, "revocation")
    own = {certificate_handle(one.issuer_key_id, one.serial) for one in intents}
    assert {one.handle for one in found if isinstance(one, audit.Revocation)} == own
    assert found == [
        audit.Revocation(
            LATER, one.id, "certificate", one.revocation.handle, RevocationReason.UNSPECIFIED
        )
        for one in await store.revocations_after(0, 10)
    ]


# policies and lists


def change(policy: PolicyRecord, state: PolicyState) -> audit.PolicyChange:
    return audit.PolicyChange(
        records.NOW, "policy", policy.name, policy.version, policy.sha256, state
    )


async def test_versions_come_into_force_and_leave_it(store: SqlStore) -> None:
    first, second = records.policy(), records.policy(version=2)
    await store.add_policy(first, records.ACTION)
    assert await told(store, "policy") == [], "a draft is nobody's business"
    await records.activate(store, second)
    third = await records.activate(store, records.policy(version=3))
    retire = replace(records.ACTION, done_at=LATER)
    active = frozenset({third.sha256})
    await store.set_policy_state("cvm", 3, PolicyState.RETIRED, retire, expect_active=active)
    assert await told(store, "policy") == [
        change(second, PolicyState.ACTIVE),
        change(second, PolicyState.RETIRED),
        change(third, PolicyState.ACTIVE),
        replace(change(third, PolicyState.RETIRED), time=LATER),
    ]


async def test_a_draft_that_is_given_up(store: SqlStore) -> None:
    await store.add_policy(records.policy(), records.ACTION)
    nothing: frozenset[bytes] = frozenset()
    await store.set_policy_state(
        "cvm", 1, PolicyState.RETIRED, records.ACTION, expect_active=nothing
    )
    assert await told(store, "policy") == []


async def test_a_version_that_is_added_as_active(store: SqlStore) -> None:
    policy = records.policy(state=PolicyState.ACTIVE)
    await store.add_policy(policy, records.ACTION)
    assert await told(store, "policy") == [change(policy, PolicyState.ACTIVE)]


async def test_a_version_of_a_list(store: SqlStore) -> None:
    digests = [records.digest(name) for name in "ab"]
    await store.record_list("amd-floors", 7, digests[0], records.ACTION)
    await store.record_list("amd-floors", 7, digests[0], THEN)
    await store.record_list("amd-floors", 8, digests[1], THEN)
    assert await told(store, "policy") == [
        audit.PolicyChange(records.NOW, "list", "amd-floors", 7, digests[0], "active"),
        audit.PolicyChange(LATER, "list", "amd-floors", 8, digests[1], "active"),
    ]


# what does not happen


async def test_what_is_rolled_back_is_not_told(store: SqlStore) -> None:
    active = await records.activate(store)
    before = await told(store, "policy")
    with pytest.raises(PolicyConflict):
        await store.add_policy(records.policy(version=2, state=PolicyState.ACTIVE), records.ACTION)
    with pytest.raises(PolicyConflict):
        await store.set_policy_state(
            "cvm", 1, PolicyState.ACTIVE, records.ACTION, expect_active=frozenset({active.sha256})
        )
    intent = records.intent()
    await store.revoke(records.revocation(dict(intent.handles)["key"]), records.ACTION)
    with pytest.raises(HandleRevoked):
        await store.record_intent(intent)
    assert await told(store, "policy") == before
    assert await told(store, "issuance") == []
