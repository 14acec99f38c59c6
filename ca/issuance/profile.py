# SPDX-License-Identifier: Apache-2.0
"""The leaf profile: what every leaf has, and for how long it may live.

    version 3 · serial of 16 bytes, 126 of its bits random · signature ecdsa-with-SHA256
    subject            serialNumber (2.5.4.5) = the certificate's serial in hex. Unique, granted by nobody, claims
                       nothing, and never empty: an empty subject would need a critical subjectAltName, and no name at
                       all is a certificate that many programs refuse. A common name would be read as a host name by
                       old ones.
    basicConstraints   critical, cA false
    keyUsage           critical, digitalSignature
    extKeyUsage        clientAuth, serverAuth
    subjectAltName     what the policy granted; absent if that is nothing
    authorityKeyIdentifier, subjectKeyIdentifier
    certificatePolicies   one OID: the assurance level
    authorityInfoAccess   OCSP {public_url}/v1/ocsp, CA issuers {public_url}/v1/ca/{issuer key id}.cer
    cRLDistributionPoints {public_url}/v1/crl/{issuer key id}/{day of notAfter}.crl; see `ca.issuance.crl`
    AttestationInfo, id-pe-cmw   see `ca.issuance.extension`

Evolution: an extension may be added, never critical; what stands here stays.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from ca.errors import Unavailable

if TYPE_CHECKING:
    from ca.issuance.request import LeafRequest

DEFAULT_LIFETIME = timedelta(hours=24)
MAX_LIFETIME = timedelta(days=7)  # notAfter - notBefore; no configuration raises it
MIN_LIFETIME = timedelta(minutes=1)  # the shortest that a policy can ask for
BACKDATE = timedelta(seconds=60)  # for relying parties whose clock is behind
SERIAL_ENTROPY = 16
MAX_BYTES = 16 * 1024


def validity(
    request: LeafRequest, issuer: x509.Certificate, now: datetime
) -> tuple[datetime, datetime]:
    """(notBefore, notAfter) of a leaf, whole seconds, UTC.

    notAfter is the earliest of: policy lifetime from `now`; 7 days from notBefore; the issuer's notAfter; the earliest
    notAfter of the vendor's certificates; the end of the collateral with its stale budget.

    Raises:
        Unavailable: `validity-too-short`: less than a minute is left; the detail names what ends.
    """
    instant = now.astimezone(UTC).replace(microsecond=0)
    not_before = max(instant - BACKDATE, issuer.not_valid_before_utc)
    ends = {
        "the policy's lifetime": instant + request.lifetime,
        "the cap of 7 days": not_before + MAX_LIFETIME,
        "the issuing CA certificate": issuer.not_valid_after_utc,
        "a vendor's certificate": request.certificates_expire,
        "the vendor's collateral": request.collateral_expires,
    }
    what, end = min(ends.items(), key=lambda item: item[1])
    if end - instant < MIN_LIFETIME or not_before > instant:
        raise Unavailable(
            f"too little time for a certificate: {what} ends at {end:%Y-%m-%dT%H:%M:%SZ}",
            code="validity-too-short",
            retry_after=300,
        )
    return not_before, end.astimezone(UTC).replace(microsecond=0)


def serial(entropy: bytes) -> int:
    """A positive serial of exactly 16 bytes from 16 random ones: the two top bits are fixed to 01.

    126 random bits (the CA/Browser Forum asks for 64, RFC 5280 for at most 20 bytes); one length everywhere.
    """
    if len(entropy) != SERIAL_ENTROPY:
        raise ValueError(f"a serial takes {SERIAL_ENTROPY} bytes of entropy")
    return int.from_bytes(bytes([entropy[0] & 0x3F | 0x40]) + entropy[1:], "big")


def key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    """Key usage with nothing but what is named."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def certificate_policies(*oids: str) -> x509.CertificatePolicies:
    """Policies without qualifiers."""
    return x509.CertificatePolicies(
        [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids]
    )


def crl_distribution(url: str) -> x509.CRLDistributionPoints:
    """One distribution point with one URL."""
    name = x509.UniformResourceIdentifier(url)
    return x509.CRLDistributionPoints([x509.DistributionPoint([name], None, None, None)])


def authority_info_access(ocsp_url: str, certificate_url: str) -> x509.AuthorityInformationAccess:
    """Where the status is asked and where the issuer's certificate is (RFC 5280, section 4.2.2.1)."""
    access = (
        (AuthorityInformationAccessOID.OCSP, ocsp_url),
        (AuthorityInformationAccessOID.CA_ISSUERS, certificate_url),
    )
    return x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(method, x509.UniformResourceIdentifier(url))
            for method, url in access
        ]
    )
