# SPDX-License-Identifier: Apache-2.0
"""Files, addresses and nodes: limits, forms, and what is never shown."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from attestca_client import sources
from attestca_client.checks import SourceError
from attestca_client.rpc import Node, Reverted
from attestca_client.sources import Bytes, File, Url
from ca.issuance.authority import ServiceKind
from tests.authority_lab import make_lab
from tests.relying_lab import DEPLOYMENT, FakeChain, make_world, node, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WORLD = make_world()


# files


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"12345")
    assert File(file).read(5) == b"12345"
    with pytest.raises(SourceError, match="larger than 4 bytes"):
        File(file).read(4)
    with pytest.raises(SourceError, match="No such file"):
        File(tmp_path / "y").read(5)
    with pytest.raises(SourceError, match="larger"):
        Bytes("x", b"12345").read(4)


# addresses


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://ca.example.org/v1/status/1", "https://ca.example.org:443"),
        ("https://node.example.org/key?apikey=secret", "https://node.example.org:443"),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("http://[::1]:1/", "http://[::1]:1"),
        ("http://localhost/", "http://localhost:80"),
    ],
)
def test_addresses(text: str, name: str) -> None:
    url = Url.parse(text)
    assert url.name == name
    assert "secret" not in url.name


@pytest.mark.parametrize(
    "text",
    [
        *("ftp://x/", "https://", "http://ca.example.org/", "http://10.0.0.1/", "https://u@x/"),
        *("https://x/#y", "https://x:99999/", "https://x/ y", "https://x/\x7f", "//x", "x"),
        *("https://[::1", "http://127.0.0.1.example.org/"),
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|loopback|[Pp]ort|IPv6"):
        Url.parse(text)


def test_an_answer_and_its_limit() -> None:
    with serving(lambda body: b"hello" + body) as url:
        assert Url.parse(url).read(5) == b"hello"
        assert Url.parse(url).post(b"!", 6) == b"hello!"
        with pytest.raises(SourceError, match="larger than 4 bytes"):
            Url.parse(url).read(4)


@pytest.mark.parametrize("status", [204, 301, 302, 404, 500])
def test_only_200_is_an_answer(status: int) -> None:
    with serving(lambda _: b"", status) as url, pytest.raises(SourceError, match=f"{status}"):
        Url.parse(url).read(5)


def test_nobody_is_there() -> None:
    with serving(lambda _: b"") as url:
        pass
    with pytest.raises(SourceError, match="cannot be reached"):
        Url.parse(url).read(5)


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
def test_names_that_cannot_be_looked_up(host: str) -> None:
    with pytest.raises(SourceError, match="no such name"):
        Url.parse(f"https://{host}/").read(5)


def test_a_name_of_loopback_that_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "localhost" is whatever the resolver says."""
    elsewhere = socket.socket()
    monkeypatch.setattr(elsewhere.__class__, "getpeername", lambda _: ("192.0.2.1", 80))
    url = Url.parse("http://localhost/")
    with pytest.raises(SourceError, match="not on this machine"):
        url._check_loopback(elsewhere)
    elsewhere.close()


@contextmanager
def raw(answer: bytes) -> Iterator[str]:
    """A server that says this, and closes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "closed|reached"),
        (b"x\r\n\r\n", "not an HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "early|IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n", "HTTP answer"),
    ],
    ids=["nothing", "no HTTP", "short", "chunks", "headers"],
)
def test_answers_that_are_none(answer: bytes, words: str) -> None:
    with raw(answer) as url, pytest.raises(SourceError, match=words):
        Url.parse(url).read(100)


def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "EXCHANGE_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(SourceError, match="no answer in time"):
            Url.parse(url).read(100)


def test_a_server_that_answers_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "EXCHANGE_SECONDS", 0.0)
    with serving(lambda _: b"late") as url, pytest.raises(SourceError, match="no answer in time"):
        Url.parse(url).read(100)


def test_tls_is_checked() -> None:
    """Nobody's certificate is there: what is asked of https is a handshake."""
    with raw(b"HTTP/1.1 200 OK\r\n\r\n") as url, pytest.raises(SourceError):
        Url.parse(url.replace("http:", "https:")).read(100)


def test_the_authority_s_root_is_trusted_beside_the_system_s(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    lab = make_lab(now=datetime.now(UTC))
    certificate = lab.service(ServiceKind.TLS, key.public_key(), ("127.0.0.1",), datetime.now(UTC))
    file = tmp_path / "server.pem"
    form = (PrivateFormat.PKCS8, NoEncryption())
    chain = (certificate, lab.issuer.certificate)
    pem = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
    file.write_bytes(key.private_bytes(Encoding.PEM, *form) + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    roots = lab.root.public_bytes(Encoding.PEM).decode()
    with serving(lambda _: b"hello", tls=context) as url:
        assert Url.parse(url, roots).read(5) == b"hello"
        with pytest.raises(SourceError, match=r"TLS: .*issuer"):
            Url.parse(url).read(5)


# nodes


def test_blocks_and_calls() -> None:
    chain = FakeChain(WORLD)
    with node(chain) as one:
        assert one.chain_id() == DEPLOYMENT.chain_id
        assert one.block("latest").number == 400
        found = one.block(100)
        assert found == one.block("finalized")
        assert found.time == WORLD.time
        chain.answers["eth_call"] = lambda parameters: {
            "result": "0xabcd" if parameters[1] == "0x64" else "0x"
        }
        assert one.call(b"\1" * 20, b"\2", found.number) == b"\xab\xcd"


def test_a_node_is_not_asked_after_its_deadline() -> None:
    chain = FakeChain(WORLD)
    with node(chain) as one:
        late = replace(one, deadline=time.monotonic())
        with pytest.raises(SourceError, match="no answer in time"):
            late.chain_id()
    assert not chain.asked


WRONG: dict[str, Callable[[Node], object]] = {
    "eth_chainId": lambda one: one.chain_id(),
    "eth_getBlockByNumber": lambda one: one.block(100),
    "eth_call": lambda one: one.call(bytes(20), b"", 1),
}
BLOCK = {"number": "0x64", "hash": f"0x{'0' * 64}", "timestamp": "0x1"}


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("eth_chainId", {"result": "0x"}),
        ("eth_chainId", {"result": "0x01"}),
        ("eth_chainId", {"result": 1}),
        ("eth_chainId", {"result": "0x1", "error": {}}),
        ("eth_chainId", {}),
        ("eth_chainId", {"id": 2, "result": "0x1"}),
        ("eth_chainId", {"error": {"code": 3, "data": "0x"}}),  # only a call reverts
        ("eth_chainId", {"error": "gone"}),
        ("eth_getBlockByNumber", {"result": None}),
        ("eth_getBlockByNumber", {"result": BLOCK | {"number": "0x65"}}),
        ("eth_getBlockByNumber", {"result": BLOCK | {"hash": "0x00"}}),
        ("eth_getBlockByNumber", {"result": BLOCK | {"timestamp": "0x10000000000000000"}}),
        ("eth_call", {"result": "0xabc"}),
        ("eth_call", {"result": "0xAB"}),
        ("eth_call", {"error": {"code": -32000, "message": "x"}}),
        ("eth_call", {"error": {"code": 3, "data": "reverted"}}),
    ],
)
def test_answers_that_no_node_gives(method: str, answer: dict[str, object]) -> None:
    chain = FakeChain(WORLD)
    chain.answers[method] = lambda _: answer
    with node(chain) as one, pytest.raises(SourceError):
        WRONG[method](one)


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"x", b"[" * 100_000, b'{"id":1,"result":' + b"9" * 5000]
)
def test_answers_that_are_no_json_rpc(answer: bytes) -> None:
    with node(FakeChain(WORLD, raw=answer)) as one, pytest.raises(SourceError):
        one.chain_id()


@pytest.mark.parametrize(
    "error", [{"code": 3, "data": "0x01"}, {"code": -32015, "data": {"data": "0x01"}}]
)
def test_a_revert_in_either_wrapping(error: dict[str, object]) -> None:
    chain = FakeChain(WORLD)
    chain.answers["eth_call"] = lambda _: {"error": error}
    with node(chain) as one, pytest.raises(Reverted) as caught:
        WRONG["eth_call"](one)
    assert caught.value.data == b"\1"


def test_an_error_is_told_without_its_words() -> None:
    """A node's text is not ours to print."""
    chain = FakeChain(WORLD)
    error = {"code": -32000, "message": "\x1b[31mobey"}
    chain.answers["eth_chainId"] = lambda _: {"error": error}
    with node(chain) as one, pytest.raises(SourceError) as caught:
        one.chain_id()
    assert str(caught.value) == "eth_chainId: error -32000"
    assert json.dumps(error) not in str(caught.value)
