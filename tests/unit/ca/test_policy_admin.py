# SPDX-License-Identifier: Apache-2.0
"""Policies as operators change them: what is refused when it is saved, what when it is put into force, and the log."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from ca import policy_admin
from ca.errors import NotFound, PolicyConflict, RequestRefused
from ca.policy_admin import ActivePolicies
from ca.ports import PolicyState
from policies.loader import LoadedPolicy, load_policy
from simulator.tdx_policies import POLICY
from tests.app_lab import IMAGE

if TYPE_CHECKING:
    from ca.store.sql import SqlStore

NOW = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
WHO = "token:0123456789abcdef operator"


def text(name: str = "demo", version: int = 1, profile: str = "default", more: str = "") -> bytes:
    values = dict.fromkeys(IMAGE, "ab" * 48)
    made = POLICY.format(**values).replace("name: demo\n", f"name: {name}\n")
    made = made.replace("version: 1\n", f"version: {version}\n").replace(
        "profile: default", f"profile: {profile}"
    )
    return (made + more).encode()


async def states(store: SqlStore) -> dict[tuple[str, int], PolicyState]:
    return {(one.name, one.version): one.state for one in await store.policies()}


async def actions(store: SqlStore) -> list[tuple[str, str]]:
    return [(done.action, done.target) for done in await store.actions(100, None)]


async def put(store: SqlStore, *policies: bytes, now: datetime = NOW) -> None:
    """Add and activate."""
    for policy in policies:
        record = await policy_admin.add_version(policy, store, WHO, now)
        await policy_admin.activate(record.name, record.version, store, WHO, now)


# adding


async def test_a_version_is_kept_byte_for_byte_and_logged(store: SqlStore) -> None:
    record = await policy_admin.add_version(text(), store, WHO, NOW)
    assert (record.name, record.version, record.state) == ("demo", 1, PolicyState.DRAFT)
    assert (record.document, record.sha256) == (text(), sha256(text()).digest())
    assert (record.added_at, record.added_by) == (NOW, WHO)
    assert await store.policy("demo", 1) == record
    (done,) = await store.actions(10, None)
    assert (done.actor, done.action, done.target, done.done_at) == (
        WHO,
        "policy.add",
        "demo@1",
        NOW,
    )
    assert json.loads(done.detail) == {"sha256": record.sha256.hex()}


@pytest.mark.parametrize("version", [1, 2])
async def test_versions_only_rise(store: SqlStore, version: int) -> None:
    await policy_admin.add_version(text(version=2), store, WHO, NOW)
    with pytest.raises(PolicyConflict):
        await policy_admin.add_version(text(version=version, more="# other\n"), store, WHO, NOW)
    assert await states(store) == {("demo", 2): PolicyState.DRAFT}
    assert len(await actions(store)) == 1


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"", "empty"),
        (b"name: [", "line 1"),
        (text(more="unknown: 1\n"), "unknown"),
        (text(more="name: twice\n"), "duplicate"),
        (text().partition(b"  shared_name: ")[0], "shared_name"),
        (text().replace(b'        rtmr1: "' + b"ab" * 48 + b'"\n', b""), "rtmr1"),
    ],
    ids=["empty", "no YAML", "unknown key", "duplicate key", "lint: fixed name", "lint: unpinned"],
)
async def test_what_cannot_be_a_policy_is_refused_when_it_is_saved(
    store: SqlStore, document: bytes, says: str
) -> None:
    with pytest.raises(RequestRefused) as caught:
        await policy_admin.add_version(document, store, WHO, NOW)
    assert caught.value.code == "policy-invalid"
    assert says in caught.value.detail.lower()
    assert await store.policies() == ()
    assert await actions(store) == []


async def test_every_fault_is_told_at_once(store: SqlStore) -> None:
    broken = text(more="one: 1\ntwo: 2\n")
    with pytest.raises(RequestRefused) as caught:
        await policy_admin.add_version(broken, store, WHO, NOW)
    assert len(caught.value.detail.splitlines()) == 2


# putting into force


async def test_activation_retires_the_version_before(store: SqlStore) -> None:
    await put(store, text(), text(version=2))
    assert await states(store) == {
        ("demo", 1): PolicyState.RETIRED,
        ("demo", 2): PolicyState.ACTIVE,
    }
    assert (await actions(store))[0] == ("policy.activate", "demo@2")


async def test_another_profile_may_stand_beside(store: SqlStore) -> None:
    await put(store, text(), text(name="other", profile="other"))
    assert set((await states(store)).values()) == {PolicyState.ACTIVE}


async def test_overlap_is_refused_and_named(store: SqlStore) -> None:
    await put(store, text())
    await policy_admin.add_version(text(name="rival"), store, WHO, NOW)
    with pytest.raises(PolicyConflict, match=r"demo@1 is active and matches the same machines"):
        await policy_admin.activate("rival", 1, store, WHO, NOW)
    assert (await states(store))["rival", 1] is PolicyState.DRAFT
    await policy_admin.retire("demo", 1, store, WHO, NOW)
    await policy_admin.activate("rival", 1, store, WHO, NOW)
    assert (await states(store))["rival", 1] is PolicyState.ACTIVE


async def test_two_operators_at_once_do_not_make_an_overlap(store: SqlStore) -> None:
    """Each saw no rival when it looked; the transaction that activates sees the other."""
    names = ("one", "two")
    for name in names:
        await policy_admin.add_version(text(name=name), store, WHO, NOW)
    results = await asyncio.gather(
        *(policy_admin.activate(name, 1, store, WHO, NOW) for name in names), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["NoneType", "PolicyConflict"]
    assert list((await states(store)).values()).count(PolicyState.ACTIVE) == 1


async def test_what_was_fine_when_it_was_saved_and_is_not_any_more(store: SqlStore) -> None:
    """Its only reference entry has expired meanwhile."""
    until = NOW + timedelta(days=1)
    entry = f"    - id: demo-image-1\n      expires: {until:%Y-%m-%dT%H:%M:%SZ}\n"
    document = text().replace(b"    - id: demo-image-1\n", entry.encode())
    await policy_admin.add_version(document, store, WHO, NOW)
    with pytest.raises(RequestRefused) as caught:
        await policy_admin.activate("demo", 1, store, WHO, until + timedelta(days=1))
    assert caught.value.code == "policy-invalid"
    assert (await states(store))["demo", 1] is PolicyState.DRAFT


async def test_what_is_not_there(store: SqlStore) -> None:
    for change in (policy_admin.activate, policy_admin.retire):
        with pytest.raises(NotFound, match="no policy demo@1"):
            await change("demo", 1, store, WHO, NOW)


async def test_there_is_no_way_back(store: SqlStore) -> None:
    await put(store, text(), text(version=2))
    with pytest.raises(PolicyConflict):
        await policy_admin.activate("demo", 1, store, WHO, NOW)
    await policy_admin.retire("demo", 2, store, WHO, NOW)
    with pytest.raises(PolicyConflict):
        await policy_admin.retire("demo", 2, store, WHO, NOW)
    assert (await actions(store)).count(("policy.retire", "demo@2")) == 1


# the active ones, for enrollment


async def test_the_active_ones_as_the_database_says_it_now(store: SqlStore) -> None:
    source = ActivePolicies(store)
    assert await source.current() == ()
    await put(store, text())
    (first,) = await source.current()
    assert (first.document.name, first.document.version) == ("demo", 1)
    await put(store, text(version=2))
    assert [one.document.version for one in await source.current()] == [2]
    await policy_admin.retire("demo", 2, store, WHO, NOW)
    assert await source.current() == ()


async def test_each_document_is_parsed_once_while_it_is_active(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []

    def counted(document: bytes) -> LoadedPolicy:
        parsed.append(document)
        return load_policy(document)

    await put(store, text(), text(name="other", profile="other"))
    monkeypatch.setattr("ca.policy_admin.load_policy", counted)
    source = ActivePolicies(store)
    for _ in range(3):
        assert len(await source.current()) == 2
    assert sorted(parsed) == sorted([text(), text(name="other", profile="other")])
    assert len(source._parsed) == 2


async def test_others_go_on_while_a_text_is_read(store: SqlStore) -> None:
    """Nothing is asked of the database for a text that does not load: what waits, waits for the reading."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    with pytest.raises(RequestRefused):
        await policy_admin.add_version(b"a: |\n" + b" x\n" * 100_000, store, WHO, NOW)
    counting.cancel()
    assert turns > 1
