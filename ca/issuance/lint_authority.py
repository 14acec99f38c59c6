# SPDX-License-Identifier: Apache-2.0
"""What must hold of the authority's own certificates. Same rules as `ca.issuance.lint`; no access to private keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, SignatureAlgorithmOID

from ca.issuance import keys, profile
from ca.issuance.lint import criticality, policies, run
from ca.issuance.request import Assurance, policy_oid

if TYPE_CHECKING:
    from collections.abc import Callable

    from ca.issuance.request import Issuer

CA_EXTENSIONS = {
    ExtensionOID.BASIC_CONSTRAINTS.dotted_string: True,
    ExtensionOID.KEY_USAGE.dotted_string: True,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER.dotted_string: False,
}
ISSUING_EXTENSIONS = CA_EXTENSIONS | {
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER.dotted_string: False,
    ExtensionOID.CERTIFICATE_POLICIES.dotted_string: False,
    ExtensionOID.CRL_DISTRIBUTION_POINTS.dotted_string: False,
}
SERVICE_EXTENSIONS = CA_EXTENSIONS | {
    ExtensionOID.EXTENDED_KEY_USAGE.dotted_string: False,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER.dotted_string: False,
}


def check_root(root: x509.Certificate, assurance: Assurance, arc: str) -> None:
    """Raises LintFailed unless `root` is a root of an authority with this assurance."""
    run(ROOT_LINTS, root, assurance, arc)


def check_issuing(
    certificate: x509.Certificate, root: x509.Certificate, assurance: Assurance, arc: str
) -> None:
    """Raises LintFailed unless `certificate` is an issuing CA that `root` signed."""
    run(ISSUING_LINTS, certificate, root, assurance, arc)


def check_service(
    certificate: x509.Certificate,
    issuer: Issuer,
    usage: x509.ObjectIdentifier,
    names: tuple[str, ...],
) -> None:
    """Raises LintFailed unless this is a service certificate with this one usage and these names."""
    run(SERVICE_LINTS, certificate, issuer, usage, names)


def subject_key_id(certificate: x509.Certificate) -> bytes:
    """The SubjectKeyIdentifier, as it stands there."""
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


# all of them


def _version(certificate: x509.Certificate, *_: object) -> bool:
    return certificate.version is x509.Version.v3


def _serial(certificate: x509.Certificate, *_: object) -> bool:
    return certificate.serial_number.bit_length() == 8 * profile.SERIAL_ENTROPY - 1


def _subject_key_id(certificate: x509.Certificate, *_: object) -> bool:
    return subject_key_id(certificate) == keys.key_id(keys.accept(certificate.public_key()))


def _ca_key_usage(certificate: x509.Certificate, *_: object) -> bool:
    found = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    return found == profile.key_usage(key_cert_sign=True, crl_sign=True)


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _authority_key_id(certificate: x509.Certificate, issuer_key_id: bytes) -> bool:
    found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return found == x509.AuthorityKeyIdentifier(issuer_key_id, None, None)


def _constraints(certificate: x509.Certificate) -> tuple[bool, int | None]:
    found = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    return found.ca, found.path_length


def _on_curve(certificate: x509.Certificate, curve: type[ec.EllipticCurve]) -> bool:
    key = certificate.public_key()
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, curve)


def _says_simulated(certificate: x509.Certificate, assurance: Assurance) -> bool:
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value).startswith("SIMULATED ") == (assurance is Assurance.SIMULATED)


# the root


def _root_algorithm(root: x509.Certificate, *_: object) -> bool:
    return root.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA384


def _root_extensions(root: x509.Certificate, assurance: Assurance, arc: str) -> bool:
    expected = dict(CA_EXTENSIONS)
    if assurance is Assurance.SIMULATED:
        expected[ExtensionOID.CERTIFICATE_POLICIES.dotted_string] = False
        if policies(root) != {policy_oid(arc, assurance, all_pinned=False)}:
            return False
    return criticality(root) == expected


ROOT_LINTS: dict[str, Callable[..., bool]] = {
    "version": _version,
    "serial": _serial,
    "key": lambda root, *_: _on_curve(root, ec.SECP384R1),
    "algorithm": _root_algorithm,
    "self-signed": lambda root, *_: _issued_by(root, root),
    "simulated": lambda root, assurance, _: _says_simulated(root, assurance),
    "extensions": _root_extensions,
    "basic-constraints": lambda root, *_: _constraints(root) == (True, 1),
    "key-usage": _ca_key_usage,
    "subject-key-id": _subject_key_id,
}


# the issuing CA


def _issuing_policies(
    certificate: x509.Certificate, _: x509.Certificate, assurance: Assurance, arc: str
) -> bool:
    expected = {policy_oid(arc, assurance, all_pinned=pinned) for pinned in (False, True)}
    return policies(certificate) == expected


def _within(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    return (
        issuer.not_valid_before_utc <= certificate.not_valid_before_utc
        and certificate.not_valid_before_utc < certificate.not_valid_after_utc
        and certificate.not_valid_after_utc <= issuer.not_valid_after_utc
    )


ISSUING_LINTS: dict[str, Callable[..., bool]] = {
    "version": _version,
    "serial": _serial,
    "key": lambda certificate, *_: _on_curve(certificate, ec.SECP256R1),
    "issued-by-root": lambda certificate, root, *_: _issued_by(certificate, root),
    "dates": lambda certificate, root, *_: _within(certificate, root),
    "simulated": lambda certificate, _, assurance, __: _says_simulated(certificate, assurance),
    "extensions": lambda certificate, *_: criticality(certificate) == ISSUING_EXTENSIONS,
    "basic-constraints": lambda certificate, *_: _constraints(certificate) == (True, 0),
    "key-usage": _ca_key_usage,
    "subject-key-id": _subject_key_id,
    "authority-key-id": lambda certificate, root, *_: _authority_key_id(
        certificate, subject_key_id(root)
    ),
    "policies": _issuing_policies,
}


# the service


def _service_extensions(
    certificate: x509.Certificate,
    _: Issuer,
    usage: x509.ObjectIdentifier,
    names: tuple[str, ...],
) -> bool:
    responder = usage == ExtendedKeyUsageOID.OCSP_SIGNING
    status = ExtensionOID.OCSP_NO_CHECK if responder else ExtensionOID.CRL_DISTRIBUTION_POINTS
    expected = SERVICE_EXTENSIONS | {status.dotted_string: False}
    if names:
        expected[ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string] = False
    return criticality(certificate) == expected


def _service_usage(
    certificate: x509.Certificate, _: Issuer, usage: x509.ObjectIdentifier, __: object
) -> bool:
    found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return list(found) == [usage]


def _service_key_usage(certificate: x509.Certificate, *_: object) -> bool:
    found = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    return found == profile.key_usage(digital_signature=True)


def _service_names(
    certificate: x509.Certificate, _: Issuer, __: object, names: tuple[str, ...]
) -> bool:
    if not names:
        return True  # `extensions` says that there is no subjectAltName
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(name.value) for name in found) == names and "*" not in "".join(names)


def _service_crl_url(
    certificate: x509.Certificate, issuer: Issuer, usage: x509.ObjectIdentifier, _: object
) -> bool:
    if usage == ExtendedKeyUsageOID.OCSP_SIGNING:
        return True  # `extensions` says that there is none
    found = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    return found == profile.crl_distribution(issuer.crl_url(certificate.not_valid_after_utc))


SERVICE_LINTS: dict[str, Callable[..., bool]] = {
    "version": _version,
    "serial": _serial,
    "key": lambda certificate, *_: _on_curve(certificate, ec.SECP256R1),
    "issuer-key": lambda certificate, issuer, *_: certificate.public_key() != issuer.public_key,
    "issuer": lambda certificate, issuer, *_: certificate.issuer == issuer.certificate.subject,
    "dates": lambda certificate, issuer, *_: _within(certificate, issuer.certificate),
    "extensions": _service_extensions,
    "basic-constraints": lambda certificate, *_: _constraints(certificate) == (False, None),
    "key-usage": _service_key_usage,
    "extended-key-usage": _service_usage,
    "names": _service_names,
    "subject-key-id": _subject_key_id,
    "authority-key-id": lambda certificate, issuer, *_: _authority_key_id(
        certificate, issuer.key_id
    ),
    "crl-url": _service_crl_url,
}
