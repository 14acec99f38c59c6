# SPDX-License-Identifier: Apache-2.0
"""What makes a certificate ours: the key, the pinned root's key, the path between, the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.chain import check_issued, load_root, root_id, spki
from attestca_client.errors import Unreadable, Untrusted
from tests.unit.client.fake_authority import FakeAuthority, Pki, name, of_no_version, pem

PKI = Pki()
KEY = ec.generate_private_key(ec.SECP256R1())
LEAF = PKI.leaf(KEY.public_key())
NOW = datetime.now(UTC).replace(microsecond=0)
SECOND = timedelta(seconds=1)


def check(
    leaf: x509.Certificate = LEAF,
    *chain: x509.Certificate,
    pki: Pki = PKI,
    now: datetime = NOW,
) -> None:
    check_issued(
        leaf,
        chain or (PKI.issuer, PKI.root),
        root=pki.root,
        spki_der=spki(KEY.public_key()),
        now=now,
    )


def test_good() -> None:
    check()


def test_another_key() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(Untrusted, match="another key"):
        check(PKI.leaf(other.public_key()))


def test_another_root() -> None:
    other = Pki()  # same names, other keys
    with pytest.raises(Untrusted, match="another root"):
        check(other.leaf(KEY.public_key()), other.issuer, other.root)


def test_our_root_put_behind_another_issuer() -> None:
    other = Pki()
    with pytest.raises(Untrusted, match="does not chain"):
        check(other.leaf(KEY.public_key()), other.issuer, PKI.root)


def test_the_root_issued_again_under_its_key_is_the_same_authority() -> None:
    again = PKI.ca(PKI.root_name, PKI.root_key, PKI.root_name, PKI.root_key, None)
    assert again != PKI.root
    check(LEAF, PKI.issuer, again)


def test_issuing_ca_missing() -> None:
    with pytest.raises(Untrusted, match="does not chain"):
        check(LEAF, PKI.root)


def test_changed_after_signing() -> None:
    der = bytearray(LEAF.public_bytes(Encoding.DER))
    place = der.index(b"cvm.example")
    der[place : place + 3] = b"evm"
    with pytest.raises(Untrusted, match="does not chain"):
        check(x509.load_der_x509_certificate(bytes(der)))


@pytest.mark.parametrize(
    ("at", "good"),
    [
        (LEAF.not_valid_before_utc - 61 * SECOND, False),
        (LEAF.not_valid_before_utc - 60 * SECOND, True),
        (LEAF.not_valid_before_utc, True),
        (LEAF.not_valid_after_utc - SECOND, True),
        (LEAF.not_valid_after_utc, False),
        (LEAF.not_valid_after_utc + SECOND, False),
    ],
)
def test_validity(at: datetime, good: bool) -> None:  # noqa: FBT001 - a table
    if good:
        check(now=at)
    else:
        with pytest.raises(Untrusted, match=r"certificate (ended|starts)"):
            check(now=at)


def test_issuing_ca_expired() -> None:
    expired = PKI.ca(
        PKI.issuer_name,
        PKI.issuer_key,
        PKI.root_name,
        PKI.root_key,
        0,
        lifetime=timedelta(minutes=1),
    )
    with pytest.raises(Untrusted, match="does not chain"):
        check(LEAF, expired, PKI.root)


def test_issuer_that_is_no_ca() -> None:
    plain = PKI.ca(PKI.issuer_name, PKI.issuer_key, PKI.root_name, PKI.root_key, None, ca=False)
    with pytest.raises(Untrusted, match="does not chain"):
        check(LEAF, plain, PKI.root)


def test_path_length() -> None:
    # The issuing CA (pathlen 0) signs another CA, and that one the leaf.
    key = ec.generate_private_key(ec.SECP256R1())
    below = PKI.ca(name("below"), key, PKI.issuer_name, PKI.issuer_key, 0)
    rogue = Pki(root_key=PKI.root_key, issuer_key=key)
    rogue.issuer_name = name("below")
    leaf = rogue.leaf(KEY.public_key())
    with pytest.raises(Untrusted, match="does not chain"):
        check(leaf, below, PKI.issuer, PKI.root)
    allowed = PKI.ca(PKI.issuer_name, PKI.issuer_key, PKI.root_name, PKI.root_key, 1)
    check(leaf, below, allowed, PKI.root)


def test_a_ca_certificate_in_place_of_a_leaf() -> None:
    ca = PKI.ca(name("x"), KEY, PKI.root_name, PKI.root_key, 0)
    with pytest.raises(Untrusted, match="does not chain"):
        check(ca, PKI.root)


def test_an_unknown_critical_extension() -> None:
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.9"), b"\x05\x00")
    leaf = (
        PKI._builder(KEY.public_key(), PKI.issuer_name, PKI.issuer_key, timedelta(days=1))
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("x")]), critical=True)
        .add_extension(odd, critical=True)
        .sign(PKI.issuer_key, hashes.SHA256())
    )
    with pytest.raises(Untrusted, match="does not chain"):
        check(leaf)


def test_root_file() -> None:
    authority = FakeAuthority(PKI)
    assert load_root(authority.root_pem) == PKI.root
    assert root_id(PKI.root) == authority.ca_id


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no PEM",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        pem(PKI.root).encode() * 2,
        pem(PKI.issuer).encode(),
        pem(LEAF).encode(),
        of_no_version(PKI.root).encode(),
    ],
    ids=["empty", "text", "broken", "two", "issuing", "leaf", "version 5"],
)
def test_root_file_of_another_kind(content: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        load_root(content)
    assert caught.value.exit_code == 66


def test_root_file_with_a_self_signed_certificate_that_is_no_ca() -> None:
    no_ca = PKI.ca(PKI.root_name, PKI.root_key, PKI.root_name, PKI.root_key, None, ca=False)
    with pytest.raises(Unreadable, match="not a CA"):
        load_root(pem(no_ca).encode())
