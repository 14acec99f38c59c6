# SPDX-License-Identifier: Apache-2.0
"""The records that cross the lines of `ca.ports`, which names them all: take them from there.

Plain frozen data; times are timezone-aware UTC; serial numbers are positive ints of at most 20 bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from attestca_client.protocol import HandleKind
    from ca.issuance.reasons import RevocationReason


class Outcome(StrEnum):
    """How one enrollment ended. `intent` is the state between the two commits of an issuance."""

    INTENT = "intent"
    ISSUED = "issued"
    DENIED = "denied"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes kept under their SHA-256, once however often they are named."""

    sha256: bytes  # 32
    data: bytes


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision on evidence whose vendor signature verified, with all that recomputes it.

    Attributes:
        decided_at: the `now` of the request; verification and appraisal used this instant.
        nonce: 32+ decoded bytes. request_sha256: SHA-256 of the request body as received.
        evidence: blobs, the CPU's own piece first. collateral: the CPU verifier's bundle, and what it names: see
            `ca.record`.
        anchors_sha256: digest of the trust anchors in force.
        result_json: the whole AttestationResult (findings with expected and actual), as UTF-8 JSON.
        policy_name, policy_version, policy_sha256: None where no policy matched.
        tcb_status: in the vendor's words.
        salt: 32 random bytes, for what the log tells of it; None: decided before there was a log.
        evaluations: how recent the vendor's judgement was: line of statements -> its number. Not read back: the
            collateral has them.
        revoked, good: of when the vendor's word on single certificates was: line of a certificate -> number. What was
            revoked is remembered; a good word that is not newer than a remembered revocation decides nothing. Not read
            back either.
    """

    decided_at: datetime
    nonce: bytes
    nonce_expires: datetime
    request_sha256: bytes
    profile: str
    spki_der: bytes
    tee: str
    evidence: tuple[tuple[str, Blob], ...]  # (kind, blob)
    collateral: tuple[Blob, ...]
    anchors_sha256: bytes
    policy_name: str | None
    policy_version: int | None
    policy_sha256: bytes | None
    tcb_status: str
    result_json: str
    salt: bytes | None
    evaluations: Mapping[str, int] = field(default_factory=dict, compare=False)
    revoked: Mapping[str, int] = field(default_factory=dict, compare=False)
    good: Mapping[str, int] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Intent:
    """What is written before a signature: after this commit the serial is used up, signed or not.

    `withheld`: handles of chips that the policy keeps out of the certificate, and of all that is said of it. They are
    kept until it ends, so that it can be revoked with them.
    """

    decision: Decision
    serial: int
    issuer_key_id: bytes  # SubjectKeyIdentifier of the issuing CA
    tbs_sha256: bytes
    not_before: datetime
    not_after: datetime
    subject_alt_names: tuple[str, ...]  # "dns:…", "uri:…"
    handles: tuple[tuple[str, bytes], ...]  # (kind, 32-byte handle)
    withheld: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class NonceState:
    """What the store knows of a nonce that was answered before."""

    request_sha256: bytes
    outcome: Outcome
    decided_at: datetime
    serial: int | None


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """One certificate with the decision behind it (`der` and `ear` are None until it is signed, or if abandoned)."""

    serial: int
    issuer_key_id: bytes
    outcome: Outcome
    der: bytes | None
    ear: str | None
    not_before: datetime
    not_after: datetime
    subject_alt_names: tuple[str, ...]
    handles: tuple[tuple[str, bytes], ...]
    decision: Decision


@dataclass(frozen=True, slots=True)
class RefusalRecord:
    """One stored refusal. `id` rises with time."""

    id: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class CertificateQuery:
    """Search of the certificate table: all given conditions hold; `after` is the last serial of the page before."""

    san: str | None = None  # substring of one name
    policy_name: str | None = None
    tcb_status: str | None = None
    outcome: Outcome | None = None
    valid_at: datetime | None = None
    limit: int = 100  # at most 1000
    after: int | None = None


@dataclass(frozen=True, slots=True)
class LiveCertificate:
    """A certificate that is issued, within its dates and not revoked, as little of it as a dry run needs."""

    serial: int
    subject_alt_names: tuple[str, ...]
    decision: Decision


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a dry run has to look at.

    Attributes:
        certificates: live ones. refusals: on record.
        forgotten: refusals that the log tells of and that are on record no more.
    """

    certificates: int
    refusals: int
    forgotten: int


class PolicyState(StrEnum):
    """Life of one policy version: draft -> active -> retired. Only one version of a name is active."""

    DRAFT = "draft"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """One version of a policy document, kept for ever, byte for byte."""

    name: str
    version: int
    sha256: bytes
    document: bytes
    state: PolicyState
    added_at: datetime
    added_by: str


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One operator token: its SHA-256, never the token."""

    id: str  # 16 hex digits, shown in logs
    name: str
    sha256: bytes
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """One line of the operators' log."""

    done_at: datetime
    actor: str  # "token:<id> <name>", "cli:<user>", or "service" where it acts by itself
    action: str  # "policy.activate", "token.create", …
    target: str
    detail: str  # JSON, no secrets


@dataclass(frozen=True, slots=True)
class Revocation:
    """One handle that is revoked, and with it every certificate that depends on it.

    Attributes:
        handle: 32 bytes. kind: what it is of.
        subject: what was named, in words for operators; empty where that was the handle. Never a hardware id.
        actor: as in `OperatorAction`. note: the operator's own words.
    """

    handle: bytes
    kind: HandleKind
    subject: str
    revoked_at: datetime
    reason: RevocationReason
    actor: str
    note: str


@dataclass(frozen=True, slots=True)
class RevocationRecord:
    """One revocation as it is on record. `id` rises in the order in which they took effect."""

    id: int
    revocation: Revocation


@dataclass(frozen=True, slots=True)
class Dependent:
    """One certificate that depends on a handle."""

    serial: int
    outcome: Outcome
    not_after: datetime
    subject_alt_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dependents:
    """What the revocation of one handle takes.

    Attributes:
        kind: what the handle is of; None if no certificate on record has ever depended on it.
        count: unexpired certificates, and intents, that depend on it; those already revoked are among them.
        first: the last to expire of these.
        revoked: the revocation of the handle itself, if there is one.
    """

    kind: HandleKind | None
    count: int
    first: tuple[Dependent, ...]
    revoked: RevocationRecord | None


@dataclass(frozen=True, slots=True)
class CrlRecord:
    """The CRL of an issuer's certificates that end on one day (UTC). Numbers rise strictly over all days."""

    issuer_key_id: bytes
    day: date
    number: int
    entries: int
    der: bytes
    this_update: datetime
    next_update: datetime

    @property
    def sha256(self) -> bytes:
        """Of `der`, 32 bytes."""
        return hashlib.sha256(self.der).digest()


@dataclass(frozen=True, slots=True)
class CrlShard:
    """What a published CRL says of itself."""

    this_update: datetime
    entries: int


@dataclass(frozen=True, slots=True)
class CrlName:
    """A published CRL: which, its number, the SHA-256 of its DER."""

    issuer_key_id: bytes
    day: date
    number: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ServedList:
    """A list of revoked certificates as it is served at one time: where, its SHA-256 (of the DER), its number."""

    url: str
    sha256: bytes
    number: int


@dataclass(frozen=True, slots=True)
class CrlState:
    """The CRLs of one issuer and what they should list, of one instant.

    Attributes:
        number: its highest, 0 before the first. floor: numbers up to this one may have been used before the database
            was restored from a backup.
        this_update: the latest of its lists.
        shards: by day. revoked: how many certificates that end on a day are revoked; days with none are left out.
    """

    number: int
    floor: int
    this_update: datetime | None
    shards: Mapping[date, CrlShard]
    revoked: Mapping[date, int]


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """One vendor answer as it came. Unsigned here, so believed by nobody until a verifier checked it.

    `url`: what was asked (`Fetch.key`): the address, and behind "#" the SHA-256 of what was posted to it.
    """

    url: str
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]
    fetched_at: datetime
