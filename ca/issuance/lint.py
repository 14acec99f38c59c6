# SPDX-License-Identifier: Apache-2.0
"""What must hold of a request before a leaf is made from it, and of a leaf before and after it is signed.

Each lint has a name and says yes or no; all run, and `LintFailed` names every one that failed. The lints read the
finished bytes as a stranger would: what the certificate says is compared with what was granted, never with how it was
built. A failed lint is our own fault, and nothing is signed or handed out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, SignatureAlgorithmOID

from attestca_client.protocol import OID_PE_CMW, HandleKind, certificate_handle, handle
from ca.errors import LintFailed, RequestRefused
from ca.issuance import ear, extension, keys, listed, names, profile
from ca.issuance.request import MAX_NAMES, Assurance, BindingLevel, policy_oid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ca.issuance.extension import AttestationInfo
    from ca.issuance.prepare import PreparedCertificate
    from ca.issuance.request import Issuer, LeafRequest

Handles: TypeAlias = tuple[tuple[str, bytes], ...]
RequestLint: TypeAlias = "Callable[[LeafRequest, Issuer], bool]"
LeafLint: TypeAlias = "Callable[[x509.Certificate, PreparedCertificate], bool]"


def check_request(request: LeafRequest, issuer: Issuer, depends_on: Handles) -> None:
    """Raises LintFailed with each of `REQUEST_LINTS` that failed, and `fields` if AttestationInfo cannot hold it."""
    failed = [name for name, holds in REQUEST_LINTS.items() if not holds(request, issuer)]
    try:
        extension.encode(extension.info(request, depends_on))
    except (ValueError, OverflowError):
        failed.append("fields")
    report(failed)


def check_leaf(certificate: x509.Certificate, prepared: PreparedCertificate) -> None:
    """Raises LintFailed with every lint of `LEAF_LINTS` that failed."""
    run(LEAF_LINTS, certificate, prepared)


def run(
    lints: Mapping[str, Callable[..., bool]], certificate: x509.Certificate, *context: object
) -> None:
    """Run all; a lint that cannot read what it looks at has failed. Raises LintFailed."""
    report([name for name, holds in lints.items() if not _holds(holds, certificate, *context)])


def report(failed: list[str]) -> None:
    """Raises LintFailed naming all of `failed`, if there are any."""
    if failed:
        raise LintFailed("lints failed: " + ", ".join(failed))


def _holds(lint: Callable[..., bool], certificate: x509.Certificate, *context: object) -> bool:
    try:
        return lint(certificate, *context)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError, RequestRefused):
        return False


# the request


def _valid_names(request: LeafRequest, _: Issuer) -> bool:
    return len(request.names) <= MAX_NAMES and not names.faults(request.names)


def _unreserved_names(request: LeafRequest, issuer: Issuer) -> bool:
    return not issuer.reserved_names & {name.removeprefix(names.DNS) for name in request.names}


def _assurance(request: LeafRequest, issuer: Issuer) -> bool:
    return request.assurance is issuer.assurance


def _chips(request: LeafRequest, _: Issuer) -> bool:
    of_devices = [one.chip_id for one in request.devices if one.chip_id is not None]
    return all(len(chip_id) == 32 for chip_id in (*request.platform.chip_ids, *of_devices))


def _digests(request: LeafRequest, _: Issuer) -> bool:
    return all(len(item.evidence_sha256) == 32 for item in request.devices) and all(
        len(item.digest) == 32 for item in request.groups
    )


def _devices(request: LeafRequest, _: Issuer) -> bool:
    """Each is one that can be listed and stands there once; the policy withholds the chip of all of them or of none."""
    count = len(request.devices)
    reports = {one.evidence_sha256 for one in request.devices}
    chips = {one.chip_id for one in request.devices}
    withheld_or_distinct = chips == {None} or (None not in chips and len(chips) == count)
    return (
        all(listed.is_device(listed.of(one)) for one in request.devices)
        and len(reports) == count
        and withheld_or_distinct
    )


def _binding_level(request: LeafRequest, _: Issuer) -> bool:
    return request.binding is binding_level(request)


def binding_level(request: LeafRequest) -> BindingLevel:
    """The one level that is issued: "none" without devices, with any "nonce+cpu-digest"; "nonce" alone never."""
    return BindingLevel.NONCE_CPU_DIGEST if request.devices else BindingLevel.NONE


REQUEST_LINTS: dict[str, RequestLint] = {
    "names": _valid_names,
    "reserved-names": _unreserved_names,
    "assurance": _assurance,
    "chip-ids": _chips,
    "digests": _digests,
    "devices": _devices,
    "binding-level": _binding_level,
}


# the leaf


def _info(certificate: x509.Certificate, arc: str) -> AttestationInfo:
    return extension.decode(_unknown(certificate, extension.info_oid(arc)))


def _unknown(certificate: x509.Certificate, oid: str) -> bytes:
    found = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(oid)).value
    return found.public_bytes()


def _tbs(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    return certificate.tbs_certificate_bytes == prepared.tbs


def _version(certificate: x509.Certificate, _: PreparedCertificate) -> bool:
    return certificate.version is x509.Version.v3


def _serial(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    number = certificate.serial_number
    return number == prepared.serial and number.bit_length() == 8 * profile.SERIAL_ENTROPY - 1


def _algorithm(certificate: x509.Certificate, _: PreparedCertificate) -> bool:
    return certificate.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256


def _issuer(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    return certificate.issuer.public_bytes() == prepared.issuer.certificate.subject.public_bytes()


def _subject(certificate: x509.Certificate, _: PreparedCertificate) -> bool:
    (attribute,) = certificate.subject
    return attribute == x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{certificate.serial_number:x}")


def _dates(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    return (certificate.not_valid_before_utc, certificate.not_valid_after_utc) == (
        prepared.not_before,
        prepared.not_after,
    )


def _lifetime(certificate: x509.Certificate, _: PreparedCertificate) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return profile.MIN_LIFETIME <= life <= profile.MAX_LIFETIME


def _within_issuer(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    issuer = prepared.issuer.certificate
    return (
        issuer.not_valid_before_utc <= certificate.not_valid_before_utc
        and certificate.not_valid_after_utc <= issuer.not_valid_after_utc
    )


def _within_evidence(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    request = prepared.request
    end = certificate.not_valid_after_utc
    return end <= request.certificates_expire and end <= request.collateral_expires


def _key(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    key = certificate.public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der == prepared.request.key.spki_der


def _foreign_key(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    return certificate.public_key() != prepared.issuer.public_key


def _extensions(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    expected = {
        ExtensionOID.BASIC_CONSTRAINTS.dotted_string: True,
        ExtensionOID.KEY_USAGE.dotted_string: True,
        ExtensionOID.EXTENDED_KEY_USAGE.dotted_string: False,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER.dotted_string: False,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER.dotted_string: False,
        ExtensionOID.CERTIFICATE_POLICIES.dotted_string: False,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS.dotted_string: False,
        ExtensionOID.CRL_DISTRIBUTION_POINTS.dotted_string: False,
        extension.info_oid(prepared.issuer.oid_arc): False,
        OID_PE_CMW: False,
    }
    if prepared.request.names:
        expected[ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string] = False
    return criticality(certificate) == expected


def criticality(certificate: x509.Certificate) -> dict[str, bool]:
    """Object identifier -> critical, of every extension."""
    return {each.oid.dotted_string: each.critical for each in certificate.extensions}


def _basic_constraints(certificate: x509.Certificate, _: PreparedCertificate) -> bool:
    found = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    return not found.ca and found.path_length is None


def _key_usage(certificate: x509.Certificate, _: PreparedCertificate) -> bool:
    found = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    return found == profile.key_usage(digital_signature=True)


def _extended_key_usage(certificate: x509.Certificate, _: PreparedCertificate) -> bool:
    found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return list(found) == [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]


def _names(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    return certificate_names(certificate) == prepared.request.names


def certificate_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The subject alternative names in our form; empty if there are none."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return names.texts(found.value)


def _names_valid(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    found = certificate_names(certificate)
    reserved = {names.DNS + name for name in prepared.issuer.reserved_names}
    return not names.faults(found) and reserved.isdisjoint(found)


def _authority_key_id(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return found == x509.AuthorityKeyIdentifier(prepared.issuer.key_id, None, None)


def _subject_key_id(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return found.digest == keys.key_id(keys.load(prepared.request.key.spki_der))


def _crl_url(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    found = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    url = prepared.issuer.crl_url(certificate.not_valid_after_utc)
    return found == profile.crl_distribution(url)


def _authority_info_access(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    issuer = prepared.issuer
    found = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    return found == profile.authority_info_access(issuer.ocsp_url, issuer.certificate_url)


def _policy(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    request = prepared.request
    level = policy_oid(prepared.issuer.oid_arc, request.assurance, all_pinned=request.all_pinned)
    return policies(certificate) == {level}


def policies(certificate: x509.Certificate) -> set[str]:
    """The certificate policies."""
    found = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    return {each.policy_identifier.dotted_string for each in found}


def _simulated(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    arc = prepared.issuer.oid_arc
    says = policy_oid(arc, Assurance.SIMULATED, all_pinned=False) in policies(certificate)
    informs = _info(certificate, arc).assurance is Assurance.SIMULATED
    return says == informs == (prepared.issuer.assurance is Assurance.SIMULATED)


def _attestation_info(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    expected = extension.info(prepared.request, prepared.handles)
    return _info(certificate, prepared.issuer.oid_arc) == expected


def _listed_devices(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    """Every device of the request and no other, at the level that goes with them."""
    found, request = _info(certificate, prepared.issuer.oid_arc), prepared.request
    reports = [one.report_sha256 for one in found.devices]
    return found.binding is binding_level(request) and reports == [
        one.evidence_sha256 for one in request.devices
    ]


def _evidence(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    found = _info(certificate, prepared.issuer.oid_arc).evidence_sha256
    return found == prepared.request.platform.evidence_sha256


def _handles(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    key_id = prepared.issuer.key_id
    needed = {
        (HandleKind.CERTIFICATE, certificate_handle(key_id, certificate.serial_number)),
        (HandleKind.KEY, handle(HandleKind.KEY, prepared.request.key.sha256)),
        (HandleKind.POLICY, handle(HandleKind.POLICY, prepared.request.policy.sha256)),
        (HandleKind.ISSUER, handle(HandleKind.ISSUER, key_id)),
    }
    chips = {
        (HandleKind.CHIP, handle(HandleKind.CHIP, one.chip_id))
        for one in prepared.request.devices
        if one.chip_id is not None
    }
    return needed | chips <= set(_info(certificate, prepared.issuer.oid_arc).handles)


def _results(certificate: x509.Certificate, prepared: PreparedCertificate) -> bool:
    found = extension.decode_cmw(_unknown(certificate, OID_PE_CMW))
    return found == ear.claims(prepared.request, prepared.issuer.build)


def _size(certificate: x509.Certificate, _: PreparedCertificate) -> bool:
    return len(certificate.public_bytes(Encoding.DER)) <= profile.MAX_BYTES


LEAF_LINTS: dict[str, LeafLint] = {
    "tbs": _tbs,
    "version": _version,
    "serial": _serial,
    "algorithm": _algorithm,
    "issuer": _issuer,
    "subject": _subject,
    "dates": _dates,
    "lifetime": _lifetime,
    "within-issuer": _within_issuer,
    "within-evidence": _within_evidence,
    "key": _key,
    "issuer-key": _foreign_key,
    "extensions": _extensions,
    "basic-constraints": _basic_constraints,
    "key-usage": _key_usage,
    "extended-key-usage": _extended_key_usage,
    "names-granted": _names,
    "names-valid": _names_valid,
    "authority-key-id": _authority_key_id,
    "subject-key-id": _subject_key_id,
    "authority-info-access": _authority_info_access,
    "crl-url": _crl_url,
    "policy": _policy,
    "simulated": _simulated,
    "attestation-info": _attestation_info,
    "listed-devices": _listed_devices,
    "evidence-digest": _evidence,
    "handles": _handles,
    "results": _results,
    "size": _size,
}
