# SPDX-License-Identifier: Apache-2.0
"""ECDSA in the forms that vendors use: P-256 with SHA-256 (Intel), P-384 with SHA-384 (AMD's reports, all of NVIDIA's).

Raw P-256, in quotes and statements: r || s and x || y, 32 bytes each, big endian. DER, in certificates and CRLs. For
P-384 r and s are numbers, because AMD writes them little endian in fields that are longer, NVIDIA big endian.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256, sha384

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

_ECDSA = ec.ECDSA(Prehashed(SHA256()))  # the digest is made by hashlib, which has less to set up
_P256 = ec.SECP256R1()
_ECDSA_384 = ec.ECDSA(Prehashed(SHA384()))
_P384 = ec.SECP384R1()
_P384_ORDER = int(  # FIPS 186-5, SP 800-186 3.2.1.4
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)


@lru_cache(maxsize=4096)
def p256_point(xy: bytes) -> ec.EllipticCurvePublicKey | None:
    """The key at the 64-byte point x || y, or None if it is not on the curve.

    Remembered, for a key costs more at its first use than at later ones; whoever fills the memory, points are small.
    """
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_P256, b"\x04" + xy)
    except ValueError:
        return None


def p256_verifies(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    """Whether the 64-byte `signature` is one of `key` over SHA-256(`signed`)."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return p256_signed(key, encode_dss_signature(r, s), signed)


def p256_signed(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    """Whether the DER ECDSA-Sig-Value `signature` is one of `key` over SHA-256(`signed`)."""
    try:
        key.verify(signature, sha256(signed).digest(), _ECDSA)
    except InvalidSignature:
        return False
    return True


def p384_point(xy: bytes) -> ec.EllipticCurvePublicKey | None:
    """The key at the 96-byte point x || y, or None if it is not on the curve."""
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_P384, b"\x04" + xy)
    except ValueError:
        return None


def p384_verifies(key: ec.EllipticCurvePublicKey, r: int, s: int, signed: bytes) -> bool:
    """Whether (r, s), both from 1 to n - 1, is a signature of `key` over SHA-384(`signed`)."""
    if not (0 < r < _P384_ORDER and 0 < s < _P384_ORDER):
        return False
    return p384_signed(key, encode_dss_signature(r, s), signed)


def p384_signed(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    """Whether the DER ECDSA-Sig-Value `signature` is one of `key` over SHA-384(`signed`)."""
    try:
        key.verify(signature, sha384(signed).digest(), _ECDSA_384)
    except InvalidSignature:
        return False
    return True
