# SPDX-License-Identifier: Apache-2.0
"""Certificates that came with a report: which may be the one it is signed under, and which pose as authorities.

Three forms: the certificate table of the host (GHCB specification 56421, SNP_GUEST_REQUEST; Linux gives it as
`auxblob`), PEM certificates, one DER certificate. All of it is a hint of somebody without authority: the candidate is
verified like one that was fetched, and no authority in it is ever used. But an attester that brings other authorities
than the pinned ones is refused, so that nobody takes those for confirmed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from verifiers import der
from verifiers.certificate import common_name
from verifiers.chain import split_pem
from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError
from verifiers.snp.claims import SigningKey
from verifiers.snp.vek import authority_of

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from verifiers.amd import AmdAuthority, AmdHierarchy

_PEM_START: Final = b"-----BEGIN"
_DER_START: Final = b"\x30"
_MAX_ENTRIES: Final = (
    16  # AMD and Google define seven; entries may overlap, so their number bounds the memory
)
_MAX_CERTIFICATE_BYTES: Final = 8 * 1024  # real ones have 1.3 to 1.7 KiB
_NO_GUID: Final = bytes(16)
_COMMON_NAMES: Final = {SigningKey.VCEK: "SEV-VCEK", SigningKey.VLEK: "SEV-VLEK"}

# GUIDs in the order of their digits (RFC 4122), as hosts write them.
_CANDIDATE_GUIDS: Final = frozenset(
    {
        bytes.fromhex("63da758de6644564adc5f4b93be8accd"),  # VCEK
        bytes.fromhex("a8074bc2a25a483eaae639c045a0b8a1"),  # VLEK
    }
)
_AUTHORITY_GUIDS: Final = frozenset(
    {
        bytes.fromhex("4ab7b379bbac4fe4a02f05aef327c782"),  # ASK or ASVK
        bytes.fromhex("c0b406a4a803495297433fb6014cd0ae"),  # ARK
    }
)


@dataclass(frozen=True, slots=True)
class Certificates:
    """DER certificates as they came: `candidates` for the endorsement certificate, and all `others`."""

    candidates: tuple[bytes, ...] = ()
    others: tuple[bytes, ...] = ()

    def endorsement(self, kind: SigningKey) -> bytes | None:
        """The first candidate that is named as a certificate of this kind, else the first, which will be refused."""
        fitting = (one for one in self.candidates if _subject(one) == _COMMON_NAMES[kind])
        return next(fitting, self.candidates[0] if self.candidates else None)


def parse_certificates(data: bytes) -> Certificates:
    """Take apart one piece of evidence.

    Raises:
        VerificationError: `malformed` for a table whose entries do not fit, `chain` for PEM that is none, `too-large`
            for a certificate of more than 8 KiB, before it is read.
    """
    if data.lstrip().startswith(_PEM_START):
        return _sorted(split_pem(data, None, "certificates"))
    if data.startswith(_DER_START):
        return _sorted((data,))
    return _table(data)


def is_table(data: bytes) -> bool:
    """Whether a file is a certificate table: its first entry has a GUID that AMD defines."""
    return data[:16] in _CANDIDATE_GUIDS | _AUTHORITY_GUIDS


def check_authorities(
    others: tuple[bytes, ...],
    hierarchy: AmdHierarchy,
    kind: SigningKey,
    revoked: AbstractSet[int] = frozenset(),
) -> None:
    """Demand that certificates that came along are the pinned authorities of a VCEK or VLEK, each at most once.

    Args:
        others: DER certificates.
        hierarchy: the pinned authorities of the product line.
        kind: of the certificate that they should lead to.
        revoked: serial numbers on an authentic revocation list, if there is one.

    Raises:
        VerificationError: `untrusted-root` for another root, `certificate-revoked`, `chain`.
    """
    pinned = [hierarchy.ark, authority_of(hierarchy, kind)]
    for data in others:
        try:
            match = _matching(data, pinned)
        except ValueError as error:
            raise VerificationError(
                Reason.CHAIN, f"a certificate beside the report cannot be read: {error}"
            ) from error
        if match is None:
            raise _stranger(data, hierarchy, revoked)
        pinned.remove(match)


def _matching(data: bytes, pinned: list[AmdAuthority]) -> AmdAuthority | None:
    """The pinned authority whose key and name a certificate has."""
    fields = _fields(data)
    return next(
        (
            one
            for one in pinned
            if (fields.subject, fields.spki) == (one.subject, der.only(one.spki, der.SEQUENCE))
        ),
        None,
    )


def _stranger(data: bytes, hierarchy: AmdHierarchy, revoked: AbstractSet[int]) -> VerificationError:
    """Why this certificate is refused, which is no pinned authority or stands twice."""
    fields = _fields(data)
    name = common_name(fields.subject)
    if fields.subject == fields.issuer or name.startswith("ARK-"):
        return VerificationError(
            Reason.UNTRUSTED_ROOT,
            f"{name} beside the report is not the pinned root, or stands twice",
        )
    if fields.issuer == hierarchy.ark.subject and fields.serial_number in revoked:
        return VerificationError(
            Reason.CERTIFICATE_REVOKED, f"{name} beside the report is revoked by AMD"
        )
    return VerificationError(
        Reason.CHAIN, f"{name} beside the report is no pinned authority of it, or stands twice"
    )


@dataclass(frozen=True, slots=True)
class _Fields:
    """Contents of the DER fields that say who a certificate is."""

    serial_number: int
    issuer: bytes
    subject: bytes
    spki: bytes


def _fields(data: bytes) -> _Fields:
    """Raises ValueError."""
    tbs, _, _ = der.signed(data)
    match der.elements(der.only(tbs, der.SEQUENCE)):
        case (
            (der.CONTEXT_0, _),
            (der.INTEGER, serial),
            _,
            (der.SEQUENCE, issuer),
            _,
            (der.SEQUENCE, subject),
            (der.SEQUENCE, spki),
            *_,
        ):
            common_name(subject)
            return _Fields(der.unsigned(serial), issuer, subject, spki)
        case _:
            raise ValueError("not a certificate")


def _subject(data: bytes) -> str:
    """The common name of its subject; "" where it cannot be read."""
    try:
        return common_name(_fields(data).subject)
    except ValueError:
        return ""


def _sorted(certificates: tuple[bytes, ...]) -> Certificates:
    candidates: list[bytes] = []
    others: list[bytes] = []
    for one in certificates:
        named = _subject(_bounded(one)) in _COMMON_NAMES.values()
        (candidates if named else others).append(one)
    return Certificates(tuple(candidates), tuple(others))


def _bounded(data: bytes) -> bytes:
    if len(data) > _MAX_CERTIFICATE_BYTES:
        raise VerificationError(
            Reason.TOO_LARGE,
            f"a certificate of {len(data)} bytes, at most {_MAX_CERTIFICATE_BYTES}",
        )
    return data


def _table(data: bytes) -> Certificates:
    """Entries of 24 bytes up to one of zero; GUIDs that mean nothing to us are left aside."""
    cursor = Cursor(data)
    candidates: list[bytes] = []
    others: list[bytes] = []
    for _ in range(_MAX_ENTRIES):
        guid = cursor.take(16, "certificate table")
        offset, length = cursor.u32("certificate table"), cursor.u32("certificate table")
        if guid == _NO_GUID and (offset or length):
            break
        if guid == _NO_GUID:
            return Certificates(tuple(candidates), tuple(others))
        certificate = Cursor(data, offset).take(length, f"certificate {guid.hex()}")
        if guid in _CANDIDATE_GUIDS:
            candidates += _entry(certificate)
        elif guid in _AUTHORITY_GUIDS:
            others += _entry(certificate)
    raise VerificationError(
        Reason.MALFORMED, f"certificate table: no entry of zero within {_MAX_ENTRIES} entries"
    )


def _entry(data: bytes) -> tuple[bytes, ...]:
    """The certificate of one entry: DER, or PEM where a host was given that."""
    entries = split_pem(data, 1, "certificate table") if data.startswith(_PEM_START) else (data,)
    return tuple(_bounded(one) for one in entries)
