# SPDX-License-Identifier: Apache-2.0
"""What the use cases need of the world: Store, Endorser, Signer. The records that cross those lines are in `ca.stored`.

Times are timezone-aware UTC; serial numbers are positive ints of at most 20 bytes.
Every method may raise `ca.errors.Unavailable` (database locked, full or gone; vendor service unreachable).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from ca.stored import (
    Blob,
    CachedResponse,
    CertificateQuery,
    CertificateRecord,
    CrlName,
    CrlRecord,
    CrlShard,
    CrlState,
    Decision,
    Dependent,
    Dependents,
    Extent,
    Intent,
    LiveCertificate,
    NonceState,
    OperatorAction,
    Outcome,
    PolicyRecord,
    PolicyState,
    RefusalRecord,
    Revocation,
    RevocationRecord,
    ServedList,
    TokenRecord,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date, datetime

    from attestca_client.protocol import HandleKind
    from ca.issuance.crl import Revoked
    from policies.loader import LoadedPolicy
    from verifiers.endorsements import Gather

__all__ = [
    "Blob",
    "CachedResponse",
    "CertificateQuery",
    "CertificateRecord",
    "CrlName",
    "CrlRecord",
    "CrlShard",
    "CrlState",
    "Decision",
    "Dependent",
    "Dependents",
    "Endorser",
    "Extent",
    "Intent",
    "LiveCertificate",
    "NonceState",
    "OperatorAction",
    "Outcome",
    "PolicyRecord",
    "PolicySource",
    "PolicyState",
    "RefusalRecord",
    "Revocation",
    "RevocationRecord",
    "ServedList",
    "Signer",
    "Store",
    "TokenRecord",
]

T = TypeVar("T")


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

        And the own handle of each unexpired certificate that withholds the handle: nobody else could tell that it
        depends on it. A handle that is revoked stays as it was; `action` is logged either way, then as "….again".
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

    async def crl_names(self) -> tuple[CrlName, ...]:
        """All that are published, of every issuer."""
        ...

    async def publish_crls(self, lists: Sequence[CrlRecord], seen: int) -> bool:
        """Keep them all, or none: False where the issuer's number is not `seen` (of `CrlState`) any more.

        All are of one issuer, their numbers above `seen` and the floor, no thisUpdate before that of another list.
        """
        ...

    async def forget_withheld(self, ended_before: datetime) -> int:
        """Delete what certificates withheld that ended by then. Returns rows deleted."""
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
