# SPDX-License-Identifier: Apache-2.0
"""THE one table of errors: exception -> HTTP status and problem document (RFC 9457).

Rules:
- `code` is the stable word that programs compare; the lists here are closed, and metrics and the API description use
  them. `type` is about:blank, so `title` is the phrase of the status (RFC 9457, section 4.2.1).
- A caller's fault is told with our own words about it. A fault of infrastructure or of ours is told by code alone: what
  exactly failed (hosts, databases, lints) is for the operator's log. An exception that nobody expected is a 500 with
  the id of its log line and nothing else.
- What can be asked again later has Retry-After (seconds).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ca.errors import (
    AuthorityError,
    ConfigurationError,
    Conflict,
    Denied,
    NotFound,
    RequestRefused,
    Unavailable,
)
from ca.http.metrics import Alarm
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE: Final = "application/problem+json"
_COLLATERAL_RETRY: Final = 60

# The caller's faults. A code that is not here is 400.
_REQUEST: Final = {
    "malformed": 400,
    "client-left": 400,  # which nobody receives
    "unauthorized": 401,
    "scope": 403,
    "plain-http": 403,
    "not-found": 404,
    "not-logged": 404,  # yet
    "before-log": 404,  # and never will be
    "no-trust-bundle": 404,
    "method-not-allowed": 405,
    "body-timeout": 408,
    "nonce-used": 409,
    "too-large": 413,
    "media-type": 415,
    "expectation": 417,
    "nonce-malformed": 400,
    "nonce-foreign": 422,
    "nonce-expired": 422,
    "csr-malformed": 400,
    "csr-signature": 422,
    "key-type": 422,
    "policy-invalid": 422,
    "rate-limited": 429,
}
_DENIED: Final = {"denied": 403, "handle-revoked": 403, "name-refused": 403}
_CONFLICT: Final = {
    "conflict": 409,
    "policy-changed": 409,
    "policy-conflict": 409,
    "intent-closed": 409,
    "serial-used": 409,
}
# Infrastructure: what is said of it to everybody.
_UNAVAILABLE: Final = {
    "unavailable": "something that this service needs does not answer now; ask again",
    "busy": "too many enrollments at the moment; ask again",
    "in-progress": "this request is being answered; ask again",
    "collateral-unusable": "the vendor's statements about this platform cannot be used now; ask again",
    "validity-too-short": "what a certificate would rest on ends too soon; ask again later",
    "not-ready": "the service is not ready",
}
_INTERNAL: Final = "internal"
_INTERNAL_DETAIL: Final = "an error of this service; the operator's log has it under the incident"

# Evidence that did not verify. Collateral is what we fetched: no fault of the caller's, and worth another try. What is
# `incomplete` is evidence, and more of it must be sent; an incomplete answer of a vendor is `collateral-unusable`.
_COLLATERAL: Final = frozenset(
    {
        Reason.CRL_INVALID,
        Reason.COLLATERAL_MALFORMED,
        Reason.COLLATERAL_SIGNATURE,
        Reason.COLLATERAL_NOT_YET_VALID,
        Reason.COLLATERAL_EXPIRED,
        Reason.RIM_SIGNATURE,
        Reason.OCSP_INVALID,
        Reason.TOKEN_ALG,
        Reason.TOKEN_KEY_UNKNOWN,
        Reason.TOKEN_INVALID,
    }
)
_EVIDENCE: Final = (
    dict.fromkeys(Reason, 422)
    | dict.fromkeys(_COLLATERAL, 503)
    | {Reason.MALFORMED: 400, Reason.TRAILING_BYTES: 400, Reason.TOO_LARGE: 413}
)

CODES: Final = frozenset(
    {*_REQUEST, *_DENIED, *_CONFLICT, *_UNAVAILABLE, _INTERNAL, *(code.value for code in Reason)}
)


class RateLimited(RequestRefused):
    """Too many requests of one address. `retry_after` in seconds."""

    code = "rate-limited"

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many requests from this address")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem document before it is sent.

    Attributes:
        findings: what a refused attester may see. incident: id of the log line. retry_after: seconds.
        alarm: set where an operator must look.
    """

    status: int
    code: str
    detail: str
    findings: tuple[Mapping[str, str], ...] = ()
    incident: str | None = None
    retry_after: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    alarm: Alarm | None = None

    @property
    def title(self) -> str:
        """The phrase of the status."""
        return HTTPStatus(self.status).phrase

    def members(self) -> dict[str, object]:
        """The JSON object; members without a value are left out."""
        said: dict[str, object] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.findings:
            said["findings"] = [dict(finding) for finding in self.findings]
        if self.incident is not None:
            said["incident"] = self.incident
        return said


def problem_of(error: Exception, incident: str) -> Problem:
    """What a caller is told of `error`. `incident`: id under which the log has it."""
    match error:
        case VerificationError():
            return _of_evidence(error)
        case AuthorityError():
            return _of_authority(error, incident)
        case web.HTTPException():
            return _of_framework(error, incident)
        case _:
            return _internal(incident, Alarm.UNHANDLED)


def _of_evidence(error: VerificationError) -> Problem:
    status = _EVIDENCE[error.reason]
    if status == 503:
        detail = _UNAVAILABLE["collateral-unusable"]
        return Problem(status, error.reason.value, detail, retry_after=_COLLATERAL_RETRY)
    return Problem(status, error.reason.value, error.detail)


def _of_request(error: RequestRefused) -> Problem:
    match error:
        case Denied():
            disagreement = error.code == Reason.VERIFIERS_DISAGREE
            alarm = Alarm.DISAGREEMENT if disagreement else None
            return Problem(403, error.code, error.detail, findings=error.findings, alarm=alarm)
        case RateLimited():
            return Problem(429, error.code, error.detail, retry_after=error.retry_after)
        case _:
            return Problem(_REQUEST.get(error.code, 400), error.code, error.detail)


def _of_authority(error: AuthorityError, incident: str) -> Problem:
    match error:
        case RequestRefused():
            return _of_request(error)
        case Conflict():
            return Problem(409, error.code, error.detail)
        case NotFound():
            return Problem(404, error.code, error.detail)
        case Unavailable():
            said = _UNAVAILABLE.get(error.code, _UNAVAILABLE["unavailable"])
            return Problem(503, error.code, said, retry_after=error.retry_after)
        case ConfigurationError():
            said = _UNAVAILABLE["unavailable"]
            problem = Problem(503, "unavailable", said, retry_after=_COLLATERAL_RETRY)
            return replace(problem, incident=incident, alarm=Alarm.CONFIGURATION)
        case _:
            return _internal(incident, Alarm.INTERNAL)


def _of_framework(error: web.HTTPException, incident: str) -> Problem:
    """What the router and the parser raise; none of their words are passed on."""
    match error.status:
        case 404:
            return Problem(404, "not-found", "no such resource")
        case 405:
            allowed = error.headers.get("Allow", "")
            said = "the resource has other methods; see Allow"
            return Problem(405, "method-not-allowed", said, headers={"Allow": allowed})
        case 413:
            return Problem(413, "too-large", "the body is too large")
        case 417:
            return Problem(417, "expectation", "Expect: 100-continue only")
        case status if 400 <= status < 500:
            return Problem(400, "malformed", "not a request that this service understands")
        case _:
            return _internal(incident, Alarm.UNHANDLED)


def _internal(incident: str, alarm: Alarm) -> Problem:
    return Problem(500, _INTERNAL, _INTERNAL_DETAIL, incident=incident, alarm=alarm)
