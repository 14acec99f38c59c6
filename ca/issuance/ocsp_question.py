# SPDX-License-Identifier: Apache-2.0
"""A question about certificates (OCSPRequest, RFC 6960, section 4.1), read strictly and believed by nobody.

Limits come before anything else; DER alone is read. Who signed a question, or asks, is of no interest: everybody gets
the same answer. So requestorName and signature are read past. An extension that is not known is ignored, unless it is
critical (section 4.4). No I/O, no cryptography.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from cryptography import x509
from cryptography.hazmat import asn1

from ca.errors import RequestRefused

MAX_REQUEST_BYTES: Final = 4096  # sixteen CertIDs with SHA-384 have 2.5 KiB
MAX_CERTIFICATES: Final = 16
MAX_NONCE_BYTES: Final = 128  # RFC 9654, section 2.1
MAX_SERIAL_BYTES: Final = 20  # RFC 5280, section 4.1.2.2
NONCE: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.48.1.2")  # id-pkix-ocsp-nonce


@asn1.sequence
class OneValue:
    """With an implicit tag the same bytes as its value with an explicit one, which the library has not for any type."""

    value: asn1.TLV


@asn1.sequence
class Extension:
    """Extension of X.509, in questions and answers."""

    oid: x509.ObjectIdentifier
    critical: Annotated[bool, asn1.Default(value=False)]
    value: bytes


@asn1.sequence
class _HashAlgorithm:
    oid: x509.ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _CertId:
    algorithm: _HashAlgorithm
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial: int


@asn1.sequence
class _Request:
    certificate: asn1.TLV  # _CertId, whose bytes are repeated
    extensions: Annotated[list[Extension] | None, asn1.Explicit(0)]


@asn1.sequence
class _TbsRequest:
    version: Annotated[int | None, asn1.Explicit(0)]  # v1 in DER is absent; some write it
    requester: Annotated[OneValue | None, asn1.Implicit(1)]
    requests: Annotated[list[_Request], asn1.Size(1, MAX_CERTIFICATES)]
    extensions: Annotated[list[Extension] | None, asn1.Explicit(2)]


@asn1.sequence
class _OcspRequest:
    content: _TbsRequest
    signature: Annotated[OneValue | None, asn1.Implicit(0)]


@dataclass(frozen=True, slots=True)
class CertificateId:
    """One certificate that is asked about, as the client names it.

    Attributes:
        algorithm: dotted OID of the hash. issuer_name_hash, issuer_key_hash: of any length.
        serial: above 0, up to MAX_SERIAL_BYTES. The answer repeats and signs it: it is no place for a message.
    """

    algorithm: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial: int
    raw: asn1.TLV = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Question:
    """One request: 1 to MAX_CERTIFICATES certificates, each as often as it stood there; a nonce of 1 to 128 bytes."""

    certificates: tuple[CertificateId, ...]
    nonce: bytes | None

    @property
    def serials(self) -> frozenset[int]:
        """The serial numbers that are asked about."""
        return frozenset(one.serial for one in self.certificates)


def parse(der: bytes) -> Question:
    """The question in an OCSPRequest.

    Raises:
        RequestRefused: `malformed`: larger than MAX_REQUEST_BYTES, not DER, not version 1, no certificate or too many,
            a serial number that no certificate can have, a critical extension that is not known, one extension twice,
            a nonce of another length.
    """
    if len(der) > MAX_REQUEST_BYTES:
        raise _malformed(f"more than {MAX_REQUEST_BYTES} bytes")
    try:
        content = asn1.decode_der(_OcspRequest, der).content
        named = [(one.certificate, one.certificate.parse(_CertId)) for one in content.requests]
    except ValueError as error:
        raise _malformed("not an OCSPRequest in DER, or too many certificates in one") from error
    if content.version not in {None, 0}:
        raise _malformed("not version 1")
    for one in content.requests:
        _known(one.extensions, frozenset())
    extensions = _known(content.extensions, frozenset({NONCE}))
    return Question(tuple(_certificate(*each) for each in named), _nonce(extensions.get(NONCE)))


def _certificate(raw: asn1.TLV, read: _CertId) -> CertificateId:
    """Raises RequestRefused."""
    if not 0 < read.serial < 1 << 8 * MAX_SERIAL_BYTES:
        raise _malformed("not a serial number")
    return CertificateId(
        algorithm=read.algorithm.oid.dotted_string,
        issuer_name_hash=read.issuer_name_hash,
        issuer_key_hash=read.issuer_key_hash,
        serial=read.serial,
        raw=raw,
    )


def _known(
    extensions: list[Extension] | None, known: frozenset[x509.ObjectIdentifier]
) -> dict[x509.ObjectIdentifier, bytes]:
    """The extensions by identifier. Raises RequestRefused."""
    found: dict[x509.ObjectIdentifier, bytes] = {}
    for one in extensions or ():
        if one.oid in found:
            raise _malformed("an extension twice")
        if one.critical and one.oid not in known:
            raise _malformed("a critical extension that is not known")
        found[one.oid] = one.value
    return found


def _nonce(value: bytes | None) -> bytes | None:
    """The nonce in the value of its extension. Raises RequestRefused (RFC 9654, section 2.1)."""
    if value is None:
        return None
    try:
        nonce = asn1.decode_der(bytes, value)
    except ValueError as error:
        raise _malformed("the nonce is no OCTET STRING") from error
    if not 1 <= len(nonce) <= MAX_NONCE_BYTES:
        raise _malformed(f"the nonce must have 1 to {MAX_NONCE_BYTES} bytes")
    return nonce


def _malformed(detail: str) -> RequestRefused:
    return RequestRefused(f"OCSP request: {detail}", code="malformed")
