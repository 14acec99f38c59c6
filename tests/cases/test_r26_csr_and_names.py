# SPDX-License-Identifier: Apache-2.0
"""R-26: the CSR gives a key and proof of possession, nothing else; a name that is not plain is in no certificate."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import LintFailed, RequestRefused
from ca.issuance import csr
from ca.issuance.lint import certificate_names
from ca.issuance.prepare import prepare
from ca.issuance.profile import certificate_policies
from tests.authority_lab import ARC, NAMES, NOW, entropy, make_csr, make_lab, make_request

LAB = make_lab()
KEY = ec.generate_private_key(ec.SECP256R1())


def hostile_csr() -> bytes:
    """It asks for everything that a requester could want."""
    wanted: list[x509.ExtensionType] = [
        x509.SubjectAlternativeName(
            [x509.DNSName("*.evil.example"), x509.DNSName("ca.example.org")]
        ),
        x509.BasicConstraints(ca=True, path_length=None),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]),
        certificate_policies(f"{ARC}.2.2"),
        x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{ARC}.1.1"), b"\x04\x04evil"),
    ]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "evil.example")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension in wanted:
        builder = builder.add_extension(extension, critical=True)
    builder = builder.add_attribute(x509.ObjectIdentifier("1.2.840.113549.1.9.7"), b"evil password")
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def test_nothing_but_the_key_comes_from_the_request() -> None:
    fixed = entropy()
    certificates = [
        prepare(make_request(key=csr.parse(der)), LAB.issuer, now=NOW, entropy=fixed).tbs
        for der in (hostile_csr(), make_csr(KEY))
    ]
    assert certificates[0] == certificates[1]
    assert b"evil" not in certificates[0]


def test_names_are_the_policys() -> None:
    issued = LAB.issue(make_request(key=csr.parse(hostile_csr())))
    assert certificate_names(x509.load_der_x509_certificate(issued.der)) == NAMES


def test_no_names_without_a_grant() -> None:
    issued = LAB.issue(make_request(key=csr.parse(hostile_csr()), names=()))
    assert certificate_names(x509.load_der_x509_certificate(issued.der)) == ()


def test_a_key_without_its_proof() -> None:
    """Somebody else's public key, signed for with one's own."""
    theirs = x509.load_der_x509_csr(make_csr()).tbs_certrequest_bytes
    mine = make_csr(KEY)
    stolen = mine.replace(x509.load_der_x509_csr(mine).tbs_certrequest_bytes, theirs)
    with pytest.raises(RequestRefused) as error:
        csr.parse(stolen)
    assert error.value.code == "csr-signature"


HOSTILE_DNS = [
    "*", "*.example.org", "a.*.example.org", "a/b", "a/../b", "..", "a..b.example", "a\0.example.org", "bücher.example",
    "xn--bcher-kva.example", "a.example.", ".example.org", "A.example.org", "a.EXAMPLE.org", "a b.example",
    "a\n.example", "192.0.2.1", "a_b.example.org", "-a.example.org", "{fmspc}.example.org", "a.example.org:443",
    "ca.example.org" ]  # fmt: skip
HOSTILE_SPIFFE = [
    "", "example.org", "example.org/", "example.org//a", "example.org/a/", "example.org/../a", "example.org/./a",
    "example.org/a\0", "example.org/*", "example.org/ü", "example.org/%2e%2e", "example.org/a?b", "example.org/a#b",
    "Example.org/a", "*/a", "user@example.org/a", "example.org:443/a", "example.org/a b", "example.org/{fmspc}",
]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [f"dns:{name}" for name in HOSTILE_DNS] + [f"uri:spiffe://{name}" for name in HOSTILE_SPIFFE],
)
def test_hostile_names_are_never_signed(name: str) -> None:
    with pytest.raises(LintFailed, match="names"):
        LAB.issue(make_request(names=(name,)))


@pytest.mark.parametrize(
    "name", ["example.org", "uri:https://example.org/a", "email:a@example.org", "ip:192.0.2.1"]
)
def test_other_kinds_of_names_are_never_signed(name: str) -> None:
    with pytest.raises(LintFailed, match="names"):
        LAB.issue(make_request(names=(name,)))


alphabet = st.sampled_from("a*/.\0üA-_0 :%{}\n") | st.characters(exclude_categories=["Cs"])


@given(
    st.sampled_from(["dns:", "uri:spiffe://example.org/", "uri:spiffe://", "uri:", ""]),
    st.text(alphabet, max_size=30),
)
def test_whatever_is_signed_is_plain(kind: str, text: str) -> None:
    name = kind + text
    try:
        prepared = prepare(make_request(names=(name,)), LAB.issuer, now=NOW, entropy=bytes(16))
    except LintFailed:
        return
    assert prepared.subject_alt_names == (name,)
    assert name.isascii()
    assert not any(sign in name for sign in "*\0 %{}\n")
    assert not name.endswith((".", "/", "-")) or name.startswith("uri:")
    assert "/../" not in name + "/"
    assert ".." not in name or name.startswith("uri:")
