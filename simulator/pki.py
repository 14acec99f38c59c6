# SPDX-License-Identifier: Apache-2.0
"""Keys, certificates and revocation lists of a fake vendor, each open to every alteration before and after signing.

A `CertificateSpec` or `CrlSpec` is the content, frozen; an `Entity` or `Crl` is what a test holds: its content, the key
that signs it and a last edit of the finished DER. Signatures are deterministic (RFC 6979), so the same content gives
the same bytes; AMD's RSASSA-PSS is salted, there this holds within a process. Nothing here checks anything: names, path
lengths and dates are as the test says.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulator import der

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

ECDSA_SHA256 = der.sequence(der.oid("1.2.840.10045.4.3.2"))
ECDSA_SHA384 = der.sequence(der.oid("1.2.840.10045.4.3.3"))

AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
CRL_DISTRIBUTION_POINTS = "2.5.29.31"
KEY_USAGE = "2.5.29.15"
BASIC_CONSTRAINTS = "2.5.29.19"
CRL_NUMBER = "2.5.29.20"
REASON_CODE = "2.5.29.21"

CERT_SIGN_AND_CRL_SIGN = b"\x06"  # bits 5 and 6 of KeyUsage
SIGNATURE_AND_NON_REPUDIATION = b"\xc0"  # bits 0 and 1

Name: TypeAlias = bytes


class Key:
    """A P-256 key pair. Equal to itself only."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self.private = private

    @classmethod
    def derive(cls, seed: bytes, label: str) -> Key:
        """The key that `seed` and `label` always give."""
        digest = hashlib.sha512(seed + b"\0" + label.encode()).digest()
        scalar = int.from_bytes(digest, "big") % (P256_ORDER - 1) + 1
        return cls(ec.derive_private_key(scalar, ec.SECP256R1()))

    @classmethod
    def generate(cls) -> Key:
        """A new random key."""
        return cls.derive(secrets.token_bytes(32), "random")

    @cached_property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""
        public = self.private.public_key()
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def point(self) -> bytes:
        """x||y, 64 bytes, as quotes carry it."""
        return self.spki[-64:]

    @property
    def key_id(self) -> bytes:
        """Key identifier, 20 bytes (RFC 7093, method 1)."""
        return hashlib.sha256(b"\x04" + self.point).digest()[:20]

    def sign_der(self, data: bytes) -> bytes:
        """ECDSA with SHA-256 as certificates carry it: DER of r and s."""
        return self.private.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))

    def sign_raw(self, data: bytes) -> bytes:
        """ECDSA with SHA-256 as quotes and collateral carry it: r||s, 64 bytes."""
        r, s = decode_dss_signature(self.sign_der(data))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class Signer(Protocol):
    """Whatever signs certificates and revocation lists: a `Key`, or one of AMD's kinds of keys. Hashable."""

    def __hash__(self) -> int:
        """By identity."""
        ...

    def sign_der(self, data: bytes) -> bytes:
        """The signature as the BIT STRING of a certificate carries it."""
        ...


def malleate(signature: bytes) -> bytes:
    """The other valid signature of the same key and data: r||s becomes r||n-s (64 bytes)."""
    s = P256_ORDER - int.from_bytes(signature[32:], "big")
    return signature[:32] + s.to_bytes(32, "big")


def name(common_name: str, organization: str = "Intel Corporation") -> Name:
    """A distinguished name of Intel's form, DER: CN, O, L=Santa Clara, ST=CA, C=US."""
    attributes = (
        ("2.5.4.3", der.utf8_string(common_name)),
        ("2.5.4.10", der.utf8_string(organization)),
        ("2.5.4.7", der.utf8_string("Santa Clara")),
        ("2.5.4.8", der.utf8_string("CA")),
        ("2.5.4.6", der.printable_string("US")),
    )
    return der.sequence(*(der.set_of(der.sequence(der.oid(o), value)) for o, value in attributes))


@dataclass(frozen=True, slots=True)
class Extension:
    """One X.509 extension: `value` is the DER inside the OCTET STRING."""

    oid: str
    value: bytes
    critical: bool = False

    def encode(self) -> bytes:
        """The Extension SEQUENCE; `critical` only where true."""
        critical = der.TRUE if self.critical else b""
        return der.sequence(der.oid(self.oid), critical, der.octet_string(self.value))


def authority_key_identifier(key_id: bytes) -> Extension:
    """AuthorityKeyIdentifier with a key identifier alone."""
    return Extension(AUTHORITY_KEY_IDENTIFIER, der.sequence(der.implicit(0, key_id)))


def subject_key_identifier(key_id: bytes) -> Extension:
    """SubjectKeyIdentifier."""
    return Extension(SUBJECT_KEY_IDENTIFIER, der.octet_string(key_id))


def crl_distribution_point(url: str) -> Extension:
    """CRLDistributionPoints with one URL."""
    full_name = der.explicit(0, der.explicit(0, der.implicit(6, url.encode("ascii"))))
    return Extension(CRL_DISTRIBUTION_POINTS, der.sequence(der.sequence(full_name)))


def key_usage(bits: bytes, unused: int | None = None) -> Extension:
    """KeyUsage, critical; `bits` is the one byte of the BIT STRING, `unused` None the number that DER demands."""
    if unused is None:
        unused = (bits[0] & -bits[0]).bit_length() - 1
    return Extension(KEY_USAGE, der.bit_string(bits, unused), critical=True)


def basic_constraints(*, ca: bool, path_len: int | None = None) -> Extension:
    """BasicConstraints, critical; an end entity's is the empty SEQUENCE."""
    length = b"" if path_len is None else der.integer(path_len)
    return Extension(
        BASIC_CONSTRAINTS, der.sequence(der.TRUE if ca else b"", length), critical=True
    )


def crl_number(number: int) -> Extension:
    """CRLNumber."""
    return Extension(CRL_NUMBER, der.integer(number))


@dataclass(frozen=True, slots=True)
class CertificateSpec:
    """The content of a certificate. Times are UTC, whole seconds.

    `algorithm` stands in the signed part, `outer_algorithm` beside the signature (the same one where None); both are
    encoded AlgorithmIdentifiers. The signature itself is what the signer makes, whatever they say.
    """

    serial: int
    issuer: Name
    subject: Name
    not_before: datetime
    not_after: datetime
    spki: bytes
    extensions: tuple[Extension, ...]
    version: int = 3
    algorithm: bytes = ECDSA_SHA256
    outer_algorithm: bytes | None = None

    def tbs(self) -> bytes:
        """TBSCertificate (RFC 5280, 4.1)."""
        extensions = der.sequence(*(extension.encode() for extension in self.extensions))
        return der.sequence(
            der.explicit(0, der.integer(self.version - 1)),
            der.integer(self.serial),
            self.algorithm,
            self.issuer,
            der.sequence(der.time(self.not_before), der.time(self.not_after)),
            self.subject,
            self.spki,
            der.explicit(3, extensions) if self.extensions else b"",
        )


@dataclass(frozen=True, slots=True)
class Revoked:
    """One entry of a revocation list; `reason` None leaves the reason out."""

    serial: int
    date: datetime
    reason: int | None = 1  # keyCompromise, as all of Intel's

    def encode(self) -> bytes:
        """The revokedCertificates entry."""
        extensions = b""
        if self.reason is not None:
            extensions = der.sequence(Extension(REASON_CODE, der.enumerated(self.reason)).encode())
        return der.sequence(der.integer(self.serial), der.time(self.date), extensions)


@dataclass(frozen=True, slots=True)
class CrlSpec:
    """The content of a revocation list. `next_update` None leaves it out."""

    issuer: Name
    this_update: datetime
    next_update: datetime | None
    extensions: tuple[Extension, ...]
    revoked: tuple[Revoked, ...] = ()
    version: int = 2
    algorithm: bytes = ECDSA_SHA256
    outer_algorithm: bytes | None = None

    def tbs(self) -> bytes:
        """TBSCertList (RFC 5280, 5.1); no revokedCertificates where there are none."""
        extensions = der.sequence(*(extension.encode() for extension in self.extensions))
        return der.sequence(
            der.integer(self.version - 1),
            self.algorithm,
            self.issuer,
            der.time(self.this_update),
            b"" if self.next_update is None else der.time(self.next_update),
            der.sequence(*(entry.encode() for entry in self.revoked)) if self.revoked else b"",
            der.explicit(0, extensions) if self.extensions else b"",
        )


# More than a run of all tests signs, for AMD's signatures would be others the next time.
@lru_cache(maxsize=8192)
def _sign(spec: CertificateSpec | CrlSpec, key: Signer) -> bytes:
    tbs = spec.tbs()
    algorithm = spec.algorithm if spec.outer_algorithm is None else spec.outer_algorithm
    return der.sequence(tbs, algorithm, der.bit_string(key.sign_der(tbs)))


def _unedited(data: bytes) -> bytes:
    return data


Spec = TypeVar("Spec", CertificateSpec, CrlSpec)


@dataclass(slots=True, kw_only=True)
class Signed(Generic[Spec]):
    """Content and the key that signs it, both open to change; what `der` gives follows at once.

    Attributes:
        spec: the content. signer: the key that signs it. edit: applied to the finished DER.
    """

    spec: Spec
    signer: Signer
    edit: Callable[[bytes], bytes] = _unedited

    @property
    def der(self) -> bytes:
        """Signed and edited, DER."""
        return self.edit(_sign(self.spec, self.signer))

    def alter(self, **changes: Any) -> None:  # noqa: ANN401 - any field of the content
        """Replace fields of the content by name, before signing."""
        self.spec = replace(self.spec, **changes)

    def put(self, *extensions: Extension) -> None:
        """Set extensions; one of the same OID is replaced in its place, another goes to the end."""
        merged = {extension.oid: extension for extension in (*self.spec.extensions, *extensions)}
        self.alter(extensions=tuple(merged.values()))

    def drop(self, oid: str) -> None:
        """Leave out the extension `oid`."""
        self.alter(extensions=tuple(e for e in self.spec.extensions if e.oid != oid))


@dataclass(slots=True, kw_only=True)
class Entity(Signed[CertificateSpec]):
    """A certificate and the key of its holder (by default the certified one)."""

    key: Key


@dataclass(slots=True, kw_only=True)
class Crl(Signed[CrlSpec]):
    """A revocation list."""

    def revoke(self, *serials: int) -> None:
        """Add serial numbers, negative ones too, revoked at `this_update`."""
        entries = tuple(Revoked(serial, self.spec.this_update) for serial in serials)
        self.alter(revoked=self.spec.revoked + entries)


def pem(*items: bytes, label: str = "CERTIFICATE") -> str:
    """PEM blocks one after the other, lines of 64 characters ending in LF."""
    return "".join(_pem_block(item, label) for item in items)


@lru_cache(maxsize=512)
def _pem_block(item: bytes, label: str) -> str:
    text = base64.b64encode(item).decode("ascii")
    lines = "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"
