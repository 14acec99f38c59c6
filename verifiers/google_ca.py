# SPDX-License-Identifier: Apache-2.0
"""Google's authority for keys of virtual TPMs, pinned: EK/AK CA Root, under which each region's EK/AK CA Intermediate.

An intermediate certifies the endorsement and attestation keys of confidential VMs on Compute Engine. RSA 4096
throughout, RSASSA-PKCS1-v1_5 with SHA-256. The root is a file in `verifiers/vtpm/anchors`, held against a SHA-256
written here. One intermediate is shipped beside it: it is believed for the root's signature alone, as any other that
comes with the evidence. The older hierarchy of shielded VMs (tpm_ek_v1_cloud_host, 2018) is not among the anchors.

The library checks the structure, and reads dates and keys. Names and extensions are read here, from the DER, and of the
extensions those alone that count: it would warn of some of the others, and raise what nobody foresees.

Source: google/go-tpm-tools, server/ca-certs; RFC 5280 sections 4.1, 4.2, 5.1 and 6.1.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verifiers import der
from verifiers.certificate import (
    BASIC_CONSTRAINTS,
    KEY_CERT_SIGN,
    KEY_USAGE,
    SUBJECT_KEY_IDENTIFIER,
    UNDERSTOOD,
    basic_constraints,
    common_name,
    demand_understood,
    key_usage,
    parse_extensions,
    read_extensions,
)
from verifiers.certificate import FOREIGN as OF_DER
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from datetime import datetime

EK_AK_CA_ROOT_SHA256: Final = "594759594b9b61524f6c8ef668f7177f7b9066bc0674f2f49fe9e052be78beb2"
EK_AK_CA_INTERMEDIATE_SHA256: Final = (
    "c84de8116dfaf5a908f21e810487791f5437e206d00ad8025050cca6bd2ff627"
)
KEY_BITS: Final = 4096
NAME: Final = b"EK/AK CA "  # in the names of all its authorities
# What the library and `der` raise on bad certificates and lists; the last on a key of a kind that is not known.
FOREIGN: Final = (*OF_DER, UnsupportedAlgorithm)

# AlgorithmIdentifier content of sha256WithRSAEncryption, whose parameters are NULL (RFC 4055, section 5).
SHA256_WITH_RSA: Final = bytes.fromhex("06092a864886f70d01010b0500")
_CRL_NUMBER: Final = bytes.fromhex("551d14")  # content octets of the OID


@dataclass(frozen=True, slots=True)
class GoogleCertificate:
    """One certificate in DER, trusted by nobody.

    Attributes:
        subject: content of the DER Name. extensions: content of an OID -> bytes in its OCTET STRING.
        critical: OIDs of those that must be understood, which whoever believes the certificate has to ask.
        parsed: as the library reads it, for its dates and key alone.
    """

    der: bytes
    subject: bytes
    serial_number: int
    extensions: dict[bytes, bytes]
    critical: set[bytes]
    is_ca: bool
    parsed: x509.Certificate

    def demand_understood(self) -> None:
        """Refuse one that has a critical extension which nobody here reads. Raises ValueError."""
        demand_understood(self.critical, UNDERSTOOD)


@dataclass(frozen=True, slots=True, eq=False)
class GoogleAuthority:
    """One authority: what its certificates and revocation lists are judged by. Equal by its certificate.

    Attributes:
        subject: content of the DER Name, as issuer fields of what it signs must be. spki: DER SubjectPublicKeyInfo.
        key_id: its subject key identifier; None where its certificate has none.
        der: its certificate.
    """

    common_name: str
    subject: bytes
    key_id: bytes | None
    spki: bytes
    public_key: rsa.RSAPublicKey
    serial_number: int
    not_before: datetime
    not_after: datetime
    der: bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GoogleAuthority) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def has_issued(self, data: bytes) -> bool:
        """Whether the certificate or revocation list in `data` (DER) names this authority, and is signed by it.

        Raises ValueError for what is neither, or signed in another way.
        """
        tbs, algorithm, signature = der.signed(data)
        fields = der.elements(der.only(tbs, der.SEQUENCE))
        inner, issuer, *_ = (content for tag, content in fields if tag == der.SEQUENCE)
        if algorithm != SHA256_WITH_RSA or inner != algorithm:
            raise ValueError("signature algorithm is not sha256WithRSAEncryption, in and outside")
        if issuer != self.subject:
            return False
        try:
            self.public_key.verify(signature, tbs, padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class GoogleRoot:
    """The pinned root. `known`: authorities that it has signed, whose certificates need not come with the evidence."""

    authority: GoogleAuthority
    known: tuple[GoogleAuthority, ...] = ()

    @classmethod
    def from_der(cls, root: bytes, *known: bytes) -> GoogleRoot:
        """Pin a self-signed certificate, and know some that it signed.

        Raises:
            VerificationError: `chain`; `untrusted-root` for one that it has not signed.
        """
        authority = _self_signed(root)
        return cls(authority, tuple(authority_under(authority, one) for one in known))


@dataclass(frozen=True, slots=True)
class RootCrl:
    """A revocation list that the root has signed.

    `number`: of at most 20 octets, as it should be. `serials`: the certificates that it revokes.
    """

    number: int
    this_update: datetime
    next_update: datetime
    serials: frozenset[int]


def authority_under(root: GoogleAuthority, data: bytes) -> GoogleAuthority:
    """The authority in a DER certificate, which the root must have signed. Dates and revocation are not looked at.

    Raises:
        VerificationError: `chain`; `untrusted-root` for one that another than the root has signed.
    """
    try:
        certificate = load_certificate(data)
        if not root.has_issued(data):
            raise VerificationError(
                Reason.UNTRUSTED_ROOT,
                f"what signed the attestation key's certificate is not signed by the pinned {root.common_name}",
            )
        return _authority(certificate)
    except FOREIGN as error:
        raise VerificationError(Reason.CHAIN, f"certificate cannot be read: {error}") from error


@lru_cache(maxsize=64)
def verify_crl(data: bytes, root: GoogleAuthority) -> RootCrl:
    """Authenticate a list of the root's. Dates are not looked at. Raises VerificationError (`crl-invalid`)."""
    try:
        return _verify_crl(data, root)
    except FOREIGN as error:
        raise VerificationError(Reason.CRL_INVALID, f"Google's root CRL: {error}") from error


def _verify_crl(data: bytes, root: GoogleAuthority) -> RootCrl:
    crl = x509.load_der_x509_crl(data)
    if not root.has_issued(data):
        raise ValueError(f"not issued and signed by {root.common_name}")
    if crl.next_update_utc is None:
        raise ValueError("nextUpdate is missing")
    tbs, _, _ = der.signed(data)
    tag, content = der.elements(der.only(tbs, der.SEQUENCE))[-1]
    # No critical extension is understood, so that a list of a part of all certificates is refused.
    found = parse_extensions(content, understood=frozenset()) if tag == der.CONTEXT_0 else {}
    if _CRL_NUMBER not in found:
        raise ValueError("CRL number is missing")
    return RootCrl(
        number=der.unsigned(der.only(found[_CRL_NUMBER], der.INTEGER)),
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        serials=frozenset(entry.serial_number for entry in crl),
    )


def load_certificate(data: bytes) -> GoogleCertificate:
    """A certificate of version 3 with extensions, a positive serial number and a signature of the one algorithm.

    Anything else the library might read with a warning. Trusted by nobody. Raises one of `FOREIGN`.
    """
    tbs, algorithm, _ = der.signed(data)
    fields = der.elements(der.only(tbs, der.SEQUENCE))
    if algorithm != SHA256_WITH_RSA:
        raise ValueError("signature algorithm is not sha256WithRSAEncryption")
    if len(fields) != 8 or fields[7][0] != der.CONTEXT_3:
        raise ValueError("not a version 3 certificate with extensions and no unique identifiers")
    if not (serial_number := der.unsigned(fields[1][1])):
        raise ValueError("serial number is not positive")
    parsed = x509.load_der_x509_certificate(data)
    found, critical = read_extensions(fields[7][1])
    is_ca, _ = basic_constraints(found.get(BASIC_CONSTRAINTS))
    return GoogleCertificate(data, fields[5][1], serial_number, found, critical, is_ca, parsed)


def _self_signed(data: bytes) -> GoogleAuthority:
    try:
        root = _authority(load_certificate(data))
        if not root.has_issued(data):
            raise ValueError(f"{root.common_name} is not self-signed")
    except FOREIGN as error:
        raise VerificationError(Reason.CHAIN, f"Google's root: {error}") from error
    return root


def _authority(certificate: GoogleCertificate) -> GoogleAuthority:
    """What a certificate says of an authority, if it is that of one. Raises one of `FOREIGN`."""
    certificate.demand_understood()
    key, found = certificate.parsed.public_key(), certificate.extensions
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != KEY_BITS:
        raise ValueError(f"its key is not RSA with {KEY_BITS} bits")
    name, key_id = common_name(certificate.subject), found.get(SUBJECT_KEY_IDENTIFIER)
    if not name.isprintable():  # it stands in what we say
        raise ValueError("its common name is not printable")
    if not certificate.is_ca or not key_usage(found.get(KEY_USAGE)) & KEY_CERT_SIGN:
        raise ValueError(f"{name} may not issue certificates")
    return GoogleAuthority(
        common_name=name,
        subject=certificate.subject,
        key_id=None if key_id is None else der.only(key_id, der.OCTET_STRING),
        spki=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public_key=key,
        serial_number=certificate.serial_number,
        not_before=certificate.parsed.not_valid_before_utc,
        not_after=certificate.parsed.not_valid_after_utc,
        der=certificate.der,
    )


def builtin_root() -> GoogleRoot:
    """The production root. Raises RuntimeError if a file is not the one that this module names."""
    return GoogleRoot.from_der(
        _packaged("google-ek-ak-root.pem", EK_AK_CA_ROOT_SHA256),
        _packaged("google-ek-ak-intermediate.pem", EK_AK_CA_INTERMEDIATE_SHA256),
    )


def _packaged(file: str, sha256: str) -> bytes:
    pem = (files("verifiers.vtpm") / "anchors" / file).read_bytes()
    data = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise RuntimeError(f"the packaged {file} is not Google's pinned one: reinstall attestca")
    return data
