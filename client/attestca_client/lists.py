# SPDX-License-Identifier: Apache-2.0
"""Certificate revocation lists as a relying party reads them (RFC 5280, section 6.3), those of one attestca authority.

A certificate's list is the one that its issuer signed and whose critical issuing distribution point is the address that
the certificate names; an issuing CA's is the root's, which has no such extension. A list with another critical
extension (a delta, say) is for nobody. Several lists may be for one certificate: each counts. A file holds one list in
DER, or any number in PEM. Pure. What cannot be read is a `ListError`, and no other exception.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

MAX_FILE: Final = 32 << 20  # bytes; a revoked certificate takes about 40
_MAX_LISTS: Final = 128
_PEM: Final = re.compile(rb"-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----")
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    x509.ExtensionNotFound,
)


class ListError(ValueError):
    """Not a revocation list, or none that this reader takes."""


@dataclass(frozen=True, slots=True)
class RevocationList:
    """One list whose issuer's signature is not checked yet.

    Attributes:
        number: its CRL number. issuer: its name, DER.
        scope: the one address of its issuing distribution point; None where it has none.
        this_update, next_update: UTC.
    """

    crl: x509.CertificateRevocationList
    number: int
    issuer: bytes
    issuer_key_id: bytes
    scope: str | None
    this_update: datetime
    next_update: datetime

    def is_for(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        """Whether it says that it is by `issuer` and for this certificate."""
        named = (self.issuer, self.issuer_key_id)
        if named != (issuer.subject.public_bytes(), key_id(issuer)):
            return False
        return self.scope is None if is_ca(certificate) else self.scope in addresses(certificate)

    def is_signed_by(self, issuer: x509.Certificate) -> bool:
        """Whether the signature is the issuer's."""
        key = issuer.public_key()
        try:
            return isinstance(key, ec.EllipticCurvePublicKey) and self.crl.is_signature_valid(key)
        except _UNREADABLE:  # an algorithm that is none for this key
            return False

    def entry(self, serial: int) -> str | None:
        """Since when, and why, a certificate is revoked; None where it is not on the list."""
        found = self.crl.get_revoked_certificate_by_serial_number(serial)
        if found is None:
            return None
        return f"{found.revocation_date_utc:%Y-%m-%dT%H:%M:%SZ}, {_reason(found)}"


def parse_lists(data: bytes) -> tuple[RevocationList, ...]:
    """The lists of one file. Raises ListError."""
    if len(data) > MAX_FILE:
        raise ListError(f"larger than {MAX_FILE} bytes")
    if not data.lstrip().startswith(b"-----BEGIN"):
        return (_list(data),)
    blocks = _PEM.findall(data)
    if not blocks or len(blocks) > _MAX_LISTS:
        raise ListError(f"a file has 1 to {_MAX_LISTS} lists")
    return tuple(map(_list, blocks))


def key_id(certificate: x509.Certificate) -> bytes:
    """Its SubjectKeyIdentifier. Raises x509.ExtensionNotFound."""
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether it says so."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def addresses(certificate: x509.Certificate) -> set[str]:
    """Where it says that its list is."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return set()
    return {uri for point in points for uri in _addresses(point.full_name)}


def _list(data: bytes) -> RevocationList:
    try:
        pem = data.startswith(b"-----BEGIN")
        crl = x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
        extensions = crl.extensions
        number = extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        authority = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        start, end = crl.last_update_utc, crl.next_update_utc
        name, issuer_key_id = crl.issuer.public_bytes(), authority.key_identifier
    except _UNREADABLE as error:
        raise ListError("not a revocation list of this authority's form") from error
    if end is None or issuer_key_id is None:
        raise ListError("a list without an end, or without its issuer's key")
    return RevocationList(crl, number, name, issuer_key_id, _scope(extensions), start, end)


def _scope(extensions: x509.Extensions) -> str | None:
    """The one address that the list is for. Raises ListError for every other critical extension and scope."""
    critical = [extension for extension in extensions if extension.critical]
    for extension in critical:
        if not isinstance(extension.value, x509.IssuingDistributionPoint):
            raise ListError(f"the critical extension {extension.oid.dotted_string}")
    points = [
        one.value for one in extensions if isinstance(one.value, x509.IssuingDistributionPoint)
    ]
    if not points:
        return None
    (point,) = points
    limited = (
        point.only_contains_user_certs
        or point.only_contains_ca_certs
        or point.only_contains_attribute_certs
        or point.indirect_crl
        or point.only_some_reasons is not None
    )
    names = [*_addresses(point.full_name)]
    if limited or len(names) != 1 or len(names) != len(point.full_name or ()):
        raise ListError("an issuing distribution point that is not one address")
    return names[0]


def _addresses(names: list[x509.GeneralName] | None) -> Iterator[str]:
    for name in names or ():
        if isinstance(name, x509.UniformResourceIdentifier):
            yield name.value


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        found = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except _UNREADABLE:
        return "unspecified"
    return str(found.value)
