# SPDX-License-Identifier: Apache-2.0
"""Token buckets per client address, in a table that cannot grow, and whose address it is that counts.

Rules:
- A bucket holds `burst` requests and fills at `rate` per second. An address without a bucket has a full one.
- The table has `capacity` buckets. One that is full again says nothing and is dropped; when all say something, an
  address without a bucket is refused: a flood from many addresses costs newcomers their turn, never our memory.
- IPv6 counts by /64, which is what one customer has at will.
- X-Forwarded-For is believed only from a trusted proxy, read from the right, up to the first address that is no
  trusted proxy. What a client writes further left is never read.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Network, IPv6Network

MAX_HOPS: Final = 16  # entries of X-Forwarded-For that are looked at
_FULL_TABLE_RETRY: Final = 10  # seconds


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimiter:
    """Buckets by key. `rate`: tokens per second. Times are seconds of any clock that does not go back."""

    def __init__(self, rate: float, *, burst: int, capacity: int) -> None:
        self._rate = rate
        self._burst = burst
        self._capacity = capacity
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()  # the one not used longest first

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> int:
        """0 if one more request of `key` may go on; otherwise after how many seconds it is worth asking again."""
        self._drop_full(now)
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._capacity:
                return _FULL_TABLE_RETRY
            bucket = self._buckets[key] = _Bucket(self._burst, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        self._buckets.move_to_end(key)
        if bucket.tokens < 1:
            return max(1, math.ceil((1 - bucket.tokens) / self._rate))
        bucket.tokens -= 1
        return 0

    def _drop_full(self, now: float) -> None:
        """Whoever was not here for this long has a full bucket, as one without any has."""
        while self._buckets:
            key, oldest = next(iter(self._buckets.items()))
            if now - oldest.at < self._burst / self._rate:
                return
            del self._buckets[key]


def client_address(
    peer: str, forwarded: Iterable[str], trusted: Iterable[IPv4Network | IPv6Network]
) -> IPv4Address | IPv6Address | None:
    """Whose request this is.

    Args:
        peer: address at the other end of the connection.
        forwarded: the values of all X-Forwarded-For headers, in order.
        trusted: networks of our proxies.

    Returns: None for a peer without an IP address (a socket file).
    """
    networks = tuple(trusted)
    current = _address(peer)
    hops = [hop for value in forwarded for hop in value.split(",")][-MAX_HOPS:]
    while current is not None and hops and any(current in network for network in networks):
        claimed = _address(hops.pop())
        if claimed is None:
            return current  # our proxy wrote something else than an address: it is the last that we know
        current = claimed
    return current


def may_be_plain(peer: str, trusted: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether a connection without TLS from `peer` is answered: from this machine, or from a proxy of ours."""
    address = _address(peer)
    return address is not None and (
        address.is_loopback or any(address in network for network in trusted)
    )


def bucket_key(address: IPv4Address | IPv6Address | None) -> str:
    """The bucket of an address: itself, or its /64."""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)


def address_prefix(address: IPv4Address | IPv6Address | None) -> str:
    """What is kept of an address where a sample is enough: its /24 or /48."""
    if address is None:
        return "none"
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
