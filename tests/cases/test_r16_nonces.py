# SPDX-License-Identifier: Apache-2.0
"""R-16: an expired, foreign, missing or reused nonce is refused, and the same evidence twice is refused."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ca.issuance import nonce as nonces
from ca.ports import CertificateQuery
from tests.service_lab import NONCE_KEY, open_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.service_lab import Service


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    async with open_service(sqlite_url) as running:
        yield running


async def _expect_refused(service: Service, body: bytes, status: int, code: str) -> None:
    before = len(await service.store.certificates(CertificateQuery()))
    signed = service.signer.asked
    reply = await service.post(body)
    assert (reply.status, reply.code) == (status, code)
    assert len(await service.store.certificates(CertificateQuery())) == before
    assert service.signer.asked == signed


async def test_expired(service: Service) -> None:
    nonce = await service.nonce()
    body = service.request(nonce)
    service.clock.advance(seconds=119)
    other = service.request(await service.nonce())
    service.clock.advance(seconds=1)
    await _expect_refused(service, body, 422, "nonce-expired")
    assert (await service.post(other)).status == 201


async def test_from_the_future(service: Service) -> None:
    made = nonces.make(NONCE_KEY, service.ca_id, service.clock() + timedelta(minutes=1), bytes(24))
    await _expect_refused(service, service.request(made.value), 422, "nonce-expired")


async def test_foreign(service: Service) -> None:
    now = service.clock()
    for key, ca_id in ((bytes(32), service.ca_id), (NONCE_KEY, bytes(32))):
        made = nonces.make(key, ca_id, now, bytes(24))
        await _expect_refused(service, service.request(made.value), 422, "nonce-foreign")


async def test_changed(service: Service) -> None:
    nonce = await service.nonce()
    for position in (0, 7, 8, 31, 32, 63):
        changed = bytearray(nonce)
        changed[position] ^= 1
        await _expect_refused(service, service.request(bytes(changed)), 422, "nonce-foreign")


async def test_missing_or_of_another_length(service: Service) -> None:
    body = json.loads(service.request(await service.nonce()))
    del body["nonce"]
    await _expect_refused(service, json.dumps(body).encode(), 400, "malformed")
    await _expect_refused(service, service.request(bytes(63)), 400, "nonce-malformed")
    await _expect_refused(service, service.request(b""), 400, "malformed")


async def test_reused_for_another_key(service: Service) -> None:
    nonce = await service.nonce()
    assert (await service.post(service.request(nonce))).status == 201
    await _expect_refused(service, service.request(nonce), 409, "nonce-used")


async def test_reused_after_a_denial(service: Service) -> None:
    nonce = await service.nonce()
    assert (await service.post(service.request(nonce, rtmr0=bytes(48)))).code == "denied"
    await _expect_refused(service, service.request(nonce), 409, "nonce-used")


async def test_a_denied_request_repeated_is_not_answered_again(service: Service) -> None:
    body = service.request(await service.nonce(), rtmr0=bytes(48))
    assert (await service.post(body)).code == "denied"
    await _expect_refused(service, body, 409, "nonce-used")
    assert len(await service.store.refusals(10, None)) == 1


async def test_the_same_evidence_with_another_nonce(service: Service) -> None:
    first = json.loads(service.request(await service.nonce()))
    second = json.loads(service.request(await service.nonce()))
    assert (await service.post(json.dumps(first).encode())).status == 201
    replayed = json.dumps(second | {"evidence": first["evidence"]}).encode()
    await _expect_refused(service, replayed, 422, "binding-mismatch")


async def test_the_same_evidence_in_other_bytes(service: Service) -> None:
    body = service.request(await service.nonce())
    assert (await service.post(body)).status == 201
    spaced = json.dumps(json.loads(body), indent=1).encode()
    await _expect_refused(service, spaced, 409, "nonce-used")


async def test_an_answered_request_after_the_nonces_time(service: Service) -> None:
    """The same request gets the same answer, however late; another request with that nonce is refused as ever."""
    nonce = await service.nonce()
    body = service.request(nonce)
    first = await service.post(body)
    assert first.status == 201
    service.clock.advance(seconds=120)
    again = await service.post(body)
    assert (again.status, again.body) == (200, first.body)
    await _expect_refused(service, service.request(nonce), 409, "nonce-used")
