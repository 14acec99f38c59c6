# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates of a fake NVIDIA: P-384, made by the library, each part settable before it is signed.

`issue` makes those of the signers of manifests and of OCSP responders; certificates of devices are in
`simulator.nvidia.devices`. A key follows from its label alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
YEAR = timedelta(days=365)
SECOND = timedelta(seconds=1)

NO_CHECK = ObjectIdentifier("1.3.6.1.5.5.7.48.1.5")
OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING
SIGNED_WITH: dict[str, SHA256 | SHA384] = {"sha256": SHA256(), "sha384": SHA384()}
_ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)


@lru_cache(maxsize=256)
def key(label: str) -> ec.EllipticCurvePrivateKey:
    """The P-384 key that a label always gives."""
    digest = hashlib.sha512(label.encode()).digest()
    return ec.derive_private_key(int.from_bytes(digest, "big") % (_ORDER - 1) + 1, ec.SECP384R1())


@dataclass(frozen=True, eq=False)
class Party:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.DER)


@dataclass(frozen=True)
class Terms:
    """What a certificate says besides its name. `usage`: names of the bits; `purposes`: of extended key usage."""

    ca: bool = False
    path_length: int | None = None
    usage: tuple[str, ...] = ("digital_signature",)
    purposes: tuple[ObjectIdentifier, ...] = ()
    critical: bool = True
    not_before: datetime = NOW - YEAR
    not_after: datetime = NOW + YEAR
    key: str = ""
    signed_with: str = "sha384"


CA = Terms(ca=True, usage=("key_cert_sign", "crl_sign"))
RESPONDER = Terms(purposes=(OCSP_SIGNING,))
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@lru_cache(maxsize=1024)
def issue(name: str, by: Party | None, terms: Terms = CA) -> Party:
    """A certificate; self-signed if nobody issues it. The same arguments give the same bytes."""
    own = key(terms.key or name)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "NVIDIA Corporation"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    serial = int.from_bytes(hashlib.sha256(f"{name}{terms}".encode()).digest()[:8], "big") + 1
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(own.public_key())
        .serial_number(serial)
        .not_valid_before(terms.not_before)
        .not_valid_after(terms.not_after)
        .add_extension(x509.BasicConstraints(terms.ca, terms.path_length), critical=True)
        .add_extension(x509.KeyUsage(**{bit: bit in terms.usage for bit in USAGES}), critical=True)
    )
    if terms.purposes:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage(terms.purposes), critical=terms.critical
        )
    signed = builder.sign(
        by.key if by else own, SIGNED_WITH[terms.signed_with], ecdsa_deterministic=True
    )
    return Party(signed, own)


def raw(by: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """R || s, 96 bytes."""
    r, s = decode_dss_signature(by.sign(data, ec.ECDSA(SHA384(), deterministic_signing=True)))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")
