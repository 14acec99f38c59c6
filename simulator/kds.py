# SPDX-License-Identifier: Apache-2.0
"""AMD's key distribution service, answered by a `FakeAmd` over HTTP on loopback.

Paths and parameters are those of AMD publication 57230 (VCEK) and 58369 (VLEK): VCEK by product line, chip and TCB, the
two certificate chains, the two revocation lists. As strict as the real one: 404 for a chip that it does not know (a
64-byte id on Turin among them), 400 for a parameter that is missing, no number or not one of this product line. VLEKs
are given to cloud providers only, so there are none. What is served follows the present state of the `FakeAmd`;
`faults` makes one part misbehave, `allowance` makes it throttle.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from simulator.faults import Answer, Fault, listening, served
from simulator.pki import pem
from simulator.products import PRODUCTS, Tcb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from simulator.amd import FakeAmd
    from simulator.products import Product

__all__ = ["CERT_CHAIN", "CRL", "VCEK", "FakeKds", "Fault", "running"]

VCEK, CERT_CHAIN, CRL = "vcek", "cert_chain", "crl"
_HEX = re.compile("(?:[0-9a-fA-F]{2})+")
_NUMBER = re.compile("[0-9]{1,3}")
_PARAMETERS = {
    "fmcSPL": "fmc",
    "blSPL": "bootloader",
    "teeSPL": "tee",
    "snpSPL": "snp",
    "ucodeSPL": "microcode",
}


@dataclass(slots=True)
class FakeKds:
    """The service.

    Attributes:
        amd: whose certificates are served. faults: by part: "vcek", "cert_chain", "crl" (both kinds).
        requests: path and query of every request to a known path, in order.
        allowance: how many more VCEKs are given before the answer is 429, as the real one throttles; None: any number.
        retry_after: the header of those answers, None for none.
        base_url: where it listens, without a trailing slash; set by `running`.
    """

    amd: FakeAmd
    faults: dict[str, Fault] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    allowance: int | None = None
    retry_after: str | None = None
    base_url: str = ""

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application()
        routes = [("/vcek/v1/{product}/{hwid:(?!cert_chain$|crl$).*}", VCEK, self._vcek)]
        for kind in ("vcek", "vlek"):
            path = f"/{kind}/v1/{{product}}"
            routes += [
                (f"{path}/cert_chain", CERT_CHAIN, partial(self._chain, kind)),
                (f"{path}/crl", CRL, partial(self._crl, kind)),
            ]
        for path, part, answer in routes:
            application.router.add_get(path, partial(self._serve, part, answer), allow_head=False)
        return application

    async def _serve(
        self, part: str, answer: Callable[[web.Request], Answer], request: web.Request
    ) -> web.Response:
        self.requests.append(request.path_qs)
        return await served(self.faults.get(part, Fault()), partial(answer, request))

    def _vcek(self, request: web.Request) -> Answer:
        if self.allowance is not None:
            if self.allowance == 0:
                return Answer(status=429, headers={"Retry-After": self.retry_after})
            self.allowance -= 1
        product = _product(request)
        hwid = request.match_info["hwid"]
        if not _HEX.fullmatch(hwid) or (product.name, bytes.fromhex(hwid)) not in self.amd.chips:
            raise web.HTTPNotFound
        vek = self.amd.vcek(product.name, bytes.fromhex(hwid), _tcb(request, product))
        return Answer(vek.der, "application/pkix-cert")

    def _chain(self, kind: str, request: web.Request) -> Answer:
        line = self.amd.line(_product(request).name)
        issuer = line.issuer(kind)
        return Answer(pem(issuer.der, line.ark.der).encode(), "application/x-pem-file")

    def _crl(self, kind: str, request: web.Request) -> Answer:
        crl = self.amd.line(_product(request).name).crl(kind)
        return Answer(crl.der, "application/pkix-crl")


@asynccontextmanager
async def running(amd: FakeAmd, port: int = 0) -> AsyncIterator[FakeKds]:
    """The service on 127.0.0.1 until the block ends; port 0 is one of the system's choice."""
    kds = FakeKds(amd)
    async with listening(kds.application(), port) as kds.base_url:
        yield kds


def _product(request: web.Request) -> Product:
    """The product line of the path; 404 for another name, or the right one in another case."""
    product = PRODUCTS.get(request.match_info["product"])
    if product is None:
        raise web.HTTPNotFound
    return product


def _tcb(request: web.Request, product: Product) -> Tcb:
    """The TCB of the query; 400 unless it has each parameter of the product line once, and no other."""
    expected = {name for name, part in _PARAMETERS.items() if part in product.tcb_bytes}
    if len(request.query) != len(expected) or request.query.keys() != expected:
        raise web.HTTPBadRequest
    texts = {_PARAMETERS[name]: text for name, text in request.query.items()}
    if not all(_NUMBER.fullmatch(text) and int(text) < 256 for text in texts.values()):
        raise web.HTTPBadRequest
    return Tcb(**{part: int(text) for part, text in texts.items()})
