# SPDX-License-Identifier: Apache-2.0
"""A key of a virtual TPM that Google certifies: its certificate -> `GceClaims` and the key.

The vTPM of a confidential VM on Compute Engine is run by Google's host, outside the CPU's protection. Its certificate
names the VM that has the key, and Google gives one to restricted signing keys of its own templates alone. It does not
say that the VM which sends a CPU's report is the one that it names: that both carry one binding says only that whoever
made them worked together.

Rules: one authority between the key and the root; it comes with the certificate, or is known beforehand. Signatures are
checked from the root down, so that no key is used before somebody vouched for it. The extension that names the VM must
be there, and say that it is of production.

Source: google/go-tpm-tools and google/go-attestation.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verifiers import der
from verifiers.certificate import AUTHORITY_KEY_IDENTIFIER, KEY_IDENTIFIER, KEY_USAGE
from verifiers.chain import split_pem
from verifiers.endorsements import PartValidity, Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.google_ca import FOREIGN, NAME, authority_under, load_certificate, verify_crl
from verifiers.vtpm.claims import GceClaims
from verifiers.vtpm.instance import read_instance
from verifiers.vtpm.public import read_attestation_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from verifiers.google_ca import GoogleAuthority, GoogleCertificate, GoogleRoot
    from verifiers.vtpm.public import AttestationKey

ROOT_CRL: Final = "google_root_crl"  # name of the part of the collateral
MAX_CERTIFICATES: Final = 3  # the key's own, its authority, the root

# Content octets of 1.3.6.1.4.1.11129.2.1.21, the extension that names the VM; and the whole element.
_INSTANCE: Final = bytes.fromhex("2b06010401d679020115")
_NAMES_A_VM: Final = bytes((der.OID, len(_INSTANCE))) + _INSTANCE
_PEM: Final = b"-----BEGIN CERTIFICATE-----"
_SIGNS_ONLY: Final = bytes.fromhex("03020780")  # KeyUsage: digitalSignature and nothing else


@dataclass(frozen=True, slots=True)
class Certified:
    """A key that the root vouches for, with what its certificate says; no dates and no revocation were looked at."""

    claims: GceClaims
    key: AttestationKey
    not_before: datetime  # latest start of the three certificates
    authority: GoogleAuthority


def read_certificates(data: bytes) -> tuple[bytes, ...]:
    """The DER certificates of a piece: one in DER, or one to three in PEM. Nothing is believed.

    Raises:
        VerificationError: `malformed`.
    """
    if not data.lstrip().startswith(_PEM):
        return (data,)
    try:  # cut, not read: those of AMD's come here too, with serial numbers that a reader warns of
        found = split_pem(data, None, "certificate of the attestation key")
    except VerificationError as error:
        raise VerificationError(Reason.MALFORMED, error.detail) from error
    if len(found) > MAX_CERTIFICATES:
        raise VerificationError(
            Reason.MALFORMED,
            f"certificate of the attestation key: {len(found)} certificates, at most {MAX_CERTIFICATES}",
        )
    return found


def pem_of(files: Sequence[bytes]) -> bytes:
    """Certificates in DER or PEM as one piece in PEM; one alone stays as it is. Nothing is read of them."""
    if len(files) == 1:
        return files[0]
    return b"".join(one if one.lstrip().startswith(_PEM) else _to_pem(one) for one in files)


def _to_pem(data: bytes) -> bytes:
    return _PEM + b"\n" + base64.encodebytes(data) + b"-----END CERTIFICATE-----\n"


def key_in(data: bytes) -> AttestationKey:
    """The key that a piece `tpm-ak-certificate` is about, which nobody vouches for.

    Raises:
        VerificationError: `malformed`, `chain`; `unsupported-format` for a key of another kind.
    """
    try:
        return _key(_leaf(read_certificates(data)))
    except FOREIGN as error:
        raise VerificationError(
            Reason.CHAIN, f"certificate of the attestation key: {error}"
        ) from error


def names_google(data: bytes) -> bool:
    """Whether a file of certificates is about a key of Google's: one of them names a VM, or is an authority's.

    Nothing is believed; a file that cannot be read is none.
    """
    try:
        found = read_certificates(data)
    except VerificationError:
        return False
    return any(_NAMES_A_VM in one or NAME in one for one in found)


def authenticate(data: bytes, root: GoogleRoot) -> Certified:
    """Check every signature of a piece `tpm-ak-certificate`, and everything that does not change with time.

    Raises:
        VerificationError: `malformed`, `chain`, `untrusted-root`; `unsupported-format` for a key of another kind.
    """
    return _authenticated(read_certificates(data), root)


@lru_cache(maxsize=4096)
def _authenticated(ders: tuple[bytes, ...], root: GoogleRoot) -> Certified:
    """Remembered by the certificates: of a piece there are as many as of white space between them."""
    try:
        return _chain(ders, root)
    except FOREIGN as error:
        raise VerificationError(
            Reason.CHAIN, f"certificate of the attestation key: {error}"
        ) from error


def check_dates(certified: Certified, now: datetime) -> None:
    """Demand that `now` lies within the dates of all certificates, ends included.

    Raises:
        VerificationError: `certificate-not-yet-valid`, `certificate-expired`.
    """
    what = "the certificate of the attestation key, or of who signed it,"
    if now < certified.not_before:
        raise VerificationError(
            Reason.CERTIFICATE_NOT_YET_VALID,
            f"{what} is valid from {certified.not_before.isoformat()}",
        )
    if now > certified.claims.certificates_expire:
        raise VerificationError(
            Reason.CERTIFICATE_EXPIRED,
            f"{what} ended {certified.claims.certificates_expire.isoformat()}",
        )


def check_revocation(
    certified: Certified, root: GoogleRoot, crl: bytes, now: datetime
) -> PartValidity:
    """The window of the root's list (DER), on which the authority does not stand.

    Past its next update is a fact for the policy.

    Raises:
        VerificationError: `crl-invalid`, `collateral-not-yet-valid`, `certificate-revoked`.
    """
    found, authority = verify_crl(crl, root.authority), certified.authority
    if now < found.this_update:
        raise VerificationError(
            Reason.COLLATERAL_NOT_YET_VALID,
            f"Google's root CRL was issued later, at {found.this_update.isoformat()}",
        )
    if authority.serial_number in found.serials:
        raise VerificationError(
            Reason.CERTIFICATE_REVOKED, f"{authority.common_name} is revoked by Google"
        )
    expired = found.next_update if now > found.next_update else None
    return PartValidity(ROOT_CRL, found.this_update, found.next_update, expired)


def _chain(ders: tuple[bytes, ...], root: GoogleRoot) -> Certified:
    """The key's certificate is the one that no authority's is; the root may stand beside, and is looked at no further.

    Raises ValueError, VerificationError.
    """
    leaf = _leaf(ders)
    brought = [one for one in ders if one not in (leaf.der, root.authority.der)]
    authority = _issuer(leaf, brought, root)
    if not authority.has_issued(leaf.der):
        raise VerificationError(
            Reason.CHAIN,
            f"the certificate of the attestation key is not signed by {authority.common_name}",
        )
    return _certified(leaf, authority, root)


def _leaf(ders: tuple[bytes, ...]) -> GoogleCertificate:
    """The one certificate that is no authority's. Raises one of `FOREIGN`."""
    leaves = [one for one in map(load_certificate, ders) if not one.is_ca]
    if len(leaves) != 1:
        raise ValueError(f"{len(leaves)} certificates of keys among {len(ders)}, one is wanted")
    return leaves[0]


def _key(leaf: GoogleCertificate) -> AttestationKey:
    """Its key, if it is of a kind and size that attestation keys are. Raises VerificationError, one of `FOREIGN`."""
    key = leaf.parsed.public_key()
    return read_attestation_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _issuer(leaf: GoogleCertificate, brought: list[bytes], root: GoogleRoot) -> GoogleAuthority:
    """The authority that came along; if none did, the known one whose key the key's certificate names.

    All of them have one name, so it is not the name that tells them apart. Raises ValueError, VerificationError.
    """
    if len(brought) > 1:
        raise ValueError("one authority is wanted between the key and the root")
    if brought:
        return authority_under(root.authority, brought[0])
    wanted = _issuer_key_id(leaf)
    for one in root.known:
        if one.key_id == wanted:
            return one
    raise VerificationError(
        Reason.CHAIN,
        f"the certificate of the authority that signed it, key {wanted.hex()}, is missing",
    )


def _issuer_key_id(leaf: GoogleCertificate) -> bytes:
    """The identifier of the key that signed it. Raises ValueError."""
    value = leaf.extensions.get(AUTHORITY_KEY_IDENTIFIER)
    if value is None:
        raise ValueError("authority key identifier is missing")
    members = der.elements(der.only(value, der.SEQUENCE))
    if not members or members[0][0] != KEY_IDENTIFIER:
        raise ValueError("authority key identifier has no identifier of a key")
    return members[0][1]


def _certified(leaf: GoogleCertificate, authority: GoogleAuthority, root: GoogleRoot) -> Certified:
    leaf.demand_understood()
    usage, instance = (leaf.extensions.get(one) for one in (KEY_USAGE, _INSTANCE))
    if usage is None or instance is None:
        raise ValueError("key usage, or the extension that names the VM, is missing")
    if usage != _SIGNS_ONLY:
        raise ValueError("its key is not one that signs and does nothing else: no attestation key")
    chain = (authority, root.authority)
    claims = GceClaims(
        **read_instance(instance)._asdict(),
        ak_certificate_sha256=hashlib.sha256(leaf.der).digest(),
        issuer_serial=authority.serial_number,
        revocation=Revocation.NOT_CHECKED,
        certificates_expire=min(leaf.parsed.not_valid_after_utc, *(one.not_after for one in chain)),
    )
    not_before = max(leaf.parsed.not_valid_before_utc, *(one.not_before for one in chain))
    return Certified(claims, _key(leaf), not_before, authority)
