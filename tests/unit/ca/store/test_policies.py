# SPDX-License-Identifier: Apache-2.0
"""The life of policy versions: one active, none lost, every change logged with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from ca.errors import AuthorityError, NotFound, PolicyConflict
from ca.ports import PolicyState
from ca.store import tables
from ca.store.sql import SqlStore
from tests import records

if TYPE_CHECKING:
    from sqlalchemy import Connection

NONE: frozenset[bytes] = frozenset()


async def test_document_comes_back_byte_for_byte(store: SqlStore) -> None:
    policy = records.policy(document=b"\xef\xbb\xbf\x00 not even text \xff\r\n")
    await store.add_policy(policy, records.ACTION)
    assert await store.policy("cvm", 1) == policy
    assert await store.policy("cvm", 2) is None
    assert await store.policies() == (policy,)
    assert await store.policies(active_only=True) == ()
    assert await store.actions(10, None) == (records.ACTION,)


async def test_versions_rise(store: SqlStore) -> None:
    await store.add_policy(records.policy(version=3), records.ACTION)
    for version in (1, 3):
        with pytest.raises(PolicyConflict):
            await store.add_policy(records.policy(version=version), records.ACTION)
    await store.add_policy(records.policy(version=4), records.ACTION)
    await store.add_policy(records.policy("other", version=1), records.ACTION)
    found = await store.policies()
    assert [(p.name, p.version) for p in found] == [("cvm", 3), ("cvm", 4), ("other", 1)]
    assert len(await store.actions(10, None)) == 3


async def test_activation_retires_the_version_before(store: SqlStore) -> None:
    first = await records.activate(store)
    second = await records.activate(store, records.policy(version=2))
    assert await store.policies() == (replace(first, state=PolicyState.RETIRED), second)
    assert await store.policies(active_only=True) == (second,)


async def test_activation_against_other_active_policies_than_expected(store: SqlStore) -> None:
    await records.activate(store)
    await store.add_policy(records.policy("other"), records.ACTION)
    for expected in (NONE, frozenset({records.digest("another")})):
        with pytest.raises(PolicyConflict):
            await store.set_policy_state(
                "other", 1, PolicyState.ACTIVE, records.ACTION, expect_active=expected
            )
    other = await store.policy("other", 1)
    assert other is not None
    assert other.state is PolicyState.DRAFT


@pytest.mark.parametrize(
    ("steps", "fails"),
    [
        ((PolicyState.ACTIVE, PolicyState.RETIRED), False),
        ((PolicyState.RETIRED,), False),
        ((PolicyState.ACTIVE, PolicyState.ACTIVE), True),
        ((PolicyState.RETIRED, PolicyState.ACTIVE), True),
        ((PolicyState.RETIRED, PolicyState.RETIRED), True),
        ((PolicyState.DRAFT,), True),
        ((PolicyState.ACTIVE, PolicyState.DRAFT), True),
    ],
)
async def test_states(store: SqlStore, steps: tuple[PolicyState, ...], fails: bool) -> None:  # noqa: FBT001 - one column of a table
    await store.add_policy(records.policy(), records.ACTION)

    async def step(state: PolicyState) -> None:
        active = frozenset(p.sha256 for p in await store.policies(active_only=True))
        await store.set_policy_state("cvm", 1, state, records.ACTION, expect_active=active)

    for state in steps[:-1]:
        await step(state)
    if fails:
        with pytest.raises(PolicyConflict, match="cannot become"):
            await step(steps[-1])
    else:
        await step(steps[-1])
    made = len(steps) - fails
    assert len(await store.actions(10, None)) == 1 + made


async def test_unknown_policy(store: SqlStore) -> None:
    with pytest.raises(NotFound):
        await store.set_policy_state(
            "cvm", 1, PolicyState.ACTIVE, records.ACTION, expect_active=NONE
        )


async def test_a_second_active_version_is_not_added(store: SqlStore) -> None:
    await records.activate(store)
    with pytest.raises(PolicyConflict):
        await store.add_policy(records.policy(version=2, state=PolicyState.ACTIVE), records.ACTION)


async def test_the_database_itself_holds_one_active_version(store: SqlStore) -> None:
    await records.activate(store)
    await store.add_policy(records.policy(version=2), records.ACTION)

    def cheat(connection: Connection) -> None:
        connection.execute(update(tables.policies).values(state=PolicyState.ACTIVE))

    with pytest.raises(AuthorityError, match=r"IntegrityError|UniqueViolation"):
        await store._database.write(cheat)


async def test_of_two_operators_one_wins(database_url: str) -> None:
    """Two activations that saw the same active policies: they could overlap, so only one goes through."""
    stores = [await SqlStore.open(database_url) for _ in range(2)]
    try:
        for name in ("one", "two"):
            await stores[0].add_policy(records.policy(name), records.ACTION)
        results = await asyncio.gather(
            *(
                store.set_policy_state(
                    name, 1, PolicyState.ACTIVE, records.ACTION, expect_active=NONE
                )
                for store, name in zip(stores, ("one", "two"), strict=True)
            ),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["NoneType", "PolicyConflict"]
        assert len(await stores[0].policies(active_only=True)) == 1
    finally:
        for store in stores:
            await store.close()


# floors


async def test_floors_come_into_force_once_and_are_logged_once(store: SqlStore) -> None:
    first, second = records.digest("first"), records.digest("second")
    later = replace(records.ACTION, target="amd-floors@3")
    assert await store.record_list("amd-floors", 1, first, records.ACTION)
    assert not await store.record_list("amd-floors", 1, first, records.ACTION)
    assert await store.record_list("amd-floors", 3, second, later)
    assert await store.actions(10, None) == (later, records.ACTION)


@pytest.mark.parametrize(("version", "text"), [(2, "second"), (3, "other")])
async def test_floors_never_go_back_nor_change(store: SqlStore, version: int, text: str) -> None:
    await store.record_list("amd-floors", 2, records.digest("second"), records.ACTION)
    await store.record_list("amd-floors", 3, records.digest("third"), records.ACTION)
    with pytest.raises(PolicyConflict, match="version 3"):
        await store.record_list("amd-floors", version, records.digest(text), records.ACTION)
    assert len(await store.actions(10, None)) == 2
    assert not await store.record_list("amd-floors", 3, records.digest("third"), records.ACTION)


async def test_floors_of_replicas_that_start_at_once(store: SqlStore, database_url: str) -> None:
    other = await SqlStore.open(database_url)
    try:
        new = await asyncio.gather(
            *(
                one.record_list("amd-floors", 1, records.digest("first"), records.ACTION)
                for one in (store, other, store, other)
            )
        )
    finally:
        await other.close()
    assert sorted(new) == [False, False, False, True]
    assert len(await store.actions(10, None)) == 1
