# SPDX-License-Identifier: Apache-2.0
"""Buckets: their arithmetic, their bound, and whose address counts."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.http.limiter import (
    MAX_HOPS,
    RateLimiter,
    address_prefix,
    bucket_key,
    client_address,
    may_be_plain,
)

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def test_a_burst_then_the_rate() -> None:
    limiter = RateLimiter(1.0, burst=3, capacity=10)
    assert [limiter.take("a", 0.0) for _ in range(4)] == [0, 0, 0, 1]
    assert limiter.take("a", 0.5) == 1
    assert limiter.take("a", 1.0) == 0
    assert limiter.take("b", 1.0) == 0, "addresses do not share"


def test_the_wait_that_is_told_is_enough() -> None:
    limiter = RateLimiter(1 / 60, burst=1, capacity=10)
    assert limiter.take("a", 0.0) == 0
    wait = limiter.take("a", 0.0)
    assert wait == 60
    assert limiter.take("a", wait - 1.0) > 0
    assert limiter.take("a", float(wait)) == 0


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 5)), max_size=200),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_never_more_than_promised_and_never_more_than_fits(
    steps: list[tuple[str, float]], capacity: int, burst: int
) -> None:
    limiter = RateLimiter(1.0, burst=burst, capacity=capacity)
    now, passed = 0.0, dict.fromkeys("abcdefgh", 0)
    for key, pause in steps:
        now += pause
        passed[key] += limiter.take(key, now) == 0
        assert len(limiter) <= capacity
    for count in passed.values():
        assert count <= burst + now + 1e-6


def test_a_full_table_denies_newcomers_and_serves_those_in_it() -> None:
    limiter = RateLimiter(1.0, burst=2, capacity=2)
    assert (limiter.take("a", 0.0), limiter.take("b", 0.0)) == (0, 0)
    assert limiter.take("c", 0.0) > 0
    assert limiter.take("a", 0.0) == 0
    assert len(limiter) == 2
    assert limiter.take("c", 2.1) == 0, "full buckets say nothing and make room"


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),  # not our proxy: not believed
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        (
            "10.0.0.1",
            ["203.0.113.9, 198.51.100.7"],
            "198.51.100.7",
        ),  # what the client wrote is left of it
        ("10.0.0.1", ["203.0.113.9", "198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.3,10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("fd00::1", ["[2001:db8::5]"], "2001:db8::5"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("", ["198.51.100.7"], None),
    ],
)
def test_whose_address_counts(peer: str, forwarded: list[str], expected: str | None) -> None:
    found = client_address(peer, forwarded, TRUSTED)
    assert found == (None if expected is None else ip_address(expected))


def test_hops_are_bounded() -> None:
    hops = ", ".join(["198.51.100.7"] + ["10.0.0.2"] * MAX_HOPS)
    assert client_address("10.0.0.1", [hops], TRUSTED) == ip_address("10.0.0.2")


@given(st.lists(st.text(max_size=40), max_size=4))
def test_whatever_the_header_holds_there_is_an_answer(forwarded: list[str]) -> None:
    assert client_address("10.0.0.1", forwarded, TRUSTED) is not None


@pytest.mark.parametrize(
    "peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3", "fd00::7"]
)
def test_who_is_answered_without_tls(peer: str) -> None:
    assert may_be_plain(peer, TRUSTED)


@pytest.mark.parametrize(
    "peer", ["198.51.100.7", "::ffff:198.51.100.7", "2001:db8::7", "", "localhost"]
)
def test_who_is_not(peer: str) -> None:
    assert not may_be_plain(peer, TRUSTED)


def test_keys_and_prefixes() -> None:
    four, six = ip_address("192.0.2.77"), ip_address("2001:db8:1:2:3::4")
    assert (bucket_key(four), bucket_key(six)) == ("192.0.2.77", "2001:db8:1:2::/64")
    assert (address_prefix(four), address_prefix(six)) == ("192.0.2.0/24", "2001:db8:1::/48")
    assert (bucket_key(None), address_prefix(None)) == ("None", "none")
