# SPDX-License-Identifier: Apache-2.0
"""Intel's Provisioning Certification Service v4, answered by a `FakeIntel` over HTTP on loopback.

The paths, parameters, headers and statuses are those of Intel's API documentation (PCS v4: TCB info, QE identity, PCK
CRL) plus the root CRL, as DER under the name of its distribution point and as hex where a PCCS has it. TDX only: the
SGX twins of TCB info and QE identity, PCK certificates and FMSPC lists are not there. What is served follows the
present state of the `FakeIntel`; `faults` makes one part misbehave.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from simulator.faults import Answer, Fault, listening, served
from simulator.pki import pem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from simulator.collateral import Json
    from simulator.intel import FakeIntel
    from simulator.pki import Entity

__all__ = ["PCK_CRL", "QE_IDENTITY", "ROOT_CA_CRL", "TCB_INFO", "FakePcs", "Fault", "running"]

TCB_INFO, QE_IDENTITY, PCK_CRL, ROOT_CA_CRL = "tcb_info", "qe_identity", "pck_crl", "root_ca_crl"
_FMSPC = re.compile("[0-9a-fA-F]{12}")


@dataclass(slots=True)
class FakePcs:
    """The service.

    Attributes:
        intel: whose collateral is served. faults: by part: "tcb_info", "qe_identity", "pck_crl", "root_ca_crl".
        requests: path and query of every request to a known path, in order.
        base_url: where it listens, without a trailing slash; set by `running`.
    """

    intel: FakeIntel
    faults: dict[str, Fault] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    base_url: str = ""

    @property
    def root_crl_url(self) -> str:
        """The root CRL, DER."""
        return self.base_url + "/IntelSGXRootCA.der"

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application()
        for path, part, answer in (
            ("/tdx/certification/v4/tcb", TCB_INFO, self._tcb_info),
            ("/tdx/certification/v4/qe/identity", QE_IDENTITY, self._qe_identity),
            ("/sgx/certification/v4/pckcrl", PCK_CRL, self._pck_crl),
            ("/IntelSGXRootCA.der", ROOT_CA_CRL, self._root_crl),
            ("/sgx/certification/v4/rootcacrl", ROOT_CA_CRL, self._root_crl_hex),
        ):
            application.router.add_get(path, partial(self._serve, part, answer), allow_head=False)
        return application

    async def _serve(
        self,
        part: str,
        answer: Callable[[web.Request], Answer],
        request: web.Request,
    ) -> web.Response:
        self.requests.append(request.path_qs)
        return await served(self.faults.get(part, Fault()), partial(answer, request))

    def _tcb_info(self, request: web.Request) -> Answer:
        fmspc = request.query.get("fmspc", "")
        if not _FMSPC.fullmatch(fmspc):
            raise web.HTTPBadRequest
        info = self.intel.release(_update(request)).tcb_infos.get(fmspc.lower())
        if info is None:
            raise web.HTTPNotFound
        _check_number(request, info)
        text, signature = self.intel.sign_tcb_info(info)
        chain = self._chain(self.intel.tcb_info_signer)
        return _statement("tcbInfo", text, signature, {"TCB-Info-Issuer-Chain": chain})

    def _qe_identity(self, request: web.Request) -> Answer:
        identity = self.intel.release(_update(request)).qe_identity
        _check_number(request, identity)
        text, signature = self.intel.sign_qe_identity(identity)
        chain = self._chain(self.intel.qe_identity_signer)
        headers = {"SGX-Enclave-Identity-Issuer-Chain": chain}
        return _statement("enclaveIdentity", text, signature, headers)

    def _pck_crl(self, request: web.Request) -> Answer:
        ca, encoding = request.query.get("ca"), request.query.get("encoding", "pem")
        if ca not in {"platform", "processor"} or encoding not in {"der", "pem"}:
            raise web.HTTPBadRequest
        issuer, crl = self.intel.authority(ca)
        headers = {"SGX-PCK-CRL-Issuer-Chain": self._chain(issuer)}
        if encoding == "der":
            return Answer(crl.der, "application/pkix-crl", headers)
        text = pem(crl.der, label="X509 CRL")
        return Answer(text.encode(), "application/x-pem-file", headers)

    def _root_crl(self, _: web.Request) -> Answer:
        return Answer(self.intel.root_crl.der, "application/pkix-crl")

    def _root_crl_hex(self, _: web.Request) -> Answer:
        return Answer(self.intel.root_crl.der.hex().encode(), "text/plain")

    def _chain(self, signer: Entity) -> str:
        """The issuer chain as a header carries it: PEM, signer first, URL-encoded."""
        return quote(pem(signer.der, self.intel.root.der), safe="")


@asynccontextmanager
async def running(intel: FakeIntel, port: int = 0) -> AsyncIterator[FakePcs]:
    """The service on 127.0.0.1 until the block ends; port 0 is one of the system's choice."""
    pcs = FakePcs(intel)
    async with listening(pcs.application(), port) as pcs.base_url:
        yield pcs


def _update(request: web.Request) -> str:
    """The wanted channel; 400 for an unknown one, or for a channel together with a number."""
    update = request.query.get("update", "standard")
    both = "update" in request.query and "tcbEvaluationDataNumber" in request.query
    if both or update not in {"standard", "early"}:
        raise web.HTTPBadRequest
    return update


def _check_number(request: web.Request, statement: Json) -> None:
    """404 where another evaluation number is asked for than the one there is."""
    number = request.query.get("tcbEvaluationDataNumber")
    if number is not None and number != str(statement["tcbEvaluationDataNumber"]):
        raise web.HTTPNotFound


def _statement(key: str, text: str, signature: str, headers: Mapping[str, str | None]) -> Answer:
    """The signed text, byte for byte, inside its envelope."""
    body = f'{{"{key}":{text},"signature":"{signature}"}}'
    return Answer(body.encode(), "application/json", headers)
