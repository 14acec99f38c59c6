# SPDX-License-Identifier: Apache-2.0
"""The bucket in which a `FakeGoogle` publishes what its root has revoked, over HTTP on loopback.

What is served follows the present state of the `FakeGoogle`; `faults` makes the list misbehave. Nothing else is there:
intermediates come with the evidence, or are known beforehand.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiohttp import web

from simulator.faults import Answer, Fault, listening, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.google import FakeGoogle

__all__ = ["CRL", "FakeBucket", "Fault", "running"]

CRL: Final = "crl"
_PATH: Final = "/0123456789abcdef0123/crl.crl"


@dataclass(slots=True)
class FakeBucket:
    """The service.

    Attributes:
        google: whose list is served. faults: by part: "crl". requests: path of every request for it, in order.
        base_url: where it listens, without a trailing slash; set by `running`.
    """

    google: FakeGoogle
    faults: dict[str, Fault] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    base_url: str = ""

    @property
    def crl_url(self) -> str:
        """Where the list is."""
        return self.base_url + _PATH

    def application(self) -> web.Application:
        """The one route."""
        application = web.Application()
        application.router.add_get(_PATH, self._crl, allow_head=False)
        return application

    async def _crl(self, request: web.Request) -> web.Response:
        self.requests.append(request.path_qs)
        return await served(
            self.faults.get(CRL, Fault()),
            lambda: Answer(self.google.crl.der, "application/pkix-crl"),
        )


@asynccontextmanager
async def running(google: FakeGoogle, port: int = 0) -> AsyncIterator[FakeBucket]:
    """The service on 127.0.0.1 until the block ends; port 0 is one of the system's choice."""
    bucket = FakeBucket(google)
    async with listening(bucket.application(), port) as bucket.base_url:
        yield bucket
