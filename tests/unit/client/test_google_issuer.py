# SPDX-License-Identifier: Apache-2.0
"""The certificate of who certified a key of Google's: asked for at Google's buckets alone, held against the key's."""

from __future__ import annotations

import ssl
import threading
from functools import lru_cache
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from attestca_client import google_issuer
from attestca_client.google_issuer import FAULTS, MAX_CERTIFICATE, fetch_issuer, issuer_location
from attestca_client.runtime import Runtime
from simulator import der
from simulator.amd_keys import SHARED
from simulator.google import FakeGoogle
from simulator.google_certificates import Instance
from simulator.pki import Extension, pem
from tests.google_lab import stranger
from tests.snp_lab import NOW
from tests.unit.client.fake_authority import of_no_version
from tests.unit.client.fake_metadata import Metadata, serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from attestca_client.plainhttp import Question
    from simulator.pki import CertificateSpec, Signed

AIA = "1.3.6.1.5.5.7.1.1"
BUCKET = "privateca-content.simulated.storage.googleapis.com"
PATH = "/c59a22589ab43a57e3a4/ca.crt"
URL = f"http://{BUCKET}{PATH}"
CA_ISSUERS, OCSP = "1.3.6.1.5.5.7.48.2", "1.3.6.1.5.5.7.48.1"


@lru_cache(maxsize=1)
def google() -> FakeGoogle:
    return FakeGoogle.create(NOW)


def certified() -> Signed[CertificateSpec]:
    return google().certify(SHARED.get("vtpm ak", 2048).spki, Instance())


def leaf(*places: tuple[str, int, bytes]) -> x509.Certificate:
    """A key's certificate that says this of where its issuer's is; without places, nothing."""
    made = certified()
    access = [
        der.sequence(der.oid(method), der.implicit(tag, text)) for method, tag, text in places
    ]
    made.put(Extension(AIA, der.sequence(*access)))
    if not places:
        made.drop(AIA)
    return x509.load_der_x509_certificate(made.der)


def version_5() -> bytes:
    """The issuer's, but for the number."""
    issuer = x509.load_der_x509_certificate(google().intermediate().der)
    return ssl.PEM_cert_to_DER_cert(of_no_version(issuer))


def at(url: str) -> tuple[str, int, bytes]:
    return CA_ISSUERS, 6, url.encode()


def test_what_real_ones_say() -> None:
    assert issuer_location(leaf(at(URL))) == (BUCKET, PATH)
    assert issuer_location(leaf(at(f"http://{BUCKET}"))) == (BUCKET, "/")


def test_other_places_are_passed_over() -> None:
    places = (
        (OCSP, 6, URL.encode()),
        (CA_ISSUERS, 2, BUCKET.encode()),  # a name, no address
        at("http://attacker.example/ca.crt"),
        at(URL),
    )
    assert issuer_location(leaf(*places)) == (BUCKET, PATH)


@pytest.mark.parametrize(
    "url",
    [
        f"https://{BUCKET}/ca.crt",
        "http://169.254.169.254/computeMetadata/v1/",
        "http://storage.googleapis.com/ca.crt",
        f"http://{BUCKET}.attacker.example/ca.crt",
        f"http://{BUCKET}:8080/ca.crt",
        f"http://attacker.example@{BUCKET}/ca.crt",
        f"http://attacker.example#.{BUCKET}/ca.crt",
        f"http://attacker.example?.{BUCKET}/ca.crt",
        "http://attackerstorage.googleapis.com/ca.crt",
        f"ldap://{BUCKET}/ca.crt",
        "http://[",
    ],
)
def test_no_other_host_is_asked(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - urlsplit's own for the last
        issuer_location(leaf(at(url)))


def test_a_certificate_that_says_nothing() -> None:
    with pytest.raises(x509.ExtensionNotFound) as caught:
        issuer_location(leaf())
    assert isinstance(caught.value, FAULTS)


def test_the_issuer_is_fetched() -> None:
    service = Metadata(body=google().intermediate().der)
    key = leaf(at(URL))
    with serving(service) as address:
        found = fetch_issuer(key, Runtime(), address)
    assert found.subject == key.issuer
    assert service.seen == [(PATH, None)]
    assert service.hosts == [BUCKET]


BAD_ANSWERS: dict[str, Callable[[], Metadata]] = {
    "not there": lambda: Metadata(status=404),
    "elsewhere": lambda: Metadata(status=302, headers={"Location": URL}),
    "nothing": lambda: Metadata(body=b""),
    "no certificate": lambda: Metadata(body=b"<html>"),
    "of no version": lambda: Metadata(body=version_5()),
    "in PEM": lambda: Metadata(body=pem(google().intermediate().der).encode()),
    "too large": lambda: Metadata(body=bytes(MAX_CERTIFICATE + 1)),
    "the root": lambda: Metadata(body=google().root.der),
    "a stranger's": lambda: Metadata(body=stranger().intermediate().der),
    "the key's own": lambda: Metadata(body=certified().der),
}


@pytest.mark.parametrize("made", BAD_ANSWERS.values(), ids=list(BAD_ANSWERS))
def test_anything_else_is_none(made: Callable[[], Metadata]) -> None:
    with serving(made()) as address, pytest.raises(FAULTS):
        fetch_issuer(leaf(at(URL)), Runtime(), address)


def test_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor for the name's resolution, which has no time limit of its own."""
    asked, done = [], threading.Event()

    def stuck(address: tuple[str, int], _question: Question, _runtime: Runtime) -> bytes:
        asked.append(address)
        done.wait(30)
        return b""

    monkeypatch.setattr(google_issuer, "ask", stuck)
    monkeypatch.setattr(google_issuer, "SECONDS", 0.05)
    try:
        with pytest.raises(TimeoutError):
            fetch_issuer(leaf(at(URL)), Runtime())
    finally:
        done.set()
    assert asked == [(BUCKET, 80)]
