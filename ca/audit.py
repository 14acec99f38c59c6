# SPDX-License-Identifier: Apache-2.0
"""What stands in an entry of the public log, byte for byte, and what an entry commits to without telling.

An entry is `frame(…)` of `attestca_client.protocol`, every field behind its length as u32 big-endian:

    "attestca/1 log", kind, time, and by kind
      issuance     issuer key id, serial, SHA-256 of the certificate, SHA-256 of the policy, commitment
      refusal      SHA-256 of the policy (empty where none matched), commitment
      revocation   number, kind of the handle, handle, reason
      policy       what, name, version, SHA-256 of the document, state
      key          purpose, DER

    time          i64 big-endian, microseconds since 1970-01-01T00:00:00Z: of the decision, or of the change
    serial        big-endian without leading zeros, as in a certificate's handle; version is a u32 big-endian
    number        u64 big-endian, as in the feed of revocations; rises from entry to entry
    commitment    SHA-256 of frame("attestca/1 record", 32 random bytes of this entry, the record); see `ca.record`
    reason        by its name in RFC 5280, section 5.3.1
    what          "policy", or "list" of versions or TCBs that policies refer to; state: "active" or "retired"
    purpose, DER  "root", "issuing", "tls", "ear", "ocsp" and a certificate; "log" and a SubjectPublicKeyInfo

How this evolves: a kind never changes its fields, their order or their meaning; what is new is a new kind, and a
reader counts entries of kinds that it does not know instead of failing. Another frame or hash is another label.
Closed lists (states, purposes, handle kinds, reasons) may get members; a reader takes them as text.

The bytes of an issuance and of a revocation are made where relying parties make them: `attestca_client.protocol.log`.
Pure. That nothing here is private is the rule of this module: no evidence, hardware id, name, finding or actor.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from attestca_client.protocol import Label, frame
from attestca_client.protocol.log import (
    EntryError,
    RevocationEntry,
    fields,
    issuance_entry,
    parse_revocation,
    time_field,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SALT: Final = 32  # bytes
_DIGEST: Final = 32
_SERIAL: Final = 20  # at most; RFC 5280, section 4.1.2.2
_KEY_ID: Final = 20
_TEXT: Final = 1024  # bytes of any text
_DER: Final = 16_384
_ENTRY: Final = (1 << 16) - 1  # bytes; its length is a u16 where entries are served
_REVOCATION: Final = frame(Label.LOG.encode(), b"revocation")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Purpose(StrEnum):
    """What a key of the authority is for."""

    ROOT = "root"
    ISSUING = "issuing"
    TLS = "tls"
    EAR = "ear"
    OCSP = "ocsp"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class Issuance:
    """A certificate was issued. `time` is that of the decision behind it."""

    time: datetime
    issuer_key_id: bytes  # 20
    serial: int
    certificate_sha256: bytes  # 32
    policy_sha256: bytes  # 32
    commitment: bytes  # 32


@dataclass(frozen=True, slots=True)
class Refusal:
    """Evidence whose vendor signature verified was refused."""

    time: datetime
    policy_sha256: bytes | None
    commitment: bytes


@dataclass(frozen=True, slots=True)
class Revocation:
    """A handle was revoked, for ever."""

    time: datetime
    number: int
    handle_kind: str
    handle: bytes  # 32
    reason: str


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A version of a policy, or of a list that policies refer to, came into force or left it."""

    time: datetime
    what: str  # "policy" or "list"
    name: str
    version: int
    sha256: bytes
    state: str  # "active" or "retired"


@dataclass(frozen=True, slots=True)
class KeyAdded:
    """The authority uses a key from now on."""

    time: datetime
    purpose: str
    der: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """An entry of a kind that a later version added."""

    time: datetime
    kind: str
    fields: tuple[bytes, ...]


Entry: TypeAlias = Issuance | Refusal | Revocation | PolicyChange | KeyAdded


def encode(entry: Entry) -> bytes:
    """The bytes of an entry. Raises EntryError for what `decode` would not take."""
    data = _bytes(entry)
    if decode(data) != entry:
        raise EntryError(f"a field of this {kind_of(entry)} entry has a value that it cannot have")
    return data


def kind_of(entry: Entry | Unknown) -> str:
    """The kind by its name in the log."""
    return entry.kind if isinstance(entry, Unknown) else _KINDS[type(entry)]


def revoked_by(data: bytes) -> bytes | None:
    """The handle, 32 bytes, that an entry of this log revokes; None where it is of another kind. Raises EntryError."""
    return parse_revocation(data).handle if data.startswith(_REVOCATION) else None


def micros(instant: datetime) -> int:
    """Microseconds since 1970-01-01T00:00:00Z, as an entry has them."""
    return (instant - _EPOCH) // _MICROSECOND


def decode(data: bytes) -> Entry | Unknown:
    """The entry in these bytes. Raises EntryError unless `encode` of the same version or a later one made them."""
    label, *rest = fields(data, _ENTRY) or [b""]
    if label != Label.LOG.encode() or len(rest) < 2:
        raise EntryError("not an entry of this log")
    kind, time, said = _text(rest[0]), _time(rest[1]), tuple(rest[2:])
    if kind == "revocation":
        return _revocation(time, parse_revocation(data))
    read = _READERS.get(kind)
    if read is None:
        return Unknown(time, kind, said)
    wanted, make = read
    if len(said) != wanted:
        raise EntryError(f"an entry of kind {kind} has {wanted} fields, this one {len(said)}")
    return make(time, said)


def commitment(salt: bytes, record: bytes) -> bytes:
    """What an entry says of its private record. `salt`: 32 random bytes that are kept with the record."""
    if len(salt) != SALT:
        raise ValueError(f"a commitment takes {SALT} random bytes")
    return hashlib.sha256(frame(Label.RECORD.encode(), salt, record)).digest()


def _bytes(entry: Entry) -> bytes:
    """As the table at the top has them."""
    match entry:
        case Issuance():
            return issuance_entry(
                time=micros(entry.time),
                issuer_key_id=entry.issuer_key_id,
                serial=entry.serial,
                certificate_sha256=entry.certificate_sha256,
                policy_sha256=entry.policy_sha256,
                commitment=entry.commitment,
            )
        case Revocation():
            return RevocationEntry(
                time=micros(entry.time),
                number=entry.number,
                kind=entry.handle_kind,
                handle=entry.handle,
                reason=entry.reason,
            ).encoded
        case Refusal():
            return _framed(entry, entry.policy_sha256 or b"", entry.commitment)
        case PolicyChange():
            what, name, state = (one.encode() for one in (entry.what, entry.name, entry.state))
            version = entry.version.to_bytes(4, "big")
            return _framed(entry, what, name, version, entry.sha256, state)
        case KeyAdded():
            return _framed(entry, entry.purpose.encode(), entry.der)


def _framed(entry: Entry, *said: bytes) -> bytes:
    time = time_field(micros(entry.time))
    return frame(Label.LOG.encode(), kind_of(entry).encode(), time, *said)


def _issuance(time: datetime, fields: tuple[bytes, ...]) -> Entry:
    issuer, serial, certificate, policy, committed = fields
    if not 1 <= len(serial) <= _SERIAL or serial[0] == 0:
        raise EntryError("not a serial number")
    return Issuance(
        time,
        _exactly(issuer, _KEY_ID),
        int.from_bytes(serial, "big"),
        _exactly(certificate),
        _exactly(policy),
        _exactly(committed),
    )


def _refusal(time: datetime, fields: tuple[bytes, ...]) -> Entry:
    policy, committed = fields
    return Refusal(time, _exactly(policy) if policy else None, _exactly(committed))


def _revocation(time: datetime, read: RevocationEntry) -> Entry:
    for text in (read.kind, read.reason):
        _text(text.encode())
    return Revocation(time, read.number, read.kind, read.handle, read.reason)


def _policy(time: datetime, fields: tuple[bytes, ...]) -> Entry:
    what, name, version, digest, state = fields
    number = int.from_bytes(_exactly(version, 4), "big")
    return PolicyChange(time, _text(what), _text(name), number, _exactly(digest), _text(state))


def _key(time: datetime, fields: tuple[bytes, ...]) -> Entry:
    purpose, der = fields
    if not 1 <= len(der) <= _DER:
        raise EntryError("not a key or certificate")
    return KeyAdded(time, _text(purpose), der)


_KINDS: Final[Mapping[type[Entry], str]] = {
    Issuance: "issuance",
    Refusal: "refusal",
    Revocation: "revocation",
    PolicyChange: "policy",
    KeyAdded: "key",
}
_READERS: Final[
    Mapping[str, tuple[int, Callable[[datetime, tuple[bytes, ...]], Entry]]]
] = {  # kind -> number of fields, what reads them
    "issuance": (5, _issuance),
    "refusal": (2, _refusal),
    "policy": (5, _policy),
    "key": (2, _key),
}


def _text(field: bytes) -> str:
    if not 1 <= len(field) <= _TEXT:
        raise EntryError("a text is empty or too long")
    try:
        return field.decode()
    except UnicodeDecodeError as error:
        raise EntryError("a text is not UTF-8") from error


def _exactly(field: bytes, length: int = _DIGEST) -> bytes:
    if len(field) != length:
        raise EntryError(f"a field has {len(field)} bytes instead of {length}")
    return field


def _time(field: bytes) -> datetime:
    try:
        micros = int.from_bytes(_exactly(field, 8), "big", signed=True)
        return _EPOCH + micros * _MICROSECOND
    except OverflowError as error:
        raise EntryError("a time outside of the years 1 to 9999") from error
