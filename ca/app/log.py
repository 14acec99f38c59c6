# SPDX-License-Identifier: Apache-2.0
"""The public log as the running service keeps it: who signs, what keys it tells of, and what happens when it is halted.

The log never stops the service. Where it must not be signed, it is tried again once a minute, each time with what is
in the folder then, and each time the service's own log has the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.audit import KeyAdded, Purpose
from ca.errors import ConfigurationError, LogHalted, NotFound
from ca.sequencing import Sequencer
from ca.signers.log import add_log_key, log_key
from ca.tree_history import TreeHistory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime

    from ca.app.keys import Keys
    from ca.config import Config
    from ca.log_ports import LogStore
    from ca.note import LogKey
    from ca.ports import ServedList

EVERY: Final = timedelta(milliseconds=500)  # an entry is published within two seconds
_PATIENCE: Final = timedelta(minutes=1)
_AHEAD: Final = 300.0  # seconds; relying parties and the contract take no more

_log = structlog.get_logger("attestca")


def log_host(config: Config) -> str:
    """What the names of the log and its keys begin with: the host of `server.public_url`."""
    host = urlsplit(config.server.public_url).hostname
    if host is None:
        raise ConfigurationError("server.public_url has no host")
    return host


@dataclass(slots=True)
class LogKeeper:
    """Runs the sequencer, turn by turn.

    `lists`: the revocation lists that are served now. `history`: the revocation trees of the last heads.
    """

    keys: Keys
    store: LogStore
    lists: Callable[[], Awaitable[Iterable[ServedList]]]
    history: TreeHistory = field(init=False)
    _sequencer: Sequencer | None = None
    _again: datetime | None = None
    _told: set[bytes] = field(default_factory=set)
    _newest: int | None = None
    _is_ahead: bool = False

    def __post_init__(self) -> None:
        self.history = TreeHistory(self.store)

    @property
    def halted(self) -> bool:
        """Whether the last turn could not sign for a reason that an operator must look at."""
        return self._again is not None

    def ahead(self, now: datetime) -> float:
        """Seconds by which the newest checkpoint is ahead of this clock, or its clock is behind; 0 where it is not."""
        return 0.0 if self._newest is None else max(0.0, self._newest - now.timestamp())

    def warnings(self, now: datetime) -> tuple[str, ...]:
        """What an operator should look at, though everything else goes on."""
        ahead = self.ahead(now)
        if ahead <= _AHEAD:
            return ()
        return (
            f"the log's newest checkpoint is {ahead:.0f} s ahead of this clock: relying parties refuse it",
        )

    async def turn(self, now: datetime) -> None:
        """Place and publish what waits. Raises LogHalted, ConfigurationError, Unavailable; then not for a while."""
        if self._again is not None and now < self._again:
            return
        try:
            if self._sequencer is None:
                self._sequencer = await self._opened(now)
            await self._sequencer.run(now)
            await self._look(now)
            self._again = None
        except Exception:
            self._sequencer, self._again = None, now + _PATIENCE
            raise

    async def tell_keys(self, now: datetime) -> None:
        """Have the log tell of every key in the folder that it has not told of. Raises Unavailable.

        Before `Keys.reload`: there is no certificate in the log before the key that signed it.
        """
        new = [key for key in self._keys(now) if key.der not in self._told]
        if new:
            await self.store.append_keys(new)
            self._told.update(key.der for key in new)

    async def _look(self, now: datetime) -> None:
        """At the time of the newest checkpoint, whoever signed it; told once each time that it is ahead."""
        newest = await self.store.checkpoint()
        signed = newest is not None and newest.note is not None
        self._newest = newest.time if newest is not None and signed else None
        was, self._is_ahead = self._is_ahead, self.ahead(now) > _AHEAD
        if self._is_ahead and not was:
            _log.warning(
                "checkpoint.ahead", seconds=round(self.ahead(now)), advice="see docs/log.md, Clocks"
            )

    async def _opened(self, now: datetime) -> Sequencer:
        folder, host = self.keys.folder, log_host(self.keys.config)
        bound = await self.store.checkpoint()
        try:
            key, witness = log_key(folder, host, None if bound is None else bound.key_sha256)
        except NotFound:
            if bound is not None:
                raise LogHalted(
                    f"{folder.path} has not the key that signs the log of this database, or none may:"
                    " copy log-*.secret and log-*.checkpoint from another replica; see `attestca log --help`"
                ) from None
            key, witness = add_log_key(folder, host)
        await self.store.append_keys([KeyAdded(now, Purpose.LOG, spki(key))])
        return Sequencer(self.store, key, witness, self.history, self.lists)

    def _keys(self, now: datetime) -> list[KeyAdded]:
        folder = self.keys.folder
        found = [KeyAdded(now, Purpose.ROOT, self.keys.root.public_bytes(Encoding.DER))]
        for purpose, group in (
            (Purpose.ISSUING, folder.issuing()),
            (Purpose.TLS, folder.service("tls")),
            (Purpose.EAR, folder.service("ear")),
            (Purpose.OCSP, folder.service("ocsp")),
        ):
            found += (
                KeyAdded(now, purpose, held.certificate.public_bytes(Encoding.DER))
                for held in group
            )
        return found


def spki(key: LogKey) -> bytes:
    """DER SubjectPublicKeyInfo of a key of the log."""
    return key.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
