# SPDX-License-Identifier: Apache-2.0
"""Configuration -> adapters -> use cases: everything that listeners and jobs work with, opened and closed in order."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from cryptography.hazmat.primitives.serialization import Encoding

from ca import jobs
from ca.anchoring import Anchorer
from ca.app import log
from ca.app.keys import Keys, anchors_of, ca_id, key_id
from ca.authority import Authority, Issuing
from ca.config import Config, read_passphrase
from ca.errors import ConfigurationError
from ca.fetch.cache import CacheLimits, CollateralCache
from ca.fetch.client import ClientLimits, FetchClient, tls_context
from ca.fetch.endorser import CachingEndorser
from ca.http import DoorLimits, Doors
from ca.issuance import ear
from ca.issuance.request import root_crl_url
from ca.lists import AMD_FLOORS, NVIDIA_MINIMUMS, ListInForce
from ca.policy_admin import ActivePolicies
from ca.store.sql import SqlStore

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable

    from ca.app.chain import ChainKeeper
    from ca.ports import ServedList
    from ca.signers.folder import Held
    from policies.floors import Floors
    from policies.minimums import Minimums

_log = structlog.get_logger("attestca")


def clock() -> datetime:
    """Now, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Service:
    """The running service: what its listeners and jobs work with."""

    config: Config
    keys: Keys
    store: SqlStore
    endorser: CachingEndorser
    authority: Authority
    floors: ListInForce[Floors]
    minimums: ListInForce[Minimums]
    log: log.LogKeeper
    _lists: dict[str, datetime] = field(default_factory=dict)  # see `_publish_lists`
    chain: ChainKeeper | None = None

    def doors(self) -> Doors:
        """What the two applications are given."""
        limits, config = self.config.limits, self.config
        return Doors(
            authority=self.authority,
            clock=clock,
            limits=DoorLimits(
                body_bytes=limits.body_bytes,
                requests_per_minute=limits.requests_per_minute,
                burst=limits.burst,
                tracked_addresses=limits.tracked_addresses,
                verification_queue=limits.verification_queue,
                workers=limits.workers,
                refusal_ring=config.retention.refusal_ring,
            ),
            trusted_proxies=config.server.trusted_proxies,
            log=self.store.log,
            log_halted=lambda: self.log.halted,
            log_ahead=lambda: self.log.ahead(clock()),
            history=self.log.history,
            lists=self.log.lists,
            admin_trusted_proxies=config.admin.trusted_proxies,
            chain_pem=self.chain_pem,
            former_chain=self.former_chain,
            root_crl=self.root_crl,
            trust=self.keys.folder.trust,
            jwks=lambda: ear.jwks([held.certificate for held in self.keys.ear], clock()),
            check_ready=self.check_ready,
            responders=lambda: self.keys.responders(clock()),
            fetch_counters=self.endorser.counters,
            chain_health=lambda: self.chain.health if self.chain else None,
            warnings=self.warnings,
            list_ages=self.list_ages,
        )

    def warnings(self) -> tuple[str, ...]:
        """What an operator should look at, though the service does its work."""
        now = clock()
        return (*self.log.warnings(now), *(self.chain.warnings(now) if self.chain else ()))

    def chain_pem(self) -> bytes:
        """Issuing CA in force, then the root."""
        held = self.keys.current(clock())
        return held.certificate.public_bytes(Encoding.PEM) + self.keys.root.public_bytes(
            Encoding.PEM
        )

    def former_chain(self, issuer_key_id: bytes) -> tuple[bytes, ...] | None:
        """DER of the issuing CA with that key id, in force or not, and of the root."""
        for held in self.keys.issuing_cas:
            if key_id(held.certificate) == issuer_key_id:
                return self.keys.signer(held).chain_der
        return None

    def root_crl(self, root_key_id: bytes) -> bytes | None:
        """DER of the root's newest CRL, if that is its key id."""
        return self.keys.folder.root_crl() if root_key_id == key_id(self.keys.root) else None

    async def check_ready(self) -> None:
        """Raises Unavailable or ConfigurationError: the database answers and an issuing CA is valid."""
        await self.store.ping()
        self.keys.current(clock())

    def list_ages(self) -> dict[str, float]:
        """See `Doors.list_ages`: of what the last turn of the job found, so that they grow while it fails."""
        now = clock()
        return {issuer: (now - signed).total_seconds() for issuer, signed in self._lists.items()}

    async def _publish_lists(self, now: datetime) -> None:
        in_force = [held for held in self.keys.folder.issuing() if held.valid(now)]
        for gone in self._lists.keys() - {key_id(held.certificate).hex() for held in in_force}:
            del self._lists[gone]
        for held in in_force:
            issuer, signer = self.keys.issuer(held), self.keys.signer(held)
            try:
                await jobs.publish_crls(self.store, issuer, signer, now)
            finally:  # of those that another replica signed, where this one cannot
                signed = await jobs.oldest_list(self.store, issuer, now)
                if signed is not None:
                    self._lists[issuer.key_id.hex()] = signed

    def jobs(self, tls: ssl.SSLContext) -> list[jobs.Job]:
        """Everything that is done by the clock."""
        retention = self.config.retention
        refusals = timedelta(days=retention.refusal_days)
        nonces = timedelta(hours=retention.nonce_hours)

        async def certificates(now: datetime) -> None:
            # A leaf names its CRL and its responder: a new issuing CA is taken when both are there, not before.
            await self._publish_lists(now)
            await self.keys.renew_responders(now)
            await self.log.tell_keys(now)
            self.keys.reload()
            if await self.keys.make_service(now):
                await self.log.tell_keys(now)
                self.keys.reload()
                load_tls(tls, self.keys, now)
            for kind in ("tls", "ear", "ocsp"):
                self.keys.folder.forget_service(kind, now)

        async def abandon(now: datetime) -> None:
            for serial in await jobs.abandon_intents(self.store, now):
                _log.warning("intent.abandoned", serial=f"{serial:x}")

        async def forget(now: datetime) -> None:
            await jobs.forget(self.store, now, refusals, nonces)

        async def refresh(_now: datetime) -> None:
            await self.endorser.refresh()

        minute = timedelta(minutes=1)
        anchors = (
            [jobs.Job("anchors", self.chain.every, self.chain.turn, at_start=False)]
            if self.chain
            else []
        )
        return [
            jobs.Job("floors", minute, self.floors.reload),
            jobs.Job("minimums", minute, self.minimums.reload),
            jobs.Job("abandoned-intents", minute, abandon),
            jobs.Job("certificates", minute, certificates, self.authority.revoked),
            jobs.Job("log", log.EVERY, self.log.turn, at_start=False),
            *anchors,
            jobs.Job("retention", timedelta(hours=1), forget),
            jobs.Job("collateral", timedelta(minutes=5), refresh),
        ]


def load_tls(context: ssl.SSLContext, keys: Keys, now: datetime) -> None:
    """Have `context` present the newest TLS certificate from the next handshake on."""
    held = [one for one in keys.tls if one.valid(now)][-1]
    certificate, key = keys.folder.paths("tls", held)
    context.load_cert_chain(certificate, key, password=keys.folder.passphrase)


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Service]:
    """Everything that listeners and jobs need, open.

    Raises:
        ConfigurationError, LintFailed: keys, anchors, schema, lists. Unavailable: the database.
    """
    keys = Keys.open(config, read_passphrase(config))
    anchors = anchors_of(config)
    now = clock()
    await keys.renew_responders(now)
    await keys.renew_service(now)
    async with AsyncExitStack() as stack:
        store = await SqlStore.open(config.database.url.get_secret_value())
        stack.push_async_callback(store.close)
        floors = await ListInForce.open(AMD_FLOORS, store, config.policies.amd_floors_file, now)
        minimums = await ListInForce.open(
            NVIDIA_MINIMUMS, store, config.policies.nvidia_minimums_file, now
        )
        collateral = config.collateral
        client = FetchClient(
            collateral.origins,
            ClientLimits(
                total=collateral.timeout_seconds, connect=collateral.connect_timeout_seconds
            ),
            tls_context(collateral.extra_ca_file),
        )
        await stack.enter_async_context(client)
        cache = CollateralCache(
            client,
            store,
            CacheLimits(
                refresh_after=collateral.refresh_after,
                lasting=frozenset({"vcek"}),  # its URL names chip and TCB, and so its key
                unkept=frozenset({"nras-gpu", "nras-switch"}),  # of one nonce
                hard_age=timedelta(hours=collateral.stale_hours),
            ),
            clock,
        )
        stack.push_async_callback(cache.close)
        endorser = CachingEndorser(cache, budget=collateral.budget_seconds)

        def issuing() -> Issuing:
            held = keys.current(clock())
            newest = keys.ear[-1]
            ear_key = ear.EarKey(newest.key, newest.certificate, _issuer_der(keys, newest))
            return Issuing(keys.issuer(held), keys.signer(held), ear_key)

        def served_lists() -> Awaitable[tuple[ServedList, ...]]:
            url = config.server.public_url
            root_url = root_crl_url(url, key_id(keys.root))
            return jobs.served_lists(store, url, (root_url, keys.folder.root_crl()))

        keeper = log.LogKeeper(keys, store.log, served_lists)
        await keeper.tell_keys(now)
        chain = await _anchoring(keys, store, now, stack)
        yield Service(
            config,
            keys,
            store,
            endorser,
            Authority(
                store=store,
                endorser=endorser,
                policies=ActivePolicies(store),
                anchors=anchors,
                sources=collateral.sources,
                ca_id=ca_id(keys.root),
                nonce_keys=(keys.folder.secret("nonce"),),
                chip_key=keys.folder.secret("chip"),
                entropy=secrets.token_bytes,
                issuing=issuing,
                floors=lambda: floors.current,
                minimums=lambda: minimums.current,
            ),
            floors,
            minimums,
            keeper,
            chain=chain,
        )


async def _anchoring(
    keys: Keys, store: SqlStore, now: datetime, stack: AsyncExitStack
) -> ChainKeeper | None:
    """Who anchors, where there is a chain. Raises ConfigurationError."""
    settings = keys.config.chain
    if settings.contract is None:
        return None
    from ca.app import chain  # noqa: PLC0415 - web3 takes a second to load, which others need not wait for

    opening = chain.ledger_of(settings, keys.folder, ca_id(keys.root))
    ledger = await stack.enter_async_context(opening)
    heads = chain.Heads(keys.config, keys.folder, store)
    anchorer = Anchorer(store.anchors, ledger, heads.newest, chain.rules_of(settings))
    return chain.ChainKeeper(settings, anchorer, now)


def _issuer_der(keys: Keys, held: Held) -> bytes:
    """The issuing CA that signed a certificate of the service."""
    for candidate in keys.issuing_cas:
        if candidate.certificate.subject == held.certificate.issuer:
            return candidate.certificate.public_bytes(Encoding.DER)
    raise ConfigurationError("the issuing CA of the service's own certificate is not in the folder")
