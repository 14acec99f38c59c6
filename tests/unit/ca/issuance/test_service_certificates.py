# SPDX-License-Identifier: Apache-2.0
"""The service's own certificates, TLS and results: what is made, and every lint of them shown to fail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from ca.errors import LintFailed
from ca.issuance import authority, lint_authority, profile, tbs
from ca.issuance.authority import ServiceKind
from ca.issuance.request import Assurance
from tests.authority_lab import ARC, NOW, entropy, make_lab
from tests.forgeries import CONSTRAINTS, OTHER, USAGE, detail, forged

LAB = make_lab()
SIMULATED = make_lab(Assurance.SIMULATED)
DAY = timedelta(days=1)
HOST = ("ca.example.org", "127.0.0.1")
P256 = ec.generate_private_key(ec.SECP256R1())


def test_the_services_certificates() -> None:
    server = LAB.service(ServiceKind.TLS, P256.public_key(), HOST)
    results = LAB.service(ServiceKind.EAR, P256.public_key())
    responder = LAB.service(ServiceKind.OCSP, P256.public_key())
    for certificate, usage, days in (
        (server, "1.3.6.1.5.5.7.3.1", 30),
        (results, f"{ARC}.3.1", 30),
        (responder, "1.3.6.1.5.5.7.3.9", 10),
    ):
        certificate.verify_directly_issued_by(LAB.issuer.certificate)
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert [each.dotted_string for each in found] == [usage]
        lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        assert lifetime == timedelta(days=days)
        oids = {each.oid.dotted_string for each in certificate.extensions}
        assert f"{ARC}.1.1" not in oids
        assert ExtensionOID.CERTIFICATE_POLICIES.dotted_string not in oids
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["ca.example.org"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_nobody_needs_to_ask_about_a_responder() -> None:
    server = LAB.service(ServiceKind.TLS, P256.public_key(), HOST)
    responder = LAB.service(ServiceKind.OCSP, P256.public_key())
    asked, unasked = ExtensionOID.CRL_DISTRIBUTION_POINTS, ExtensionOID.OCSP_NO_CHECK
    for certificate, has, lacks in ((server, asked, unasked), (responder, unasked, asked)):
        oids = {each.oid for each in certificate.extensions}
        assert has in oids
        assert lacks not in oids


def test_the_service_never_outlives_the_issuing_ca() -> None:
    late = LAB.issuer.certificate.not_valid_after_utc - DAY
    server = LAB.service(ServiceKind.TLS, P256.public_key(), HOST, now=late)
    assert server.not_valid_after_utc == LAB.issuer.certificate.not_valid_after_utc
    end = LAB.issuer.certificate.not_valid_after_utc
    assert detail(lambda: LAB.service(ServiceKind.TLS, P256.public_key(), HOST, now=end)) == {
        "dates"
    }


def test_a_wildcard_is_not_signed_for_the_service_either() -> None:
    assert detail(lambda: LAB.service(ServiceKind.TLS, P256.public_key(), ("*.example.org",))) == {
        "names"
    }


SERVICE = LAB.service(ServiceKind.TLS, P256.public_key(), HOST)
NAMES = ExtensionOID.SUBJECT_ALTERNATIVE_NAME
SERVICE_FAULTS: list[tuple[dict[str, Any], set[str]]] = [
    ({"serial": 7}, {"serial"}),
    ({"key": ec.generate_private_key(ec.SECP384R1()).public_key()}, {"key", "subject-key-id"}),
    ({"key": LAB.issuer.public_key}, {"issuer-key", "subject-key-id"}),
    ({"issuer": OTHER}, {"issuer"}),
    ({"end": NOW + 91 * DAY}, {"dates", "crl-url"}),
    ({"end": SERVICE.not_valid_after_utc - DAY}, {"crl-url"}),
    (
        {
            "extensions": {
                ExtensionOID.CERTIFICATE_POLICIES: (
                    profile.certificate_policies(f"{ARC}.2.2"),
                    False,
                )
            }
        },
        {"extensions"},
    ),
    (
        {"extensions": {CONSTRAINTS: (x509.BasicConstraints(ca=True, path_length=None), True)}},
        {"basic-constraints"},
    ),
    ({"extensions": {USAGE: (profile.key_usage(key_cert_sign=True), True)}}, {"key-usage"}),
    (
        {
            "extensions": {
                ExtensionOID.EXTENDED_KEY_USAGE: (
                    x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
                    False,
                )
            }
        },
        {"extended-key-usage"},
    ),
    (
        {
            "extensions": {
                NAMES: (x509.SubjectAlternativeName([x509.DNSName("other.example.org")]), False)
            }
        },
        {"names"},
    ),
    (
        {
            "extensions": {
                ExtensionOID.AUTHORITY_KEY_IDENTIFIER: (
                    x509.AuthorityKeyIdentifier(bytes(20), None, None),
                    False,
                )
            }
        },
        {"authority-key-id"},
    ),
    (
        {
            "extensions": {
                ExtensionOID.CRL_DISTRIBUTION_POINTS: (
                    profile.crl_distribution("https://x.example/y.crl"),
                    False,
                )
            }
        },
        {"crl-url"},
    ),
]


@pytest.mark.parametrize(("changes", "expected"), SERVICE_FAULTS)
def test_faults_of_a_service_certificate(changes: dict[str, Any], expected: set[str]) -> None:
    certificate = forged(SERVICE, LAB.issuer_key, **changes)
    prepared = authority.PreparedService(b"", ServiceKind.TLS, HOST, LAB.issuer)
    assert detail(lambda: authority.check_service(certificate, prepared)) == expected


def test_every_lint_of_the_service_is_shown_to_fail() -> None:
    shown = {name for _, names in SERVICE_FAULTS for name in names}
    assert shown == set(lint_authority.SERVICE_LINTS) - {"version"}


@pytest.mark.parametrize("kind", ServiceKind)
@pytest.mark.parametrize("other", ServiceKind)
def test_none_is_taken_for_another(kind: ServiceKind, other: ServiceKind) -> None:
    names = {each: HOST if each is ServiceKind.TLS else () for each in ServiceKind}
    certificate = LAB.service(kind, P256.public_key(), names[kind])
    prepared = authority.PreparedService(b"", other, names[other], LAB.issuer)
    if kind is other:
        authority.check_service(certificate, prepared)
    else:
        assert "extended-key-usage" in detail(
            lambda: authority.check_service(certificate, prepared)
        )


POINTS = (profile.crl_distribution("https://x.example/y.crl"), False)


@pytest.mark.parametrize(
    "changes",
    [{ExtensionOID.CRL_DISTRIBUTION_POINTS: POINTS}, {ExtensionOID.OCSP_NO_CHECK: None}],
    ids=["asked", "not exempt"],
)
def test_a_responder_whose_own_status_must_be_asked_is_a_fault(changes: Any) -> None:  # noqa: ANN401 - goes to forged()
    responder = LAB.service(ServiceKind.OCSP, P256.public_key())
    certificate = forged(responder, LAB.issuer_key, extensions=changes)
    prepared = authority.PreparedService(b"", ServiceKind.OCSP, (), LAB.issuer)
    assert detail(lambda: authority.check_service(certificate, prepared)) == {"extensions"}


def test_names_on_the_signer_of_results_are_a_fault() -> None:
    prepared = authority.PreparedService(b"", ServiceKind.EAR, (), LAB.issuer)
    assert detail(lambda: authority.check_service(SERVICE, prepared)) == {
        "extensions",
        "extended-key-usage",
    }


def test_a_signature_of_another_key_is_not_assembled() -> None:
    prepared = authority.prepare_service(
        ServiceKind.TLS, P256.public_key(), HOST, LAB.issuer, now=NOW, entropy=entropy()
    )
    with pytest.raises(LintFailed, match="signature"):
        authority.complete_service(prepared, tbs.sign(P256, prepared.tbs))
