# SPDX-License-Identifier: Apache-2.0
"""OCSP over HTTP (RFC 6960, appendix A): GET with the question in the path, POST with the question in the body.

Rules:
- What is wrong with a question, and that the database does not answer, is said in the protocol's own words with HTTP
  200, for that is where its clients look. A problem document is for what is no OCSP: another media type, too many
  requests, an error of ours.
- An answer without a nonce about issued certificates may be kept by caches for minutes, not for as long as it is
  valid: a revocation shows soon. All others are made for one caller, or may change at any moment.
- One signature with a key in memory and one bounded query per question: nothing here waits in the queue of enrollments.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web
from cryptography.x509.ocsp import OCSPResponseStatus

from ca.errors import RequestRefused, Unavailable
from ca.http import wire
from ca.http.handlers import DOORS
from ca.http.metrics import OcspOutcome
from ca.http.middleware import REQUEST_ID
from ca.issuance import ocsp, ocsp_question
from ca.issuance.ocsp_question import MAX_REQUEST_BYTES

if TYPE_CHECKING:
    from ca.http.doors import Doors

REQUEST: Final = "application/ocsp-request"
RESPONSE: Final = "application/ocsp-response"
CACHED: Final = "public, no-transform, must-revalidate, max-age=300"
_MAX_TEXT: Final = (MAX_REQUEST_BYTES + 2) // 3 * 4
_log = structlog.get_logger("attestca.http")


_UNSUCCESSFUL: Final = {
    OcspOutcome.MALFORMED: OCSPResponseStatus.MALFORMED_REQUEST,
    OcspOutcome.UNAUTHORIZED: OCSPResponseStatus.UNAUTHORIZED,
    OcspOutcome.TRY_LATER: OCSPResponseStatus.TRY_LATER,
}


async def asked_in_path(request: web.Request) -> web.Response:
    """A question in base64 behind the address, percent-encoded or not."""
    try:
        der = _decoded(request.match_info["request"])
    except ValueError:
        return _unsuccessful(request, OcspOutcome.MALFORMED)
    return await _answer(request, der, keep=True)


async def asked_in_body(request: web.Request) -> web.Response:
    """A question in DER."""
    doors = request.app[DOORS]
    try:
        der = await wire.read_body(request, {REQUEST}, MAX_REQUEST_BYTES, doors.state.bodies)
    except RequestRefused as error:
        if error.code != "too-large":
            raise
        return _unread(request, OcspOutcome.MALFORMED)
    except Unavailable:  # too many bodies at the moment
        return _unread(request, OcspOutcome.TRY_LATER)
    return await _answer(request, der, keep=False)


def _decoded(text: str) -> bytes:
    """Raises ValueError."""
    if len(text) > _MAX_TEXT:
        raise ValueError("too long")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


async def _answer(request: web.Request, der: bytes, *, keep: bool) -> web.Response:
    doors = request.app[DOORS]
    try:
        question = ocsp_question.parse(der)
    except RequestRefused:
        return _unsuccessful(request, OcspOutcome.MALFORMED)
    responder = ocsp.responder_for(question, doors.responders())
    if responder is None:
        return _unsuccessful(request, OcspOutcome.UNAUTHORIZED)
    now = doors.clock()  # before the look: what is revoked after it is not in this answer
    try:
        statuses = await doors.authority.store.statuses(responder.issuer_key_id, question.serials)
    except Unavailable as error:
        _log.error("ocsp.unavailable", request_id=request[REQUEST_ID], detail=error.detail)
        return _unsuccessful(request, OcspOutcome.TRY_LATER)
    answered = ocsp.answer(question, responder, statuses, now=now)
    doors.state.metrics.ocsp(OcspOutcome.ANSWERED)
    response = web.Response(body=answered, content_type=RESPONSE)
    if keep and question.nonce is None and question.serials <= statuses.keys():
        response.headers["Cache-Control"] = CACHED
    return response


def _unsuccessful(request: web.Request, outcome: OcspOutcome) -> web.Response:
    doors: Doors = request.app[DOORS]
    doors.state.metrics.ocsp(outcome)
    return web.Response(body=ocsp.unsuccessful(_UNSUCCESSFUL[outcome]), content_type=RESPONSE)


def _unread(request: web.Request, outcome: OcspOutcome) -> web.Response:
    """The same where the rest of the body is not read."""
    response = _unsuccessful(request, outcome)
    response.force_close()
    return response
