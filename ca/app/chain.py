# SPDX-License-Identifier: Apache-2.0
"""Anchoring as the running service keeps it: its ledger, one turn after the other, and what is to be known of it.

The chain never stops the service. Where a turn fails, the next one comes after half a minute, and each time the
service's own log has the reason. A service without a contract in its configuration does not import this.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog

from attestca_client.protocol.checkpoint import NoteError
from ca.anchoring import Anchorer, Rules, Step
from ca.app.keys import ca_id
from ca.app.log import log_host
from ca.config import read_from
from ca.errors import ChainHalted, ConfigurationError, LogHalted
from ca.ledger.accounts import by_address, open_keystore
from ca.ledger.contract import Registry, parse_address
from ca.ledger.evm import EvmLedger
from ca.ledger.rpc import connected
from ca.ledger_ports import ChainHealth
from ca.signers import files
from ca.signers.chain import chain_keys
from ca.signers.log import log_key
from ca.tree_history import TreeHistory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cryptography import x509

    from attestca_client.protocol.checkpoint import Head, Verifier
    from ca.anchoring import Turn
    from ca.config import Config
    from ca.config.chain import Chain
    from ca.ledger.accounts import LocalAccount
    from ca.signers.folder import KeyFolder
    from ca.store.sql import SqlStore

_PATIENCE: Final = timedelta(seconds=30)  # after a turn that failed
_LOOK: Final = timedelta(minutes=1)  # at the chain, where nothing is under way
_LATE: Final = 3  # heartbeats without a final anchor are worth a warning

_log = structlog.get_logger("attestca")


def registry_of(settings: Chain, authority: bytes) -> Registry:
    """The registry, and our namespace in it. `authority`: its ca_id, 32 bytes.

    Raises ConfigurationError where the section does not name them.
    """
    if settings.chain_id is None or settings.contract is None or settings.admin is None:
        raise ConfigurationError("chain: chain_id, contract and admin must be given")
    contract = parse_address(settings.contract, "chain.contract")
    return Registry(
        settings.chain_id, contract, authority, parse_address(settings.admin, "chain.admin")
    )


def namespace_of(settings: Chain, root: x509.Certificate) -> str:
    """Hexadecimal digits; empty where the section does not name an admin."""
    if settings.admin is None:
        return ""
    admin = parse_address(settings.admin, "chain.admin")
    return Registry(0, b"", ca_id(root), admin).namespace.hex()


def payer_of(settings: Chain) -> LocalAccount:
    """The account that pays. Raises ConfigurationError."""
    if settings.gas_keystore is None:
        raise ConfigurationError("chain.gas_keystore: required")
    passphrase = read_from(settings.gas_passphrase, "chain.gas_passphrase")
    data = files.read(settings.gas_keystore)
    return open_keystore(data, passphrase, f"chain.gas_keystore ({settings.gas_keystore})")


@asynccontextmanager
async def ledger_of(
    settings: Chain, folder: KeyFolder, authority: bytes
) -> AsyncIterator[EvmLedger]:
    """The ledger, with its nodes. Raises ConfigurationError."""
    registry, payer = registry_of(settings, authority), payer_of(settings)
    keys = by_address(chain_keys(folder))
    if not keys:
        raise ConfigurationError(
            f"{folder.path} holds no key that signs anchors: `attestca chain key --make`"
        )
    async with connected(settings.urls, registry.chain_id) as nodes:
        yield EvmLedger(nodes, registry, payer, keys)


def rules_of(settings: Chain) -> Rules:
    """What the operator decided."""
    return Rules(settings.heartbeat, settings.max_fee, settings.tombstones_per_transaction)


@dataclass(slots=True)
class Heads:
    """The head of the newest published checkpoint, whose signature is checked each time."""

    config: Config
    folder: KeyFolder
    store: SqlStore
    _verifiers: dict[bytes, Verifier] = field(default_factory=dict)

    async def newest(self) -> Head | None:
        """None where none is published. Raises LogHalted, NotFound, Unavailable."""
        published = await self.store.log.checkpoint()
        if published is None or published.note is None:
            return None
        try:
            return self._verifier(published.key_sha256).open(published.note).head
        except NoteError as error:
            raise LogHalted(f"the checkpoint in the database is damaged: {error}") from error

    def _verifier(self, key_sha256: bytes) -> Verifier:
        found = self._verifiers.get(key_sha256)
        if found is None:
            key, _ = log_key(self.folder, log_host(self.config), key_sha256)
            found = self._verifiers[key_sha256] = key.verifier
        return found


async def adopt(store: SqlStore, ledger: EvmLedger, now: datetime) -> Head:
    """Count the head on the chain as one of ours, which the next anchors follow. Returns it.

    Raises ChainHalted where its tree is not of our log, LogHalted where it revokes something else than our log does.
    """
    head = (await ledger.standing()).head
    growth = await store.anchors.growth(head.size, head.size)
    if growth is None or growth.old_root != head.root:
        raise ChainHalted(f"the head of {head.size} entries on the chain is not of this log")
    await TreeHistory(store.log).tree(head)
    await store.anchors.adopt(ledger.target, head, now)
    return head


@dataclass(slots=True)
class ChainKeeper:
    """Anchors, turn by turn. `since`: when this process began to."""

    settings: Chain
    anchorer: Anchorer
    since: datetime
    health: ChainHealth = field(default_factory=ChainHealth)
    _again: datetime | None = None
    _looked: datetime | None = None

    @property
    def every(self) -> timedelta:
        """Between two turns."""
        return timedelta(seconds=self.settings.poll_seconds)

    async def turn(self, now: datetime) -> None:
        """See `Anchorer.turn`. Raises what it raises; then not for a while."""
        if self._again is not None and now < self._again:
            return
        try:
            await self._known()
            if self._looked is None or now >= self._looked + _LOOK or await self._has_work():
                self._saw(await self.anchorer.turn(now))
                self._looked = now
            self._again = None
        except Exception as error:
            self._again = now + _PATIENCE
            halted = isinstance(error, ChainHalted)
            self.health = replace(self.health, failing=True, halted=halted)
            raise

    def warnings(self, now: datetime) -> tuple[str, ...]:
        """What an operator should look at, though everything else goes on."""
        found = []
        if self.health.halted:
            found.append("nothing is anchored on the chain: it has a head that is not ours")
        elif self.health.failing:
            found.append("the chain does not do what it is asked")
        final = self.health.final_time
        last = self.since if final is None else datetime.fromtimestamp(final, UTC)
        if now - last > _LATE * self.settings.heartbeat:
            found.append(f"no anchor became final since {last:%Y-%m-%dT%H:%M:%SZ}")
        return tuple(found)

    async def _has_work(self) -> bool:
        progress, newest = await self.anchorer.progress(), await self.anchorer.newest()
        if progress.unsettled:
            return True
        if newest is None:
            return False
        late = progress.final is None or (
            newest.time - progress.final.head.time >= self.settings.heartbeat.total_seconds()
        )
        return late or newest.revocation_count > progress.mark.count

    async def _known(self) -> None:
        """What the database says, whether the chain answers or not."""
        progress, newest = await self.anchorer.progress(), await self.anchorer.newest()
        count = 0 if newest is None else newest.revocation_count
        self.health = replace(
            self.health,
            final_time=progress.final.head.time if progress.final else None,
            pending=max(0, count - progress.mark.count),
        )

    def _saw(self, turn: Turn) -> None:
        self.health = replace(
            self.health,
            final_time=turn.final.time if turn.final else None,
            pending=turn.pending,
            expensive=turn.step is Step.EXPENSIVE,
            failing=False,
            halted=False,
            gone=self.health.gone + turn.gone,
        )
        if turn.gone:
            _log.warning("anchor.reorganised", anchors=turn.gone)
        if turn.step is Step.EXPENSIVE:
            _log.warning("anchor.expensive", advice="see chain.max_fee_gwei")
        elif turn.step not in {Step.IDLE, Step.WAITING}:
            _log.info("anchor", step=turn.step.value, pending=turn.pending)
