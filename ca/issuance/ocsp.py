# SPDX-License-Identifier: Apache-2.0
"""Who answers questions about certificates, and the signed answers (OCSPResponse, RFC 6960, section 4.2).

Rules:
- A delegated responder speaks for the issuing CA that signed it alone (section 4.2.2.2), so one message is about
  certificates of one issuing CA. All others are `unauthorized`: not ours to answer (section 2.3).
- Each CertID is repeated byte for byte, so with the hash that the client chose: some know SHA-1 alone, which names a
  certificate here and protects nothing.
- "good" is said of a certificate that was issued and of nothing else. A serial number that was never issued is
  "unknown" and not "revoked" (section 2.2 leaves the choice): revoked is what a revocation on record says, and
  nothing else.
- The key is the responder's own: asking for a status never waits for the issuing key, nor the other way round.

No I/O; the time is the caller's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from ca.issuance import tbs
from ca.issuance.ocsp_question import NONCE, Extension, OneValue
from ca.issuance.reasons import RevocationReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

    from ca.issuance.crl import Revoked
    from ca.issuance.ocsp_question import CertificateId, Question

LIFETIME: Final = timedelta(hours=1)  # thisUpdate to nextUpdate
_BASIC: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.48.1.1")  # id-pkix-ocsp-basic
_HASHES: Final = {  # by which clients name an issuing CA
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
}


# who answers


@dataclass(frozen=True, slots=True)
class Responder:
    """A delegated responder with its key. Made by `of`.

    Attributes:
        issuer_key_id: SubjectKeyIdentifier of the issuing CA that it speaks for, 20 bytes.
        names: the issuing CA as clients name it: (hash OID, hash of its subject, hash of its key).
        key_hash: SHA-1 of the responder's own key, 20 bytes (section 4.2.1).
    """

    issuer_key_id: bytes
    names: frozenset[tuple[str, bytes, bytes]]
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    key_hash: bytes

    @classmethod
    def of(
        cls,
        issuer: x509.Certificate,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
    ) -> Responder:
        """The responder of one issuing CA; `certificate` was linted when it was made."""
        subject, public = issuer.subject.public_bytes(), _key_bits(issuer)
        names = frozenset(
            (oid, _hash(name, subject), _hash(name, public)) for oid, name in _HASHES.items()
        )
        key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        return cls(key_id, names, certificate, key, _hash("sha1", _key_bits(certificate)))

    def speaks_for(self, one: CertificateId) -> bool:
        """Whether its issuing CA is the one that is named."""
        return (one.algorithm, one.issuer_name_hash, one.issuer_key_hash) in self.names


def _hash(name: str, data: bytes) -> bytes:
    return hashlib.new(name, data, usedforsecurity=False).digest()  # finds a key, vouches for none


def _key_bits(certificate: x509.Certificate) -> bytes:
    """The BIT STRING of the key without tag, length and unused bits. Our keys are EC, in uncompressed form."""
    return certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def responder_for(question: Question, responders: Iterable[Responder]) -> Responder | None:
    """The first that speaks for every certificate of the question; None: `unauthorized`."""
    for responder in responders:
        if all(map(responder.speaks_for, question.certificates)):
            return responder
    return None


# the answer, section 4.2.1


@asn1.sequence
class _RevokedInfo:
    at: asn1.GeneralizedTime
    reason: Annotated[OneValue | None, asn1.Implicit(0)]


_Status: TypeAlias = (
    Annotated[asn1.Variant[asn1.Null, Literal["good"]], asn1.Implicit(0)]
    | Annotated[asn1.Variant[_RevokedInfo, Literal["revoked"]], asn1.Implicit(1)]
    | Annotated[asn1.Variant[asn1.Null, Literal["unknown"]], asn1.Implicit(2)]
)


@asn1.sequence
class _SingleResponse:
    certificate: asn1.TLV
    status: _Status
    this_update: asn1.GeneralizedTime
    next_update: Annotated[asn1.GeneralizedTime, asn1.Explicit(0)]


@asn1.sequence
class _ResponseData:
    responder_key_hash: Annotated[bytes, asn1.Explicit(2)]
    produced_at: asn1.GeneralizedTime
    responses: list[_SingleResponse]
    extensions: Annotated[list[Extension] | None, asn1.Explicit(1)]


@asn1.sequence
class _BasicResponse:
    content: asn1.TLV
    algorithm: tbs.AlgorithmIdentifier
    signature: asn1.BitString
    certificates: Annotated[list[x509.Certificate], asn1.Explicit(0)]


@asn1.sequence
class _ResponseBytes:
    kind: x509.ObjectIdentifier
    response: bytes


@asn1.sequence
class _OcspResponse:
    status: asn1.TLV
    content: Annotated[_ResponseBytes, asn1.Explicit(0)]


def answer(
    question: Question,
    responder: Responder,
    statuses: Mapping[int, Revoked | None],
    *,
    now: datetime,
) -> bytes:
    """DER OCSPResponse, signed, valid for LIFETIME or until the responder's certificate ends.

    Args:
        question: what `responder_for` found `responder` for.
        responder: its certificate is valid at `now`.
        now: thisUpdate.
        statuses: by serial number: when it was revoked, or None for one that was issued and is not revoked. What was
            never issued is not there.
    """
    start = _seconds(now)
    end = asn1.GeneralizedTime(min(start + LIFETIME, responder.certificate.not_valid_after_utc))
    this = asn1.GeneralizedTime(start)
    singles = [
        _SingleResponse(
            certificate=one.raw,
            status=_status(one.serial, statuses),
            this_update=this,
            next_update=end,
        )
        for one in question.certificates
    ]
    content = _ResponseData(
        responder_key_hash=responder.key_hash,
        produced_at=this,
        responses=singles,
        extensions=_repeated(question.nonce),
    )
    return _signed(asn1.encode_der(content), responder)


def unsuccessful(status: ocsp.OCSPResponseStatus) -> bytes:
    """DER OCSPResponse that says why there is no answer. It is not signed (section 2.3)."""
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


def _signed(content: bytes, responder: Responder) -> bytes:
    basic = _BasicResponse(
        content=asn1.decode_der(asn1.TLV, content),
        algorithm=tbs.algorithm(responder.key.public_key()),
        signature=asn1.BitString(tbs.sign(responder.key, content), 0),
        certificates=[responder.certificate],
    )
    return asn1.encode_der(
        _OcspResponse(
            status=_enumerated(0),  # successful
            content=_ResponseBytes(kind=_BASIC, response=asn1.encode_der(basic)),
        )
    )


def _status(serial: int, statuses: Mapping[int, Revoked | None]) -> _Status:
    if serial not in statuses:
        return asn1.Variant(asn1.Null(), "unknown")
    revoked = statuses[serial]
    if revoked is None:
        return asn1.Variant(asn1.Null(), "good")
    said = revoked.reason is not RevocationReason.UNSPECIFIED  # RFC 5280, section 5.3.1
    info = _RevokedInfo(
        at=asn1.GeneralizedTime(_seconds(revoked.since)),
        reason=OneValue(value=_enumerated(revoked.reason.code)) if said else None,
    )
    return asn1.Variant(info, "revoked")


def _repeated(nonce: bytes | None) -> list[Extension] | None:
    if nonce is None:
        return None
    return [Extension(oid=NONCE, critical=False, value=asn1.encode_der(nonce))]


def _enumerated(value: int) -> asn1.TLV:
    """ENUMERATED of one byte, which the library has no type for."""
    return asn1.decode_der(asn1.TLV, bytes([0x0A, 1, value]))


def _seconds(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(microsecond=0)
