# SPDX-License-Identifier: Apache-2.0
"""The public service's answers, one function per route of the table in `ca.http.routes`.

Each takes a request whose rate limit is paid and gives an answer or raises; what an error becomes is not decided here.
Only `enroll` leads to a signature. Whoever asks is nobody: no route here knows a session, a cookie or a certificate.
"""

from __future__ import annotations

import asyncio
import re
from datetime import date
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web

from ca import enrollment
from ca.errors import (
    AuthorityError,
    Conflict,
    Denied,
    NotFound,
    RequestRefused,
    Unavailable,
)
from ca.http import metrics, wire
from ca.http.doors import Doors
from ca.http.limiter import address_prefix
from ca.http.metrics import EnrollmentOutcome
from ca.http.middleware import REQUEST_ID, address_of
from ca.http.refusals import SampledRefusal
from ca.http.schema import Model, ReadyAnswer, StatusAnswer
from ca.issuance import nonce
from ca.ports import Outcome
from verifiers.errors import VerificationError

if TYPE_CHECKING:
    from ca.enrollment import Enrolled
    from ca.ports import CertificateRecord

DOORS: Final = web.AppKey("doors", Doors)
DOCUMENT: Final = web.AppKey("document", bytes)  # the API description
JSON: Final = frozenset({"application/json"})
_SERIAL: Final = re.compile("[1-9a-f][0-9a-f]{0,39}")
_KEY_ID: Final = re.compile("[0-9a-f]{40}")
_DAY: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CRL: Final = "application/pkix-crl"
DSSE: Final = "application/vnd.dsse.envelope.v1+json"
_log = structlog.get_logger("attestca.http")


class Readiness:
    """Whether the service can do its work: asked at most once a second, however many ask."""

    EVERY = 1.0  # seconds

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._lock = asyncio.Lock()
        self._checked_at = -self.EVERY
        self._fault: AuthorityError | None = None

    async def check(self) -> None:
        """Raises Unavailable `not-ready`."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._checked_at >= self.EVERY:
                self._fault = await self._ask()
                self._checked_at = asyncio.get_running_loop().time()
        if self._fault is not None:
            raise Unavailable(self._fault.detail, code="not-ready")

    async def _ask(self) -> AuthorityError | None:
        try:
            await self._doors.check_ready()
        except AuthorityError as error:
            return error
        return None


READINESS: Final = web.AppKey("readiness", Readiness)


def answer(
    model: Model, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """An object of the API as JSON."""
    return web.Response(
        status=status,
        body=model.model_dump_json(exclude_none=False).encode(),
        content_type="application/json",
        headers=headers,
    )


async def new_nonce(request: web.Request) -> web.Response:
    """A fresh nonce. Nothing is stored for it."""
    doors = request.app[DOORS]
    authority = doors.authority
    made = nonce.make(
        authority.nonce_keys[0],
        authority.ca_id,
        doors.clock(),
        authority.entropy(nonce.ENTROPY_LENGTH),
    )
    doors.state.metrics.nonces.inc()
    return answer(wire.nonce_answer(made, authority.ca_id))


async def enroll(request: web.Request) -> web.Response:
    """Evidence in, certificate out: the one route that ends in a signature."""
    doors = request.app[DOORS]
    try:
        enrolled = await _enrolled(request, doors)
    except Exception as error:
        _account(request, doors, error)
        raise
    outcome = EnrollmentOutcome.REPEATED if enrolled.repeated else EnrollmentOutcome.ISSUED
    doors.state.metrics.enrolled(outcome)
    record = enrolled.certificate
    serial = f"{record.serial:x}"
    _log.info(f"enrollment.{outcome}", request_id=request[REQUEST_ID], serial=serial)
    assurance = doors.authority.issuing().issuer.assurance
    return answer(
        wire.enrollment_answer(record, _chain_of(record, doors), assurance),
        status=200 if enrolled.repeated else 201,
        headers={"Location": f"/v1/certificates/{serial}"},
    )


async def _enrolled(request: web.Request, doors: Doors) -> Enrolled:
    admission = doors.state.admission
    admission.refuse_if_full()
    body = await wire.read_body(request, JSON, doors.limits.body_bytes, doors.state.bodies)
    wanted = wire.decode_enrollment(body)
    async with admission.place():
        # The time is taken after the wait: a nonce that ran out in the queue is a nonce that ran out.
        return await enrollment.enroll(wanted, doors.authority, doors.clock())


def _account(request: web.Request, doors: Doors, error: Exception) -> None:
    """Count a request that got no certificate; log or sample why."""
    outcome = _outcome_of(error)
    doors.state.metrics.enrolled(outcome)
    match error:
        case Denied():
            _log.warning(
                "enrollment.denied",
                request_id=request[REQUEST_ID],
                code=error.code,
                detail=error.detail,
                record=error.record,
            )
        case RequestRefused(code=code, detail=detail):
            _sample(request, doors, code, detail)
        case VerificationError(reason=reason, detail=detail):
            _sample(request, doors, reason.value, detail)
        case _:
            pass  # the middleware logs what is no fault of the caller's


def _outcome_of(error: Exception) -> EnrollmentOutcome:
    match error:
        case Denied():
            return EnrollmentOutcome.DENIED
        case RequestRefused() | VerificationError():
            return EnrollmentOutcome.REFUSED
        case Conflict():
            return EnrollmentOutcome.CONFLICT
        case Unavailable():
            return EnrollmentOutcome.UNAVAILABLE
        case _:
            return EnrollmentOutcome.ERROR


def _sample(request: web.Request, doors: Doors, code: str, detail: str) -> None:
    prefix = address_prefix(address_of(request, doors.trusted_proxies))
    doors.state.refusals.add(SampledRefusal(doors.clock(), code, detail, prefix))
    _log.info("enrollment.refused", request_id=request[REQUEST_ID], code=code, detail=detail)


def _chain_of(record: CertificateRecord, doors: Doors) -> tuple[bytes, ...]:
    """The chain of the issuing CA that signed, which may have been renewed since."""
    issuing = doors.authority.issuing()
    if issuing.issuer.key_id == record.issuer_key_id:
        return issuing.signer.chain_der
    former = doors.former_chain(record.issuer_key_id)
    if former is None:
        raise Unavailable("the chain of a former issuing CA is not at hand")
    return former


async def chain(request: web.Request) -> web.Response:
    """The issuing CA in force, then the root."""
    return web.Response(
        body=request.app[DOORS].chain_pem(), content_type="application/pem-certificate-chain"
    )


async def trust(request: web.Request) -> web.Response:
    """The newest trust bundle."""
    bundle = request.app[DOORS].trust()
    if bundle is None:
        raise NotFound("no trust bundle was installed: `attestca trust`", code="no-trust-bundle")
    return web.Response(body=bundle, content_type=DSSE)


async def issuing_ca(request: web.Request) -> web.Response:
    """The certificate of one issuing CA, in force or not."""
    doors = request.app[DOORS]
    wanted = _key_id_of(request)
    found = doors.former_chain(wanted)
    if found is None:
        issuing = doors.authority.issuing()
        found = issuing.signer.chain_der if issuing.issuer.key_id == wanted else None
    if found is None:
        raise NotFound("no issuing CA of this authority has this key id")
    return web.Response(body=found[0], content_type="application/pkix-cert")


async def certificate(request: web.Request) -> web.Response:
    """What is on record about a certificate that was issued."""
    doors = request.app[DOORS]
    record = await issued(request, doors)
    assurance = doors.authority.issuing().issuer.assurance
    return answer(wire.certificate_answer(record, assurance))


async def ear(request: web.Request) -> web.Response:
    """The signed attestation result behind a certificate."""
    record = await issued(request, request.app[DOORS])
    if record.ear is None:
        raise NotFound("no attestation result is on record for this certificate")
    return web.Response(body=record.ear.encode(), content_type="application/eat+jwt")


async def issued(request: web.Request, doors: Doors) -> CertificateRecord:
    """The issued certificate that the path names; an intent without certificate is none. Raises NotFound."""
    record = await doors.authority.store.certificate(serial_of(request))
    if record is None or record.outcome is not Outcome.ISSUED:
        raise NotFound("no certificate with this serial number was issued")
    return record


def serial_of(request: web.Request) -> int:
    """The serial number of the path. Raises NotFound for what cannot be one."""
    text = request.match_info["serial"]
    if not _SERIAL.fullmatch(text):
        raise NotFound("a serial number is 1 to 40 lower-case hex digits without leading zeros")
    return int(text, 16)


async def root_crl(request: web.Request) -> web.Response:
    """The newest CRL of the root."""
    der = request.app[DOORS].root_crl(_key_id_of(request))
    if der is None:
        raise NotFound("the root of this authority has another key id")
    return web.Response(body=der, content_type=_CRL)


async def crl(request: web.Request) -> web.Response:
    """The newest CRL of one issuing CA and day."""
    record = await request.app[DOORS].authority.store.crl(_key_id_of(request), _day_of(request))
    if record is None:
        raise NotFound("no issuing CA of this authority has a CRL of this day")
    return web.Response(body=record.der, content_type=_CRL)


def _key_id_of(request: web.Request) -> bytes:
    """The key id of the path. Raises NotFound for what cannot be one."""
    text = request.match_info["issuer_key_id"]
    if not _KEY_ID.fullmatch(text):
        raise NotFound("a key id is 40 lower-case hex digits")
    return bytes.fromhex(text)


def _day_of(request: web.Request) -> date:
    """The day of the path. Raises NotFound for what is none."""
    text = request.match_info["day"]
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise NotFound("a day is YYYY-MM-DD")


async def jwks(request: web.Request) -> web.Response:
    """The keys that sign attestation results."""
    return web.json_response(request.app[DOORS].jwks(), content_type="application/jwk-set+json")


async def alive(_request: web.Request) -> web.Response:
    """The process answers. It says nothing about what the process needs."""
    return answer(StatusAnswer(status="ok"))


async def ready(request: web.Request) -> web.Response:
    """The database answers and an issuing CA is in force."""
    await request.app[READINESS].check()
    return answer(ReadyAnswer(status="ready", warnings=request.app[DOORS].warnings()))


async def exposition(request: web.Request) -> web.Response:
    """Counters for Prometheus."""
    text = request.app[DOORS].state.metrics.exposition()
    return web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE})


async def document(request: web.Request) -> web.Response:
    """The description of this API."""
    return web.Response(body=request.app[DOCUMENT], content_type="application/json")
