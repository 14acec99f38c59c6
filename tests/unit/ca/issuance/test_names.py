# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from ca.issuance import names

GOOD = [
    "dns:a.b",
    "dns:node-1.example.org",
    "dns:" + ".".join(["a" * 63] * 3 + ["b" * 61]),
    "dns:0.example",
    "uri:spiffe://example.org/tdx/Node_1.x-y",
    "uri:spiffe://" + "a" * 255 + "/x",
]
BAD = [
    "",
    "node.example.org",
    "ip:127.0.0.1",
    "dns:",
    "dns:localhost",
    "dns:*.example.org",
    "dns:example.org.",
    "dns:.example.org",
    "dns:a..b",
    "dns:Node.example.org",
    "dns:a_b.example.org",
    "dns:a/b",
    "dns:a b",
    "dns:a\0.example.org",
    "dns:example.org\n",
    "dns:-a.example.org",
    "dns:a-.example.org",
    "dns:xn--bcher-kva.example.org",
    "dns:ab--c.example.org",
    "dns:bücher.example.org",
    "dns:127.0.0.1",
    "dns:example.123",
    "dns:" + "a" * 64,
    "dns:" + ".".join(["a" * 63] * 3 + ["b" * 62]),
    "uri:https://example.org/x",
    "uri:spiffe://",
    "uri:spiffe://example.org",
    "uri:spiffe://Example.org/a",
    "uri:spiffe://example.org/",
    "uri:spiffe://example.org//a",
    "uri:spiffe://example.org/a/../b",
    "uri:spiffe://example.org/.",
    "uri:spiffe://example.org/a%2fb",
    "uri:spiffe://example.org/a?b",
    "uri:spiffe://example.org/a#b",
    "uri:spiffe://example.org:443/a",
    "uri:spiffe://user@example.org/a",
    "uri:spiffe://example.org/ü",
    "uri:spiffe://example.org/a\n",
    "uri:spiffe://" + "a" * 256 + "/x",
    "uri:spiffe://example.org/" + "a" * 2048,
]


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    assert names.fault(name) is None


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    assert names.fault(name) is not None
    assert repr(name) in names.faults([name])[0]


def test_faults_of_a_set() -> None:
    assert names.faults(["dns:a.example", "uri:spiffe://a/b", "dns:b.example"]) == ()
    assert names.faults(["dns:a.b", "dns:a.b"]) == ("a name twice",)
    assert names.faults(["uri:spiffe://a/b", "uri:spiffe://a/c"]) == ("more than one SPIFFE id",)
    assert names.faults([]) == ()


def test_texts_reads_what_general_names_writes() -> None:
    given_ = ("dns:a.example", "uri:spiffe://a/b")
    written = x509.SubjectAlternativeName(names.general_names(given_))
    assert names.texts(written) == given_


def test_other_kinds_of_names_equal_no_grant() -> None:
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    (text,) = names.texts(address)
    assert names.fault(text) is not None


@given(st.text(max_size=40))
def test_dns_names_that_pass_are_plain(text: str) -> None:
    if names.fault(names.DNS + text) is None:
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
        assert not text.startswith((".", "-"))
        assert not text.endswith((".", "-"))
        assert ".." not in text


@given(st.text(max_size=40))
def test_spiffe_ids_that_pass_are_plain(text: str) -> None:
    if names.fault(names.URI + "spiffe://" + text) is None:
        assert set(text) <= set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/"
        )
        assert "/../" not in text + "/"
        assert "//" not in text
