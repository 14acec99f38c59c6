# SPDX-License-Identifier: Apache-2.0
"""One certificate, parsed, for PKIs that are all of one suite: P-256 with SHA-256, or P-384 with SHA-384.

Trusted by nobody yet.

The library checks the structure and reads the dates; names, key, serial number and extensions are exact slices of the
DER, so that what is compared and checked is what stands there. Of the extensions only those are read that a chain is
judged by: an unknown one that is critical refuses the certificate, another is kept as it is. Source: RFC 5280 sections
4.1 and 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509

from verifiers import der
from verifiers.errors import Reason, VerificationError
from verifiers.signatures import p256_point, p256_signed, p384_point, p384_signed

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

FOREIGN: Final = (ValueError, x509.InvalidVersion)  # what the library and `der` raise on bad DER

# Content octets of object identifiers.
SUBJECT_KEY_IDENTIFIER: Final = bytes.fromhex("551d0e")
KEY_USAGE: Final = bytes.fromhex("551d0f")
BASIC_CONSTRAINTS: Final = bytes.fromhex("551d13")
AUTHORITY_KEY_IDENTIFIER: Final = bytes.fromhex("551d23")
EXTENDED_KEY_USAGE: Final = bytes.fromhex("551d25")
UNDERSTOOD: Final = frozenset({BASIC_CONSTRAINTS, KEY_USAGE})  # so that they may be critical
KEY_IDENTIFIER: Final = 0x80  # first member of AuthorityKeyIdentifier: [0] IMPLICIT OCTET STRING
KEY_CERT_SIGN: Final = 0x04  # bit 5 of KeyUsage, counted from the most significant

_COMMON_NAME: Final = bytes.fromhex("0603550403")  # the whole element
_TRUE: Final = (der.BOOLEAN, b"\xff")
_CRL_SIGN: Final = 0x02  # bit 6


@dataclass(frozen=True, slots=True)
class Suite:
    """A curve with its hash, the only one that a vendor's PKI uses.

    Attributes:
        curve, algorithm_name: as specifications call them.
        algorithm: content of the AlgorithmIdentifier of its signatures.
        spki: content of a SubjectPublicKeyInfo (RFC 5480) up to the point x || y, which is uncompressed.
        point_bytes: length of x || y. point: the key at these bytes, or None if they are not on the curve.
        signed: whether a DER signature is one of a key over a message.
    """

    curve: str
    algorithm_name: str
    algorithm: bytes
    spki: bytes
    point_bytes: int
    point: Callable[[bytes], ec.EllipticCurvePublicKey | None]
    signed: Callable[[ec.EllipticCurvePublicKey, bytes, bytes], bool]


P256: Final = Suite(
    "P-256",
    "ecdsa-with-SHA256",
    der.ECDSA_WITH_SHA256,
    bytes.fromhex("301306072a8648ce3d020106082a8648ce3d03010703420004"),
    64,
    p256_point,
    p256_signed,
)
P384: Final = Suite(
    "P-384",
    "ecdsa-with-SHA384",
    der.ECDSA_WITH_SHA384,
    bytes.fromhex("301006072a8648ce3d020106052b8104002203620004"),
    96,
    p384_point,
    p384_signed,
)


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """One parsed certificate with what chain building needs of it; trusted by nobody yet.

    `tbs` is the signed slice of `der`; `issuer`, `subject` and `spki` are the contents of those fields. `extensions`
    maps the content of an OID to the bytes in its OCTET STRING. `path_length` is None where nothing limits it. Equal
    bytes are the same certificate.
    """

    suite: Suite
    der: bytes
    tbs: bytes
    signature: bytes
    issuer: bytes
    subject: bytes
    spki: bytes
    public_key: ec.EllipticCurvePublicKey
    common_name: str
    serial_number: int
    not_before: datetime
    not_after: datetime
    extensions: dict[bytes, bytes]
    is_ca: bool
    path_length: int | None
    may_sign_certificates: bool
    may_sign_crls: bool

    def has_signed(self, signature: bytes, signed: bytes) -> bool:
        """Whether the DER ECDSA-Sig-Value `signature` is one of this certificate's key over `signed`."""
        return self.suite.signed(self.public_key, signature, signed)

    @property
    def subject_key_id(self) -> bytes | None:
        """The key identifier that CRLs of this certificate must name."""
        value = self.extensions.get(SUBJECT_KEY_IDENTIFIER)
        return None if value is None else der.only(value, der.OCTET_STRING)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)


def parse_certificate(
    data: bytes, suite: Suite = P256, *, understood: frozenset[bytes] = frozenset()
) -> Certificate:
    """Parse one certificate. Raises `chain` for anything that is not of this suite and plain RFC 5280.

    `understood`: extensions that the caller judges, so that they may be critical.
    """
    try:
        return _parse_certificate(data, suite, UNDERSTOOD | understood)
    except FOREIGN as error:
        raise VerificationError(Reason.CHAIN, f"certificate cannot be read: {error}") from error


def parse_issued(data: bytes, issuer: Certificate) -> Certificate:
    """Parse a certificate and check that `issuer`, which is authentic, is named by it and has signed it.

    Raises VerificationError (`chain`). Dates and what an issuer may do are not looked at.
    """
    certificate = parse_certificate(data, issuer.suite)
    if certificate.issuer != issuer.subject:
        raise VerificationError(
            Reason.CHAIN,
            f"{certificate.common_name} names another issuer than {issuer.common_name}",
        )
    if not issuer.has_signed(certificate.signature, certificate.tbs):
        raise VerificationError(
            Reason.CHAIN, f"{certificate.common_name} is not signed by {issuer.common_name}"
        )
    return certificate


def _parse_certificate(data: bytes, suite: Suite, understood: frozenset[bytes]) -> Certificate:
    tbs, signature, fields = signed_fields(data, suite)
    if len(fields) != 8 or fields[7][0] != der.CONTEXT_3:
        raise ValueError("not a version 3 certificate with extensions and no unique identifiers")
    _, serial, _, issuer, _, subject, spki, extensions = [content for _, content in fields]
    serial_number = der.unsigned(serial)
    if not serial_number:
        raise ValueError("serial number is not positive")
    certificate = x509.load_der_x509_certificate(data)
    found = parse_extensions(extensions, understood=understood)
    is_ca, path_length = basic_constraints(found.get(BASIC_CONSTRAINTS))
    usage = key_usage(found.get(KEY_USAGE))
    return Certificate(
        suite=suite,
        der=data,
        tbs=tbs,
        signature=signature,
        issuer=issuer,
        subject=subject,
        spki=spki,
        public_key=_public_key(spki, suite),
        common_name=common_name(subject),
        serial_number=serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        extensions=found,
        is_ca=is_ca,
        path_length=path_length,
        may_sign_certificates=bool(usage & KEY_CERT_SIGN),
        may_sign_crls=bool(usage & _CRL_SIGN),
    )


def signed_fields(
    data: bytes, suite: Suite = P256
) -> tuple[bytes, bytes, tuple[tuple[int, bytes], ...]]:
    """(TBS, signature, elements of the TBS) of a certificate or CRL whose two algorithm fields are the suite's.

    RFC 5280 4.1.1.2 and 5.1.1.2: the inner field must be the same as the outer one.
    """
    tbs, algorithm, signature = der.signed(data)
    fields = der.elements(der.only(tbs, der.SEQUENCE))
    inner = next((content for tag, content in fields if tag == der.SEQUENCE), b"")
    if algorithm != suite.algorithm or inner != algorithm:
        raise ValueError(f"signature algorithm is not {suite.algorithm_name}, inside and outside")
    return tbs, signature, fields


def parse_extensions(content: bytes, understood: frozenset[bytes]) -> dict[bytes, bytes]:
    """OID -> value of the Extensions in `content`. Refuses repeated ones, and critical ones that are not understood.

    Raises ValueError.
    """
    found, critical = read_extensions(content)
    demand_understood(critical, understood)
    return found


def demand_understood(critical: AbstractSet[bytes], understood: AbstractSet[bytes]) -> None:
    """Refuse a critical extension that is not understood (RFC 5280, 4.2). Raises ValueError."""
    if unknown := critical - understood:
        raise ValueError(f"unknown critical extension {min(unknown).hex()}")


def read_extensions(content: bytes) -> tuple[dict[bytes, bytes], set[bytes]]:
    """(OID -> value, OIDs of the critical ones) of the Extensions in `content`. Refuses repeated ones, by ValueError.

    The library has read what holds them: each is an OID, perhaps a BOOLEAN, and an OCTET STRING.
    """
    found: dict[bytes, bytes] = {}
    critical: set[bytes] = set()
    for _, extension in der.elements(der.only(content, der.SEQUENCE)):
        (_, oid), *flag, (_, value) = der.elements(extension)
        if oid in found:
            raise ValueError(f"extension {oid.hex()} stands twice")
        if flag:
            critical.add(oid)
        found[oid] = value
    return found, critical


def basic_constraints(value: bytes | None) -> tuple[bool, int | None]:
    """(whether a CA, path length); without the extension it is none. Raises ValueError."""
    match () if value is None else der.elements(der.only(value, der.SEQUENCE)):
        case ():
            return False, None
        case (critical,) if critical == _TRUE:
            return True, None
        case (critical, (der.INTEGER, number)) if critical == _TRUE:
            return True, der.unsigned(number)
    raise ValueError("BasicConstraints is not what RFC 5280 says")


def key_usage(value: bytes | None) -> int:
    """The first octet of bits, 0 without the extension; what the others say matters to nobody here.

    Raises ValueError.
    """
    bits = b"\x00\x00" if value is None else der.only(value, der.BIT_STRING)
    if len(bits) < 2:
        raise ValueError("KeyUsage is empty")
    return bits[1]


def _public_key(spki: bytes, suite: Suite) -> ec.EllipticCurvePublicKey:
    point = spki.removeprefix(suite.spki)
    key = suite.point(point) if len(point) == suite.point_bytes else None
    if key is None:
        raise ValueError(f"key is not {suite.curve}")
    return key


def common_name(subject: bytes) -> str:
    """The common name in the content of a Name, or "" unless there is exactly one, alone in its RDN.

    Raises ValueError for what is no Name.
    """
    names = [rdn for _, rdn in der.elements(subject) if rdn[2:7] == _COMMON_NAME]
    if len(names) != 1:
        return ""
    _, (_, value) = der.elements(der.only(names[0], der.SEQUENCE))
    return value.decode("utf-8")
