# SPDX-License-Identifier: Apache-2.0
"""OCSP answers: parsed by the library, judged here.

An answer counts for a certificate if it names it in full (hashes of the issuer's name and key, serial number) and is
signed by a responder that this very issuer has certified for OCSP and for nothing else. One that is not yet in force
does not count, but for `LEEWAY`: NVIDIA signs each on request, by its own clock. One that is past its time counts, and
its window says so. GOOD is the only status that passes: UNKNOWN, REVOKED and a certificate on hold all refuse. A
responder's own certificate is not asked about, as RFC 6960 lets its issuer say (id-pkix-ocsp-nocheck; NVIDIA's older
ones have it as a key purpose); what it answers ends with it at the latest. Authenticated answers are remembered
(`lru_cache`), dates are judged at every use. Source: RFC 6960.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hmac import compare_digest
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import SignatureAlgorithmOID

from verifiers import der
from verifiers.certificate import EXTENDED_KEY_USAGE, FOREIGN, KEY_USAGE, parse_certificate
from verifiers.endorsements import PartValidity, Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.endorsements import LEEWAY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from verifiers.certificate import Certificate

MAX_ANSWER_BYTES: Final = 16 * 1024  # a real one has 1 KiB

# The hashes in which NVIDIA's tools name a certificate, and the one of RFC 6960.
_HASHES: Final = (SHA384(), SHA256(), SHA1())  # noqa: S303 - names a certificate, protects nothing
_FOREIGN: Final = (
    *FOREIGN,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
)  # the library, on bad answers
_DIGITAL_SIGNATURE: Final = bytes.fromhex("03020780")  # KeyUsage with this bit alone
_OCSP_SIGNING: Final = (der.OID, bytes.fromhex("2b06010505070309"))
_PURPOSES: Final = {_OCSP_SIGNING, (der.OID, bytes.fromhex("2b0601050507300105"))}  # and nocheck


class CertificateId(NamedTuple):
    """How an answer names a certificate (CertID): by hashes of its issuer's name and key, and its serial number."""

    algorithm: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial_number: int


@dataclass(frozen=True, slots=True)
class OcspAnswer:
    """One answer, authentic for the certificate that it was checked against.

    Attributes:
        status: what it says. revoked_at, reason: of a certificate that is revoked.
        begins: from when on it counts, thisUpdate or the beginning of the responder's certificate.
        this_update: as signed. ends: nextUpdate or the end of the responder's certificate, whichever is first.
        nonce: of the request, if the answer repeats one.
    """

    status: ocsp.OCSPCertStatus
    revoked_at: datetime | None
    reason: x509.ReasonFlags | None
    begins: datetime
    this_update: datetime
    ends: datetime
    nonce: bytes | None


Answers: TypeAlias = "Mapping[CertificateId, tuple[bytes, ...]]"


@lru_cache(maxsize=8)  # the devices of one set share their answers; nothing here is authentic yet
def read_answers(answers: tuple[bytes, ...]) -> Answers:
    """DER answers by the certificate that each names; trusted by nobody yet.

    Raises:
        VerificationError: `too-large`, or `ocsp-invalid` for what is no answer about exactly one certificate.
    """
    found: dict[CertificateId, tuple[bytes, ...]] = {}
    for data in answers:
        about = _about(data)
        found[about] = (*found.get(about, ()), data)
    return MappingProxyType(found)


def _about(data: bytes) -> CertificateId:
    if len(data) > MAX_ANSWER_BYTES:
        raise VerificationError(
            Reason.TOO_LARGE, f"OCSP answer: {len(data)} bytes, at most {MAX_ANSWER_BYTES}"
        )
    try:
        response = ocsp.load_der_ocsp_response(data)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise ValueError(f"the responder answered {response.response_status.name}")
        (one,) = response.responses  # ValueError unless there is exactly one
        return CertificateId(
            one.hash_algorithm.name,
            one.issuer_name_hash,
            one.issuer_key_hash,
            one.serial_number,
        )
    except _FOREIGN as error:
        raise VerificationError(Reason.OCSP_INVALID, f"OCSP answer: {error}") from error


def check_status(
    part: str, chain: Sequence[Certificate], answers: Answers, now: datetime
) -> tuple[Revocation, tuple[PartValidity, ...]]:
    """What NVIDIA says of every certificate of an authentic chain, its root excepted.

    Args:
        part: the name of the windows.
        chain: each certificate issued by the next; the last is not asked about.
        answers: of any certificates.
        now: the instant to judge at.

    Returns:
        GOOD if every certificate has an answer that counts, else NOT_CHECKED; the window of each such answer.

    Raises:
        VerificationError: `certificate-revoked`, `certificate-status-unknown`, the worst in the chain; `ocsp-invalid`.
    """
    windows: list[PartValidity] = []
    refused: list[tuple[int, VerificationError]] = []
    for certificate, issuer in pairwise(chain):
        said = _answers_for(certificate, issuer, answers)
        found = [one for one in said if one.begins <= now + LEEWAY]
        refused += [_refusal(certificate, one) for one in found if not _is_good(one)]
        if found:
            windows.append(_window(part, max(found, key=lambda one: one.ends), now))
    if refused:
        raise max(refused, key=lambda one: one[0])[1]
    complete = len(windows) == len(chain) - 1
    return (Revocation.GOOD if complete else Revocation.NOT_CHECKED), tuple(windows)


def _answers_for(
    certificate: Certificate, issuer: Certificate, answers: Answers
) -> list[OcspAnswer]:
    return [
        verify_answer(data, certificate, issuer)
        for about in certificate_ids(certificate, issuer)
        for data in answers.get(about, ())
    ]


@lru_cache(maxsize=1024)
def certificate_ids(certificate: Certificate, issuer: Certificate) -> tuple[CertificateId, ...]:
    """The names by which an answer may call a certificate."""
    parsed, by = (x509.load_der_x509_certificate(one.der) for one in (certificate, issuer))
    requests = (
        ocsp.OCSPRequestBuilder().add_certificate(parsed, by, hash_).build() for hash_ in _HASHES
    )
    return tuple(
        CertificateId(
            one.hash_algorithm.name,
            one.issuer_name_hash,
            one.issuer_key_hash,
            one.serial_number,
        )
        for one in requests
    )


def request(certificate: Certificate, issuer: Certificate) -> bytes:
    """The DER request about one certificate, which `issuer` has issued: named by SHA-384, without a nonce.

    So the answer can be kept for whoever asks next; what bounds the replay of an older one is its time window.
    """
    parsed, by = (x509.load_der_x509_certificate(one.der) for one in (certificate, issuer))
    built = ocsp.OCSPRequestBuilder().add_certificate(parsed, by, SHA384()).build()
    return built.public_bytes(Encoding.DER)


def refusal(data: bytes) -> str | None:
    """Why a responder gives no answer ("TRY_LATER"); None for an answer, and for bytes that nobody can read."""
    try:
        status = ocsp.load_der_ocsp_response(data).response_status
    except _FOREIGN:
        return None
    return None if status is ocsp.OCSPResponseStatus.SUCCESSFUL else status.name


def is_answer(data: bytes) -> bool:
    """Whether a responder gives an answer in these bytes, whatever it says; believed by nobody."""
    try:
        status = ocsp.load_der_ocsp_response(data).response_status
    except _FOREIGN:
        return False
    return status is ocsp.OCSPResponseStatus.SUCCESSFUL


def next_update(data: bytes) -> datetime | None:
    """Until when an answer says that it is good, believed by nobody; None where it does not say, or is no answer."""
    try:
        return ocsp.load_der_ocsp_response(data).next_update_utc
    except _FOREIGN:
        return None


def _is_good(answer: OcspAnswer) -> bool:
    return answer.status is ocsp.OCSPCertStatus.GOOD


def _refusal(certificate: Certificate, answer: OcspAnswer) -> tuple[int, VerificationError]:
    """How bad an answer is, and the refusal."""
    name = certificate.common_name
    if answer.revoked_at is None:
        return 0, VerificationError(
            Reason.CERTIFICATE_STATUS_UNKNOWN, f"NVIDIA does not know the status of {name}"
        )
    on_hold = answer.reason is x509.ReasonFlags.certificate_hold
    why = "without a reason" if answer.reason is None else answer.reason.value
    return 1 if on_hold else 2, VerificationError(
        Reason.CERTIFICATE_REVOKED,
        f"{name} was revoked by NVIDIA {answer.revoked_at.isoformat()}: {why}",
    )


def _window(part: str, answer: OcspAnswer, now: datetime) -> PartValidity:
    expired = answer.ends if now > answer.ends else None
    return PartValidity(part, answer.this_update, answer.ends, expired)


def verify_answer(
    data: bytes, certificate: Certificate, issuer: Certificate, nonce: bytes | None = None
) -> OcspAnswer:
    """Authenticate an answer about `certificate`, which `issuer` has issued; both are authentic. No date is looked at.

    Args:
        data: DER.
        certificate: whom it must be about.
        issuer: who must have certified the responder.
        nonce: what the request said, which the answer must repeat; None where none was sent.

    Raises:
        VerificationError: `ocsp-invalid`.
    """
    answer = _authenticated(data, certificate, issuer)
    if nonce is not None and not compare_digest(answer.nonce or b"", nonce):
        raise VerificationError(
            Reason.OCSP_INVALID, f"{certificate.common_name}: the answer is to another request"
        )
    return answer


@lru_cache(maxsize=4096)
def _authenticated(data: bytes, certificate: Certificate, issuer: Certificate) -> OcspAnswer:
    if _about(data) not in certificate_ids(certificate, issuer):
        raise VerificationError(
            Reason.OCSP_INVALID, f"the answer is not about {certificate.common_name}"
        )
    try:
        return _read(ocsp.load_der_ocsp_response(data), issuer)
    except VerificationError as error:  # of the responder's certificate
        detail = f"answer about {certificate.common_name}: {error.detail}"
        raise VerificationError(Reason.OCSP_INVALID, detail) from error
    except _FOREIGN as error:
        detail = f"answer about {certificate.common_name}: {error}"
        raise VerificationError(Reason.OCSP_INVALID, detail) from error


def _read(response: ocsp.OCSPResponse, issuer: Certificate) -> OcspAnswer:
    """Raises ValueError and VerificationError."""
    responder = _responder(response, issuer)
    algorithm = response.signature_algorithm_oid
    if algorithm != SignatureAlgorithmOID.ECDSA_WITH_SHA384 or not responder.has_signed(
        response.signature, response.tbs_response_bytes
    ):
        raise ValueError(f"not signed by {responder.common_name} with ECDSA and SHA-384")
    if response.next_update_utc is None:
        raise ValueError("nextUpdate is missing")
    extensions = (*response.extensions, *response.single_extensions)
    if any(one.critical for one in extensions):
        raise ValueError("an extension is critical")
    nonces = [one.value.nonce for one in extensions if isinstance(one.value, x509.OCSPNonce)]
    return OcspAnswer(
        status=response.certificate_status,
        revoked_at=response.revocation_time_utc,
        reason=response.revocation_reason,
        begins=max(response.this_update_utc, responder.not_before),
        this_update=response.this_update_utc,
        ends=min(response.next_update_utc, responder.not_after),
        nonce=nonces[0] if nonces else None,
    )


def _responder(response: ocsp.OCSPResponse, issuer: Certificate) -> Certificate:
    """The certificate in the answer, if the issuer has made it for this. Raises ValueError and VerificationError."""
    (found,) = response.certificates  # ValueError unless there is exactly one
    responder = parse_certificate(
        found.public_bytes(Encoding.DER), issuer.suite, understood=frozenset({EXTENDED_KEY_USAGE})
    )
    if responder.issuer != issuer.subject or not issuer.has_signed(
        responder.signature, responder.tbs
    ):
        raise ValueError(f"{responder.common_name} is not certified by {issuer.common_name}")
    if responder.is_ca or responder.extensions.get(KEY_USAGE) != _DIGITAL_SIGNATURE:
        raise ValueError(f"{responder.common_name} is certified for another key usage")
    purposes = der.elements(
        der.only(responder.extensions.get(EXTENDED_KEY_USAGE, b""), der.SEQUENCE)
    )
    if not {_OCSP_SIGNING} <= set(purposes) <= _PURPOSES:
        raise ValueError(f"{responder.common_name} is not certified for OCSP alone")
    return responder
