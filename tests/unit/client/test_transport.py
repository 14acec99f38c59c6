# SPDX-License-Identifier: Apache-2.0
"""The exchange with the authority, against a real TLS server on loopback."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from attestca_client import transport
from attestca_client.errors import BadAnswer, ClientError, Misconfigured, Unavailable, Untrusted
from attestca_client.protocol import OID_PE_CMW
from attestca_client.runtime import Runtime
from attestca_client.transport import MAX_ANSWER, Address, Transport, parse_retry_after
from tests.unit.client.fake_authority import FakeAuthority, Pki, Reply, serve, server_context

if TYPE_CHECKING:
    from collections.abc import Iterator

PKI = Pki()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeAuthority]:
    with serve(FakeAuthority(PKI)) as authority:
        yield authority


@pytest.fixture
def authority(shared: FakeAuthority) -> FakeAuthority:
    shared.scripts.clear()
    shared.seen.clear()
    return shared


def to(authority: FakeAuthority, root: x509.Certificate | None = None) -> Transport:
    return Transport(Address.parse(authority.url), root or authority.pki.root)


def test_get_and_post(authority: FakeAuthority) -> None:
    authority.script("GET", Reply(200, b'{"a": 1}'))
    authority.script("POST", Reply(503, b"busy", {"Retry-After": "7"}))
    assert to(authority).get("/x") == transport.Answer(200, None, b'{"a": 1}')
    assert to(authority).post("/y", b"body") == transport.Answer(503, 7.0, b"busy")
    get, post = authority.seen
    assert (get.method, get.path, get.body) == ("GET", "/x", b"")
    assert (post.method, post.path, post.body) == ("POST", "/y", b"body")
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["User-Agent"] == "attestca-client/0.1.0"


def test_a_path_prefix(authority: FakeAuthority) -> None:
    authority.script("GET", Reply())
    Transport(Address.parse(authority.url + "/ca/one/"), PKI.root).get("/v1/nonce")
    assert authority.seen[0].path == "/ca/one/v1/nonce"


def test_another_root_for_tls(authority: FakeAuthority) -> None:
    with pytest.raises(Untrusted, match="TLS") as caught:
        to(authority, Pki().root).get("/v1/nonce")
    assert "--ca-root" in caught.value.hint
    assert authority.seen == []


def test_host_name_mismatch() -> None:
    names = (x509.DNSName("other.example"),)
    with (
        serve(FakeAuthority(PKI), names=names) as authority,
        pytest.raises(Untrusted, match="mismatch"),
    ):
        to(authority).get("/v1/nonce")
    assert authority.seen == []


def test_a_host_by_name(authority: FakeAuthority) -> None:
    authority.script("GET", Reply())
    port = Address.parse(authority.url).port
    assert Transport(Address.parse(f"https://LOCALHOST:{port}"), PKI.root).get("/x").status == 200


def test_the_certificate_of_an_attester_is_not_the_authoritys() -> None:
    cmw = x509.UnrecognizedExtension(x509.ObjectIdentifier(OID_PE_CMW), b"\x30\x00")
    with (
        serve(FakeAuthority(PKI), extra=(cmw,)) as authority,
        pytest.raises(Untrusted, match="issued to an attester"),
    ):
        to(authority).get("/v1/nonce")
    assert authority.seen == []


def test_a_server_certificate_that_only_openssl_can_read() -> None:
    garbled = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.24"), b"\x05\x00")
    with (
        serve(FakeAuthority(PKI), extra=(garbled,)) as authority,
        pytest.raises(Untrusted, match="cannot be read"),
    ):
        to(authority).get("/v1/nonce")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_old_tls_is_refused(version: ssl.TLSVersion) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = (x509.IPAddress(ipaddress.ip_address("127.0.0.1")),)
    context = server_context(PKI.leaf(key.public_key(), names=names), key, PKI.issuer)
    context.maximum_version = version
    with serve(FakeAuthority(PKI), context=context) as authority:
        if version is ssl.TLSVersion.TLSv1_3:
            assert to(authority).get("/v1/nonce").status == 200
            return
        with pytest.raises(Unavailable):
            to(authority).get("/v1/nonce")
    assert authority.seen == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(authority: FakeAuthority, status: int) -> None:
    authority.script("GET", Reply(status, b"", {"Location": f"{authority.url}/v1/nonce"}))
    with pytest.raises(BadAnswer, match="redirect"):
        to(authority).get("/v1/nonce")
    assert len(authority.seen) == 1


def test_the_size_of_an_answer(authority: FakeAuthority) -> None:
    authority.script("GET", Reply(200, b"x" * MAX_ANSWER), Reply(200, b"x" * (MAX_ANSWER + 1)))
    assert len(to(authority).get("/").body) == MAX_ANSWER
    with pytest.raises(BadAnswer, match="larger"):
        to(authority).get("/")


def test_a_declared_size_is_not_allocated(authority: FakeAuthority) -> None:
    authority.script("GET", Reply(200, b"short", length=10**15))
    with pytest.raises(ClientError, match="ended early"):
        to(authority).get("/")


def test_an_answer_that_ends_early(authority: FakeAuthority) -> None:
    authority.script("GET", Reply(200, b'{"nonce":', length=500))
    with pytest.raises(Unavailable, match="ended early") as caught:
        to(authority).get("/")
    assert not caught.value.answered


def test_a_connection_dropped_without_an_answer(authority: FakeAuthority) -> None:
    authority.script("POST", lambda _request: None)
    with pytest.raises(Unavailable) as caught:
        to(authority).post("/", b"x")
    assert not caught.value.answered


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable, match="refused") as caught:
        Transport(Address.parse(f"https://127.0.0.1:{port}"), PKI.root).get("/")
    assert caught.value.exit_code == 69


def test_no_proxy_of_the_environment(
    authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    authority.script("GET", Reply())
    assert to(authority).get("/").status == 200


def raw_server(answer: bytes, pause: float = 0.0) -> str:
    """A plain-HTTP peer that says `answer`, byte by byte if there is a `pause` between them. Its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(65536)
            try:
                if not pause:
                    connection.sendall(answer)
                    return
                for byte in answer:
                    connection.sendall(bytes([byte]))
                    time.sleep(pause)
            except OSError:
                return

    threading.Thread(target=talk, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"",
        b"\0" * 100,
    ],
)
def test_what_is_not_http(answer: bytes) -> None:
    with pytest.raises((BadAnswer, Unavailable)):
        Transport(Address.parse(raw_server(answer)), PKI.root).get("/")


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1000, b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 1000],
    ids=["head", "body"],
)
def test_the_deadline_covers_head_and_body(answer: bytes) -> None:
    # Our clock leaps 5 s with every look at it, so a peer that trickles runs into the 60 s soon.
    seconds = iter(range(0, 100_000, 5))
    runtime = Runtime(monotonic=lambda: float(next(seconds)))
    url = raw_server(answer, pause=0.002)
    with pytest.raises(Unavailable, match="in time"):
        Transport(Address.parse(url), PKI.root, runtime).get("/")


def test_a_peer_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "STEP_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for scheme in ("http", "https"):
            address = Address.parse(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
            with pytest.raises(Unavailable, match="in time"):
                Transport(address, PKI.root).get("/")


def test_plain_http_on_loopback() -> None:
    with serve(FakeAuthority(PKI), tls=False) as authority:
        assert to(authority).get("/v1/nonce").status == 200


def test_plain_http_to_a_name_that_is_not_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(FakeAuthority(PKI), tls=False) as authority:
        monkeypatch.setattr(socket.socket, "getpeername", lambda _socket: ("192.0.2.1", 80))
        with pytest.raises(Misconfigured, match="not on this machine"):
            to(authority).get("/v1/nonce")
    assert authority.seen == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://ca.example", Address(secure=True, host="ca.example", port=443, path="")),
        ("https://ca.example/", Address(secure=True, host="ca.example", port=443, path="")),
        (
            "https://CA.example:8443/x/",
            Address(secure=True, host="ca.example", port=8443, path="/x"),
        ),
        ("https://[2001:db8::1]:1", Address(secure=True, host="2001:db8::1", port=1, path="")),
        ("http://127.0.0.1:8080", Address(secure=False, host="127.0.0.1", port=8080, path="")),
        ("http://[::1]", Address(secure=False, host="::1", port=80, path="")),
        ("http://localhost", Address(secure=False, host="localhost", port=80, path="")),
    ],
)
def test_addresses(url: str, expected: Address) -> None:
    assert Address.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ca.example",
        "ca.example:443",
        "ftp://ca.example",
        "file:///etc/passwd",
        "https://",
        "https://user@ca.example",
        "https://user:pass@ca.example",
        "https://ca.example?x=1",
        "https://ca.example#x",
        "https://ca.example:99999",
        "https://ca.example:x",
        "https://[::1",
        "https://ca.exämple",
        "https://ca.example/a b",
        "http://ca.example",
        "http://10.0.0.1",
        "http://127.0.0.2",
        "http://localhost.example",
        "http://127.0.0.1@evil.example",
        "HTTP://ca.example",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Address.parse(url)
    assert caught.value.exit_code == 64


@given(st.text(max_size=40) | st.text(alphabet="htps:/[]@?#.1a%\r\n", max_size=30))
def test_any_address_is_parsed_or_misconfigured(url: str) -> None:
    try:
        address = Address.parse(url)
    except Misconfigured:
        return
    assert address.secure or address.host in transport.LOOPBACK_HOSTS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("9" * 30, None),
        ("", None),
    ],
)
def test_retry_after(value: str | None, expected: float | None) -> None:
    assert parse_retry_after(value, NOW) == expected


@given(st.text(max_size=40))
def test_any_retry_after(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or seconds >= 0
