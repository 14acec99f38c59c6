# SPDX-License-Identifier: Apache-2.0
"""A leaf certificate, in two steps with a record between them.

    prepare(request, issuer, now, entropy)   the exact TBSCertificate, linted           -> PreparedCertificate
    (the caller records the intent and asks the signer)
    complete(prepared, signature)            the same bytes with a signature that verifies, linted again
                                                                                        -> IssuedCertificate

Neither type is made elsewhere, so nothing unlinted can be recorded, signed or handed out, and nothing changes a
certificate after it was checked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from attestca_client import protocol
from ca.issuance import ear, extension, handles, keys, lint, names, profile, tbs
from ca.issuance.extension import info_oid
from ca.issuance.profile import (
    authority_info_access,
    certificate_policies,
    crl_distribution,
    key_usage,
)
from ca.issuance.request import policy_oid

if TYPE_CHECKING:
    from datetime import datetime

    from ca.issuance.request import Issuer, LeafRequest


@dataclass(frozen=True, slots=True)
class PreparedCertificate:
    """A linted certificate without its signature.

    Attributes:
        tbs: DER TBSCertificate: what is signed, to the byte.
        serial: positive, 16 bytes. not_before, not_after: UTC, whole seconds.
        handles: (kind, 32-byte handle) as in AttestationInfo.
    """

    tbs: bytes
    serial: int
    not_before: datetime
    not_after: datetime
    handles: tuple[tuple[str, bytes], ...]
    request: LeafRequest
    issuer: Issuer

    @property
    def tbs_sha256(self) -> bytes:
        """What the intent records, 32 bytes."""
        return hashlib.sha256(self.tbs).digest()

    @property
    def subject_alt_names(self) -> tuple[str, ...]:
        """The granted names: "dns:…", "uri:…"."""
        return self.request.names


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A signed leaf, linted a second time. Made by `complete` alone."""

    der: bytes
    prepared: PreparedCertificate


def prepare(
    request: LeafRequest, issuer: Issuer, *, now: datetime, entropy: bytes
) -> PreparedCertificate:
    """The certificate to be signed. `entropy`: 16 fresh random bytes for the serial.

    Raises:
        Unavailable: `validity-too-short`.
        LintFailed: a request that no certificate may be made from, or an error of ours.
    """
    not_before, not_after = profile.validity(request, issuer.certificate, now)
    serial = profile.serial(entropy)
    depends_on = handles.of_leaf(request, issuer.key_id, serial)
    lint.check_request(request, issuer, depends_on)
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer.certificate.subject)
        .subject_name(subject(serial))
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    builder = _extend(builder, request, issuer, not_after, depends_on)
    content = tbs.to_be_signed(builder, issuer.public_key)
    prepared = PreparedCertificate(
        content, serial, not_before, not_after, depends_on, request, issuer
    )
    lint.check_leaf(tbs.view(content, issuer.public_key), prepared)
    return prepared


def complete(prepared: PreparedCertificate, signature: bytes) -> IssuedCertificate:
    """The certificate. `signature`: DER ECDSA-Sig-Value with SHA-256 over `prepared.tbs`.

    Raises:
        LintFailed: the signature is not the issuer's over these bytes, or a lint fails.
    """
    der = tbs.signed(prepared.tbs, signature, prepared.issuer.public_key)
    lint.check_leaf(x509.load_der_x509_certificate(der), prepared)
    return IssuedCertificate(der, prepared)


def subject(serial: int) -> x509.Name:
    """Subject of a leaf: see `ca.issuance.profile` for why."""
    return x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:x}")])


def _extend(
    builder: x509.CertificateBuilder,
    request: LeafRequest,
    issuer: Issuer,
    not_after: datetime,
    depends_on: tuple[tuple[str, bytes], ...],
) -> x509.CertificateBuilder:
    key = keys.load(request.key.spki_der)
    builder = builder.public_key(key)
    for value, critical in _extensions(request, issuer, not_after, keys.key_id(key)):
        builder = builder.add_extension(value, critical=critical)
    ours = extension.encode(extension.info(request, depends_on))
    cmw = extension.encode_cmw(ear.claims(request, issuer.build))
    for oid, der in ((info_oid(issuer.oid_arc), ours), (protocol.OID_PE_CMW, cmw)):
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), der)
        builder = builder.add_extension(unknown, critical=False)
    return builder


def _extensions(
    request: LeafRequest, issuer: Issuer, not_after: datetime, key_id: bytes
) -> list[tuple[x509.ExtensionType, bool]]:
    level = policy_oid(issuer.oid_arc, request.assurance, all_pinned=request.all_pinned)
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage(digital_signature=True), True),
        (
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            ),
            False,
        ),
        (x509.AuthorityKeyIdentifier(issuer.key_id, None, None), False),
        (x509.SubjectKeyIdentifier(key_id), False),
        (certificate_policies(level), False),
        (authority_info_access(issuer.ocsp_url, issuer.certificate_url), False),
        (crl_distribution(issuer.crl_url(not_after)), False),
    ]
    if request.names:
        found.append((x509.SubjectAlternativeName(names.general_names(request.names)), False))
    return found
