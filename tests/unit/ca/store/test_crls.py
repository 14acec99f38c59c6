# SPDX-License-Identifier: Apache-2.0
"""Revoked certificates as a projection of revoked handles, day by day, and the CRLs that are kept of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from attestca_client.protocol import HandleKind, certificate_handle
from ca.issuance.crl import Revoked
from ca.issuance.reasons import RevocationReason
from ca.ports import CrlShard
from tests import records

if TYPE_CHECKING:
    from ca.store.sql import SqlStore

TODAY = records.NOW.date()
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
MIDNIGHT = datetime.combine(TODAY + DAY, datetime.min.time(), UTC)
OTHER = b"another issuer"
BAD, GOOD = records.digest("bad"), records.digest("good")
BOTH = (("measurement", GOOD), ("measurement", BAD))


async def revoke(
    store: SqlStore, handle: bytes, at: datetime = records.NOW, **fields: object
) -> None:
    await store.revoke(records.revocation(handle, revoked_at=at, **fields), records.ACTION)


async def counts(store: SqlStore, issuer: bytes = records.ISSUER, days: int = 9) -> dict[date, int]:
    state = await store.crl_state(issuer, TODAY, TODAY + days * DAY)
    return dict(state.revoked)


async def test_one_handle_revokes_all_that_depend_on_it(store: SqlStore) -> None:
    await records.activate(store)
    for serial in (5, 7):
        await store.record_intent(records.intent(serial=serial, not_after=MIDNIGHT, handles=BOTH))
    await store.record_intent(
        records.intent(serial=6, not_after=MIDNIGHT, handles=(("measurement", GOOD),))
    )
    await store.record_intent(
        records.intent(serial=8, not_after=MIDNIGHT, issuer_key_id=OTHER, handles=BOTH)
    )
    await store.record_intent(records.intent(serial=9, not_after=MIDNIGHT - SECOND, handles=BOTH))
    assert await counts(store) == {}
    assert await store.revoked_on(records.ISSUER, TODAY) == ()

    await revoke(store, BAD, reason=RevocationReason.SUPERSEDED)
    assert await counts(store) == {TODAY: 1, TODAY + DAY: 2}
    assert await counts(store, days=0) == {TODAY: 1}
    assert await counts(store, OTHER) == {TODAY + DAY: 1}
    listed = [Revoked(serial, records.NOW, RevocationReason.SUPERSEDED) for serial in (5, 7, 8, 9)]
    assert await store.revoked_on(records.ISSUER, TODAY) == (listed[3],)
    assert await store.revoked_on(records.ISSUER, TODAY + DAY) == tuple(listed[:2])
    assert await store.revoked_on(OTHER, TODAY + DAY) == (listed[2],)
    assert await store.revoked_on(records.ISSUER, TODAY + 2 * DAY) == ()


async def test_the_first_revocation_counts(store: SqlStore) -> None:
    """By its time and with its reason, and the certificate counts once."""
    await records.activate(store)
    intent = records.intent(not_after=MIDNIGHT)
    await store.record_intent(intent)
    reasons = (RevocationReason.KEY_COMPROMISE, RevocationReason.AA_COMPROMISE)
    for (_kind, handle), minutes, reason in zip(intent.handles, (9, 3), reasons, strict=True):
        at = records.NOW + timedelta(minutes=minutes)
        await revoke(store, handle, at, reason=reason)
    await store.abandon_intents(records.NOW + SECOND, records.NOW + timedelta(minutes=5))
    expected = Revoked(
        intent.serial, records.NOW + timedelta(minutes=3), RevocationReason.AA_COMPROMISE
    )
    assert await store.revoked_on(records.ISSUER, TODAY + DAY) == (expected,)
    assert await counts(store) == {TODAY + DAY: 1}


async def test_of_two_at_the_same_instant_the_one_that_was_first(store: SqlStore) -> None:
    await records.activate(store)
    await store.record_intent(records.intent(serial=5, not_after=MIDNIGHT, handles=BOTH))
    await revoke(store, GOOD, reason=RevocationReason.SUPERSEDED)
    await revoke(store, BAD, reason=RevocationReason.KEY_COMPROMISE)
    (found,) = await store.revoked_on(records.ISSUER, TODAY + DAY)
    assert found.reason is RevocationReason.SUPERSEDED


async def test_by_its_own_handle(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent(not_after=MIDNIGHT)
    await store.record_intent(intent)
    own = certificate_handle(records.ISSUER, intent.serial)
    await revoke(store, own, kind=HandleKind.CERTIFICATE)
    assert [one.serial for one in await store.revoked_on(records.ISSUER, TODAY + DAY)] == [
        intent.serial
    ]
    assert await counts(store) == {TODAY + DAY: 1}


async def test_before_the_first(store: SqlStore) -> None:
    state = await store.crl_state(records.ISSUER, TODAY, TODAY)
    assert (state.number, state.floor, state.this_update) == (0, 0, None)
    assert (state.shards, state.revoked) == ({}, {})
    assert await store.crl(records.ISSUER, TODAY) is None


async def test_lists_come_back_as_they_went_in(store: SqlStore) -> None:
    today = records.crl(1)
    tomorrow = records.crl(2, day=TODAY + DAY, entries=3, der=b"\x00\xff")
    assert await store.publish_crls([today, tomorrow], 0)
    assert await store.crl(records.ISSUER, TODAY) == today
    assert await store.crl(records.ISSUER, TODAY + DAY) == tomorrow
    assert await store.crl(OTHER, TODAY) is None
    state = await store.crl_state(records.ISSUER, TODAY, TODAY + DAY)
    assert (state.number, state.this_update) == (2, records.NOW)
    assert state.shards == {
        TODAY: CrlShard(records.NOW, 0),
        TODAY + DAY: CrlShard(records.NOW, 3),
    }
    assert (await store.crl_state(records.ISSUER, TODAY + DAY, TODAY + DAY)).shards.keys() == {
        TODAY + DAY
    }
    assert (await store.crl_state(OTHER, TODAY, TODAY)).number == 0


async def test_one_list_is_replaced_and_the_others_stay(store: SqlStore) -> None:
    lists = [records.crl(1), records.crl(2, day=TODAY + DAY)]
    assert await store.publish_crls(lists, 0)
    newer = records.crl(3, entries=1, this_update=records.NOW + SECOND)
    assert await store.publish_crls([newer], 2)
    assert await store.crl(records.ISSUER, TODAY) == newer
    assert await store.crl(records.ISSUER, TODAY + DAY) == lists[1]
    assert (await store.crl_state(records.ISSUER, TODAY, TODAY)).number == 3


@pytest.mark.parametrize(("number", "seen"), [(6, 0), (6, 4), (6, 6), (7, 6), (5, 5), (4, 5)])
async def test_only_on_top_of_what_was_seen(store: SqlStore, number: int, seen: int) -> None:
    assert await store.publish_crls([records.crl(5)], 0)
    both = [records.crl(number, der=b"other"), records.crl(9, day=TODAY + DAY)]
    assert not await store.publish_crls(both, seen)
    assert await store.crl(records.ISSUER, TODAY) == records.crl(5)
    assert await store.crl(records.ISSUER, TODAY + DAY) is None


async def test_a_list_that_is_older_by_its_time_replaces_none(store: SqlStore) -> None:
    """Of no day: the latest thisUpdate of an issuer never goes back."""
    assert await store.publish_crls([records.crl(5)], 0)
    for day in (TODAY, TODAY + DAY):
        older = records.crl(6, day=day, this_update=records.NOW - SECOND)
        assert not await store.publish_crls([older], 5)
    assert await store.publish_crls([records.crl(6)], 5)  # of the same instant


async def test_days_that_are_over_are_forgotten_and_numbers_are_not(store: SqlStore) -> None:
    lists = [records.crl(n + 1, day=TODAY + n * DAY) for n in range(3)]
    assert await store.publish_crls(lists, 0)
    assert await store.publish_crls([replace(lists[0], issuer_key_id=OTHER)], 0)
    assert await store.forget_crls(TODAY) == 0
    assert await store.forget_crls(TODAY + DAY) == 2
    assert await store.crl(records.ISSUER, TODAY) is None
    assert await store.crl(records.ISSUER, TODAY + DAY) == lists[1]
    assert (await store.crl_state(OTHER, TODAY, TODAY)).number == 1
