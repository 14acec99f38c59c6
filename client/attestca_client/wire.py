# SPDX-License-Identifier: Apache-2.0
"""The authority's JSON, version 1: bytes to typed answers and back.

Rules: binary fields are base64 in the standard alphabet with padding, and only in their one canonical form; a field
of another type or form is BadAnswer; a field this version does not know is ignored, so that the authority may add
some. Nothing here is believed: certificates are checked in `chain`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography import x509

from attestca_client.errors import BadAnswer, Finding, Refused, Unavailable
from attestca_client.protocol.base64text import decoded, encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

NONCE_BYTES = range(16, 1025)  # the authority's choice within these
MAX_CHAIN = 4
OVERLOADED = frozenset({408, 425, 429})  # 4xx that say "later", not "no"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence: `kind` as the interface names it ("tdx-quote", "snp-report"…), and its raw bytes."""

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Nonce:
    """A fresh nonce (16 to 1024 bytes), and the 32-byte id of the authority that claims to have made it."""

    value: bytes
    ca_id: bytes


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate as it came. `chain`: issuing CA first, root last. `assurance`: "verified" or "simulated"."""

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    policy: str
    assurance: str


def enrollment_request(
    *, nonce: bytes, profile: str, csr_der: bytes, evidence: Sequence[Evidence]
) -> bytes:
    """The body of POST /v1/enrollments. Sent again byte for byte, it gets the same answer."""
    body = {
        "nonce": encoded(nonce),
        "profile": profile,
        "csr": encoded(csr_der),
        "evidence": [{"kind": piece.kind, "data": encoded(piece.data)} for piece in evidence],
    }
    return json.dumps(body).encode()


def parse_nonce(body: bytes) -> Nonce:
    """The answer of GET /v1/nonce. Raises BadAnswer."""
    answer = _object(body)
    value = _unb64(_field(answer, "nonce", str))
    ca_id = _field(answer, "ca_id", str)
    if len(value) not in NONCE_BYTES:
        raise BadAnswer(f"the nonce has {len(value)} bytes")
    if not re.fullmatch(r"[0-9a-f]{64}", ca_id):
        raise BadAnswer("ca_id is not 64 lower-case hexadecimal digits")
    return Nonce(value, bytes.fromhex(ca_id))


def parse_issued(body: bytes) -> Issued:
    """The answer 200 or 201 of POST /v1/enrollments. Raises BadAnswer."""
    answer = _object(body)
    certificate = _certificate(_field(answer, "certificate", str))
    chain = _field(answer, "chain", list)
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise BadAnswer(f"a chain of {len(chain)} certificates")
    if _field(answer, "serial", str) != f"{certificate.serial_number:x}":
        raise BadAnswer("the serial in the answer is not the certificate's")
    assurance = _field(answer, "assurance", str)
    if assurance not in {"verified", "simulated"}:
        raise BadAnswer("unknown assurance level")
    return Issued(certificate, tuple(map(_certificate, chain)), _policy(answer), assurance)


def parse_problem(status: int, body: bytes, retry_after: float | None) -> Refused | Unavailable:
    """An error answer: Refused for a definite no (4xx), Unavailable for the rest. The body may be anything."""
    try:
        answer = _object(body)
    except BadAnswer:
        answer = {}
    code = plain(answer.get("code")) or f"http-{status}"
    detail = plain(answer.get("detail")) or plain(answer.get("title")) or "no detail given"
    if 400 <= status < 500 and status not in OVERLOADED:
        return Refused(detail, status=status, code=code, findings=_findings(answer))
    said = f"the authority answered {status} {code}: {detail}"
    return Unavailable(said, answered=True, retry_after=retry_after)


def plain(value: object) -> str:
    """`value` if it is text, at most 500 characters and fit for a terminal; else an empty string."""
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value[:500])


def _findings(answer: dict[str, Any]) -> tuple[Finding, ...]:
    raw = answer.get("findings")
    entries = [entry for entry in raw if isinstance(entry, dict)] if isinstance(raw, list) else []
    names = ("rule", "path", "result", "hint")
    return tuple(Finding(*(plain(entry.get(name)) for name in names)) for entry in entries)


def _policy(answer: dict[str, Any]) -> str:
    policy = _field(answer, "policy", dict)
    return f"{plain(_field(policy, 'name', str))}@{_field(policy, 'version', int)}"


def _object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise BadAnswer("the answer is not JSON") from None
    if not isinstance(answer, dict):
        raise BadAnswer("the answer is not a JSON object")
    return answer


def _field(answer: dict[str, Any], name: str, kind: type[T]) -> T:
    value = answer.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadAnswer(f"the answer's field {name} is missing or of another type")
    return value


def _certificate(pem: object) -> x509.Certificate:
    if not isinstance(pem, str):
        raise BadAnswer("a certificate of the answer is not text")
    try:
        (certificate,) = x509.load_pem_x509_certificates(pem.encode("ascii"))
    except (ValueError, x509.InvalidVersion):
        raise BadAnswer("a certificate of the answer is not one PEM certificate") from None
    return certificate


def _unb64(text: str) -> bytes:
    try:
        return decoded(text)
    except ValueError as error:
        raise BadAnswer(f"a field is {error}") from None
