# SPDX-License-Identifier: Apache-2.0
"""Public keys: the three types that we certify, their one encoding, their identifiers.

Canonical SubjectPublicKeyInfo: named curve, uncompressed point (RFC 5480, section 2), no parameters for Ed25519
(RFC 8410). Key identifiers are the leftmost 160 bits of SHA-256 over the BIT STRING's value (RFC 7093, section 2,
method 1). No I/O; no private keys.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from ca.errors import RequestRefused

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

# Twisted Edwards curve of Ed25519 (RFC 8032, section 5.1): the prime, and the y of its points of order 8.
_P = 2**255 - 19
_Y8 = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
_SMALL_ORDER_Y = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})


def accept(key: object) -> PublicKey:
    """`key` if it is of a type that we certify.

    Raises:
        RequestRefused: `key-type`: neither P-256 nor P-384 nor Ed25519, or an Ed25519 point of small order or in a
            second encoding (such a key proves possession of nothing: signatures exist that verify for many messages).
    """
    if isinstance(key, ec.EllipticCurvePublicKey):
        if isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
            return key
    elif isinstance(key, ed25519.Ed25519PublicKey):
        y = int.from_bytes(key.public_bytes_raw(), "little") & (2**255 - 1)
        if y >= _P or y in _SMALL_ORDER_Y:
            raise RequestRefused("an Ed25519 key of small order", code="key-type")
        return key
    raise RequestRefused("the key must be P-256, P-384 or Ed25519", code="key-type")


def encode(key: PublicKey) -> bytes:
    """DER SubjectPublicKeyInfo in the canonical encoding."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def load(spki_der: bytes) -> PublicKey:
    """The key in a canonical SubjectPublicKeyInfo.

    Raises:
        RequestRefused: `key-type`, also where `spki_der` is not the canonical encoding.
    """
    try:
        key = accept(load_der_public_key(spki_der))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RequestRefused("not a public key", code="key-type") from error
    if encode(key) != spki_der:
        raise RequestRefused("not the canonical encoding of the key", code="key-type")
    return key


def key_id(key: PublicKey) -> bytes:
    """SubjectKeyIdentifier, 20 bytes."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        bits = key.public_bytes_raw()
    else:
        bits = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return hashlib.sha256(bits).digest()[:20]


def jwk(key: PublicKey) -> dict[str, str]:
    """The required members of the key's JWK (RFC 7518, section 6.2; RFC 8037, section 2)."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {"crv": "Ed25519", "kty": "OKP", "x": base64url(key.public_bytes_raw())}
    size = (key.key_size + 7) // 8
    point = key.public_numbers()
    return {
        "crv": f"P-{key.key_size}",
        "kty": "EC",
        "x": base64url(point.x.to_bytes(size, "big")),
        "y": base64url(point.y.to_bytes(size, "big")),
    }


def thumbprint(key: PublicKey) -> str:
    """JWK thumbprint with SHA-256, base64url (RFC 7638)."""
    text = json.dumps(jwk(key), sort_keys=True, separators=(",", ":"))
    return base64url(hashlib.sha256(text.encode()).digest())


def base64url(data: bytes) -> str:
    """base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
