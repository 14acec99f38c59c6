# SPDX-License-Identifier: Apache-2.0
"""Handles that certificates withhold: whoever revokes one revokes the certificates, and nothing tells it before."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from attestca_client.protocol import HandleKind, certificate_handle
from ca import audit
from ca.ports import Outcome
from tests import log_lab, records

if TYPE_CHECKING:
    from ca.ports import Intent, RevocationRecord
    from ca.store.sql import SqlStore

CHIP, OTHER = records.digest("a chip"), records.digest("another chip")
DAY = timedelta(days=1)


async def intended(store: SqlStore, *chips: bytes, days: int = 1) -> Intent:
    intent = records.intent(withheld=chips, not_after=records.NOW + days * DAY)
    await store.record_intent(intent)
    return intent


async def issued(store: SqlStore, *chips: bytes, days: int = 1) -> Intent:
    intent = await intended(store, *chips, days=days)
    await store.record_certificate(intent.serial, b"der", "ear", intent.withheld)
    return intent


async def revoke(store: SqlStore, handle: bytes, days: float = 0) -> tuple[RevocationRecord, bool]:
    when = records.NOW + days * DAY
    wanted = records.revocation(handle, kind=HandleKind.CHIP, revoked_at=when)
    return await store.revoke(wanted, records.ACTION)


def own(intent: Intent) -> bytes:
    return certificate_handle(intent.issuer_key_id, intent.serial)


async def test_each_certificate_is_revoked_with_the_chip(store: SqlStore) -> None:
    await records.activate(store)
    of_chip = [
        await issued(store, CHIP),
        await issued(store, OTHER, CHIP),
        await intended(store, CHIP),
    ]
    others = [await issued(store, OTHER), await issued(store)]
    record, new = await revoke(store, CHIP)
    assert (record.id, record.revocation.kind, new) == (1, "chip", True)
    rows = await store.revocations_after(0, 100)
    assert [row.id for row in rows] == [1, 2, 3, 4]
    assert {row.revocation.handle for row in rows[1:]} == {own(one) for one in of_chip}
    for row in rows[1:]:
        assert row.revocation.kind is HandleKind.CERTIFICATE
        assert (row.revocation.reason, row.revocation.actor) == (
            record.revocation.reason,
            record.revocation.actor,
        )
    serials = [one.serial for one in (*of_chip[:2], *others)]
    statuses = await store.statuses(records.ISSUER, serials)
    assert [serial for serial in serials if statuses[serial] is not None] == serials[:2]
    size = await log_lab.sequence(store.log)
    told = await log_lab.entries(store.log, size)
    handles = [one.handle for one in told if isinstance(one, audit.Revocation)]
    assert set(handles) == {CHIP, *(own(one) for one in of_chip)}


async def test_again_changes_nothing(store: SqlStore) -> None:
    await records.activate(store)
    await issued(store, CHIP)
    await revoke(store, CHIP)
    before = await store.revocations_after(0, 100)
    record, new = await revoke(store, CHIP)
    assert (record, new) == (before[0], False)
    assert await store.revocations_after(0, 100) == before


async def test_what_has_ended_is_left_alone(store: SqlStore) -> None:
    await records.activate(store)
    over, live = await issued(store, CHIP, days=1), await issued(store, CHIP, days=3)
    await revoke(store, CHIP, days=2)
    rows = await store.revocations_after(0, 100)
    assert [row.revocation.handle for row in rows] == [CHIP, own(live)]
    assert await store.revocations_of(over.serial) == ()


async def test_a_preview_counts_them(store: SqlStore) -> None:
    await records.activate(store)
    first, last = await issued(store, CHIP), await intended(store, CHIP, days=5)
    await issued(store, OTHER)
    found = await store.dependents(CHIP, records.NOW, 20)
    assert (found.kind, found.count) == (HandleKind.CHIP, 2)
    assert [(one.serial, one.outcome) for one in found.first] == [
        (last.serial, Outcome.INTENT),
        (first.serial, Outcome.ISSUED),
    ]
    assert await store.kind_of(CHIP) is HandleKind.CHIP
    assert await store.kind_of(records.digest("nobody's")) is None


async def test_nothing_on_record_shows_them(store: SqlStore) -> None:
    await records.activate(store)
    intent = await issued(store, CHIP)
    record = await store.certificate(intent.serial)
    assert record is not None
    assert record.handles == intent.handles
    assert CHIP not in {one for _, one in record.handles}


async def test_they_go_when_their_certificates_end(store: SqlStore) -> None:
    await records.activate(store)
    await issued(store, CHIP, OTHER, days=1)
    await issued(store, CHIP, days=3)
    assert await store.forget_withheld(records.NOW) == 0
    assert await store.forget_withheld(records.NOW + 2 * DAY) == 2
    assert (await store.dependents(CHIP, records.NOW, 20)).count == 1
    assert (await store.dependents(OTHER, records.NOW, 20)).count == 0
