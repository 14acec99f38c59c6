# SPDX-License-Identifier: Apache-2.0
"""R-15 over HTTP: one nonce, 100 concurrent posts, two instances on one database, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from ca.ports import CertificateQuery, Outcome
from tests.service_lab import GENEROUS, open_service

if TYPE_CHECKING:
    from tests.service_lab import Reply, Service

POSTS = 100
ROOMY = replace(GENEROUS, workers=POSTS, verification_queue=POSTS)


async def _post_all(service: Service, bodies: list[bytes]) -> list[Reply]:
    """At once, in turn to the one and the other instance."""
    addresses = [replica.public for replica in service.replicas]
    return await asyncio.gather(
        *(service.post(body, to=addresses[i % 2]) for i, body in enumerate(bodies))
    )


async def _expect_one_certificate(service: Service) -> str:
    (record,) = await service.store.certificates(CertificateQuery())
    assert record.outcome is Outcome.ISSUED
    assert service.signer.asked == 1
    return f"{record.serial:x}"


async def test_a_hundred_keys_with_one_nonce(database_url: str) -> None:
    async with open_service(database_url, replicas=2, limits=ROOMY) as service:
        nonce = await service.nonce()
        replies = await _post_all(service, [service.request(nonce) for _ in range(POSTS)])
        statuses = Counter(reply.status for reply in replies)
        assert statuses == {201: 1, 409: POSTS - 1}
        assert {reply.code for reply in replies if reply.status == 409} == {"nonce-used"}
        await _expect_one_certificate(service)


async def test_one_request_a_hundred_times(database_url: str) -> None:
    async with open_service(database_url, replicas=2, limits=ROOMY) as service:
        body = service.request(await service.nonce())
        replies = await _post_all(service, [body] * POSTS)
        good = [reply for reply in replies if reply.status in {200, 201}]
        assert Counter(reply.status for reply in good)[201] == 1
        assert {reply.code for reply in replies if reply not in good} <= {"in-progress"}
        serial = await _expect_one_certificate(service)
        assert {reply.json()["serial"] for reply in good} == {serial}
        again = [await service.post(body, to=replica.public) for replica in service.replicas]
        assert [reply.status for reply in again] == [200, 200]
        assert len({reply.body for reply in (*good, *again)}) == 1


async def test_a_full_queue_changes_nothing(database_url: str) -> None:
    narrow = replace(GENEROUS, workers=1, verification_queue=5)
    async with open_service(database_url, replicas=2, limits=narrow) as service:
        nonce = await service.nonce()
        replies = await _post_all(service, [service.request(nonce) for _ in range(POSTS)])
        codes = Counter("" if reply.status == 201 else reply.code for reply in replies)
        assert codes[""] == 1
        assert codes["busy"] > 0
        assert set(codes) <= {"", "busy", "nonce-used"}
        await _expect_one_certificate(service)
