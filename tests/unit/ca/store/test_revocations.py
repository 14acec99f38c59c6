# SPDX-License-Identifier: Apache-2.0
"""Revoked serial numbers as a projection of revoked handles, and the newest CRL of each issuer."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests import records

if TYPE_CHECKING:
    from datetime import datetime

    from ca.store.sql import SqlStore


async def revoke(store: SqlStore, handle: bytes, at: datetime) -> None:
    await store.revoke(records.revocation(handle, revoked_at=at), records.ACTION)


async def test_one_handle_revokes_all_that_depend_on_it(store: SqlStore) -> None:
    await records.activate(store)
    bad, good = records.digest("bad"), records.digest("good")
    both = (("measurement", good), ("measurement", bad))
    for serial in (5, 7):
        await store.record_intent(records.intent(serial=serial, handles=both))
    await store.record_intent(records.intent(serial=6, handles=(("measurement", good),)))
    await store.record_intent(
        records.intent(serial=8, issuer_key_id=b"another issuer", handles=both)
    )
    await store.record_intent(records.intent(serial=9, not_after=records.NOW, handles=both))
    assert await store.revoked_serials(records.ISSUER, records.NOW) == ()

    await revoke(store, bad, records.NOW)
    assert await store.revoked_serials(records.ISSUER, records.NOW) == (
        (5, records.NOW),
        (7, records.NOW),
    )


async def test_the_first_revocation_counts(store: SqlStore) -> None:
    await records.activate(store)
    intent = records.intent()
    await store.record_intent(intent)
    for (_kind, handle), minutes in zip(intent.handles, (9, 3), strict=True):
        await revoke(store, handle, records.NOW + timedelta(minutes=minutes))
    await store.abandon_intents(
        records.NOW + timedelta(seconds=1), records.NOW + timedelta(minutes=5)
    )
    assert await store.revoked_serials(records.ISSUER, records.NOW) == (
        (intent.serial, records.NOW + timedelta(minutes=3)),
    )


async def test_crl_comes_back_as_it_went_in(store: SqlStore) -> None:
    assert await store.latest_crl(records.ISSUER) is None
    assert await store.next_crl_number(records.ISSUER) == 1
    crl = records.crl(1)
    assert await store.add_crl(crl)
    assert await store.latest_crl(records.ISSUER) == crl
    assert await store.next_crl_number(records.ISSUER) == 2
    assert await store.latest_crl(b"another issuer") is None
    assert await store.next_crl_number(b"another issuer") == 1


@pytest.mark.parametrize("number", [1, 4, 5])
async def test_a_number_must_rise(store: SqlStore, number: int) -> None:
    assert await store.add_crl(records.crl(5))
    assert not await store.add_crl(records.crl(number, der=b"other"))
    assert await store.latest_crl(records.ISSUER) == records.crl(5)


async def test_a_crl_that_is_older_by_its_time_replaces_none(store: SqlStore) -> None:
    assert await store.add_crl(records.crl(5))
    older = records.crl(6, this_update=records.NOW - timedelta(seconds=1))
    assert not await store.add_crl(older)
    assert await store.add_crl(records.crl(6))  # of the same instant
