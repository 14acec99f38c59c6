# SPDX-License-Identifier: Apache-2.0
"""Certificate chains and CRLs of vendors whose whole PKI is P-256 with SHA-256.

Everything here that costs a signature is a pure function of exact bytes, free of time, and remembered (`lru_cache`:
the bytes themselves are the key, only successes are kept). Dates and revocation are judged by `check_validity` and
`check_not_revoked` at every use. Source: RFC 5280 sections 4.2, 5, 6.1.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, NameOID, SignatureAlgorithmOID

from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from verifiers.anchors import Anchor

# What the library raises on bad DER; nothing else escapes it (fuzzed).
FOREIGN: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
)
_PEM: Final = re.compile(
    rb"\s*-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----\s*"
)
_KNOWN_CRITICAL: Final = frozenset({ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE})


@dataclass(frozen=True, slots=True)
class Certificate:
    """One parsed certificate with what chain building needs of it; trusted by nobody yet."""

    der: bytes
    x509: x509.Certificate
    public_key: ec.EllipticCurvePublicKey
    spki_der: bytes
    common_name: str
    serial_number: int
    not_before: datetime
    not_after: datetime
    is_ca: bool
    path_length: int | None
    may_sign_certificates: bool
    may_sign_crls: bool
    subject_key_id: bytes | None


@dataclass(frozen=True, slots=True)
class Crl:
    """One authenticated CRL: signed by the issuer it was checked against."""

    x509: x509.CertificateRevocationList
    number: int
    this_update: datetime
    next_update: datetime


def split_pem(pem: bytes, count: int, what: str) -> tuple[bytes, ...]:
    """The DER of exactly `count` PEM certificates and nothing else but white space and trailing NULs."""
    text = pem.rstrip(b"\x00")
    ders: list[bytes] = []
    position = 0
    while position < len(text):
        match = _PEM.match(text, position)
        if match is None or len(ders) == count:
            detail = "more certificates" if match else "something that is no PEM certificate"
            raise VerificationError(Reason.CHAIN, f"{what}: {detail} after {len(ders)} of {count}")
        position = match.end()
        try:
            ders.append(base64.b64decode(re.sub(rb"\s", b"", match[1]), validate=True))
        except binascii.Error as error:
            raise VerificationError(Reason.CHAIN, f"{what}: bad Base64") from error
    if len(ders) != count:
        raise VerificationError(
            Reason.CHAIN, f"{what}: {count} certificates wanted, {len(ders)} found"
        )
    return tuple(ders)


@lru_cache(maxsize=4096)
def parse_certificate(der: bytes) -> Certificate:
    """Parse one certificate. Raises `chain` for anything that is not P-256, SHA-256 and plain RFC 5280."""
    try:
        return _parse_certificate(der)
    except FOREIGN as error:
        raise VerificationError(Reason.CHAIN, f"certificate cannot be read: {error}") from error


def _parse_certificate(der: bytes) -> Certificate:
    certificate = x509.load_der_x509_certificate(der)
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("key is not P-256")  # noqa: TRY004 - bad bytes, not a bad argument
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        raise ValueError("signature algorithm is not ecdsa-with-SHA256")
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    basic = usage = key_id = None
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _KNOWN_CRITICAL:
            raise ValueError(f"unknown critical extension {extension.oid.dotted_string}")
        match extension.value:
            case x509.BasicConstraints():
                basic = extension.value
            case x509.KeyUsage():
                usage = extension.value
            case x509.SubjectKeyIdentifier():
                key_id = extension.value.digest
            case _:
                pass
    return Certificate(
        der=der,
        x509=certificate,
        public_key=key,
        spki_der=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        common_name=str(names[0].value) if len(names) == 1 else "",
        serial_number=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        is_ca=basic is not None and basic.ca,
        path_length=basic.path_length if basic is not None else None,
        may_sign_certificates=usage is not None and usage.key_cert_sign,
        may_sign_crls=usage is not None and usage.crl_sign,
        subject_key_id=key_id,
    )


@lru_cache(maxsize=4096)
def verify_chain(
    ders: tuple[bytes, ...],
    names: tuple[frozenset[str], ...],
    anchor: Anchor,
    *,
    first_is_ca: bool = False,
) -> tuple[Certificate, ...]:
    """Authenticate a chain, leaf first, whose last certificate holds the anchor's key. Dates are not looked at.

    Args:
        ders: the certificates, each issued by the next; the last is self-signed.
        names: for each the common names that it may have.
        anchor: the pinned root.
        first_is_ca: whether the chain is a CA's own (the issuer of a CRL) or an end entity's.

    Raises:
        VerificationError: `untrusted-root`, or `chain` for any other fault.
    """
    chain = tuple(parse_certificate(der) for der in ders)
    root = chain[-1]
    for certificate, allowed in zip(chain, names, strict=True):
        if certificate.common_name not in allowed:
            raise VerificationError(
                Reason.CHAIN,
                f"subject is {certificate.common_name!r}, not {' or '.join(sorted(allowed))}",
            )
    if root.spki_der != anchor.spki_der:
        raise VerificationError(
            Reason.UNTRUSTED_ROOT,
            f"the chain ends at another key than the pinned {root.common_name}",
        )
    if chain[0].is_ca is not first_is_ca:
        kind = "a CA" if chain[0].is_ca else "no CA"
        raise VerificationError(Reason.CHAIN, f"{chain[0].common_name} is {kind}")
    for below, certificate in enumerate(chain):
        issuer = chain[min(below + 1, len(chain) - 1)]
        _check_may_issue(issuer, intermediates_below=min(below, len(chain) - 2))
        if certificate.der != anchor.certificate_der:
            _check_issued_by(certificate.der, issuer.der)
    return chain


def _check_may_issue(issuer: Certificate, intermediates_below: int) -> None:
    if not issuer.is_ca or not issuer.may_sign_certificates:
        raise VerificationError(Reason.CHAIN, f"{issuer.common_name} may not issue certificates")
    if issuer.path_length is not None and intermediates_below > issuer.path_length:
        raise VerificationError(
            Reason.CHAIN, f"{issuer.common_name} allows {issuer.path_length} CAs below it"
        )


@lru_cache(maxsize=4096)
def _check_issued_by(der: bytes, issuer_der: bytes) -> None:
    """One signature and its algorithm identifiers; remembered, for CAs stand in several chains."""
    certificate, issuer = parse_certificate(der), parse_certificate(issuer_der)
    try:
        certificate.x509.verify_directly_issued_by(issuer.x509)
    except (InvalidSignature, *FOREIGN) as error:
        raise VerificationError(
            Reason.CHAIN, f"{certificate.common_name} is not signed by {issuer.common_name}"
        ) from error


def check_validity(chain: Sequence[Certificate], now: datetime) -> None:
    """Demand that `now` lies within every certificate's dates, ends included."""
    for certificate in chain:
        if now < certificate.not_before:
            raise VerificationError(
                Reason.CERTIFICATE_NOT_YET_VALID,
                f"{certificate.common_name} is valid from {certificate.not_before.isoformat()}",
            )
        if now > certificate.not_after:
            raise VerificationError(
                Reason.CERTIFICATE_EXPIRED,
                f"{certificate.common_name} ended {certificate.not_after.isoformat()}",
            )


def verify_crl(der: bytes, issuer: Certificate, what: str) -> Crl:
    """Authenticate a CRL against the certificate that must have signed it. Dates are not looked at.

    Raises:
        VerificationError: `crl-invalid`.
    """
    try:
        return _verify_crl(der, issuer)
    except FOREIGN as error:
        raise VerificationError(Reason.CRL_INVALID, f"{what}: {error}") from error


def _verify_crl(der: bytes, issuer: Certificate) -> Crl:
    crl = x509.load_der_x509_crl(der)
    if crl.issuer != issuer.x509.subject:
        raise ValueError(f"issued by another CA than {issuer.common_name}")
    if not issuer.may_sign_crls:
        raise ValueError(f"{issuer.common_name} may not sign CRLs")
    if crl.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        raise ValueError("signature algorithm is not ecdsa-with-SHA256")
    number, key_id = _crl_extensions(crl)
    if key_id != issuer.subject_key_id:
        raise ValueError(f"authority key identifier is not {issuer.common_name}'s")
    if crl.next_update_utc is None:
        raise ValueError("nextUpdate is missing")
    if not crl.is_signature_valid(issuer.public_key):
        raise ValueError(f"not signed by {issuer.common_name}")
    return Crl(crl, number, crl.last_update_utc, crl.next_update_utc)


def _crl_extensions(crl: x509.CertificateRevocationList) -> tuple[int, bytes]:
    """CRL number and authority key identifier; both must be there, and nothing critical beside them."""
    number = key_id = None
    for extension in crl.extensions:
        match extension.value:
            case x509.CRLNumber():
                number = extension.value.crl_number
            case x509.AuthorityKeyIdentifier():
                key_id = extension.value.key_identifier
            case _:
                if extension.critical:
                    raise ValueError(f"unknown critical extension {extension.oid.dotted_string}")
    if number is None or key_id is None:
        raise ValueError("CRL number or authority key identifier is missing")
    return number, key_id


def check_not_revoked(certificate: Certificate, crl: Crl) -> None:
    """Demand that the CRL does not list the certificate's serial number, whatever its reason."""
    entry = crl.x509.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is not None:
        raise VerificationError(
            Reason.CERTIFICATE_REVOKED,
            f"{certificate.common_name} was revoked {entry.revocation_date_utc.isoformat()}",
        )
