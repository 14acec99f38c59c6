# SPDX-License-Identifier: Apache-2.0
"""Whom a GET may reach: the grammar of URLs, and which addresses are public."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from ca.errors import ConfigurationError
from ca.fetch.origins import Origin, is_public, split_url


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://api.example", ("https", "api.example", 443)),
        ("http://127.0.0.1:8081/sgx/", ("http", "127.0.0.1", 8081)),
        ("https://[2606:4700::1]:8443/a?b=c", ("https", "[2606:4700::1]", 8443)),
    ],
)
def test_plain_urls(url: str, key: tuple[str, str, int]) -> None:
    assert split_url(url) == key


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example",
        "//api.example/",
        "ftp://api.example/",
        "file:///etc/passwd",
        "HTTPS://api.example/",
        "https://API.example/",
        "https://user@api.example/",
        "https://api.example@evil.example/",
        "https://api.example\\@evil.example/",
        "https://api.example#@evil.example/",
        "https://api.example/#fragment",
        "https://api.example/a b",
        "https://api.example/\r\nHost: evil.example",
        "https://api.example:0/",
        "https://api.example:65536/",
        "https://api.example:443443/",
        "https://api.example./",
        "https://ápi.example/",
        "https://[::1/",
        " https://api.example/",
        "https://api.example/\n",
    ],
)
def test_urls_that_parsers_may_read_differently(url: str) -> None:
    assert split_url(url) is None
    with pytest.raises(ConfigurationError):
        Origin.of(url)


@given(st.text(alphabet="htps:/[]@?#%.-\\ aA09é\n", max_size=30).map("https://".__add__))
def test_what_is_accepted_is_read_alike_by_the_http_library(url: str) -> None:
    key = split_url(url)
    if key is not None and "[" not in url:
        parsed = URL(url)
        assert (parsed.scheme, parsed.raw_host, parsed.port) == key


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "198.18.0.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2001::1",
        "2001:db8::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)
    assert Origin.of("https://pcs.example").refusal(address) is not None
    assert Origin.of("https://pcs.example", private_hosts=["pcs.example"]).refusal(address) is None


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"],
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)
    assert Origin.of("https://pcs.example").refusal(address) is None
    plain = Origin.of("http://pccs.example", private_hosts=["pccs.example"])
    assert plain.refusal(address) is not None


def test_http_needs_a_host_named_private() -> None:
    with pytest.raises(ConfigurationError, match="allow_private_hosts"):
        Origin.of("http://pccs.example")
    with pytest.raises(ConfigurationError, match="allow_private_hosts"):
        Origin.of("http://127.0.0.1:8081", private_hosts=["127.0.0.2"])
    assert Origin.of("http://[::1]:8081", private_hosts=["::1"]).private
    assert not Origin.of("https://pcs.example", private_hosts=["other.example"]).private
