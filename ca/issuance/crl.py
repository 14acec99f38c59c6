# SPDX-License-Identifier: Apache-2.0
"""Certificate revocation lists (RFC 5280, section 5), in the two steps of a certificate.

One complete list per issuing key: no deltas, no shards, so no issuing distribution point, which is critical and turns
simple clients away. Entries have no reason and no extension. An empty list is the normal case and is signed like any
other. Written here and not with the library's builder, whose cost grows with the square of the entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID

from ca.errors import LintFailed
from ca.issuance import tbs

if TYPE_CHECKING:
    from collections.abc import Iterable

_FIRST_GENERALIZED = datetime(2050, 1, 1, tzinfo=UTC)  # RFC 5280, section 4.1.2.5
_MAX_NUMBER = 1 << 159  # at most 20 bytes, section 5.2.3


@asn1.sequence
class _Entry:
    serial: int
    revoked: asn1.UTCTime | asn1.GeneralizedTime


@asn1.sequence
class _Extension:
    oid: x509.ObjectIdentifier
    value: bytes


@asn1.sequence
class _TbsCertList:
    version: int
    signature: tbs.AlgorithmIdentifier
    issuer: asn1.TLV
    this_update: asn1.UTCTime | asn1.GeneralizedTime
    next_update: asn1.UTCTime | asn1.GeneralizedTime
    revoked: list[_Entry] | None
    extensions: Annotated[list[_Extension], asn1.Explicit(0)]


@dataclass(frozen=True, slots=True)
class PreparedCrl:
    """A list to be signed. `tbs`: DER TBSCertList. Times are UTC with whole seconds."""

    tbs: bytes
    number: int
    this_update: datetime
    next_update: datetime
    issuer_key_id: bytes
    issuer_key: ec.EllipticCurvePublicKey


def prepare(
    issuer: x509.Certificate,
    entries: Iterable[tuple[int, datetime]],
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
) -> PreparedCrl:
    """The list of `issuer` (an issuing CA or the root).

    `entries` are (serial, revoked at), each serial once, in any order; the caller makes `number` rise.

    Raises:
        LintFailed: a number or serial out of range, a serial twice, dates in the wrong order, or not a CA's key.
    """
    key = issuer.public_key()
    revoked = sorted(entries)
    start, end = _seconds(this_update), _seconds(next_update)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise LintFailed("crl: the issuer's key is not one of ours")
    _check(revoked, number, start, end)
    key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    listed = [_Entry(serial=serial, revoked=_time(_seconds(when))) for serial, when in revoked]
    content = asn1.encode_der(
        _TbsCertList(
            version=1,  # v2
            signature=tbs.algorithm(key),
            issuer=asn1.decode_der(asn1.TLV, issuer.subject.public_bytes()),
            this_update=_time(start),
            next_update=_time(end),
            revoked=listed or None,  # absent when empty, section 5.1.2.6
            extensions=[
                _Extension(
                    oid=ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
                    value=x509.AuthorityKeyIdentifier(key_id, None, None).public_bytes(),
                ),
                _Extension(oid=ExtensionOID.CRL_NUMBER, value=asn1.encode_der(number)),
            ],
        )
    )
    return PreparedCrl(content, number, start, end, key_id, key)


def complete(prepared: PreparedCrl, signature: bytes) -> bytes:
    """DER CertificateList. Raises LintFailed if `signature` is not the issuer's over `prepared.tbs`."""
    return tbs.signed(prepared.tbs, signature, prepared.issuer_key)


def _check(
    revoked: list[tuple[int, datetime]], number: int, start: datetime, end: datetime
) -> None:
    faults = {
        "number": not 0 <= number < _MAX_NUMBER,
        "dates": start >= end,
        "serials": not all(0 < serial < _MAX_NUMBER for serial, _ in revoked),
        "twice": len({serial for serial, _ in revoked}) != len(revoked),
    }
    failed = [name for name, fault in faults.items() if fault]
    if failed:
        raise LintFailed("crl: " + ", ".join(failed))


def _seconds(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(microsecond=0)


def _time(instant: datetime) -> asn1.UTCTime | asn1.GeneralizedTime:
    if instant < _FIRST_GENERALIZED:
        return asn1.UTCTime(instant)
    return asn1.GeneralizedTime(instant)
