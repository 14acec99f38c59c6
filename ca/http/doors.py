# SPDX-License-Identifier: Apache-2.0
"""What the composition root gives to the two HTTP applications, and the state that both of them share.

Doors knows no configuration and makes no adapter: the numbers and callables in it are already decided elsewhere. What
HTTP itself must remember (counters, buckets of addresses, the ring of refusals, the queue) is made here, bounded by
those numbers, lives in memory and is lost at a restart. Nothing of it is remembered per connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ca.http.admission import Admission, ByteBudget
from ca.http.chain_metrics import ChainCollector
from ca.http.limiter import RateLimiter
from ca.http.metrics import Metrics
from ca.http.refusals import RefusalRing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from datetime import datetime
    from ipaddress import IPv4Network, IPv6Network

    from ca.authority import Authority
    from ca.http.metrics import FetchCounts
    from ca.issuance.ocsp import Responder
    from ca.ledger_ports import ChainHealth
    from ca.log_ports import LogStore
    from ca.ports import ServedList
    from ca.tree_history import TreeHistory


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """What callers may use up.

    Attributes:
        body_bytes: of one request body. requests_per_minute, burst: per client address and listener.
        tracked_addresses: buckets kept per listener; when all are in use, unknown addresses are refused.
        workers: enrollments under way at once. verification_queue: enrollments that wait for one of them.
        refusal_ring: refusals of which nothing is stored, kept as a sample.
    """

    body_bytes: int = 4 << 20
    requests_per_minute: int = 60
    burst: int = 20
    tracked_addresses: int = 10_000
    verification_queue: int = 64
    workers: int = 2
    refusal_ring: int = 1000


def _no_chain() -> ChainHealth | None:
    return None


def _no_former_chain(_issuer_key_id: bytes) -> tuple[bytes, ...] | None:
    return None


def _no_bundle() -> bytes | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What stands behind the doors.

    Attributes:
        clock: the time, timezone-aware UTC; read once per request.
        trusted_proxies: networks whose X-Forwarded-For is believed by the public listener;
            admin_trusted_proxies: likewise by the operators'.
        log: the public log, as it is served. log_halted: whether it is not signed until an operator looks.
        log_ahead: seconds by which its newest checkpoint is ahead of this clock; 0 where it is not.
        history: its revocation trees. lists: the lists of revoked certificates that are served now.
        chain_pem: PEM of the issuing CA in force, then the root.
        former_chain: DER chain (issuing CA, root) by key id of an issuing CA that is in force no more; None if unknown.
        root_crl: DER of the root's newest CRL by its key id; None if it is not the root's.
        jwks: the JWK Set of the keys that sign attestation results.
        check_ready: raises an AuthorityError where the service cannot do its work.
        responders: who answers OCSP questions now.
        trust: the newest trust bundle; None if there is none.
        fetch_counters: of the collateral cache.
        list_ages: by key id in hex of each issuing CA in force, as far as it is known: seconds since the newest list
            was signed, of the day whose newest is the oldest.
        chain_health: how anchoring is doing; None without a chain.
        warnings: what an operator should look at, one line each, though the service does its work.
        state: made here, shared by both applications.
    """

    authority: Authority
    clock: Callable[[], datetime]
    limits: DoorLimits
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    log: LogStore
    history: TreeHistory
    lists: Callable[[], Awaitable[Iterable[ServedList]]]
    chain_pem: Callable[[], bytes]
    root_crl: Callable[[bytes], bytes | None]
    jwks: Callable[[], dict[str, object]]
    check_ready: Callable[[], Awaitable[None]]
    fetch_counters: FetchCounts
    admin_trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    former_chain: Callable[[bytes], tuple[bytes, ...] | None] = _no_former_chain
    log_halted: Callable[[], bool] = bool
    log_ahead: Callable[[], float] = float
    responders: Callable[[], tuple[Responder, ...]] = tuple
    trust: Callable[[], bytes | None] = _no_bundle
    list_ages: Callable[[], Mapping[str, float]] = dict
    chain_health: Callable[[], ChainHealth | None] = _no_chain
    warnings: Callable[[], tuple[str, ...]] = tuple
    state: State = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "state",
            State.of(self.limits, self.fetch_counters, self.log_halted, self.list_ages),
        )
        self.state.metrics.registry.register(ChainCollector(self.chain_health, self.clock))
        self.state.metrics.watch_log(self.log_ahead)


@dataclass(frozen=True, slots=True)
class State:
    """What HTTP remembers. Each listener has buckets of its own: a flood at one does not close the other."""

    metrics: Metrics
    refusals: RefusalRing
    admission: Admission
    bodies: ByteBudget
    public_limiter: RateLimiter
    admin_limiter: RateLimiter

    @classmethod
    def of(
        cls,
        limits: DoorLimits,
        fetch_counters: FetchCounts,
        log_halted: Callable[[], bool],
        list_ages: Callable[[], Mapping[str, float]],
    ) -> State:
        """Empty, within these limits."""

        def limiter() -> RateLimiter:
            rate = limits.requests_per_minute / 60
            return RateLimiter(rate, burst=limits.burst, capacity=limits.tracked_addresses)

        admission = Admission(workers=limits.workers, queue=limits.verification_queue)
        return cls(
            metrics=Metrics(fetch_counters, admission, log_halted, list_ages),
            refusals=RefusalRing(limits.refusal_ring),
            admission=admission,
            bodies=ByteBudget(),
            public_limiter=limiter(),
            admin_limiter=limiter(),
        )
