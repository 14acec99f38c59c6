# SPDX-License-Identifier: Apache-2.0
"""R-22: a client pins this CA by its root key: in TLS, in the nonce's ca_id, in the chain, and in the binding."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from attestca_client.enroll import enroll
from attestca_client.errors import Untrusted
from tests.unit.client.fake_authority import (
    FakeAuthority,
    Pki,
    Seen,
    csr_key,
    fake_quote,
    pem,
    serve,
    spki_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from attestca_client.wire import Evidence
    from tests.unit.client.fake_authority import Reply


class Guest:
    def __init__(self, out: Path) -> None:
        self.out = out
        self.quotes = 0

    def source(self, report_data: bytes) -> list[Evidence]:
        self.quotes += 1
        return fake_quote(report_data)

    def enroll(self, authority: FakeAuthority, root: bytes) -> None:
        enroll(authority.url, root, "default", self.source, self.out)

    def wrote(self) -> bool:
        return (self.out / "cert.pem").exists()


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path / "out")


def test_another_authority_is_refused_before_a_byte_of_http(guest: Guest) -> None:
    with (
        serve(FakeAuthority()) as authority,
        pytest.raises(Untrusted, match="TLS"),
    ):
        guest.enroll(authority, pem(Pki().root).encode())
    assert authority.seen == []
    assert (guest.quotes, guest.wrote()) == (0, False)


@pytest.mark.parametrize("claimed", ["00" * 32, hashlib.sha256(b"another").hexdigest()])
def test_another_ca_id_gets_no_quote(guest: Guest, claimed: str) -> None:
    with serve(FakeAuthority()) as authority:
        authority.script("GET", authority.nonce(ca_id=claimed))
        with pytest.raises(Untrusted, match="calls itself") as caught:
            guest.enroll(authority, authority.root_pem)
    assert claimed in caught.value.detail
    assert authority.ca_id.hex() in caught.value.detail
    assert authority.posts() == []
    assert (guest.quotes, guest.wrote()) == (0, False)


def test_the_ca_id_of_the_issuing_key_is_not_enough(guest: Guest) -> None:
    with serve(FakeAuthority()) as authority:
        issuing = hashlib.sha256(spki_of(authority.pki.issuer.public_key())).hexdigest()
        authority.script("GET", authority.nonce(ca_id=issuing))
        with pytest.raises(Untrusted, match="calls itself"):
            guest.enroll(authority, authority.root_pem)


def test_over_loopback_http_the_pin_still_holds(guest: Guest) -> None:
    with serve(FakeAuthority(), tls=False) as authority:
        with pytest.raises(Untrusted, match="calls itself"):
            guest.enroll(authority, pem(Pki().root).encode())
        assert guest.quotes == 0
        guest.enroll(authority, authority.root_pem)
    assert guest.wrote()


def test_a_certificate_of_another_authority_with_the_same_names(guest: Guest) -> None:
    twin = Pki()

    def answer(request: Seen) -> Reply:
        return authority.certificate(twin.leaf(csr_key(request)), [twin.issuer, twin.root])

    with serve(FakeAuthority()) as authority:
        assert twin.root.subject == authority.pki.root.subject
        authority.script("POST", answer)
        with pytest.raises(Untrusted, match="another root"):
            guest.enroll(authority, authority.root_pem)
    assert not guest.wrote()


def test_a_nonce_of_one_authority_makes_no_evidence_for_another(guest: Guest) -> None:
    # Two authorities of the same software. Ours relays the other's nonce: what we then sign is bound to ours only.
    with serve(FakeAuthority()) as ours, serve(FakeAuthority()) as other:
        relayed = other.nonce(ca_id=ours.ca_id.hex())
        ours.script("GET", relayed)
        ours.script("POST", other.enrollment)  # ours passes the request on
        with pytest.raises(Exception, match="report_data is not the binding"):
            guest.enroll(ours, ours.root_pem)
    assert guest.quotes == 1
    assert other.issued == []
