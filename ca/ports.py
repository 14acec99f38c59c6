# SPDX-License-Identifier: Apache-2.0
"""What the use cases need of the world: Store, Endorser, Signer, and the records that cross those lines.

Records are plain frozen data; times are timezone-aware UTC; serial numbers are positive ints of at most 20 bytes.
Every method may raise `ca.errors.Unavailable` (database locked, full or gone; vendor service unreachable).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date, datetime

    from attestca_client.protocol import HandleKind
    from ca.issuance.crl import Revoked
    from ca.issuance.reasons import RevocationReason
    from policies.loader import LoadedPolicy
    from verifiers.endorsements import Gather

T = TypeVar("T")


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

    `withheld`: handles that the policy keeps out of the certificate. They are looked up among what is revoked, and not
    stored.
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


@dataclass(frozen=True, slots=True)
class CrlShard:
    """What a published CRL says of itself."""

    this_update: datetime
    entries: int


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


class Endorser(Protocol):
    """Runs a verifier's `gather()` against the collateral cache and the vendor's service."""

    async def run(self, gather: Gather[T]) -> T:
        """The endorsements object of `gather`. Raises Unavailable where a part cannot be had within its budget."""
        ...

    def distrust(self, gather: Gather[T]) -> None:
        """What `gather` asks for first is asked anew next time: it proved to be outdated."""
        ...


class PolicySource(Protocol):
    """The policies in force."""

    async def current(self) -> tuple[LoadedPolicy, ...]:
        """The active policies, as the database says it now."""
        ...


class Signer(Protocol):
    """Holder of the issuing key."""

    @property
    def certificate_der(self) -> bytes:
        """The issuing CA certificate."""
        ...

    @property
    def chain_der(self) -> tuple[bytes, ...]:
        """What a leaf is sent with: the issuing CA certificate, then the root."""
        ...

    async def sign(self, tbs: bytes) -> bytes:
        """DER ECDSA-Sig-Value with SHA-256 over `tbs`."""
        ...


class Store(Protocol):
    """The database. Each method is one transaction."""

    # enrollment
    async def nonce_state(self, nonce: bytes) -> NonceState | None:
        """What is known of `nonce`; None if it was never answered."""
        ...

    async def record_refusal(self, decision: Decision) -> None:
        """Spend the nonce and keep the refusal. Raises NonceUsed, CollateralOutdated."""
        ...

    async def record_intent(self, intent: Intent) -> None:
        """Spend the nonce and the serial.

        Raises NonceUsed, PolicyChanged (the policy is active no more), HandleRevoked, CollateralOutdated.
        """
        ...

    async def record_certificate(
        self, serial: int, der: bytes, ear: str, withheld: Sequence[bytes] = ()
    ) -> None:
        """Close an intent with its certificate. `withheld`: as of the intent.

        Raises IntentClosed if it was abandoned meanwhile; HandleRevoked if something that it depends on was revoked
        meanwhile, and leaves the intent open: see `refuse_intent`.
        """
        ...

    async def refuse_intent(self, serial: int, decision: Decision) -> None:
        """Close an intent with a refusal in the place of its certificate: its serial is revoked, the refusal is kept.

        Raises IntentClosed.
        """
        ...

    async def abandon_intents(self, older_than: datetime, now: datetime) -> tuple[int, ...]:
        """Close intents decided before `older_than` that have no certificate; revoke and return their serials."""
        ...

    async def certificate(self, serial: int) -> CertificateRecord | None: ...

    async def certificates(self, query: CertificateQuery) -> tuple[CertificateRecord, ...]: ...

    async def refusals(self, limit: int, before_id: int | None) -> tuple[RefusalRecord, ...]:
        """Newest first."""
        ...

    async def forget_nonces(self, expired_before: datetime) -> int:
        """Nonces of refusals past their expiry need no row any more (issued ones stay with their certificate)."""
        ...

    async def expire_refusals(self, decided_before: datetime) -> int:
        """Retention of refusals: delete older ones and blobs that nothing names any more. Returns rows deleted."""
        ...

    # dry run
    async def live(
        self, at: datetime, limit: int, after: int | None
    ) -> tuple[LiveCertificate, ...]:
        """Certificates that are live at an instant, by serial; `after`: the last serial of the page before."""
        ...

    async def extent(self, at: datetime, since: datetime) -> Extent:
        """How many certificates are live at an instant, and how many refusals were decided from another on."""
        ...

    # revocation; nothing takes one back
    async def revoke(
        self, revocation: Revocation, action: OperatorAction
    ) -> tuple[RevocationRecord, bool]:
        """Revoke a handle: one row. What is on record now, and whether this call did it.

        A handle that is revoked stays revoked as it was; `action` is logged either way, then as "….again".
        """
        ...

    async def revocations(self, limit: int, before: int | None) -> tuple[RevocationRecord, ...]:
        """Newest first. `before`: below this number."""
        ...

    async def revocations_after(self, after: int, limit: int) -> tuple[RevocationRecord, ...]:
        """Oldest first, above this number. What was given once is never given otherwise."""
        ...

    async def revocations_of(self, serial: int) -> tuple[RevocationRecord, ...]:
        """Those that take this certificate, oldest first."""
        ...

    async def kind_of(self, handle: bytes) -> HandleKind | None:
        """What a handle is of; None if no certificate and no revocation on record has it."""
        ...

    async def dependents(self, handle: bytes, now: datetime, limit: int) -> Dependents:
        """What depends on a handle. `limit`: of `first`."""
        ...

    async def crl_state(self, issuer_key_id: bytes, first: date, last: date) -> CrlState:
        """What an issuer's CRLs of these days are, and what is revoked."""
        ...

    async def revoked_on(self, issuer_key_id: bytes, day: date) -> tuple[Revoked, ...]:
        """The certificates of one issuer that end on that day and depend on a revoked handle, by serial.

        Each since the first revocation that takes it, with the reason of that one.
        """
        ...

    async def statuses(
        self, issuer_key_id: bytes, serials: Collection[int]
    ) -> dict[int, Revoked | None]:
        """Of these serial numbers, those that one issuer issued: None, or since when and why it is revoked.

        Any integers; what was never issued is left out. Each since the first revocation that takes it.
        """
        ...

    async def crl(self, issuer_key_id: bytes, day: date) -> CrlRecord | None: ...

    async def publish_crls(self, lists: Sequence[CrlRecord], seen: int) -> bool:
        """Keep them all, or none: False where the issuer's number is not `seen` (of `CrlState`) any more.

        All are of one issuer, their numbers above `seen` and the floor, no thisUpdate before that of another list.
        """
        ...

    async def forget_crls(self, before: date) -> int:
        """Delete those of earlier days, of every issuer. Returns how many."""
        ...

    # policies
    async def add_policy(self, policy: PolicyRecord, action: OperatorAction) -> None:
        """Raises PolicyConflict unless `version` is above every version of that name."""
        ...

    async def set_policy_state(
        self,
        name: str,
        version: int,
        state: PolicyState,
        action: OperatorAction,
        *,
        expect_active: frozenset[bytes],
    ) -> None:
        """Activate (the name's other active version is retired) or retire.

        Raises PolicyConflict if the set of active policies' SHA-256 is not `expect_active` any more, NotFound.
        """
        ...

    async def policies(self, *, active_only: bool = False) -> tuple[PolicyRecord, ...]: ...

    async def policy(self, name: str, version: int) -> PolicyRecord | None: ...

    async def record_list(
        self, name: str, version: int, sha256: bytes, action: OperatorAction
    ) -> bool:
        """A version of a list that policies refer to comes into force; True if it was not yet, which `action` logs.

        Raises PolicyConflict for a version below one that was in force, or one that had another SHA-256.
        """
        ...

    # operators
    async def add_token(self, token: TokenRecord, action: OperatorAction) -> None: ...

    async def token_by_sha256(self, sha256: bytes) -> TokenRecord | None: ...

    async def tokens(self) -> tuple[TokenRecord, ...]: ...

    async def revoke_token(self, token_id: str, action: OperatorAction) -> None:
        """Raises NotFound."""
        ...

    async def token_used(self, token_id: str, now: datetime) -> None: ...

    async def log_action(self, action: OperatorAction) -> None: ...

    async def actions(self, limit: int, before: datetime | None) -> tuple[OperatorAction, ...]:
        """Newest first."""
        ...

    # collateral cache, kept over restarts; content is verified again at every use
    async def cached_response(self, url: str) -> CachedResponse | None:
        """The answer kept under `url`, see CachedResponse."""
        ...

    async def put_cached_response(self, response: CachedResponse) -> None:
        """Keep it instead of an earlier one. What was not used for the longest goes where there are too many."""
        ...

    async def mark_response_used(self, url: str, now: datetime) -> None: ...

    # health
    async def ping(self) -> None:
        """Raises Unavailable if the database cannot be read and written."""
        ...


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
