# SPDX-License-Identifier: Apache-2.0
"""Certificate revocation lists (RFC 5280, section 5), in the two steps of a certificate.

The root has one list. An issuing CA has a shard for each day: everything of its that ends on that day (UTC) and is
revoked, and nothing else. A certificate names the URL of its shard as its distribution point, and the shard says the
same URL in a critical issuing distribution point, so nobody takes the list of another day for an answer. Each shard is
complete for its certificates: no deltas, no partition by reason or kind, no indirect lists.

A shard is there before a certificate can name it (`SHARDS_AHEAD`), however empty, and is signed anew for a day after
its last certificate ended (RFC 5280, section 3.3); then it goes as a whole, so no entry is ever taken out of a list.

Entries have a reason code, unless unspecified (section 5.3.1), and no other extension. Written here and not with the
library's builder, whose cost grows with the square of the entries.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from ca.errors import LintFailed
from ca.issuance import tbs
from ca.issuance.reasons import RevocationReason

if TYPE_CHECKING:
    from collections.abc import Iterable

# Above every lifetime of what an issuing CA signs: leaves 7 days, the service's own 30.
SHARDS_AHEAD: Final = timedelta(days=31)
SHARDS_BEHIND: Final = timedelta(days=1)
_FIRST_GENERALIZED = datetime(2050, 1, 1, tzinfo=UTC)  # RFC 5280, section 4.1.2.5
_MAX_NUMBER = 1 << 159  # at most 20 bytes, section 5.2.3


@dataclass(frozen=True, slots=True)
class Revoked:
    """One revoked certificate.

    Attributes:
        since: when, timezone-aware.
    """

    serial: int
    since: datetime
    reason: RevocationReason = RevocationReason.UNSPECIFIED


@asn1.sequence
class _Extension:
    oid: x509.ObjectIdentifier
    critical: Annotated[bool, asn1.Default(value=False)]
    value: bytes


@asn1.sequence
class _Entry:
    serial: int
    revoked: asn1.UTCTime | asn1.GeneralizedTime
    extensions: list[_Extension] | None


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


def first_day(now: datetime) -> date:
    """The earliest day whose shard is still signed; those before are over."""
    return (now - SHARDS_BEHIND).astimezone(UTC).date()


def days(issuer: x509.Certificate, now: datetime) -> tuple[date, ...]:
    """The days whose shards an issuing CA signs while it is valid, in order."""
    first = first_day(now)
    last = min(now + SHARDS_AHEAD, issuer.not_valid_after_utc).astimezone(UTC).date()
    return tuple(first + timedelta(days=n) for n in range((last - first).days + 1))


def prepare(
    issuer: x509.Certificate,
    entries: Iterable[Revoked],
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
    url: str | None = None,
) -> PreparedCrl:
    """The list of `issuer`: the root's, or with `url`, at which its certificates find it, a shard of an issuing CA.

    `entries` name each serial once, in any order; the caller makes `number` rise.

    Raises:
        LintFailed: a number or serial out of range, a serial twice, dates in the wrong order, or not a CA's key.
    """
    key = issuer.public_key()
    revoked = sorted(entries, key=lambda entry: entry.serial)
    start, end = _seconds(this_update), _seconds(next_update)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise LintFailed("crl: the issuer's key is not one of ours")
    _check(revoked, number, start, end)
    key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    content = asn1.encode_der(
        _TbsCertList(
            version=1,  # v2
            signature=tbs.algorithm(key),
            issuer=asn1.decode_der(asn1.TLV, issuer.subject.public_bytes()),
            this_update=_time(start),
            next_update=_time(end),
            revoked=[_entry(each) for each in revoked]
            or None,  # absent when empty, section 5.1.2.6
            extensions=_extensions(key_id, number, url),
        )
    )
    return PreparedCrl(content, number, start, end, key_id, key)


def complete(prepared: PreparedCrl, signature: bytes) -> bytes:
    """DER CertificateList. Raises LintFailed if `signature` is not the issuer's over `prepared.tbs`."""
    return tbs.signed(prepared.tbs, signature, prepared.issuer_key)


def _extensions(key_id: bytes, number: int, url: str | None) -> list[_Extension]:
    authority = x509.AuthorityKeyIdentifier(key_id, None, None).public_bytes()
    found = [
        _Extension(oid=ExtensionOID.AUTHORITY_KEY_IDENTIFIER, critical=False, value=authority),
        _Extension(oid=ExtensionOID.CRL_NUMBER, critical=False, value=asn1.encode_der(number)),
    ]
    if url is not None:
        scope = _distribution_point(url).public_bytes()
        found.append(
            _Extension(oid=ExtensionOID.ISSUING_DISTRIBUTION_POINT, critical=True, value=scope)
        )
    return found


def _distribution_point(url: str) -> x509.IssuingDistributionPoint:
    return x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(url)],
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )


def _entry(revoked: Revoked) -> _Entry:
    since = _time(_seconds(revoked.since))
    return _Entry(serial=revoked.serial, revoked=since, extensions=_reason(revoked.reason))


@functools.cache
def _reason(reason: RevocationReason) -> list[_Extension] | None:
    """One object for all entries with this reason: a hundred thousand of them take memory."""
    if reason is RevocationReason.UNSPECIFIED:
        return None
    code = x509.CRLReason(x509.ReasonFlags(reason.value)).public_bytes()
    return [_Extension(oid=CRLEntryExtensionOID.CRL_REASON, critical=False, value=code)]


def _check(revoked: list[Revoked], number: int, start: datetime, end: datetime) -> None:
    faults = {
        "number": not 0 <= number < _MAX_NUMBER,
        "dates": start >= end,
        "serials": not all(0 < each.serial < _MAX_NUMBER for each in revoked),
        "twice": len({each.serial for each in revoked}) != len(revoked),
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
