# SPDX-License-Identifier: Apache-2.0
"""Attestation keys in every form, and what is no restricted signing key of a TPM."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests import tdx_vectors, vtpm_vectors
from tests.tpm_lab import RESTRICTED, ecc_area, rsa_area, rsa_key, sized
from verifiers.errors import Reason, VerificationError
from verifiers.vtpm.public import MAX_PUBLIC_BYTES, is_public, read_attestation_key

if TYPE_CHECKING:
    from collections.abc import Callable

RSA = rsa_key().public_key()
CURVES = {0x0003: ec.SECP256R1(), 0x0004: ec.SECP384R1(), 0x0005: ec.SECP521R1()}
DER, INFO = Encoding.DER, PublicFormat.SubjectPublicKeyInfo


def numbers_of(data: bytes) -> object:
    return read_attestation_key(data).public_numbers()


def reason(data: bytes) -> Reason:
    with pytest.raises(VerificationError) as caught:
        read_attestation_key(data)
    return caught.value.reason


@pytest.mark.parametrize("policy", [b"", bytes(32)])
@pytest.mark.parametrize("scheme", [pack(">HH", 0x0014, 0x000B), pack(">H", 0x0010)])
def test_rsa(policy: bytes, scheme: bytes) -> None:
    area = rsa_area(policy=policy, scheme=scheme)
    for data in (area, sized(area)):
        assert numbers_of(data) == RSA.public_numbers()
        assert is_public(data)


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("kdf", [pack(">H", 0x0010), pack(">HH", 0x0020, 0x000B)])
def test_ecc(curve: int, kdf: bytes) -> None:
    key = ec.generate_private_key(CURVES[curve]).public_key()
    area = ecc_area(key, curve, kdf=kdf)
    for data in (area, sized(area)):
        assert numbers_of(data) == key.public_numbers()


@pytest.mark.parametrize(
    "key", [RSA, *(ec.generate_private_key(c).public_key() for c in CURVES.values())]
)
def test_a_bare_key(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> None:
    for encoding in (Encoding.DER, Encoding.PEM):
        data = key.public_bytes(encoding, INFO)
        assert numbers_of(data) == key.public_numbers()
        assert is_public(data)


def test_the_real_one_of_google() -> None:
    area = tdx_vectors.ROOT / "vtpm" / vtpm_vectors.GCE / "ak_tpmt_public.bin"
    if not area.exists():
        pytest.skip(tdx_vectors.NOTICE)
    vector = vtpm_vectors.load_gce()["sha256"]
    key = read_attestation_key(area.read_bytes())
    assert key.public_bytes(DER, INFO) == vector.ak_der


REQUIRED = {1: "not fixedTPM", 4: "not fixedParent", 5: "not sensitiveDataOrigin"}
REQUIRED |= {16: "not restricted", 18: "not sign"}


@pytest.mark.parametrize("bit", [*REQUIRED, 17])
def test_a_key_that_signs_anything_is_none(bit: int) -> None:
    attributes = RESTRICTED ^ 1 << bit
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    for area in (rsa_area(attributes=attributes), ecc_area(key, 3, attributes=attributes)):
        with pytest.raises(VerificationError, match=REQUIRED.get(bit, "decrypt")) as caught:
            read_attestation_key(area)
        assert caught.value.reason is Reason.UNSUPPORTED_FORMAT


def test_other_attributes_say_nothing() -> None:
    for bit in (2, 6, 7, 10, 11):
        assert numbers_of(rsa_area(attributes=RESTRICTED ^ 1 << bit)) == RSA.public_numbers()


P256 = ec.generate_private_key(ec.SECP256R1()).public_key()
SMALL = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505 - what must be refused
ODD: list[tuple[bytes, Reason]] = [
    (b"", Reason.MALFORMED),
    (b"\0", Reason.MALFORMED),
    (bytes(MAX_PUBLIC_BYTES + 1), Reason.TOO_LARGE),
    (rsa_area(kind=0x0008), Reason.MALFORMED),  # a keyed hash
    (rsa_area(kind=0x0025), Reason.MALFORMED),  # a symmetric cipher
    (rsa_area(name=0x0004), Reason.UNSUPPORTED_FORMAT),  # SHA-1
    (rsa_area(cipher=pack(">HHH", 0x0006, 128, 0x0043)), Reason.UNSUPPORTED_FORMAT),
    (rsa_area(bits=2049), Reason.MALFORMED),
    (rsa_area(exponent=3), Reason.UNSUPPORTED_FORMAT),
    (rsa_area(SMALL), Reason.UNSUPPORTED_FORMAT),
    (rsa_area(trailing=b"\0"), Reason.MALFORMED),
    (sized(rsa_area()) + b"\0", Reason.MALFORMED),
    (rsa_area()[:-1], Reason.MALFORMED),
    (ecc_area(P256, 0x0010), Reason.UNSUPPORTED_FORMAT),  # a Barreto-Naehrig curve
    (ecc_area(P256, 0x0003, y=bytes(32)), Reason.MALFORMED),
    (b"-----BEGIN PUBLIC KEY-----\n", Reason.MALFORMED),
    (b"\x30\x82", Reason.MALFORMED),
    (SMALL.public_bytes(DER, INFO), Reason.UNSUPPORTED_FORMAT),
    (
        ec.generate_private_key(ec.SECP256K1()).public_key().public_bytes(DER, INFO),
        Reason.UNSUPPORTED_FORMAT,
    ),
    (
        ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(DER, INFO),
        Reason.UNSUPPORTED_FORMAT,
    ),
    (RSA.public_bytes(DER, INFO) + b"\0", Reason.MALFORMED),
]


# Keys are new each time: the cases go by their number.
@pytest.mark.parametrize(("data", "expected"), ODD, ids=range(len(ODD)))
def test_what_is_no_key(data: bytes, expected: Reason) -> None:
    assert reason(data) is expected
    assert is_public(data) is (expected is Reason.UNSUPPORTED_FORMAT)


@pytest.mark.parametrize("make", [rsa_area, lambda: ecc_area(P256, 3)])
def test_every_cut_is_refused(make: Callable[[], bytes]) -> None:
    area = make()
    assert {reason(area[:size]) for size in range(len(area))} <= {
        Reason.MALFORMED,
        Reason.UNSUPPORTED_FORMAT,
    }
