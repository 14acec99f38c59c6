# SPDX-License-Identifier: Apache-2.0
"""R-36: outbound requests go to configured hosts, follow no redirects, reach no private address that is not configured.

What would happen without each rule is counted at servers on loopback: a request that must not be made never arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from ca.errors import ConfigurationError
from ca.fetch.client import FetchFailed, FetchOutcome
from ca.fetch.origins import Origin
from tests.vendor_lab import Lab, Names, make_authority, open_lab
from verifiers.endorsements import Fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab() as opened:
        yield opened


async def secret(_: web.Request) -> web.Response:
    return web.Response(text="not for strangers")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(lab: Lab, status: int) -> None:
    inside = await lab.vendor(secret)

    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": inside.base + "/latest/meta-data"})

    vendor = await lab.vendor(redirect)
    client = await lab.client(vendor.base, inside.base)  # even to a host that may be asked
    with pytest.raises(FetchFailed) as caught:
        await client.get(vendor.fetch())
    assert caught.value.outcome is FetchOutcome.REDIRECT
    assert (vendor.count, inside.count) == (1, 0)


@pytest.mark.parametrize(
    "change",
    [
        ("127.0.0.1", "127.0.0.2"),
        ("127.0.0.1", "localhost"),
        ("http:", "https:"),
        ("http:", "HTTP:"),
        ("127.0.0.1", "user@127.0.0.1"),
        ("127.0.0.1:", "127.0.0.1:1"),
        ("127.0.0.1", "0177.0.0.1"),
        ("127.0.0.1", "2130706433"),
        ("127.0.0.1", "[::ffff:127.0.0.1]"),
    ],
    ids="-to-".join,
)
async def test_only_configured_scheme_host_and_port(lab: Lab, change: tuple[str, str]) -> None:
    vendor = await lab.vendor(secret)
    client = await lab.client(vendor.base, resolver=Names(("127.0.0.1",)))
    with pytest.raises(FetchFailed) as caught:
        await client.get(Fetch("tcb_info", vendor.base.replace(*change) + "/tcb"))
    assert caught.value.outcome is FetchOutcome.NOT_ALLOWED
    assert vendor.count == 0


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.20.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fd00:ec2::254",
        "fe80::1",
    ],
)
async def test_a_name_that_resolves_to_a_private_address(
    lab: Lab, tmp_path: Path, address: str
) -> None:
    vendor = await lab.vendor(secret, tls=make_authority(tmp_path).server)
    base = vendor.base.replace("127.0.0.1", "pcs.test")
    names = Names((address,))
    client = await lab.client(base, ca_file=tmp_path / "ca.pem", resolver=names)
    with pytest.raises(FetchFailed) as caught:
        await client.get(Fetch("tcb_info", base))
    assert caught.value.outcome is FetchOutcome.ADDRESS_REFUSED
    assert address in caught.value.detail
    assert (names.lookups, vendor.count) == (1, 0)


async def test_several_private_addresses_do_not_make_a_public_one(lab: Lab, tmp_path: Path) -> None:
    vendor = await lab.vendor(secret, tls=make_authority(tmp_path).server)
    base = vendor.base.replace("127.0.0.1", "pcs.test")
    names = Names(("10.0.0.1", "127.0.0.1", "::1"))
    client = await lab.client(base, ca_file=tmp_path / "ca.pem", resolver=names)
    with pytest.raises(FetchFailed) as caught:
        await client.get(Fetch("tcb_info", base))
    assert caught.value.outcome is FetchOutcome.ADDRESS_REFUSED
    assert vendor.count == 0


async def test_the_same_name_where_it_is_configured_as_private(lab: Lab, tmp_path: Path) -> None:
    vendor = await lab.vendor(secret, tls=make_authority(tmp_path).server)
    base = vendor.base.replace("127.0.0.1", "pcs.test")
    client = await lab.client(
        base, ca_file=tmp_path / "ca.pem", resolver=Names(("127.0.0.1",)), private=("pcs.test",)
    )
    assert (await client.get(Fetch("tcb_info", base))).status == 200


async def test_a_literal_address_is_checked_like_a_name(lab: Lab, tmp_path: Path) -> None:
    vendor = await lab.vendor(secret, tls=make_authority(tmp_path).server)
    client = await lab.client(vendor.base, ca_file=tmp_path / "ca.pem", private=())
    with pytest.raises(FetchFailed) as caught:
        await client.get(vendor.fetch())
    assert caught.value.outcome is FetchOutcome.ADDRESS_REFUSED
    assert vendor.count == 0


async def test_rebinding_each_connection_is_checked_anew(lab: Lab) -> None:
    """A private PCCS over http must stay private: its name turns to a public address after the first answer."""
    vendor = await lab.vendor(secret)
    base = vendor.base.replace("127.0.0.1", "pccs.test")
    names = Names(("127.0.0.1",), ("8.8.8.8",))
    client = await lab.client(base, resolver=names, private=("pccs.test",))
    assert (await client.get(Fetch("tcb_info", base))).status == 200
    with pytest.raises(FetchFailed) as caught:
        await client.get(Fetch("tcb_info", base))
    assert caught.value.outcome is FetchOutcome.ADDRESS_REFUSED
    assert (names.lookups, vendor.count) == (2, 1)


@pytest.mark.parametrize("host", ["pcs.example", "127.0.0.1", "8.8.8.8", "[::1]"])
def test_plain_http_needs_a_host_named_private(host: str) -> None:
    with pytest.raises(ConfigurationError, match="allow_private_hosts"):
        Origin.of(f"http://{host}:8081")
