# SPDX-License-Identifier: Apache-2.0
"""Keys of a fake AMD and of virtual TPMs: RSA for authorities and attestation keys, P-384 for VCEK and VLEK.

P-384 keys come from a seed. RSA keys cannot, and a 4096-bit one costs half a second: an `RsaKeys` makes each when it is
first asked for and can be written down. `SHARED` serves a whole process, so that its tests pay once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulator import der

if TYPE_CHECKING:
    from collections.abc import Mapping

P384_ORDER = int(
    "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
    16,
)
SALT_BYTES = 48
COMPONENT_BYTES = 72  # of a report's signature: r and s, little-endian, 48 bytes used

_SHA384 = der.sequence(der.oid("2.16.840.1.101.3.4.2.2"), der.NULL)
_PSS_PARAMETERS = (
    der.explicit(0, _SHA384),
    der.explicit(1, der.sequence(der.oid("1.2.840.113549.1.1.8"), _SHA384)),
    der.explicit(2, der.integer(SALT_BYTES)),
)
_PSS = der.oid("1.2.840.113549.1.1.10")
PSS_SHA384 = der.sequence(_PSS, der.sequence(*_PSS_PARAMETERS))
PSS_SHA384_WITH_TRAILER = der.sequence(  # the default, spelled out: so in AMD's CA certificates
    _PSS, der.sequence(*_PSS_PARAMETERS, der.explicit(3, der.integer(1)))
)


class RsaKey:
    """An RSA key pair, exponent 65537. Equal to itself only."""

    def __init__(self, private: rsa.RSAPrivateKey) -> None:
        self.private = private

    @classmethod
    def generate(cls, bits: int = 4096) -> RsaKey:
        """A new random key."""
        return cls(rsa.generate_private_key(65537, bits))

    @cached_property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""
        return self.private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def modulus(self) -> bytes:
        """Big-endian, as long as the key."""
        number = self.private.public_key().public_numbers().n
        return number.to_bytes(self.private.key_size // 8, "big")

    @cached_property
    def key_id(self) -> bytes:
        """Key identifier, 20 bytes (RFC 5280, 4.2.1.2, method 1), as AMD's are."""
        return x509.SubjectKeyIdentifier.from_public_key(self.private.public_key()).digest

    def sign_der(self, data: bytes) -> bytes:
        """RSASSA-PSS as AMD's certificates and lists carry it: SHA-384, MGF1 with SHA-384, 48 bytes of salt."""
        pss = padding.PSS(padding.MGF1(hashes.SHA384()), SALT_BYTES)
        return self.private.sign(data, pss, hashes.SHA384())

    def sign_pkcs1(self, data: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-256, as attestation keys of TPMs sign."""
        return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())


class P384Key:
    """A P-384 key pair. Equal to itself only."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self.private = private

    @classmethod
    def derive(cls, seed: bytes, label: str) -> P384Key:
        """The key that `seed` and `label` always give."""
        digest = hashlib.shake_256(seed + b"\0" + label.encode()).digest(64)
        scalar = int.from_bytes(digest, "big") % (P384_ORDER - 1) + 1
        return cls(ec.derive_private_key(scalar, ec.SECP384R1()))

    @cached_property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""
        return self.private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )

    def sign_der(self, data: bytes) -> bytes:
        """ECDSA with SHA-384: DER of r and s."""
        return self.private.sign(data, ec.ECDSA(hashes.SHA384(), deterministic_signing=True))

    def sign_report(self, data: bytes) -> bytes:
        """ECDSA with SHA-384 as reports carry it: r and s, each 72 bytes little-endian."""
        r, s = decode_dss_signature(self.sign_der(data))
        return components(r, s)


def components(r: int, s: int) -> bytes:
    """A report's signature of these numbers, 144 bytes."""
    return r.to_bytes(COMPONENT_BYTES, "little") + s.to_bytes(COMPONENT_BYTES, "little")


def malleate(signature: bytes) -> bytes:
    """The other valid signature of the same key and data: s becomes n-s (144 bytes)."""
    r = int.from_bytes(signature[:COMPONENT_BYTES], "little")
    s = int.from_bytes(signature[COMPONENT_BYTES:], "little")
    return components(r, P384_ORDER - s)


@dataclass(slots=True)
class RsaKeys:
    """RSA keys by label, each made when it is first asked for."""

    made: dict[str, RsaKey] = field(default_factory=dict)

    def get(self, label: str, bits: int = 4096) -> RsaKey:
        """The key of this label."""
        if label not in self.made:
            self.made[label] = RsaKey.generate(bits)
        return self.made[label]

    def dump(self) -> dict[str, str]:
        """Every key made so far: PKCS #8 as PEM, not encrypted."""
        return {
            label: key.private.private_bytes(
                Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode("ascii")
            for label, key in self.made.items()
        }

    @classmethod
    def load(cls, texts: Mapping[str, str]) -> RsaKeys:
        """What `dump` gave. Raises TypeError for another kind of key."""
        made = {}
        for label, text in texts.items():
            private = serialization.load_pem_private_key(  # checking primes would take longer than all else
                text.encode("ascii"), password=None, unsafe_skip_rsa_key_validation=True
            )
            if not isinstance(private, rsa.RSAPrivateKey):
                raise TypeError(f"{label} is no RSA key")
            made[label] = RsaKey(private)
        return cls(made)


SHARED = RsaKeys()
