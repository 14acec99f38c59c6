# SPDX-License-Identifier: Apache-2.0
"""The authority's own certificates: root, issuing CA, and the service's keys (TLS, attestation results, OCSP).

    root         P-384, 10 years, self-signed. Of a simulated authority: its subject says SIMULATED and it carries the
                 policy OID of simulated evidence.
    issuing CA   P-256, 90 days, pathlen 0. Its certificate policies bound what its leaves can state: an issuing CA of
                 a real authority cannot state "simulated", nor the other way round. The subject holds the first digits
                 of the key id, so that two in overlap are never taken for each other.
    service      TLS server, signer of results: 30 days; OCSP responder: 10 days; by the issuing CA, each with one
                 extended key usage of its own, no certificate policy and no AttestationInfo: nobody takes one for an
                 attested machine. A leaf never gets the service's own names (`Issuer.reserved_names`). A responder
                 speaks for the issuing CA that signed it alone (RFC 6960, section 4.2.2.2); nobody asks for its own
                 status (id-pkix-ocsp-nocheck), so it has no CRL address, and its time is short.

The service's keys chain through the issuing CA, not through a third authority: a result never outlives the certificate
it speaks of, which never outlives the issuing CA. Root and issuing CA are signed in a ceremony by a key at hand; what
the service signs for itself goes through the signer in two steps, like a leaf.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from attestca_client.protocol import OID_EKU_EAR
from ca.errors import LintFailed, RequestRefused
from ca.issuance import csr, keys, lint, lint_authority, profile, tbs
from ca.issuance.profile import certificate_policies, crl_distribution, key_usage
from ca.issuance.request import Assurance, Issuer, policy_oid, root_crl_url

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

ROOT_LIFETIME = timedelta(days=3652)
ISSUER_LIFETIME = timedelta(days=90)
SERVICE_LIFETIME = timedelta(days=30)
RENEW_SERVICE = timedelta(days=8)  # before its end: longer than any leaf, so than any result
RESPONDER_LIFETIME = timedelta(days=10)  # for as long a stolen key of one says "good"
RENEW_RESPONDER = timedelta(days=5)


@dataclass(frozen=True, slots=True)
class Authority:
    """What all certificates of one authority share.

    Attributes:
        organization: 1 to 64 characters, the operator's choice.
        public_url: base of URLs in certificates, without trailing slash.
    """

    organization: str
    assurance: Assurance
    public_url: str
    oid_arc: str


class ServiceKind(Enum):
    """The service's own certificates, by common name."""

    TLS = "attestca service"
    EAR = "attestca attestation results"
    OCSP = "attestca OCSP responder"


@dataclass(frozen=True, slots=True)
class PreparedService:
    """A certificate of the service without its signature, linted."""

    tbs: bytes
    kind: ServiceKind
    names: tuple[str, ...]
    issuer: Issuer


def make_root(
    key: ec.EllipticCurvePrivateKey, authority: Authority, *, now: datetime, entropy: bytes
) -> x509.Certificate:
    """The root certificate of a P-384 `key`. Raises LintFailed."""
    key_id = keys.key_id(key.public_key())
    name = _subject(authority, "root", key_id)
    builder = _builder(name, name, now, ROOT_LIFETIME, entropy).public_key(key.public_key())
    builder = _add(
        builder,
        (x509.BasicConstraints(ca=True, path_length=1), True),
        (key_usage(key_cert_sign=True, crl_sign=True), True),
        (x509.SubjectKeyIdentifier(key_id), False),
    )
    if authority.assurance is Assurance.SIMULATED:
        builder = _add(builder, (certificate_policies(*_levels(authority)), False))
    root = builder.sign(key, hashes.SHA384())
    lint_authority.check_root(root, authority.assurance, authority.oid_arc)
    return root


def issuer_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """DER PKCS#10 for a P-256 issuing key. It carries the key and nothing else."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def sign_issuer(
    request_der: bytes,
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    authority: Authority,
    *,
    now: datetime,
    entropy: bytes,
) -> x509.Certificate:
    """The issuing CA certificate for the key of a request.

    Raises:
        RequestRefused: see `ca.issuance.csr`; `key-type` if the key is not P-256.
        LintFailed: the root is not one of this authority, or an error of ours.
    """
    public = keys.load(csr.parse(request_der).spki_der)
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.key_size != 256:
        raise RequestRefused("an issuing key is P-256", code="key-type")
    lint_authority.check_root(root, authority.assurance, authority.oid_arc)
    key_id, root_id = keys.key_id(public), lint_authority.subject_key_id(root)
    name = _subject(authority, "issuing CA", key_id)
    lifetime = min(ISSUER_LIFETIME, root.not_valid_after_utc - now)
    builder = _builder(name, root.subject, now, lifetime, entropy).public_key(public)
    builder = _add(
        builder,
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (key_usage(key_cert_sign=True, crl_sign=True), True),
        (x509.AuthorityKeyIdentifier(root_id, None, None), False),
        (x509.SubjectKeyIdentifier(key_id), False),
        (certificate_policies(*_levels(authority)), False),
        (crl_distribution(root_crl_url(authority.public_url, root_id)), False),
    )
    certificate = builder.sign(root_key, hashes.SHA384())
    lint_authority.check_issuing(certificate, root, authority.assurance, authority.oid_arc)
    return certificate


def load_issuer(
    certificate: x509.Certificate,
    root: x509.Certificate,
    authority: Authority,
    *,
    build: str,
    reserved_names: frozenset[str],
) -> Issuer:
    """The issuing CA for use, after it and the root were linted. Dates are checked when something is issued.

    Raises:
        LintFailed: not an issuing CA of this authority and root.
    """
    public = certificate.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise LintFailed("lints failed: key")
    lint_authority.check_root(root, authority.assurance, authority.oid_arc)
    lint_authority.check_issuing(certificate, root, authority.assurance, authority.oid_arc)
    return Issuer(
        certificate=certificate,
        public_key=public,
        key_id=lint_authority.subject_key_id(certificate),
        assurance=authority.assurance,
        public_url=authority.public_url,
        oid_arc=authority.oid_arc,
        build=build,
        reserved_names=reserved_names,
    )


def check_install(
    new: Issuer, current: Issuer, key: ec.EllipticCurvePublicKey, now: datetime
) -> None:
    """Whether `new` may take over from `current`: ours is its key, it is valid now and ends later.

    Raises:
        LintFailed: with every fault.
    """
    certificate = new.certificate
    faults = {
        "key": new.public_key != key,
        "same-key": new.key_id == current.key_id,
        "dates": not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc,
        "ends-earlier": certificate.not_valid_after_utc <= current.certificate.not_valid_after_utc,
    }
    lint.report([name for name, failed in faults.items() if failed])


def prepare_service(
    kind: ServiceKind,
    key: ec.EllipticCurvePublicKey,
    names: Sequence[str],
    issuer: Issuer,
    *,
    now: datetime,
    entropy: bytes,
) -> PreparedService:
    """A certificate of the service for a P-256 key, to be signed by `issuer`; entropy: 16 fresh random bytes.

    `names` are the host names and IP addresses of the TLS server; the others have none.

    Raises:
        LintFailed: an error of ours, or the issuing CA is at its end.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, kind.value)])
    longest = RESPONDER_LIFETIME if kind is ServiceKind.OCSP else SERVICE_LIFETIME
    lifetime = min(longest, issuer.certificate.not_valid_after_utc - now)
    builder = _builder(subject, issuer.certificate.subject, now, lifetime, entropy)
    own_status = (
        x509.OCSPNoCheck()
        if kind is ServiceKind.OCSP
        else crl_distribution(issuer.crl_url(_end(now, lifetime)))
    )
    builder = _add(
        builder.public_key(key),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([extended_key_usage(kind, issuer.oid_arc)]), False),
        (x509.AuthorityKeyIdentifier(issuer.key_id, None, None), False),
        (x509.SubjectKeyIdentifier(keys.key_id(key)), False),
        (own_status, False),
    )
    if names:
        builder = _add(
            builder, (x509.SubjectAlternativeName([_general_name(name) for name in names]), False)
        )
    content = tbs.to_be_signed(builder, issuer.public_key)
    prepared = PreparedService(content, kind, tuple(names), issuer)
    check_service(tbs.view(content, issuer.public_key), prepared)
    return prepared


def complete_service(prepared: PreparedService, signature: bytes) -> x509.Certificate:
    """The signed certificate. Raises LintFailed as `ca.issuance.prepare.complete` does."""
    der = tbs.signed(prepared.tbs, signature, prepared.issuer.public_key)
    certificate = x509.load_der_x509_certificate(der)
    check_service(certificate, prepared)
    return certificate


def check_service(certificate: x509.Certificate, prepared: PreparedService) -> None:
    """Raises LintFailed unless this is such a certificate of the service, and not a leaf or CA."""
    usage = extended_key_usage(prepared.kind, prepared.issuer.oid_arc)
    lint_authority.check_service(certificate, prepared.issuer, usage, prepared.names)


def extended_key_usage(kind: ServiceKind, arc: str) -> x509.ObjectIdentifier:
    """The one extended key usage of a service certificate."""
    if kind is ServiceKind.TLS:
        return ExtendedKeyUsageOID.SERVER_AUTH
    if kind is ServiceKind.OCSP:
        return ExtendedKeyUsageOID.OCSP_SIGNING
    return x509.ObjectIdentifier(f"{arc}.{OID_EKU_EAR}")


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _levels(authority: Authority) -> list[str]:
    pinned = (False,) if authority.assurance is Assurance.SIMULATED else (False, True)
    return [policy_oid(authority.oid_arc, authority.assurance, all_pinned=each) for each in pinned]


def _subject(authority: Authority, role: str, key_id: bytes) -> x509.Name:
    mark = "SIMULATED " if authority.assurance is Assurance.SIMULATED else ""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, authority.organization),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{mark}attestca {role} {key_id[:4].hex()}"),
        ]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, now: datetime, lifetime: timedelta, entropy: bytes
) -> x509.CertificateBuilder:
    instant = now.astimezone(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(profile.serial(entropy))
        .not_valid_before(instant)
        .not_valid_after(_end(now, lifetime))
    )


def _end(now: datetime, lifetime: timedelta) -> datetime:
    return (now + lifetime).astimezone(UTC).replace(microsecond=0)


def _add(
    builder: x509.CertificateBuilder, *extensions: tuple[x509.ExtensionType, bool]
) -> x509.CertificateBuilder:
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    return builder
