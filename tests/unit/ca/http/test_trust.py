# SPDX-License-Identifier: Apache-2.0
"""GET /v1/trust: the bundle, byte for byte, or that there is none."""

from __future__ import annotations

from attestca_client.protocol.trust import open_bundle
from tests.relying_lab import make_world
from tests.service_lab import open_service


async def test_the_bundle(database_url: str) -> None:
    sealed = make_world().sealed()
    async with open_service(database_url, accepting=False, trust=lambda: sealed) as service:
        reply = await service.get("/v1/trust")
        assert (reply.status, reply.body) == (200, sealed)
        assert reply.headers["Content-Type"] == "application/vnd.dsse.envelope.v1+json"
        assert reply.headers["Cache-Control"] == "public, max-age=300"
        assert open_bundle(reply.body).version == 1


async def test_no_bundle(database_url: str) -> None:
    async with open_service(database_url, accepting=False) as service:
        reply = await service.get("/v1/trust")
        assert (reply.status, reply.code) == (404, "no-trust-bundle")
