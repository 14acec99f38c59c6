# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import hashlib
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from ca.errors import LintFailed, Unavailable
from ca.issuance import csr, keys, tbs
from ca.issuance.prepare import complete, prepare
from tests.authority_lab import NAMES, NOW, Lab, entropy, make_csr, make_lab, make_request


def test_exactly_the_prepared_bytes_are_signed(lab: Lab) -> None:
    prepared = prepare(make_request(), lab.issuer, now=NOW, entropy=entropy())
    issued = lab.sign(prepared)
    certificate = x509.load_der_x509_certificate(issued.der)
    assert certificate.tbs_certificate_bytes == prepared.tbs
    assert prepared.tbs_sha256 == hashlib.sha256(prepared.tbs).digest()
    assert certificate.public_bytes(Encoding.DER) == issued.der
    certificate.verify_directly_issued_by(lab.issuer.certificate)
    lab.issuer.certificate.verify_directly_issued_by(lab.root)


def test_same_input_same_bytes(lab: Lab) -> None:
    request, fixed = make_request(), entropy()
    first = prepare(request, lab.issuer, now=NOW, entropy=fixed)
    assert prepare(request, lab.issuer, now=NOW, entropy=fixed) == first
    assert prepare(request, lab.issuer, now=NOW, entropy=entropy()).tbs != first.tbs


def test_nothing_changes_a_prepared_certificate(lab: Lab) -> None:
    prepared = prepare(make_request(), lab.issuer, now=NOW, entropy=entropy())
    for field in dataclasses.fields(prepared):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(prepared, field.name, None)
    changed = dataclasses.replace(prepared, tbs=prepared.tbs[:-1] + b"\0")
    with pytest.raises(LintFailed, match="signature"):
        complete(changed, tbs.sign(lab.issuer_key, prepared.tbs))
    with pytest.raises(LintFailed, match="serial"):
        lab.sign(dataclasses.replace(prepared, serial=prepared.serial + 1))


@pytest.mark.parametrize("names", [NAMES, (), ("dns:a.example",), ("uri:spiffe://example.org/x",)])
def test_names_are_those_granted(lab: Lab, names: tuple[str, ...]) -> None:
    issued = lab.issue(make_request(names=names))
    certificate = x509.load_der_x509_certificate(issued.der)
    assert issued.prepared.subject_alt_names == names
    assert certificate.subject.rfc4514_string() == f"2.5.4.5={issued.prepared.serial:x}"
    if names:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert [
            f"{'dns' if isinstance(each, x509.DNSName) else 'uri'}:{each.value}"
            for each in found.value
        ] == [*names]
        assert not found.critical
    else:
        with pytest.raises(x509.ExtensionNotFound):
            certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_other_key_types(
    lab: Lab, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
) -> None:
    issued = lab.issue(make_request(key=csr.parse(make_csr(key))))
    assert x509.load_der_x509_certificate(issued.der).public_key() == key.public_key()


def test_a_signature_of_another_key_is_not_assembled(lab: Lab) -> None:
    prepared = prepare(make_request(), lab.issuer, now=NOW, entropy=entropy())
    for signature in (tbs.sign(make_lab().issuer_key, prepared.tbs), b"", bytes(70)):
        with pytest.raises(LintFailed, match="signature"):
            complete(prepared, signature)


def test_the_throw_away_key_issues_nothing(lab: Lab) -> None:
    """Everybody knows the private key that the builder signs with; its signature must be worth nothing."""
    prepared = prepare(make_request(), lab.issuer, now=NOW, entropy=entropy())
    with pytest.raises(LintFailed, match="signature"):
        complete(prepared, tbs.sign(ec.derive_private_key(1, ec.SECP256R1()), prepared.tbs))


def test_where_status_and_issuer_are_to_be_had(lab: Lab) -> None:
    leaf = x509.load_der_x509_certificate(lab.issue(make_request(lab)).der)
    found = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert [(each.access_method._name, each.access_location.value) for each in found] == [
        ("OCSP", "https://ca.example.org/v1/ocsp"),
        ("caIssuers", f"https://ca.example.org/v1/ca/{lab.issuer.key_id.hex()}.cer"),
    ]


def test_too_little_time_comes_before_anything_is_built(lab: Lab) -> None:
    with pytest.raises(Unavailable):
        prepare(make_request(), lab.issuer, now=NOW + timedelta(days=90), entropy=entropy())


def test_the_issuers_own_key_is_not_certified(lab: Lab) -> None:
    key = csr.CertifiedKey(keys.encode(lab.issuer.public_key))
    with pytest.raises(LintFailed, match="issuer-key"):
        lab.issue(make_request(key=key))


def test_size_stays_small(lab: Lab) -> None:
    assert len(lab.issue(make_request()).der) < 3000
