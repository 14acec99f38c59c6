# SPDX-License-Identifier: Apache-2.0
"""Endorsement certificates of AMD: a VCEK (of one chip) or VLEK (of one cloud provider), each of one TCB.

Read by our own DER reader alone, for every real one has the serial number 0, which RFC 5280 forbids and libraries are
about to refuse. Everything that real ones have is demanded, each extension once and in its exact form; what stands in
AMD's arc beyond that is refused, for it may be a component of the TCB that is not compared. `verify_vek` remembers what
it authenticated (`lru_cache`: exact bytes are the key, only successes are kept); no date is looked at here. Source: AMD
publications 57230 (VCEK certificate and KDS interface) and 58369 (VLEK).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from verifiers import der
from verifiers.amd import subject_name
from verifiers.certificate import common_name
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Product
from verifiers.signatures import p384_point
from verifiers.snp.claims import SigningKey, VekClaims
from verifiers.snp.pss import PssSigned, read_signed
from verifiers.snp.report import has_fmc, tcb_version

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from verifiers.amd import AmdAuthority, AmdHierarchy

_IA5_STRING: Final = 0x16
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18

_VERSION_3: Final = bytes.fromhex("020102")
_FIELD_TAGS: Final = (der.CONTEXT_0, der.INTEGER, *[der.SEQUENCE] * 5, der.CONTEXT_3)
# SubjectPublicKeyInfo content of a P-384 key (RFC 5480) up to its 96-byte point x || y, which is uncompressed.
_P384_SPKI: Final = bytes.fromhex("301006072a8648ce3d020106052b8104002203620004")
_SUBJECTS: Final = {
    subject_name("SEV-VCEK"): SigningKey.VCEK,
    subject_name("SEV-VLEK"): SigningKey.VLEK,
}
_ISSUERS: Final = {f"SEV-{product}": product for product in Product} | {
    f"SEV-VLEK-{product}": product for product in Product
}

_ARC: Final = bytes.fromhex("2b060104019c7801")  # 1.3.6.1.4.1.3704.1
_STRUCT_VERSION: Final = _ARC + b"\x01"
_PRODUCT_NAME: Final = _ARC + b"\x02"
_HWID: Final = _ARC + b"\x04"
_CSP_ID: Final = _ARC + b"\x05"
# structVersion -> for each byte of the TCB_VERSION the last arc of the extension that says it.
_SPLS: Final = {
    0: (1, 2, 4, 5, 6, 7, 3, 8),  # boot loader, TEE, four of zero, SNP, microcode
    1: (9, 1, 2, 3, 5, 6, 7, 8),  # FMC, boot loader, TEE, SNP, three of zero, microcode
}
_HWID_BYTES: Final = {0: 64, 1: 8}


@dataclass(frozen=True, slots=True)
class Vek:
    """One parsed endorsement certificate.

    Attributes:
        issuer: content of its issuer's Name.
        issuer_product: the product line that the issuer is named for; None where it is no name of AMD's.
        public_key: P-384.
    """

    issuer: bytes
    issuer_product: Product | None
    public_key: ec.EllipticCurvePublicKey
    claims: VekClaims
    signed: PssSigned


def read_vek(data: bytes) -> Vek:
    """Parse one certificate; nobody has checked its signature. Raises VerificationError (`chain`)."""
    try:
        return _read(data)
    except ValueError as error:
        raise VerificationError(
            Reason.CHAIN, f"endorsement certificate cannot be read: {error}"
        ) from error


def authority_of(hierarchy: AmdHierarchy, kind: SigningKey) -> AmdAuthority:
    """Who signs certificates of this kind."""
    return hierarchy.asvk if kind is SigningKey.VLEK else hierarchy.ask


def check_fits(vek: Vek, kind: SigningKey, hierarchy: AmdHierarchy) -> None:
    """Demand a certificate of this kind, whose issuer is not named for another product line.

    Raises:
        VerificationError: `endorsement-mismatch`.
    """
    if vek.claims.kind is not kind:
        raise VerificationError(
            Reason.ENDORSEMENT_MISMATCH,
            f"the report is signed by a {kind.upper()}, the certificate is a {vek.claims.kind.upper()}",
        )
    if vek.issuer_product not in (None, hierarchy.product):
        raise VerificationError(
            Reason.ENDORSEMENT_MISMATCH,
            f"the CPU is of {hierarchy.product}, the certificate of {vek.issuer_product}",
        )


@lru_cache(maxsize=4096)
def verify_vek(data: bytes, kind: SigningKey, hierarchy: AmdHierarchy) -> Vek:
    """Parse one certificate and authenticate it: of this kind, of this product line, signed by its authority.

    Raises:
        VerificationError: `endorsement-mismatch` for another kind or product line, `chain` for any other fault.
    """
    vek, authority = read_vek(data), authority_of(hierarchy, kind)
    check_fits(vek, kind, hierarchy)
    if vek.issuer != authority.subject or not vek.signed.is_by(authority):
        raise VerificationError(
            Reason.CHAIN,
            f"the {kind.upper()} is not issued and signed by {authority.common_name}",
        )
    line, _, _ = vek.claims.product_name.partition("-")  # Milan-B0, whatever the stepping
    if line != hierarchy.product or vek.claims.struct_version != has_fmc(hierarchy.product):
        raise VerificationError(
            Reason.ENDORSEMENT_MISMATCH,
            f"the certificate is for {vek.claims.product_name}, structVersion"
            f" {vek.claims.struct_version}, not for {hierarchy.product}",
        )
    return vek


def _read(data: bytes) -> Vek:
    signed = read_signed(data)
    if tuple(tag for tag, _ in signed.fields) != _FIELD_TAGS:
        raise ValueError("not a certificate with extensions and no unique identifiers")
    version, serial, _, issuer, validity, subject, spki, extensions = [
        content for _, content in signed.fields
    ]
    der.unsigned(serial)
    if version != _VERSION_3 or subject not in _SUBJECTS:
        raise ValueError("not version 3, or its subject is neither SEV-VCEK nor SEV-VLEK")
    not_before, not_after = _validity(validity)
    return Vek(
        issuer=issuer,
        issuer_product=_ISSUERS.get(common_name(issuer)),
        public_key=_public_key(spki),
        claims=_claims(
            _SUBJECTS[subject],
            _extensions(extensions),
            (not_before, not_after),
            hashlib.sha256(data).digest(),
        ),
        signed=signed,
    )


def _validity(content: bytes) -> tuple[datetime, datetime]:
    times = der.elements(content)
    if len(times) != 2:
        raise ValueError("validity is not two times")
    return _time(*times[0]), _time(*times[1])


def _time(tag: int, content: bytes) -> datetime:
    """UTCTime until 2049, GeneralizedTime after, both to the second and with Z (RFC 5280 4.1.2.5)."""
    digits = content[:-1]
    if tag == _UTC_TIME:
        digits = (b"19" if digits[:2] >= b"50" else b"20") + digits
    elif tag != _GENERALIZED_TIME or digits[:4] < b"2050":
        raise ValueError("neither UTCTime nor a GeneralizedTime of 2050 or later")
    if len(digits) != 14 or not digits.isdigit() or content[-1:] != b"Z":
        raise ValueError("not a time to the second in UTC")
    month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(4, 14, 2))
    return datetime(int(digits[:4]), month, day, hour, minute, second, tzinfo=UTC)


def _public_key(spki: bytes) -> ec.EllipticCurvePublicKey:
    point = spki.removeprefix(_P384_SPKI)
    key = p384_point(point) if len(point) == 96 else None
    if key is None:
        raise ValueError("key is not P-384")
    return key


def _extensions(content: bytes) -> dict[bytes, bytes]:
    """OID -> value. Refuses repeated ones, critical ones (none is understood), and unknown ones of AMD's."""
    found: dict[bytes, bytes] = {}
    for tag, extension in der.elements(der.only(content, der.SEQUENCE)):
        match tag, der.elements(extension):
            case der.SEQUENCE, ((der.OID, oid), (der.OCTET_STRING, value)) if oid not in found:
                found[oid] = value
            case _:
                raise ValueError("an extension that is critical, stands twice or is none")
    return found


def _claims(
    kind: SigningKey,
    extensions: dict[bytes, bytes],
    validity: tuple[datetime, datetime],
    sha256: bytes,
) -> VekClaims:
    struct_version = _integer(extensions, _STRUCT_VERSION)
    if struct_version not in _SPLS:
        raise ValueError(f"structVersion {struct_version} is unknown")
    spls = [_ARC + bytes((3, arc)) for arc in _SPLS[struct_version]]
    owner = _CSP_ID if kind is SigningKey.VLEK else _HWID
    expected = {_STRUCT_VERSION, _PRODUCT_NAME, owner, *spls}
    if {oid for oid in extensions if oid.startswith(_ARC)} != expected:
        raise ValueError(
            f"not exactly AMD's extensions of a {kind.upper()} of structVersion {struct_version}"
        )
    hwid = extensions.get(_HWID)
    if hwid is not None and len(hwid) != _HWID_BYTES[struct_version]:
        raise ValueError(f"hwID has {len(hwid)} bytes")
    raw = bytes(_integer(extensions, oid) for oid in spls)
    return VekClaims(
        kind=kind,
        product_name=_ia5_string(extensions[_PRODUCT_NAME]),
        struct_version=struct_version,
        tcb=tcb_version(raw, with_fmc=bool(struct_version)),
        hwid=hwid,
        csp_id=_ia5_string(extensions[_CSP_ID]) if kind is SigningKey.VLEK else None,
        not_before=validity[0],
        not_after=validity[1],
        certificate_sha256=sha256,
    )


def _integer(extensions: dict[bytes, bytes], oid: bytes) -> int:
    """The INTEGER of an extension; `bytes` refuses one above 255."""
    return der.unsigned(der.only(extensions.get(oid, b""), der.INTEGER))


def _ia5_string(value: bytes) -> str:
    return der.only(value, _IA5_STRING).decode("ascii")
