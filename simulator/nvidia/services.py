# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's services, answered by a `FakeNvidia` over HTTP on loopback: RIM service, OCSP, attestation service (NRAS).

One server has all of them, for their paths differ: `/v1/rim/<id>`, OCSP at `/`, `/v4/attest/gpu` and `/switch` (v3 is
the same), `/.well-known/jwks.json`. So each of the three addresses in a configuration is `base_url`; tokens name the
real service as their issuer all the same, as they do behind a proxy. What is served follows the present state of the
`FakeNvidia`; `faults` makes one part misbehave.
"""

from __future__ import annotations

import base64
import binascii
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from simulator.faults import Answer, Fault, listening, served
from simulator.nvidia.responding import respond
from simulator.nvidia.rims import document, envelope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.nvidia.vendor import FakeNvidia

__all__ = ["JWKS", "NRAS", "OCSP", "RIM", "Fault", "NvidiaServices", "running"]

RIM, OCSP, NRAS, JWKS = "rim", "ocsp", "nras", "jwks"


@dataclass(slots=True)
class NvidiaServices:
    """The services.

    Attributes:
        nvidia: whose they are. faults: by part: "rim", "ocsp", "nras", "jwks".
        requests: method and path of every request to a known path, in order: "POST /v4/attest/gpu".
        bodies: what was posted, in order.
        base_url: where they listen, without a trailing slash; set by `running`.
    """

    nvidia: FakeNvidia
    faults: dict[str, Fault] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    base_url: str = ""

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application()
        routes = [
            web.get("/v1/rim/{id}", self._rim, allow_head=False),
            web.post("/{version:v[34]}/attest/{kind:gpu|switch}", self._nras),
            web.post("/", self._ocsp),
            web.get("/{request:[A-Za-z0-9+/=]{32,}}", self._ocsp_in_path, allow_head=False),
            web.get("/.well-known/jwks.json", self._jwks, allow_head=False),
        ]
        application.router.add_routes(routes)
        return application

    async def _rim(self, request: web.Request) -> web.Response:
        """The manifest of this name in its envelope."""

        def answer() -> Answer:
            rim_id = request.match_info["id"]
            manifest = self.nvidia.manifests.get(rim_id)
            if manifest is None:
                raise web.HTTPNotFound
            return Answer(envelope(document(manifest), id=rim_id), "application/json")

        self._note(request)
        return await served(self._fault(RIM), answer)

    async def _ocsp(self, request: web.Request) -> web.Response:
        """An answer about the certificate in the body; another media type is not understood."""
        body = await request.read()

        def answer() -> Answer:
            if request.content_type != "application/ocsp-request":
                raise web.HTTPUnsupportedMediaType
            return Answer(respond(self.nvidia, body), "application/ocsp-response")

        self._note(request, body)
        return await served(self._fault(OCSP), answer)

    async def _ocsp_in_path(self, request: web.Request) -> web.Response:
        """The same, asked by GET (RFC 6960, A.1)."""

        def answer() -> Answer:
            try:
                asked = base64.b64decode(request.match_info["request"], validate=True)
            except binascii.Error as error:
                raise web.HTTPNotFound from error
            return Answer(respond(self.nvidia, asked), "application/ocsp-response")

        self._note(request)
        return await served(self._fault(OCSP), answer)

    async def _nras(self, request: web.Request) -> web.Response:
        """Tokens about the devices in the body."""
        body = await request.read()

        def answer() -> Answer:
            try:
                said = self.nvidia.nras.attest(request.match_info["kind"], body)
            except ValueError as error:
                text = json.dumps({"errorCode": 400, "message": str(error)})
                return Answer(text.encode(), "application/json", status=400)
            return Answer(said, "application/json")

        self._note(request, body)
        return await served(self._fault(NRAS), answer)

    async def _jwks(self, request: web.Request) -> web.Response:
        """The key set."""
        self._note(request)
        return await served(
            self._fault(JWKS), lambda: Answer(self.nvidia.nras.jwks(), "application/json")
        )

    def _note(self, request: web.Request, body: bytes | None = None) -> None:
        self.requests.append(f"{request.method} {request.path_qs}")
        if body is not None:
            self.bodies.append(body)

    def _fault(self, part: str) -> Fault:
        return self.faults.get(part, Fault())


@asynccontextmanager
async def running(nvidia: FakeNvidia, port: int = 0) -> AsyncIterator[NvidiaServices]:
    """The services on 127.0.0.1 until the block ends; port 0 is one of the system's choice."""
    services = NvidiaServices(nvidia)
    async with listening(services.application(), port) as services.base_url:
        yield services
