# SPDX-License-Identifier: Apache-2.0
"""Bytes of a request -> `EnrollmentRequest`; records -> the objects of answers. What stands on the wire, and no more.

Limits come first and in this order, each before anything that costs more: declared length, length as it is read, time,
count and depth of JSON structure, members (unknown and duplicate ones are refused), length of every field, base64 in
its one canonical form. Nothing of what was sent is repeated in an error. Cryptography and parsing of what the fields
hold are somebody else's.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from datetime import UTC
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar

from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate
from pydantic import ValidationError

from ca.authority import EnrollmentRequest
from ca.errors import LintFailed, RequestRefused
from ca.http.schema import (
    CertificateAnswer,
    EnrollmentAnswer,
    EnrollmentBody,
    EvidenceBody,
    Model,
    NonceAnswer,
    PolicyName,
    base64_length,
)
from verifiers import jsontext
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import (
    DEVICE_KINDS,
    LOG_KINDS,
    MAX_BYTES,
    MAX_DEVICES,
    MAX_LOG_BYTES,
    Evidence,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from pydantic_core import ErrorDetails

    from ca.http.admission import ByteBudget
    from ca.issuance.nonce import Nonce
    from ca.issuance.request import Assurance
    from ca.ports import CertificateRecord, Decision

BODY_SECONDS: Final = 10.0
MAX_DEPTH: Final = 16
MAX_STRUCTURE: Final = 512  # characters that open, close or separate; a full request has about 60
_TO_COMMAS: Final = bytes.maketrans(b":{}[]", b",,,,,")
_LONGEST: Final = 2 * max(map(base64_length, MAX_BYTES.values()))  # one value with white space
_ROUNDED: Final = 4  # characters by which base64 may be longer for each further piece
_BRACKETS: Final = re.compile(rb"[\[\]{}]")
_TOLD: Final = 5  # faults of one body that are told

M = TypeVar("M", bound=Model)


# requests


async def read_body(
    request: web.Request, media_types: Collection[str], limit: int, budget: ByteBudget
) -> bytes:
    """The body, at most `limit` bytes, as it came; while it comes it is held within `budget`.

    Raises:
        RequestRefused: `media-type`, `expectation`, `too-large`, `body-timeout`, `client-left`.
        Unavailable: `busy`.
    """
    charset = (request.charset or "utf-8").lower()
    encoded = request.headers.get("Content-Encoding", "identity").lower() != "identity"
    if request.content_type not in media_types or charset not in {"utf-8", "utf8"} or encoded:
        wanted = " or ".join(sorted(media_types))
        raise RequestRefused(f"the body must be {wanted}, not compressed", code="media-type")
    if (request.content_length or 0) > limit:
        raise _too_large(f"the body may have {limit} bytes")
    await _continue(request)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                budget.take(len(chunk))
                body += chunk
                if len(body) > limit:
                    raise _too_large(f"the body may have {limit} bytes")
    except TimeoutError:
        raise RequestRefused(f"no whole body in {BODY_SECONDS:g} s", code="body-timeout") from None
    except (web.RequestPayloadError, ConnectionError):
        raise RequestRefused("the client left within its body", code="client-left") from None
    finally:
        budget.give_back(len(body))
    return bytes(body)


async def _continue(request: web.Request) -> None:
    """Tell a client that waits for it to send its body (RFC 9110, section 10.1.1)."""
    expected = request.headers.get("Expect", "")
    if not expected:
        return
    if expected.lower() != "100-continue":
        raise RequestRefused("Expect: 100-continue only", code="expectation")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # no part of the answer


def decode_enrollment(body: bytes) -> EnrollmentRequest:
    """A request for a certificate, within its limits and believed by nobody.

    Raises:
        RequestRefused: `malformed`, `too-large`.
        VerificationError: `unsupported-tee` for an unknown kind of evidence, `evidence` for more pieces of one kind
            than an attester has.
    """
    parsed = _parse(body)
    logs = sum(len(piece.data) for piece in parsed.evidence if piece.kind in LOG_KINDS)
    if logs > base64_length(MAX_LOG_BYTES) + len(LOG_KINDS) * _ROUNDED:
        raise _too_large(f"event logs: at most {MAX_LOG_BYTES} bytes together")
    once = [piece.kind for piece in parsed.evidence if piece.kind not in DEVICE_KINDS]
    devices = len(parsed.evidence) - len(once)
    if len(set(once)) != len(once) or devices > MAX_DEVICES:
        raise VerificationError(
            Reason.EVIDENCE, f"at most {MAX_DEVICES} devices, and every other kind at most once"
        )
    return EnrollmentRequest(
        nonce=_unb64("nonce", parsed.nonce),
        profile=parsed.profile,
        csr_der=_unb64("csr", parsed.csr),
        evidence=tuple(_evidence(piece) for piece in parsed.evidence),
        body_sha256=sha256(body).digest(),
    )


def _parse(body: bytes) -> EnrollmentBody:
    try:
        return EnrollmentBody.model_validate(_tree(body))
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_input=False)) from None


def decode(body: bytes, model: type[M]) -> M:
    """What an operator sent. Raises RequestRefused `malformed`, `too-large`."""
    try:
        return model.model_validate(_tree(body))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestRefused("; ".join(map(told, faults[:_TOLD]))) from None


def _tree(body: bytes) -> object:
    """The JSON value in `body`, within the limits of structure."""
    _check_structure(body)
    try:
        return jsontext.parse(body)
    except ValueError:
        raise RequestRefused("the body is not one JSON object with each key once") from None


def _check_structure(body: bytes) -> None:
    """Count, length and depth of values over the bytes, strings and all: no field may hold a character of structure."""
    pieces = body.translate(_TO_COMMAS).split(b",", MAX_STRUCTURE)
    if len(pieces) > MAX_STRUCTURE:
        raise RequestRefused(f"more than {MAX_STRUCTURE} members and values")
    if max(map(len, pieces)) > _LONGEST:
        raise _too_large(f"a value may have {_LONGEST} bytes")
    depth = 0
    for bracket in _BRACKETS.finditer(body):
        depth += 1 if bracket.group() in b"[{" else -1
        if depth > MAX_DEPTH:
            raise RequestRefused(f"nested deeper than {MAX_DEPTH}")


def _refusal(faults: Sequence[ErrorDetails]) -> Exception:
    said = "; ".join(map(told, faults[:_TOLD]))
    kinds = {fault["type"] for fault in faults}
    if kinds & {"string_too_long", "too_long"}:
        return _too_large(said)
    if kinds == {"enum"}:
        return VerificationError(Reason.UNSUPPORTED_TEE, said)
    return RequestRefused(said)


def told(fault: ErrorDetails) -> str:
    """One fault that a model found, without anything of what was sent."""
    location = fault["loc"]
    if fault["type"] == "extra_forbidden":  # the last part is the caller's own word
        return f"{_path(location[:-1])}: a member that version 1 does not have"
    return f"{_path(location)}: {fault['msg']}"


def _path(location: tuple[int | str, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).lstrip(".") or "body"


def _evidence(piece: EvidenceBody) -> Evidence:
    data = _unb64("evidence data", piece.data)
    if len(data) > MAX_BYTES[piece.kind]:
        raise _too_large(f"{piece.kind}: at most {MAX_BYTES[piece.kind]} bytes")
    return Evidence(piece.kind, data)


def _unb64(name: str, text: str) -> bytes:
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise RequestRefused(f"{name}: not base64 of the standard alphabet with padding") from None
    if b64(data) != text:
        raise RequestRefused(f"{name}: not base64 in its canonical form")
    return data


def _too_large(detail: str) -> RequestRefused:
    return RequestRefused(detail, code="too-large")


# answers


def b64(data: bytes) -> str:
    """Base64 in the standard alphabet with padding."""
    return base64.b64encode(data).decode()


def instant(when: datetime) -> str:
    """RFC 3339 in UTC with a Z; a fraction of a second is kept where there is one."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def pem(der: bytes) -> str:
    """One certificate as PEM."""
    return load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


def nonce_answer(made: Nonce, ca_id: bytes) -> NonceAnswer:
    """The answer of GET /v1/nonce."""
    return NonceAnswer(nonce=b64(made.value), expires_at=instant(made.expires), ca_id=ca_id.hex())


def enrollment_answer(
    record: CertificateRecord, chain: Sequence[bytes], assurance: Assurance
) -> EnrollmentAnswer:
    """The answer of POST /v1/enrollments: the record as it is in the store. `chain`: DER, issuing CA, then root."""
    return EnrollmentAnswer(
        serial=f"{record.serial:x}",
        certificate=pem(_signed(record)),
        chain=[pem(der) for der in chain],
        not_before=instant(record.not_before),
        not_after=instant(record.not_after),
        policy=_accepted_under(record),
        assurance=assurance,
    )


def certificate_answer(record: CertificateRecord, assurance: Assurance) -> CertificateAnswer:
    """The answer of GET /v1/certificates/{serial}."""
    decision = record.decision
    return CertificateAnswer(
        serial=f"{record.serial:x}",
        certificate=pem(_signed(record)),
        issuer_key_id=record.issuer_key_id.hex(),
        not_before=instant(record.not_before),
        not_after=instant(record.not_after),
        names=list(record.subject_alt_names),
        policy=_accepted_under(record),
        assurance=assurance,
        tee=decision.tee,
        tcb_status=decision.tcb_status,
        verified_at=instant(decision.decided_at),
        evidence_sha256=[blob.sha256.hex() for _, blob in decision.evidence],
    )


def policy_name(decision: Decision) -> PolicyName | None:
    """Which policy decided; None where none matched."""
    if decision.policy_name is None or decision.policy_version is None:
        return None
    return PolicyName(
        name=decision.policy_name,
        version=decision.policy_version,
        sha256=(decision.policy_sha256 or b"").hex(),
    )


def _accepted_under(record: CertificateRecord) -> PolicyName:
    name = policy_name(record.decision)
    if name is None:
        raise LintFailed("a certificate on record without a policy")
    return name


def _signed(record: CertificateRecord) -> bytes:
    if record.der is None:
        raise LintFailed("an issued certificate on record without its bytes")
    return record.der
