# SPDX-License-Identifier: Apache-2.0
"""R-39: CRL numbers rise strictly across replicas, and an older CRL never replaces a newer one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from ca.jobs import publish_crl
from ca.signers.file import FileSigner
from ca.store.backup import backup, restore
from ca.store.sql import SqlStore
from tests import authority_lab, records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def replicas(database_url: str) -> AsyncIterator[list[SqlStore]]:
    stores = [await SqlStore.open(database_url) for _ in range(3)]
    yield stores
    for store in stores:
        await store.close()


async def test_three_replicas_publish_at_the_same_time(replicas: list[SqlStore]) -> None:
    published: list[
        int
    ] = []  # in the order in which the database took them, as far as a caller can see
    seen: list[int] = []
    done = asyncio.Event()

    async def publish(store: SqlStore) -> None:
        for _ in range(15):
            number = await store.next_crl_number(records.ISSUER)
            if await store.add_crl(records.crl(number)):
                published.append(number)

    async def watch(store: SqlStore) -> None:
        while not done.is_set():
            latest = await store.latest_crl(records.ISSUER)
            seen.append(latest.number if latest else 0)

    watcher = asyncio.create_task(watch(replicas[0]))
    await asyncio.gather(*(publish(store) for store in replicas))
    done.set()
    await watcher

    assert len(set(published)) == len(published)
    assert sorted(published) == list(range(1, len(published) + 1))
    assert seen == sorted(seen)
    latest = await replicas[1].latest_crl(records.ISSUER)
    assert latest == records.crl(max(published))


async def test_of_one_number_signed_twice_one_is_kept(replicas: list[SqlStore]) -> None:
    crls = [records.crl(7, der=f"of replica {i}".encode()) for i in range(3)]
    kept = await asyncio.gather(
        *(store.add_crl(crl) for store, crl in zip(replicas, crls, strict=True))
    )
    assert sorted(kept) == [False, False, True]
    assert await replicas[0].latest_crl(records.ISSUER) == crls[kept.index(True)]


async def test_a_late_replica_replaces_nothing(replicas: list[SqlStore]) -> None:
    fast, slow, _ = replicas
    late = records.crl(await slow.next_crl_number(records.ISSUER))
    newer = records.crl(await fast.next_crl_number(records.ISSUER) + 1)
    assert await fast.add_crl(newer)
    assert not await slow.add_crl(late)
    # … and neither does one that took a higher number for older content.
    stale = records.crl(newer.number + 1, this_update=newer.this_update - timedelta(minutes=1))
    assert not await slow.add_crl(stale)
    assert await slow.latest_crl(records.ISSUER) == newer


async def test_the_job_goes_on_above_what_a_restore_forgot(
    store: SqlStore, database_url: str, tmp_path: Path
) -> None:
    """The second CRL is out in the world, but not in the backup: the next one must not have its number."""
    lab = authority_lab.make_lab()
    signer = FileSigner(lab.issuer_key, lab.issuer.certificate, lab.root)
    now = authority_lab.NOW
    assert await publish_crl(store, signer, now)
    await backup(database_url, tmp_path / "backup.zip", now)
    assert await publish_crl(store, signer, now + timedelta(days=2))
    lost = await store.latest_crl(key_id(lab.issuer.certificate))

    url = f"sqlite:///{tmp_path}/restored.db"
    after = now + timedelta(days=3)
    await restore(tmp_path / "backup.zip", url, after)
    restored = await SqlStore.open(url)
    try:
        assert await publish_crl(restored, signer, after)
        newest = await restored.latest_crl(key_id(lab.issuer.certificate))
    finally:
        await restored.close()
    assert lost is not None
    assert newest is not None
    assert crl_number(newest.der) > crl_number(lost.der) > 1


def key_id(certificate: x509.Certificate) -> bytes:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def crl_number(der: bytes) -> int:
    crl = x509.load_der_x509_crl(der)
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
