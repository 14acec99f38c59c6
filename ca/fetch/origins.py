# SPDX-License-Identifier: Apache-2.0
"""Whom a GET may reach: configured origins, and for each the addresses that its name may turn out to have.

- Public origins are reached at public addresses only. A private one is a host that the configuration names as such.
- Plain http is for private origins, and for addresses that are not public: both the name and the address must say so.

No name resolution here; `ca.fetch.client` asks for every socket it makes.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

# RFC 3986 without user information and fragment, host in lower case: what no two URL parsers read differently.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?",
)
_PORTS = {"http": 80, "https": 443}
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # RFC 4291 section 2.4: what IANA delegates
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port that may be asked. `private`: the configuration allows addresses that are not public."""

    scheme: str
    host: str
    port: int
    private: bool = False

    @classmethod
    def of(cls, url: str, *, private_hosts: Iterable[str] = ()) -> Self:
        """The origin of a configured URL. Raises ConfigurationError: not a plain URL, or http to a public host."""
        key = split_url(url)
        if key is None:
            raise ConfigurationError(f"not a plain http(s) URL with a lower-case host: {url!r}")
        scheme, host, port = key
        private = host.strip("[]") in {name.strip("[]") for name in private_hosts}
        if scheme == "http" and not private:
            raise ConfigurationError(
                f"{url}: http is for hosts named in collateral.allow_private_hosts; use https"
            )
        return cls(scheme, host, port, private)

    @property
    def key(self) -> tuple[str, str, int]:
        """What `split_url` makes of every URL of this origin."""
        return self.scheme, self.host, self.port

    def refusal(self, address: str) -> str | None:
        """Why `address` (a literal) must not be connected to for this origin; None if it may."""
        public = is_public(address)
        if not (public or self.private):
            return f"{address} is not a public address"
        if public and self.scheme == "http":
            return f"{address} is a public address, http is for private ones"
        return None


def split_url(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of a URL that has nothing about it to misread; None for any other."""
    match = _URL.fullmatch(url)
    if match is None:
        return None
    port = int(match["port"] or _PORTS[match["scheme"]])
    return (match["scheme"], match["host"], port) if port <= 65535 else None


def is_public(literal: str) -> bool:
    """True for globally routed unicast. IPv4 inside IPv6 (mapped, 6to4, NAT64) counts as the IPv4 address."""
    address = ipaddress.ip_address(literal)
    if isinstance(address, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        inner = address.ipv4_mapped or address.sixtofour or nat64
        if inner is None:
            return address in _GLOBAL_UNICAST and address.is_global
        address = inner
    return address.is_global and not address.is_multicast
