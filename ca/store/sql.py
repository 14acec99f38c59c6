# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 (the port documents its methods)
"""SqlStore: `ca.ports.Store` on SQLite and PostgreSQL. One method, one transaction; the SQL is in the modules beside.

What each method does, returns and raises stands in `ca.ports.Store`; every one may raise Unavailable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ca.store import (
    certificates,
    collateral,
    crls,
    decisions,
    enrollments,
    handles,
    health,
    operators,
    policies,
    schema,
    status,
)
from ca.store.anchors import SqlAnchors
from ca.store.database import Database
from ca.store.log_sql import SqlLog

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date, datetime

    from attestca_client.protocol import HandleKind
    from ca.issuance.crl import Revoked
    from ca.ports import (
        CachedResponse,
        CertificateQuery,
        CertificateRecord,
        CrlName,
        CrlRecord,
        CrlState,
        Decision,
        Dependents,
        Extent,
        Intent,
        LiveCertificate,
        NonceState,
        OperatorAction,
        PolicyRecord,
        PolicyState,
        RefusalRecord,
        Revocation,
        RevocationRecord,
        TokenRecord,
    )
    from ca.store.engines import Limits

_BATCH: Final = 500  # refusals deleted in one transaction, so that enrollments do not wait long


class SqlStore:
    """The database, open. Belongs to the event loop that opened it."""

    def __init__(self, database: Database) -> None:
        """Use `open`, which checks the schema."""
        self._database: Final = database
        self.log: Final = SqlLog(database)
        self.anchors: Final = SqlAnchors(database)

    @classmethod
    async def open(cls, url: str, limits: Limits | None = None) -> SqlStore:
        """Open the database at `sqlite:///path` or `postgresql://…`.

        Raises:
            ConfigurationError: not a URL of ours, or the schema is not this version's; names `attestca db upgrade`.
            Unavailable: the database cannot be reached.
        """
        database = Database(url, limits)
        try:
            await schema.check(database)
        except BaseException:
            await database.close()
            raise
        return cls(database)

    async def close(self) -> None:
        """Close every connection; the process cannot end before."""
        await self._database.close()

    # enrollment

    async def nonce_state(self, nonce: bytes) -> NonceState | None:
        return await self._database.read(enrollments.nonce_state, nonce)

    async def record_refusal(self, decision: Decision) -> None:
        await self._database.write(enrollments.record_refusal, decision)

    async def record_intent(self, intent: Intent) -> None:
        await self._database.write(enrollments.record_intent, intent)

    async def record_certificate(
        self, serial: int, der: bytes, ear: str, withheld: Sequence[bytes] = ()
    ) -> None:
        await self._database.write(enrollments.record_certificate, serial, der, ear, withheld)

    async def refuse_intent(self, serial: int, decision: Decision) -> None:
        await self._database.write(enrollments.refuse_intent, serial, decision)

    async def abandon_intents(self, older_than: datetime, now: datetime) -> tuple[int, ...]:
        return await self._database.write(enrollments.abandon_intents, older_than, now)

    async def certificate(self, serial: int) -> CertificateRecord | None:
        return await self._database.read(certificates.certificate, serial)

    async def certificates(self, query: CertificateQuery) -> tuple[CertificateRecord, ...]:
        return await self._database.read(certificates.certificates, query)

    async def refusals(self, limit: int, before_id: int | None) -> tuple[RefusalRecord, ...]:
        return await self._database.read(certificates.refusals, limit, before_id)

    async def forget_nonces(self, expired_before: datetime) -> int:
        return await self._database.write(enrollments.forget_nonces, expired_before)

    async def expire_refusals(self, decided_before: datetime) -> int:
        """As the port says, but in several transactions of a bounded size; each leaves a whole database."""
        total = 0
        while True:
            deleted = await self._database.write(decisions.expire_refusals, decided_before, _BATCH)
            total += deleted
            if deleted < _BATCH:
                return total

    # dry run

    async def live(
        self, at: datetime, limit: int, after: int | None
    ) -> tuple[LiveCertificate, ...]:
        return await self._database.read(certificates.live, at, limit, after)

    async def extent(self, at: datetime, since: datetime) -> Extent:
        return await self._database.read(certificates.extent, at, since)

    # revocation

    async def revoke(
        self, revocation: Revocation, action: OperatorAction
    ) -> tuple[RevocationRecord, bool]:
        return await self._database.write(handles.revoke, revocation, action)

    async def revocations(self, limit: int, before: int | None) -> tuple[RevocationRecord, ...]:
        return await self._database.read(handles.revocations, limit, before)

    async def revocations_after(self, after: int, limit: int) -> tuple[RevocationRecord, ...]:
        return await self._database.read(handles.revocations_after, after, limit)

    async def revocations_of(self, serial: int) -> tuple[RevocationRecord, ...]:
        return await self._database.read(handles.revocations_of, serial)

    async def kind_of(self, handle: bytes) -> HandleKind | None:
        return await self._database.read(handles.kind_of, handle)

    async def dependents(self, handle: bytes, now: datetime, limit: int) -> Dependents:
        return await self._database.read(handles.dependents, handle, now, limit)

    async def crl_state(self, issuer_key_id: bytes, first: date, last: date) -> CrlState:
        return await self._database.read(crls.crl_state, issuer_key_id, first, last)

    async def revoked_on(self, issuer_key_id: bytes, day: date) -> tuple[Revoked, ...]:
        return await self._database.read(crls.revoked_on, issuer_key_id, day)

    async def statuses(
        self, issuer_key_id: bytes, serials: Collection[int]
    ) -> dict[int, Revoked | None]:
        return await self._database.read(status.statuses, issuer_key_id, serials)

    async def crl(self, issuer_key_id: bytes, day: date) -> CrlRecord | None:
        return await self._database.read(crls.crl, issuer_key_id, day)

    async def crl_names(self) -> tuple[CrlName, ...]:
        return await self._database.read(crls.crl_names)

    async def publish_crls(self, lists: Sequence[CrlRecord], seen: int) -> bool:
        return await self._database.write(crls.publish_crls, lists, seen)

    async def forget_withheld(self, ended_before: datetime) -> int:
        return await self._database.write(enrollments.forget_withheld, ended_before)

    async def forget_crls(self, before: date) -> int:
        return await self._database.write(crls.forget_crls, before)

    # policies

    async def add_policy(self, policy: PolicyRecord, action: OperatorAction) -> None:
        await self._database.write(policies.add_policy, policy, action)

    async def set_policy_state(
        self,
        name: str,
        version: int,
        state: PolicyState,
        action: OperatorAction,
        *,
        expect_active: frozenset[bytes],
    ) -> None:
        await self._database.write(
            policies.set_policy_state, (name, version), state, action, expect_active
        )

    async def policies(self, *, active_only: bool = False) -> tuple[PolicyRecord, ...]:
        return await self._database.read(policies.policies, active_only=active_only)

    async def policy(self, name: str, version: int) -> PolicyRecord | None:
        return await self._database.read(policies.policy, name, version)

    async def record_list(
        self, name: str, version: int, sha256: bytes, action: OperatorAction
    ) -> bool:
        return await self._database.write(policies.record_list, name, version, sha256, action)

    # operators

    async def add_token(self, token: TokenRecord, action: OperatorAction) -> None:
        await self._database.write(operators.add_token, token, action)

    async def token_by_sha256(self, sha256: bytes) -> TokenRecord | None:
        return await self._database.read(operators.token_by_sha256, sha256)

    async def tokens(self) -> tuple[TokenRecord, ...]:
        return await self._database.read(operators.tokens)

    async def revoke_token(self, token_id: str, action: OperatorAction) -> None:
        await self._database.write(operators.revoke_token, token_id, action)

    async def token_used(self, token_id: str, now: datetime) -> None:
        await self._database.write(operators.token_used, token_id, now)

    async def log_action(self, action: OperatorAction) -> None:
        await self._database.write(operators.log_action, action)

    async def actions(self, limit: int, before: datetime | None) -> tuple[OperatorAction, ...]:
        return await self._database.read(operators.actions, limit, before)

    # collateral cache

    async def cached_response(self, url: str) -> CachedResponse | None:
        return await self._database.read(collateral.cached_response, url)

    async def put_cached_response(self, response: CachedResponse) -> None:
        await self._database.write(collateral.put_cached_response, response)

    async def mark_response_used(self, url: str, now: datetime) -> None:
        await self._database.write(collateral.mark_response_used, url, now)

    # health

    async def ping(self) -> None:
        await self._database.write(health.beat)
