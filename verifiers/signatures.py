# SPDX-License-Identifier: Apache-2.0
"""ECDSA on P-256 with SHA-256, in the two forms that vendors use.

Raw, in quotes and statements: r || s and x || y, 32 bytes each, big endian. DER, in certificates and CRLs.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

_ECDSA = ec.ECDSA(SHA256())
_P256 = ec.SECP256R1()


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
        key.verify(signature, signed, _ECDSA)
    except InvalidSignature:
        return False
    return True
