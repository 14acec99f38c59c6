# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import RequestRefused
from ca.issuance import keys

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
GOOD: list[keys.PublicKey] = [
    ec.generate_private_key(ec.SECP256R1()).public_key(),
    ec.generate_private_key(ec.SECP384R1()).public_key(),
    ed25519.Ed25519PrivateKey.generate().public_key(),
]


def ed_key(y: int, sign: int = 0) -> ed25519.Ed25519PublicKey:
    return ed25519.Ed25519PublicKey.from_public_bytes((y | sign << 255).to_bytes(32, "little"))


def refused(key: object) -> None:
    with pytest.raises(RequestRefused) as error:
        keys.accept(key)
    assert error.value.code == "key-type"


@pytest.mark.parametrize("key", GOOD)
def test_the_three_types(key: keys.PublicKey) -> None:
    der = keys.encode(key)
    assert keys.load(der) == keys.accept(key) == key
    assert der == load_der_public_key(der).public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048).public_key(),
        ec.generate_private_key(ec.SECP521R1()).public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        ed448.Ed448PrivateKey.generate().public_key(),
        x25519.X25519PrivateKey.generate().public_key(),
    ],
)
def test_other_types(key: object) -> None:
    refused(key)


def test_the_order_8_constant_is_on_the_curve() -> None:
    # doubling such a point gives y = 0, a point of order 4: d·y^4 + 2·y^2 - 1 = 0
    assert (D * pow(keys._Y8, 4, P) + 2 * keys._Y8**2 - 1) % P == 0


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [0, 1, P - 1, keys._Y8, P - keys._Y8, P, P + 1, 2**255 - 1])
def test_ed25519_of_small_order_or_second_encoding(y: int, sign: int) -> None:
    refused(ed_key(y, sign))


def test_a_point_of_small_order_would_prove_nothing() -> None:
    """Why they are refused: one signature of zeros verifies for many messages under such a key."""
    key = ed_key(1)  # the neutral element
    forged = (1).to_bytes(32, "little") + bytes(32)
    for message in (b"one", b"two"):
        key.verify(forged, message)


def test_compressed_points_are_not_canonical() -> None:
    key = GOOD[0]
    assert isinstance(key, ec.EllipticCurvePublicKey)
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    der = keys.encode(key)
    compressed = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    assert load_der_public_key(compressed) == key
    with pytest.raises(RequestRefused) as error:
        keys.load(compressed)
    assert error.value.code == "key-type"
    with pytest.raises(RequestRefused):
        keys.load(der + b"\0")


@given(st.binary(max_size=120))
def test_load_refuses_and_nothing_else(data: bytes) -> None:
    with pytest.raises(RequestRefused) as error:
        keys.load(data)
    assert error.value.code == "key-type"


def test_key_id_is_over_the_bit_string() -> None:
    for key in GOOD:
        bits = keys.encode(key)[-{256: 65, 384: 97}.get(getattr(key, "key_size", 0), 32) :]
        assert keys.key_id(key) == hashlib.sha256(bits).digest()[:20]


def test_thumbprint_of_rfc_8037() -> None:
    key = ed25519.Ed25519PublicKey.from_public_bytes(
        bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    )
    assert keys.thumbprint(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_jwk_pads_coordinates() -> None:
    for curve in (ec.SECP256R1(), ec.SECP384R1()):
        size = curve.key_size // 8
        key = ec.derive_private_key(2, curve).public_key()
        jwk = keys.jwk(key)
        assert jwk["kty"] == "EC"
        assert jwk["crv"] == f"P-{curve.key_size}"
        assert len(jwk["x"]) == len(jwk["y"]) == -(-size * 4 // 3)
