# SPDX-License-Identifier: Apache-2.0
"""Revocation lists: which are read, and for whom each is. Made with the library's builder, not by the authority."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from asn1crypto import algos
from asn1crypto import crl as reader
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.lists import ListError, addresses, is_ca, parse_lists
from tests.authority_lab import NOW
from tests.relying_lab import make_world

WORLD = make_world()
LEAF = WORLD.issue()
URL = WORLD.lab.issuer.crl_url(LEAF.certificate.not_valid_after_utc)
KEY_ID = WORLD.lab.issuer.key_id
Extensions = tuple[tuple[x509.ExtensionType, bool], ...]


def scope(*urls: str, **changes: Any) -> x509.IssuingDistributionPoint:  # noqa: ANN401 - of the class
    fields: dict[str, Any] = {
        "full_name": [x509.UniformResourceIdentifier(url) for url in urls] or None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**fields | changes)


NUMBER = (x509.CRLNumber(1), False)
AUTHORITY = (x509.AuthorityKeyIdentifier(KEY_ID, None, None), False)
USUAL: Extensions = (NUMBER, AUTHORITY, (scope(URL), True))


def crl(extensions: Extensions = USUAL, key: Any = WORLD.lab.issuer_key) -> bytes:  # noqa: ANN401 - of any kind
    builder = x509.CertificateRevocationListBuilder(
        WORLD.lab.issuer.certificate.subject, NOW, NOW + timedelta(days=1)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def is_for(der: bytes) -> bool:
    (found,) = parse_lists(der)
    return found.is_for(LEAF.certificate, LEAF.issuing)


def test_the_usual_one() -> None:
    (found,) = parse_lists(crl())
    assert is_for(crl())
    assert found.is_signed_by(LEAF.issuing)
    assert not found.is_for(LEAF.issuing, WORLD.lab.root)
    assert (found.number, found.scope, found.entry(LEAF.serial)) == (1, URL, None)


FORMS: dict[str, Extensions] = {
    "no number": (AUTHORITY, (scope(URL), True)),
    "no issuer's key": (NUMBER, (scope(URL), True)),
    "an issuer's key without its id": (
        NUMBER,
        (
            x509.AuthorityKeyIdentifier(
                None, [x509.DirectoryName(WORLD.lab.root.subject)], WORLD.lab.root.serial_number
            ),
            False,
        ),
    ),
    "a delta": (*USUAL, (x509.DeltaCRLIndicator(1), True)),
    "users alone": (NUMBER, AUTHORITY, (scope(URL, only_contains_user_certs=True), True)),
    "CAs alone": (NUMBER, AUTHORITY, (scope(URL, only_contains_ca_certs=True), True)),
    "attributes alone": (
        NUMBER,
        AUTHORITY,
        (scope(URL, only_contains_attribute_certs=True), True),
    ),
    "some reasons": (
        NUMBER,
        AUTHORITY,
        (scope(URL, only_some_reasons=frozenset({x509.ReasonFlags.superseded})), True),
    ),
    "indirect": (NUMBER, AUTHORITY, (scope(URL, indirect_crl=True), True)),
    "two addresses": (NUMBER, AUTHORITY, (scope(URL, f"{URL}x"), True)),
    "no address": (NUMBER, AUTHORITY, (scope(indirect_crl=True), True)),
    "a name that is none": (
        NUMBER,
        AUTHORITY,
        (
            scope(full_name=[x509.UniformResourceIdentifier(URL), x509.DNSName("x")]),
            True,
        ),
    ),
    "an unknown critical extension": (
        *USUAL,
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b""), True),
    ),
}


@pytest.mark.parametrize("what", FORMS)
def test_a_list_for_nobody(what: str) -> None:
    with pytest.raises(ListError):
        parse_lists(crl(FORMS[what]))


def test_a_list_of_no_version() -> None:
    with pytest.raises(ListError, match="form"):
        parse_lists(crl().replace(b"\x02\x01\x01", b"\x02\x01\x07", 1))


def test_lists_for_others() -> None:
    assert not is_for(crl((NUMBER, AUTHORITY, (scope(f"{URL}x"), True))))
    assert not is_for(crl((NUMBER, AUTHORITY)))  # for a CA's certificates, which have no day
    other = x509.AuthorityKeyIdentifier(bytes(20), None, None)
    assert not is_for(crl((NUMBER, (other, False), (scope(URL), True))))
    assert is_for(crl((NUMBER, AUTHORITY, (scope(URL), False))))  # it says what it is for anyway


def test_another_algorithm() -> None:
    (found,) = parse_lists(crl(key=rsa.generate_private_key(65537, 2048)))
    assert found.is_for(LEAF.certificate, LEAF.issuing)
    assert not found.is_signed_by(LEAF.issuing)


def test_an_algorithm_that_nobody_knows() -> None:
    value = reader.CertificateList.load(crl())
    unknown = algos.SignedDigestAlgorithm({"algorithm": "1.2.3.4"})
    value["tbs_cert_list"]["signature"] = value["signature_algorithm"] = unknown
    (found,) = parse_lists(value.dump(force=True))
    assert not found.is_signed_by(LEAF.issuing)


def test_files() -> None:
    pem = x509.load_der_x509_crl(crl()).public_bytes(Encoding.PEM)
    assert len(parse_lists(pem * 128)) == 128
    for data, words in ((pem * 129, "1 to 128 lists"), (bytes((32 << 20) + 1), "larger than")):
        with pytest.raises(ListError, match=words):
            parse_lists(data)
    with pytest.raises(ListError, match="not a revocation list"):
        parse_lists(bytes(32 << 20))


def test_a_list_without_an_end() -> None:
    """The builder makes none, but the field is optional (RFC 5280, section 5.1.2.5 demands it)."""
    value = reader.CertificateList.load(crl())
    del value["tbs_cert_list"]["next_update"]
    with pytest.raises(ListError, match="without an end"):
        parse_lists(value.dump(force=True))


def test_certificates_that_say_less() -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([])
    bare = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW)
    certificate = bare.sign(key, hashes.SHA256())
    assert addresses(certificate) == set()
    assert not is_ca(certificate)
    point = x509.DistributionPoint(None, None, None, [x509.DirectoryName(name)])
    nowhere = bare.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    assert addresses(nowhere.sign(key, hashes.SHA256())) == set()
