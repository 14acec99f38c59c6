# SPDX-License-Identifier: Apache-2.0
"""Certificate chains of vendors whose whole PKI is of one suite, and CRLs of P-256 with SHA-256.

Chains are judged from the pinned root down, so that nothing below a certificate is read as signed before that
certificate is authentic. What was authenticated is remembered (`lru_cache`: the exact bytes are the key, only successes
are kept, so that nobody can fill the memory with certificates of his own). No date is looked at here but by
`check_validity`, no revocation but by `check_not_revoked`: both are asked at every use. Source: RFC 5280 sections 5 and
6.1.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography import x509

from verifiers import der
from verifiers.certificate import (
    AUTHORITY_KEY_IDENTIFIER,
    FOREIGN,
    KEY_IDENTIFIER,
    Certificate,
    parse_certificate,
    parse_extensions,
    parse_issued,
    signed_fields,
)
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from verifiers.anchors import Anchor

_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
_SPACE: Final = b" \t\r\n"
_CRL_VERSION_2: Final = (der.INTEGER, b"\x01")
_CRL_NUMBER: Final = bytes.fromhex("551d14")  # content octets of the OID


@dataclass(frozen=True, slots=True)
class Crl:
    """One authenticated CRL: signed by the issuer it was checked against. `x509` is what the library reads in `der`."""

    der: bytes
    x509: x509.CertificateRevocationList
    number: int
    this_update: datetime
    next_update: datetime


def split_pem(pem: bytes, count: int | None, what: str) -> tuple[bytes, ...]:
    """The DER of exactly `count` PEM certificates and nothing else but white space and trailing NULs.

    None for `count` takes any number from one on. Raises VerificationError (`chain`).
    """
    *blocks, rest = pem.rstrip(b"\x00" + _SPACE).split(_END)
    if rest or not blocks or (count is not None and len(blocks) != count):
        wanted = "PEM certificates" if count is None else f"exactly {count} PEM certificates"
        raise VerificationError(Reason.CHAIN, f"{what}: not {wanted} and nothing else")
    try:
        return tuple([_pem_body(block.lstrip(_SPACE)) for block in blocks])
    except ValueError as error:
        raise VerificationError(
            Reason.CHAIN, f"{what}: something that is no PEM certificate"
        ) from error


@lru_cache(maxsize=64)
def _pem_body(block: bytes) -> bytes:
    """One block up to its END line. The Base64 is the one that encodes these bytes, in lines of any length.

    Remembered, for the same few CAs stand in every text; only a few are kept, for blocks are not yet authentic.
    """
    body = block.removeprefix(_BEGIN)
    text = body.replace(b"\n", b"").replace(b"\r", b"")
    data = binascii.a2b_base64(text)
    if body is block or not data or binascii.b2a_base64(data, newline=False) != text:
        raise ValueError("not the PEM text of these bytes")
    return data


def verify_chain(
    ders: tuple[bytes, ...],
    names: tuple[frozenset[str], ...] | None,
    anchor: Anchor,
    *,
    first_is_ca: bool = False,
) -> tuple[Certificate, ...]:
    """Authenticate a chain, leaf first, whose last certificate holds the anchor's key. Dates are not looked at.

    Args:
        ders: the certificates, each issued by the next; the last is self-signed.
        names: for each the common names that it may have; None if the caller judges them.
        anchor: the pinned root.
        first_is_ca: whether the chain is a CA's own (the issuer of a CRL) or an end entity's.

    Raises:
        VerificationError: `untrusted-root`, or `chain` for any other fault.
    """
    chain = [_root(ders[-1], None if names is None else names[-1], anchor)]
    for below in reversed(range(len(ders) - 1)):
        _check_may_issue(chain[-1], intermediates_below=below)
        chain.append(_below(chain[-1], ders[below], anchor))
        _check_name(chain[-1], None if names is None else names[below])
    if chain[-1].is_ca is not first_is_ca:
        kind = "no CA" if first_is_ca else "a CA"
        raise VerificationError(Reason.CHAIN, f"{chain[-1].common_name} is {kind}")
    return tuple(reversed(chain))


def _root(data: bytes, names: frozenset[str] | None, anchor: Anchor) -> Certificate:
    """The anchor, or another self-signed certificate of its name and key."""
    if data == anchor.certificate.der:
        return anchor.certificate
    root = parse_certificate(data, anchor.certificate.suite)
    _check_name(root, names)
    if root.spki != anchor.certificate.spki:
        raise VerificationError(
            Reason.UNTRUSTED_ROOT,
            f"the chain ends at another key than the pinned {root.common_name}",
        )
    return _issued(data, anchor.certificate)


def _below(issuer: Certificate, data: bytes, anchor: Anchor) -> Certificate:
    """The certificate in `data`, which `issuer` has issued: one that the anchor knows beforehand, or any other."""
    known = anchor.issued.get(data) if issuer is anchor.certificate else None
    return known or _issued(data, issuer)


_issued = lru_cache(maxsize=4096)(parse_issued)


def _check_name(certificate: Certificate, allowed: frozenset[str] | None) -> None:
    if allowed is not None and certificate.common_name not in allowed:
        raise VerificationError(
            Reason.CHAIN,
            f"subject is {certificate.common_name!r}, not {' or '.join(sorted(allowed))}",
        )


def _check_may_issue(issuer: Certificate, intermediates_below: int) -> None:
    if not issuer.is_ca or not issuer.may_sign_certificates:
        raise VerificationError(Reason.CHAIN, f"{issuer.common_name} may not issue certificates")
    if issuer.path_length is not None and intermediates_below > issuer.path_length:
        raise VerificationError(
            Reason.CHAIN, f"{issuer.common_name} allows {issuer.path_length} CAs below it"
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
    tbs, signature, fields = signed_fields(data)
    if len(fields) < 3 or fields[0] != _CRL_VERSION_2 or fields[2][1] != issuer.subject:
        raise ValueError(f"not a version 2 CRL issued by {issuer.common_name}")
    if not issuer.may_sign_crls:
        raise ValueError(f"{issuer.common_name} may not sign CRLs")
    if not issuer.has_signed(signature, tbs):
        raise ValueError(f"not signed by {issuer.common_name}")
    crl = x509.load_der_x509_crl(data)
    number = _crl_number(fields[-1], issuer)
    if crl.next_update_utc is None:
        raise ValueError("nextUpdate is missing")
    return Crl(data, crl, number, crl.last_update_utc, crl.next_update_utc)


def _crl_number(extensions: tuple[int, bytes], issuer: Certificate) -> int:
    """The CRL number; the authority key identifier must be there too, and be the issuer's (RFC 5280 5.2.1, 5.2.3)."""
    tag, content = extensions
    found = parse_extensions(content, understood=frozenset()) if tag == der.CONTEXT_0 else {}
    if _CRL_NUMBER not in found or AUTHORITY_KEY_IDENTIFIER not in found:
        raise ValueError("CRL number or authority key identifier is missing")
    authority = der.elements(der.only(found[AUTHORITY_KEY_IDENTIFIER], der.SEQUENCE))
    if authority[:1] != ((KEY_IDENTIFIER, issuer.subject_key_id),):
        raise ValueError(f"authority key identifier is not {issuer.common_name}'s")
    return der.unsigned(der.only(found[_CRL_NUMBER], der.INTEGER))


def check_not_revoked(certificate: Certificate, crl: Crl) -> None:
    """Demand that the CRL does not list the certificate's serial number, whatever its reason.

    DER has one spelling of a number: only where its octets stand somewhere in the list are the entries looked at.
    """
    number = certificate.serial_number
    if number.to_bytes(number.bit_length() // 8 + 1, "big") not in crl.der:
        return
    entry = crl.x509.get_revoked_certificate_by_serial_number(number)
    if entry is not None:
        raise VerificationError(
            Reason.CERTIFICATE_REVOKED,
            f"{certificate.common_name} was revoked {entry.revocation_date_utc.isoformat()}",
        )
