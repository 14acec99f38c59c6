# SPDX-License-Identifier: Apache-2.0
"""What a dry run reads: live certificates, how much there is, and what the log tells of refusals that are gone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from attestca_client.protocol import HandleKind
from ca.ports import Extent
from ca.store import log
from tests import records

if TYPE_CHECKING:
    from ca.store.sql import SqlStore

DAY = timedelta(days=1)


@pytest.fixture
async def three(store: SqlStore) -> SqlStore:
    """Certificates 1, 2 and 3, each of its own name and handle, and an intent 4."""
    await records.activate(store)
    for serial in (1, 2, 3, 4):
        handle = records.digest(f"chip {serial}")
        intent = records.intent(
            serial=serial,
            subject_alt_names=(f"dns:{serial}.example",),
            handles=((HandleKind.CHIP.value, handle),),
        )
        await store.record_intent(intent)
        if serial != 4:
            await store.record_certificate(serial, b"der", "ear")
    return store


async def live(store: SqlStore, at: datetime = records.NOW, after: int | None = None) -> list[int]:
    return [one.serial for one in await store.live(at, 10, after)]


async def test_live_certificates(three: SqlStore) -> None:
    assert await live(three) == [1, 2, 3]
    assert await live(three, after=1) == [2, 3]
    assert [one.serial for one in await three.live(records.NOW, 2, None)] == [1, 2]
    (first, *_) = await three.live(records.NOW, 1, None)
    whole = await three.certificate(1)
    assert whole is not None
    assert (first.subject_alt_names, first.decision) == (("dns:1.example",), whole.decision)
    assert await live(three, records.NOW + 400 * DAY) == []
    assert await live(three, records.NOW - 400 * DAY) == []


async def test_what_is_revoked_is_not_live(three: SqlStore) -> None:
    """By its own handle, and by one that it depends on."""
    for serial, handle in ((1, records.digest("chip 1")), (2, await own_handle(three, 2))):
        await three.revoke(records.revocation(handle=handle), records.ACTION)
        assert serial not in await live(three)
    assert await live(three) == [3]
    assert (await three.extent(records.NOW, records.NOW)).certificates == 1


async def own_handle(store: SqlStore, serial: int) -> bytes:
    from attestca_client.protocol import certificate_handle  # noqa: PLC0415

    record = await store.certificate(serial)
    assert record is not None
    return certificate_handle(record.issuer_key_id, serial)


async def test_refusals_that_are_gone_are_counted(
    three: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the log's entries wait for their place or have it, and however many are read together."""
    monkeypatch.setattr(log, "_STRETCH", 2)
    for age in (5, 4, 3, 2, 1):
        await three.record_refusal(records.decision(decided_at=records.NOW - age * DAY))
    since = records.NOW - timedelta(days=4, hours=1)
    for sequenced in (0, 4, 100):
        await three.log.sequence(sequenced)
        assert await three.extent(records.NOW, since) == Extent(3, 4, 0)
    assert await three.expire_refusals(records.NOW - timedelta(days=2, hours=1)) == 3
    assert await three.extent(records.NOW, since) == Extent(3, 2, 2)
    assert await three.extent(records.NOW, records.NOW) == Extent(3, 0, 0)
    assert await three.extent(records.NOW, records.NOW - 400 * DAY) == Extent(3, 2, 3)
