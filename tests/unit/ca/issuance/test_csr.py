# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import RequestRefused
from ca.issuance import csr, keys
from tests.authority_lab import make_csr

P256 = ec.generate_private_key(ec.SECP256R1())
GOOD = make_csr(P256)


def refused(code: str, der: bytes) -> None:
    with pytest.raises(RequestRefused) as error:
        csr.parse(der)
    assert error.value.code == code


@pytest.mark.parametrize(
    "key", [P256, ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_gives_the_canonical_key(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    found = csr.parse(make_csr(key))
    assert found.spki_der == key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def test_everything_else_of_the_request_is_dropped() -> None:
    assert csr.parse(make_csr(P256, subject="root", names="*.example.org")) == csr.parse(GOOD)


def test_a_compressed_point_comes_out_canonical() -> None:
    """The request is read as it is, its key is encoded anew: one key, one encoding, one handle."""
    point = P256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    spki = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    info = bytes.fromhex("020100") + bytes.fromhex("3000") + spki + bytes.fromhex("a000")
    info = b"\x30" + bytes([len(info)]) + info
    signature = b"\0" + P256.sign(info, ec.ECDSA(hashes.SHA256()))
    body = (
        info
        + bytes.fromhex("300a06082a8648ce3d040302")
        + b"\x03"
        + bytes([len(signature)])
        + signature
    )
    der = b"\x30\x81" + bytes([len(body)]) + body
    assert csr.parse(der) == csr.parse(GOOD)


@pytest.mark.parametrize(
    "der", [b"", GOOD[:-1], GOOD + b"\0", b"\x30\x80" + GOOD, bytes(8193), GOOD + bytes(8192)]
)
def test_malformed(der: bytes) -> None:
    refused("csr-malformed", der)


def test_another_version() -> None:
    assert b"\x02\x01\x00" in GOOD
    refused("csr-malformed", GOOD.replace(b"\x02\x01\x00", b"\x02\x01\x01", 1))


def test_pem_is_not_der() -> None:
    refused("csr-malformed", x509.load_der_x509_csr(GOOD).public_bytes(Encoding.PEM))


def test_a_signature_by_another_key() -> None:
    other = make_csr(ec.generate_private_key(ec.SECP256R1()))
    mixed = x509.load_der_x509_csr(other).tbs_certrequest_bytes
    der = GOOD.replace(x509.load_der_x509_csr(GOOD).tbs_certrequest_bytes, mixed)
    refused("csr-signature", der)


@pytest.mark.parametrize("algorithm", [hashes.SHA224(), hashes.SHA3_256()])
def test_hashes_outside_the_list(algorithm: hashes.SHA224 | hashes.SHA3_256) -> None:
    der = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(P256, algorithm)
    refused("csr-signature", der.public_bytes(Encoding.DER))


def test_sha1_is_refused() -> None:
    sha256, sha1 = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06072a8648ce3d0401")
    tbs = x509.load_der_x509_csr(GOOD).tbs_certrequest_bytes
    signature = b"\0" + P256.sign(tbs, ec.ECDSA(hashes.SHA1()))  # noqa: S303 - what is refused
    assert sha256 in GOOD
    body = tbs + b"\x30\x09" + sha1 + b"\x03" + bytes([len(signature)]) + signature
    refused("csr-signature", b"\x30\x81" + bytes([len(body)]) + body)


def test_unknown_signature_algorithm() -> None:
    unknown = GOOD.replace(
        bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d04037f")
    )
    refused("csr-signature", unknown)


def test_a_signature_algorithm_of_another_key_type() -> None:
    ed = make_csr(ed25519.Ed25519PrivateKey.generate())
    swapped = ed.replace(
        bytes.fromhex("300506032b6570034100"), bytes.fromhex("300506032b6571034100")
    )
    assert swapped != ed
    refused("csr-signature", swapped)


def test_key_types() -> None:
    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP521R1())):
        der = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .sign(key, hashes.SHA256())
        )
        refused("key-type", der.public_bytes(Encoding.DER))


def test_a_key_that_cannot_be_read() -> None:
    point = P256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    refused("key-type", GOOD.replace(point, b"\x04" + b"\xff" * 64))  # not on the curve


def test_a_key_of_small_order() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    der = make_csr(key)
    refused(
        "key-type", der.replace(key.public_key().public_bytes_raw(), (1).to_bytes(32, "little"))
    )


def test_key_sha256_is_the_handles_value() -> None:
    found = csr.parse(GOOD)
    assert found.sha256 == hashlib.sha256(keys.encode(P256.public_key())).digest()


@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    with pytest.raises(RequestRefused):
        csr.parse(data)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_one_changed_byte(position: int, change: int) -> None:
    """Whatever byte is changed: refused, or the same key proven, never another key."""
    data = bytearray(GOOD)
    data[position] ^= change
    try:
        found = csr.parse(bytes(data))
    except RequestRefused:
        return
    assert found == csr.parse(GOOD)
