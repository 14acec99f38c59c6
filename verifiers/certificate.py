# SPDX-License-Identifier: Apache-2.0
"""One certificate, parsed, for PKIs that are all P-256 with SHA-256; trusted by nobody yet.

The library reads it; where bytes are compared or signed, the exact slices of the DER are kept beside, so that what is
checked is what stands there. Source: RFC 5280 sections 4.1 and 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID

from verifiers import der
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from datetime import datetime

# What the library raises on bad DER; nothing else escapes it (fuzzed).
FOREIGN: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
)
_COMMON_NAME: Final = bytes.fromhex("0603550403")


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """One parsed certificate with what chain building needs of it; trusted by nobody yet.

    `tbs`, `issuer`, `subject` and `spki` are exact slices of `der`: what is compared and checked is what stands there.
    Equal bytes are the same certificate.
    """

    der: bytes
    x509: x509.Certificate
    public_key: ec.EllipticCurvePublicKey
    tbs: bytes
    signature: bytes
    issuer: bytes
    subject: bytes
    spki: bytes
    common_name: str
    serial_number: int
    not_before: datetime
    not_after: datetime
    is_ca: bool
    path_length: int | None
    may_sign_certificates: bool
    may_sign_crls: bool
    subject_key_id: bytes | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)


@lru_cache(maxsize=4096)
def parse_certificate(data: bytes) -> Certificate:
    """Parse one certificate. Raises `chain` for anything that is not P-256, SHA-256 and plain RFC 5280."""
    try:
        return _parse_certificate(data)
    except FOREIGN as error:
        raise VerificationError(Reason.CHAIN, f"certificate cannot be read: {error}") from error


def _parse_certificate(data: bytes) -> Certificate:
    certificate = x509.load_der_x509_certificate(data)
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise ValueError("key is not P-256")
    tbs, signature, fields = signed_fields(data)
    if len(fields) < 8 or fields[0][0] != der.CONTEXT_0:
        raise ValueError("not a version 3 certificate")
    usage = _Usage(certificate.extensions)
    return Certificate(
        der=data,
        x509=certificate,
        public_key=key,
        tbs=tbs,
        signature=signature,
        issuer=fields[3][1],
        subject=fields[5][1],
        spki=fields[6][1],
        common_name=_common_name(fields[5][1]),
        serial_number=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        is_ca=usage.is_ca,
        path_length=usage.path_length,
        may_sign_certificates=usage.certificates,
        may_sign_crls=usage.crls,
        subject_key_id=usage.subject_key_id,
    )


def signed_fields(data: bytes) -> tuple[bytes, bytes, tuple[tuple[int, bytes], ...]]:
    """(TBS, signature, elements of the TBS) of a certificate or CRL whose two algorithm fields are ecdsa-with-SHA256.

    RFC 5280 4.1.1.2 and 5.1.1.2: the inner field must be the same as the outer one.
    """
    tbs, algorithm, signature = der.signed(data)
    fields = der.elements(der.only(tbs, der.SEQUENCE))
    inner = next((content for tag, content in fields if tag == der.SEQUENCE), b"")
    if algorithm != der.ECDSA_WITH_SHA256 or inner != algorithm:
        raise ValueError("signature algorithm is not ecdsa-with-SHA256, inside and outside")
    return tbs, signature, fields


def _common_name(subject: bytes) -> str:
    """The common name in the content of a Name, or "" unless there is exactly one, alone in its RDN."""
    names = [rdn for _, rdn in der.elements(subject) if rdn[2:7] == _COMMON_NAME]
    if len(names) != 1:
        return ""
    _, value = der.elements(der.only(names[0], der.SEQUENCE))
    return value[1].decode("utf-8")


class _Usage:
    """What the extensions allow. Raises ValueError for a critical extension that is not understood."""

    def __init__(self, extensions: x509.Extensions) -> None:
        self.is_ca = self.certificates = self.crls = False
        self.path_length: int | None = None
        self.subject_key_id: bytes | None = None
        for extension in extensions:
            oid, value = extension.oid, extension.value
            if oid == ExtensionOID.BASIC_CONSTRAINTS:
                basic = cast("x509.BasicConstraints", value)
                self.is_ca, self.path_length = basic.ca, basic.path_length
            elif oid == ExtensionOID.KEY_USAGE:
                usage = cast("x509.KeyUsage", value)
                self.certificates, self.crls = usage.key_cert_sign, usage.crl_sign
            elif oid == ExtensionOID.SUBJECT_KEY_IDENTIFIER:
                self.subject_key_id = cast("x509.SubjectKeyIdentifier", value).digest
            elif extension.critical:
                raise ValueError(f"unknown critical extension {oid.dotted_string}")
