# SPDX-License-Identifier: Apache-2.0
"""R-35: the rate limiter's state is bounded and full means deny; no metric label is chosen by a client."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING

from ca.http import DoorLimits
from ca.tokens import Scope
from tests.service_lab import GENEROUS, body_of, open_service

if TYPE_CHECKING:
    from tests.service_lab import Reply, Service

LOOPBACK = (ip_network("127.0.0.0/8"),)  # a proxy of ours, so that tests can be any client


async def _as(service: Service, address: str, path: str = "/v1/ca/chain") -> Reply:
    return await service.get(path, headers={"X-Forwarded-For": address})


async def test_many_addresses_fill_the_table_and_no_more(sqlite_url: str) -> None:
    limits = DoorLimits(requests_per_minute=1, burst=2, tracked_addresses=10)
    async with open_service(
        sqlite_url, limits=limits, accepting=False, trusted_proxies=LOOPBACK
    ) as service:
        limiter = service.doors.state.public_limiter
        for number in range(10):
            assert (await _as(service, f"198.51.100.{number}")).status == 200
        for number in range(10, 60):
            reply = await _as(service, f"198.51.100.{number}")
            assert (reply.status, reply.code) == (429, "rate-limited")
            assert int(reply.headers["Retry-After"]) > 0
        assert len(limiter) == 10
        assert (await _as(service, "198.51.100.3")).status == 200, "who is in the table is served"


async def test_one_address_gets_its_burst(sqlite_url: str) -> None:
    limits = DoorLimits(requests_per_minute=1, burst=5)
    async with open_service(sqlite_url, limits=limits, accepting=False) as service:
        statuses = [(await service.get("/v1/nonce")).status for _ in range(8)]
        assert statuses == [200] * 5 + [429] * 3
        # nothing escapes the bucket by its path, method or claimed address
        for path in ("/v1/ca/chain", "/nothing", "/v1/certificates/1", "/v1/ocsp/MAA="):
            assert (await service.get(path)).status == 429
        assert (await _as(service, "198.51.100.9")).status == 429, "no proxy of ours"
        assert (await service.post(b"{}")).status == 429
        # what a supervisor asks for is not the clients' to use up
        for path in ("/healthz", "/readyz"):
            assert (await service.get(path)).status == 200
        assert (await service.get("/metrics")).status == 429, "its text takes a while to make"
        assert (await service.send("GET", service.admin + "/metrics")).status == 200


async def test_a_flood_of_the_public_does_not_lock_operators_out(sqlite_url: str) -> None:
    limits = DoorLimits(requests_per_minute=1, burst=2, tracked_addresses=1)
    async with open_service(sqlite_url, limits=limits, accepting=False) as service:
        token = await service.token(Scope.AUDIT_READ)
        for _ in range(5):
            await service.get("/v1/nonce")
        assert (await service.operate(token, "/v1/admin/whoami")).status == 200


async def test_guessing_tokens_is_limited(sqlite_url: str) -> None:
    limits = DoorLimits(requests_per_minute=1, burst=3)
    async with open_service(sqlite_url, limits=limits, accepting=False) as service:
        guesses = [
            (await service.operate("attestca_" + letter * 43, "/v1/admin/whoami")).status
            for letter in "ABCDEF"
        ]
        assert guesses == [401] * 3 + [429] * 3


async def test_ipv6_counts_by_network(sqlite_url: str) -> None:
    limits = DoorLimits(requests_per_minute=1, burst=3)
    async with open_service(
        sqlite_url, limits=limits, accepting=False, trusted_proxies=LOOPBACK
    ) as service:
        replies = [(await _as(service, f"2001:db8::{n:x}")).status for n in range(1, 6)]
        assert replies == [200] * 3 + [429] * 2
        assert (await _as(service, "2001:db8:0:1::1")).status == 200


CANARY = "label-of-a-client"


async def _be_creative(service: Service) -> None:
    """Everything that a client can choose."""
    for path in (f"/{CANARY}", f"/v1/certificates/{CANARY}", f"/v1/crl/{CANARY}/{CANARY}.crl"):
        await service.get(path)
        await service.get(f"{path}?{CANARY}={CANARY}")
    await service.send(CANARY.upper().replace("-", ""), service.public + "/v1/nonce")
    await service.get("/v1/nonce", headers={"User-Agent": CANARY, CANARY: CANARY, "Host": CANARY})
    body = body_of(bytes(64), b"x", [(CANARY, b"x")], profile=CANARY)
    await service.post(body)
    await service.post(body, **{"Content-Type": f"application/{CANARY}"})
    await service.post(service.request(await service.nonce(), profile=CANARY))
    await service.operate(CANARY, f"/v1/admin/policies/{CANARY}/1")
    await service.operate(CANARY, f"/v1/admin/{CANARY}?{CANARY}={CANARY}")


async def test_labels_are_closed(sqlite_url: str) -> None:
    async with open_service(
        sqlite_url, limits=replace(GENEROUS, refusal_ring=5), trusted_proxies=LOOPBACK
    ) as service:
        for _ in range(2):  # after which the collateral's labels are there, of GETs and of hits
            await service.enrolled()
        before = service.counters()
        await _be_creative(service)
        after = service.counters()
        assert set(after) == set(before), "not one series more"
        assert after != before
        text = (await service.get("/metrics")).body.decode()
        assert CANARY.lower().replace("-", "") not in text.lower().replace("-", "")
        unmatched = service.count("attestca_http_responses_total", route="unmatched", status="4xx")
        assert unmatched > 0
