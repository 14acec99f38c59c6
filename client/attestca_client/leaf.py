# SPDX-License-Identifier: Apache-2.0
"""The certificate itself: its path to the trusted root, its dates, its profile, and what it says of the machine.

The profile is that of docs/relying-parties.md. Path validation is that of `cryptography`, with the one root as anchor;
what is asked of the leaf's own extensions is asked here, each by a name of its own. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import ExtensionPolicy

from attestca_client import attestation_info, lists
from attestca_client.attestation_info import InfoError
from attestca_client.chain import UNREADABLE, check_path, spki
from attestca_client.checks import Findings, Name, plain
from attestca_client.errors import Untrusted
from attestca_client.protocol import (
    DEFAULT_OID_ARC,
    OID_ATTESTATION_INFO,
    OID_POLICY_PINNED,
    OID_POLICY_SIMULATED,
    OID_POLICY_VERIFIED,
    HandleKind,
    certificate_handle,
    handle,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from attestca_client.attestation_info import AttestationInfo

MAX_FILE: Final = 65_536  # bytes of a file with certificates
MAX_CERTIFICATES: Final = 4
_MAX_SERIAL: Final = 159  # bits: 20 bytes, RFC 5280, section 4.1.2.2
_LEVELS: Final = {
    OID_POLICY_VERIFIED: "verified",
    OID_POLICY_PINNED: "verified, all registers pinned",
    OID_POLICY_SIMULATED: "simulated",
}
_USAGES: Final = {
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
}
_DIGITAL_SIGNATURE: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_ODD: Final = (ValueError, TypeError, *UNREADABLE)
E = TypeVar("E", bound=x509.ExtensionType)


class CertificateError(ValueError):
    """Bytes that are not the certificates they should be."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate whose path was checked.

    Attributes:
        issuer: the issuing CA's.
        handles: everything whose revocation takes the certificate with it: 32-byte handle -> its kind.
    """

    certificate: x509.Certificate
    issuer: x509.Certificate
    info: AttestationInfo
    handles: Mapping[bytes, str]

    @property
    def issuer_key_id(self) -> bytes:
        """20 bytes."""
        return lists.key_id(self.issuer)

    @property
    def sha256(self) -> bytes:
        """Of its DER."""
        return sha256(self.certificate.public_bytes(Encoding.DER)).digest()


def parse_certificates(data: bytes) -> list[x509.Certificate]:
    """1 to 4 certificates in PEM, or one in DER, in their order. Raises CertificateError."""
    if len(data) > MAX_FILE:
        raise CertificateError(f"larger than {MAX_FILE} bytes")
    try:
        if b"-----BEGIN" in data:
            found = x509.load_pem_x509_certificates(data)
        else:
            found = [x509.load_der_x509_certificate(data)]
        for certificate in found:
            _read_all(certificate)
    except _ODD as error:
        raise CertificateError("not a certificate, or not one that can be read") from error
    if len(found) > MAX_CERTIFICATES:
        raise CertificateError(f"more than {MAX_CERTIFICATES} certificates")
    return found


def check_leaf(
    certificate: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    root: x509.Certificate,
    at: datetime,
    findings: Findings,
    oid_arc: str = DEFAULT_OID_ARC,
) -> Leaf | None:
    """Path, dates, profile and AttestationInfo. None where the rest has nothing to stand on."""
    issuer = _path(certificate, intermediates, root, at, findings)
    if issuer is None:
        return None
    _dates(certificate, at, findings)
    _profile(certificate, findings)
    level = _level(certificate, issuer, oid_arc, findings)
    info = _info(certificate, oid_arc, level, findings)
    if info is None:
        return None
    return _handles(certificate, issuer, info, findings)


def _read_all(certificate: x509.Certificate) -> None:
    """Raises what reading a certificate can raise, once and here."""
    certificate.public_key()
    _ = (certificate.extensions, certificate.subject, certificate.issuer, certificate.version)
    if not 0 < certificate.serial_number.bit_length() <= _MAX_SERIAL:
        raise ValueError("a serial number is too large, or none")


def _path(
    certificate: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    root: x509.Certificate,
    at: datetime,
    findings: Findings,
) -> x509.Certificate | None:
    """The issuing CA's certificate. An authority has one between root and leaf."""
    root_key = spki(root.public_key())
    between = [one for one in intermediates if spki(one.public_key()) != root_key]
    issuers = [one for one in between if one.subject == certificate.issuer]
    within = min(max(at, certificate.not_valid_before_utc), certificate.not_valid_after_utc)
    for issuer in issuers:
        try:
            check_path(certificate, [issuer], root, within, ExtensionPolicy.permit_all())
            lists.key_id(issuer)
        except (Untrusted, x509.ExtensionNotFound):
            continue
        findings.passed(Name.PATH, f"{issuer.subject.rfc4514_string()}, below the trusted root")
        return issuer
    if issuers:
        findings.failed(Name.PATH, "no valid path to the trusted root")
    else:
        findings.undecided(Name.PATH, "the certificate of its issuing CA was not given")
    return None


def _dates(certificate: x509.Certificate, at: datetime, findings: Findings) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    seen = f"{start:%Y-%m-%dT%H:%M:%SZ} to {end:%Y-%m-%dT%H:%M:%SZ}"
    findings.expect(Name.TIME, seen, holds=start <= at <= end)


def _profile(certificate: x509.Certificate, findings: Findings) -> None:
    extensions = certificate.extensions
    constraints = _extension(extensions, x509.BasicConstraints)
    findings.expect(
        Name.NO_CA,
        "basicConstraints is missing" if constraints is None else f"cA {constraints.ca}".lower(),
        holds=constraints is not None and not constraints.ca and constraints.path_length is None,
    )
    usage = _extension(extensions, x509.KeyUsage)
    signs = usage == _DIGITAL_SIGNATURE
    seen = "digitalSignature alone" if signs else "not digitalSignature alone"
    findings.expect(Name.KEY_USAGE, seen, holds=signs)
    purposes = _extension(extensions, x509.ExtendedKeyUsage) or ()
    named = [_USAGES.get(one, one.dotted_string) for one in purposes]
    holds = sorted(named) == sorted(_USAGES.values())
    findings.expect(Name.EXTENDED_KEY_USAGE, ", ".join(named) or "none", holds=holds)


def _level(
    certificate: x509.Certificate, issuer: x509.Certificate, arc: str, findings: Findings
) -> str:
    """What the certificate's policy says; empty where it says nothing of ours."""
    own, allowed = _policies(certificate), _policies(issuer)
    levels = [text for oid, text in _LEVELS.items() if own == {f"{arc}.{oid}"} and own <= allowed]
    if not levels:
        seen = ", ".join(sorted(own)) or "no certificate policy"
        findings.failed(Name.POLICY_OID, f"{seen}: not one level that its issuer may state")
        return ""
    findings.passed(Name.POLICY_OID, levels[0])
    return levels[0]


def _info(
    certificate: x509.Certificate, arc: str, level: str, findings: Findings
) -> AttestationInfo | None:
    oid = x509.ObjectIdentifier(f"{arc}.{OID_ATTESTATION_INFO}")
    try:
        value = certificate.extensions.get_extension_for_oid(oid).value
        info = attestation_info.decode(value.public_bytes())
    except x509.ExtensionNotFound:
        findings.failed(Name.ATTESTATION_INFO, f"there is none at {oid.dotted_string}")
        return None
    except InfoError as error:
        findings.failed(Name.ATTESTATION_INFO, str(error))
        return None
    if level and not level.startswith(info.assurance):
        findings.failed(Name.ATTESTATION_INFO, "assurance is another than the policy identifier's")
        return info
    seen = f"{plain(info.tee)}, {plain(info.tcb_status)}, policy {plain(info.policy)}"
    findings.passed(Name.ATTESTATION_INFO, seen)
    return info


def _handles(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    info: AttestationInfo,
    findings: Findings,
) -> Leaf:
    """Those that are listed, and those that can be computed from the certificate and its issuer alone."""
    key_id = lists.key_id(issuer)
    key = sha256(spki(certificate.public_key())).digest()
    computed = {
        certificate_handle(key_id, certificate.serial_number): HandleKind.CERTIFICATE.value,
        handle(HandleKind.KEY, key): HandleKind.KEY.value,
        handle(HandleKind.POLICY, info.policy_sha256): HandleKind.POLICY.value,
        handle(HandleKind.ISSUER, key_id): HandleKind.ISSUER.value,
        handle(HandleKind.PRODUCT, info.product.encode()): HandleKind.PRODUCT.value,
        **{
            handle(HandleKind.MEASUREMENT, name.encode(), value): HandleKind.MEASUREMENT.value
            for name, value in info.registers
        },
    }
    listed = {(kind, value) for kind, value in info.handles}
    missing = {kind for value, kind in computed.items() if (kind, value) not in listed}
    seen = f"{len(listed)} listed"
    if missing:
        seen = f"not listed as computed: {', '.join(sorted(missing))}"
    findings.expect(Name.HANDLES, seen, holds=not missing)
    handles = {value: kind for kind, value in info.handles} | computed
    return Leaf(certificate, issuer, info, handles)


def _extension(extensions: x509.Extensions, kind: type[E]) -> E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _policies(certificate: x509.Certificate) -> set[str]:
    found = _extension(certificate.extensions, x509.CertificatePolicies)
    return {one.policy_identifier.dotted_string for one in found or ()}
