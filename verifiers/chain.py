# SPDX-License-Identifier: Apache-2.0
"""Certificate chains and CRLs of vendors whose whole PKI is P-256 with SHA-256.

Everything here that costs a signature is a pure function of exact bytes, free of time, and remembered (`lru_cache`:
the bytes themselves are the key, only successes are kept). Dates and revocation are judged by `check_validity` and
`check_not_revoked` at every use. Source: RFC 5280 sections 5 and 6.1.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from verifiers import der
from verifiers.certificate import FOREIGN, Certificate, parse_certificate, signed_fields
from verifiers.errors import Reason, VerificationError
from verifiers.signatures import p256_signed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from verifiers.anchors import Anchor

_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n"
_CRL_VERSION_2: Final = (der.INTEGER, b"\x01")


@dataclass(frozen=True, slots=True)
class Crl:
    """One authenticated CRL: signed by the issuer it was checked against."""

    x509: x509.CertificateRevocationList
    number: int
    this_update: datetime
    next_update: datetime


def split_pem(pem: bytes, count: int, what: str) -> tuple[bytes, ...]:
    """The DER of exactly `count` PEM certificates and nothing else but white space and trailing NULs."""
    blocks = pem.rstrip(b"\x00 \t\r\n").split(_END)
    if len(blocks) != count + 1 or blocks.pop():
        raise VerificationError(
            Reason.CHAIN, f"{what}: not exactly {count} PEM certificates and nothing else"
        )
    return tuple(_pem_body(block.lstrip(), what) for block in blocks)


def _pem_body(block: bytes, what: str) -> bytes:
    body = block.removeprefix(_BEGIN)
    if body is block or body.translate(None, _BASE64):
        raise VerificationError(Reason.CHAIN, f"{what}: something that is no PEM certificate")
    try:
        return binascii.a2b_base64(body)
    except binascii.Error as error:
        raise VerificationError(Reason.CHAIN, f"{what}: bad Base64") from error


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
    chain = tuple(
        anchor.certificate if data == anchor.certificate.der else parse_certificate(data)
        for data in ders
    )
    root = chain[-1]
    for certificate, allowed in zip(chain, names, strict=True):
        if certificate.common_name not in allowed:
            raise VerificationError(
                Reason.CHAIN,
                f"subject is {certificate.common_name!r}, not {' or '.join(sorted(allowed))}",
            )
    if root.spki != anchor.certificate.spki:
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
        if certificate is not anchor.certificate:
            _check_issued_by(certificate, issuer)
    return chain


def _check_may_issue(issuer: Certificate, intermediates_below: int) -> None:
    if not issuer.is_ca or not issuer.may_sign_certificates:
        raise VerificationError(Reason.CHAIN, f"{issuer.common_name} may not issue certificates")
    if issuer.path_length is not None and intermediates_below > issuer.path_length:
        raise VerificationError(
            Reason.CHAIN, f"{issuer.common_name} allows {issuer.path_length} CAs below it"
        )


@lru_cache(maxsize=4096)
def _check_issued_by(certificate: Certificate, issuer: Certificate) -> None:
    """Names and one signature; remembered, for CAs stand in several chains."""
    if certificate.issuer != issuer.subject:
        raise VerificationError(
            Reason.CHAIN,
            f"{certificate.common_name} names another issuer than {issuer.common_name}",
        )
    if not p256_signed(issuer.public_key, certificate.signature, certificate.tbs):
        raise VerificationError(
            Reason.CHAIN, f"{certificate.common_name} is not signed by {issuer.common_name}"
        )


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


def verify_crl(data: bytes, issuer: Certificate, what: str) -> Crl:
    """Authenticate a CRL against the certificate that must have signed it. Dates are not looked at.

    Raises:
        VerificationError: `crl-invalid`.
    """
    try:
        return _verify_crl(data, issuer)
    except FOREIGN as error:
        raise VerificationError(Reason.CRL_INVALID, f"{what}: {error}") from error


def _verify_crl(data: bytes, issuer: Certificate) -> Crl:
    crl = x509.load_der_x509_crl(data)
    tbs, signature, fields = signed_fields(data)
    if len(fields) < 3 or fields[0] != _CRL_VERSION_2 or fields[2][1] != issuer.subject:
        raise ValueError(f"not a version 2 CRL issued by {issuer.common_name}")
    if not issuer.may_sign_crls:
        raise ValueError(f"{issuer.common_name} may not sign CRLs")
    number, key_id = _crl_extensions(crl)
    if key_id != issuer.subject_key_id:
        raise ValueError(f"authority key identifier is not {issuer.common_name}'s")
    if crl.next_update_utc is None:
        raise ValueError("nextUpdate is missing")
    if not p256_signed(issuer.public_key, signature, tbs):
        raise ValueError(f"not signed by {issuer.common_name}")
    return Crl(crl, number, crl.last_update_utc, crl.next_update_utc)


def _crl_extensions(crl: x509.CertificateRevocationList) -> tuple[int, bytes]:
    """CRL number and authority key identifier; both must be there, and nothing critical beside them."""
    number: int | None = None
    key_id: bytes | None = None
    for extension in crl.extensions:
        if extension.oid == ExtensionOID.CRL_NUMBER:
            number = cast("x509.CRLNumber", extension.value).crl_number
        elif extension.oid == ExtensionOID.AUTHORITY_KEY_IDENTIFIER:
            key_id = cast("x509.AuthorityKeyIdentifier", extension.value).key_identifier
        elif extension.critical:
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
