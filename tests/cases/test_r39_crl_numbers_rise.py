# SPDX-License-Identifier: Apache-2.0
"""R-39: CRL numbers rise strictly across replicas, and an older CRL never replaces a newer one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from ca.jobs import publish_crls
from ca.signers.file import FileSigner
from ca.store.backup import backup, restore
from ca.store.sql import SqlStore
from tests import authority_lab, records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import date
    from pathlib import Path

DAYS = tuple(records.NOW.date() + timedelta(days=n) for n in range(4))


@pytest.fixture
async def replicas(database_url: str) -> AsyncIterator[list[SqlStore]]:
    stores = [await SqlStore.open(database_url) for _ in range(3)]
    yield stores
    for store in stores:
        await store.close()


async def test_three_replicas_publish_at_the_same_time(replicas: list[SqlStore]) -> None:
    """Each lists of days of its own and some that others publish as well: one sequence of numbers over all of them."""
    published: list[int] = []
    seen: dict[date, list[int]] = {day: [] for day in DAYS}
    done = asyncio.Event()

    async def publish(store: SqlStore, days: Sequence[date]) -> None:
        for _ in range(10):
            state = await store.crl_state(records.ISSUER, DAYS[0], DAYS[-1])
            lists = [
                records.crl(number, day=day) for number, day in enumerate(days, state.number + 1)
            ]
            if await store.publish_crls(lists, state.number):
                published.extend(one.number for one in lists)

    async def watch(store: SqlStore) -> None:
        while not done.is_set():
            for day in DAYS:
                latest = await store.crl(records.ISSUER, day)
                seen[day].append(latest.number if latest else 0)

    watcher = asyncio.create_task(watch(replicas[0]))
    await asyncio.gather(
        *(publish(store, DAYS[n : n + 2]) for n, store in enumerate(replicas)),
    )
    done.set()
    await watcher

    assert sorted(published) == list(range(1, len(published) + 1))
    assert all(numbers == sorted(numbers) for numbers in seen.values())
    state = await replicas[1].crl_state(records.ISSUER, DAYS[0], DAYS[-1])
    assert state.number == max(published)


async def test_of_one_number_signed_twice_one_is_kept(replicas: list[SqlStore]) -> None:
    """Even where the two are of different days."""
    lists = [records.crl(7, day=day) for day in DAYS[:3]]
    kept = await asyncio.gather(
        *(store.publish_crls([one], 0) for store, one in zip(replicas, lists, strict=True))
    )
    assert sorted(kept) == [False, False, True]
    found = [await replicas[0].crl(records.ISSUER, day) for day in DAYS[:3]]
    assert found == [one if done else None for one, done in zip(lists, kept, strict=True)]


async def test_a_late_replica_replaces_nothing(replicas: list[SqlStore]) -> None:
    fast, slow, _ = replicas
    before = await slow.crl_state(records.ISSUER, DAYS[0], DAYS[-1])
    newer = records.crl(2, day=DAYS[0])
    assert await fast.publish_crls([records.crl(1, day=DAYS[1]), newer], before.number)
    # Neither with a number that was free when it looked, nor with a higher one, nor of a day that the other left out.
    for number, day in ((1, DAYS[0]), (3, DAYS[0]), (3, DAYS[2])):
        assert not await slow.publish_crls([records.crl(number, day=day)], before.number)
    # … and neither does one that knows the number but is older by its clock.
    stale = records.crl(3, this_update=newer.this_update - timedelta(minutes=1))
    assert not await slow.publish_crls([stale], 2)
    assert await slow.crl(records.ISSUER, DAYS[0]) == newer
    assert await slow.crl(records.ISSUER, DAYS[2]) is None


async def test_two_replicas_run_the_job_while_certificates_are_revoked(
    replicas: list[SqlStore],
) -> None:
    """What one of them was told is on the list when its turn ends, whatever the other published meanwhile."""
    await records.activate(replicas[0])
    lab = authority_lab.make_lab()
    signer = FileSigner(lab.issuer_key, lab.issuer.certificate, lab.root)
    now, ends = authority_lab.NOW, authority_lab.NOW + timedelta(days=1)
    listed: dict[int, set[int]] = {}

    async def revoke_and_publish(store: SqlStore, handles: list[bytes]) -> None:
        for handle in handles:
            intent = records.intent(
                issuer_key_id=lab.issuer.key_id, not_after=ends, handles=(("key", handle),)
            )
            await store.record_intent(intent)
            await store.revoke(records.revocation(handle), records.ACTION)
            await publish_crls(store, lab.issuer, signer, now)
            record = await store.crl(lab.issuer.key_id, ends.date())
            assert record is not None
            serials = {entry.serial_number for entry in x509.load_der_x509_crl(record.der)}
            assert intent.serial in serials
            assert listed.setdefault(record.number, serials) == serials

    names = [[records.digest(f"{store} {n}") for n in range(6)] for store in range(len(replicas))]
    await asyncio.gather(*map(revoke_and_publish, replicas, names))
    in_order = [listed[number] for number in sorted(listed)]
    assert all(earlier < later for earlier, later in pairwise(in_order)), "an entry went away"
    assert len(in_order[-1]) == 6 * len(replicas)


async def test_the_job_goes_on_above_what_a_restore_forgot(
    store: SqlStore, database_url: str, tmp_path: Path
) -> None:
    """The second lists are out in the world, but not in the backup: the next ones must not have their numbers."""
    lab = authority_lab.make_lab()
    signer = FileSigner(lab.issuer_key, lab.issuer.certificate, lab.root)
    now, day = authority_lab.NOW, (authority_lab.NOW + timedelta(days=5)).date()
    assert await publish_crls(store, lab.issuer, signer, now)
    await backup(database_url, tmp_path / "backup.zip", now)
    assert await publish_crls(store, lab.issuer, signer, now + timedelta(days=2))
    lost = await store.crl(lab.issuer.key_id, day)

    url = f"sqlite:///{tmp_path}/restored.db"
    after = now + timedelta(days=3)
    await restore(tmp_path / "backup.zip", url, after)
    restored = await SqlStore.open(url)
    try:
        assert await publish_crls(restored, lab.issuer, signer, after)
        newest = await restored.crl(lab.issuer.key_id, day)
    finally:
        await restored.close()
    assert lost is not None
    assert newest is not None
    assert crl_number(newest.der) > crl_number(lost.der) > 1


def crl_number(der: bytes) -> int:
    crl = x509.load_der_x509_crl(der)
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
