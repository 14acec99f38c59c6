# SPDX-License-Identifier: Apache-2.0
"""What the commands do when the other side is not what it should be, and that the token goes nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from ca.cli import remote
from ca.cli.exits import explain
from ca.config import read_token
from ca.errors import ConfigurationError
from tests.vendor_lab import make_authority

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli_lab import Cli
    from tests.unit.ca.cli.conftest import Operator

TOKEN = "attestca_" + "A" * 43


@dataclass
class Fake:
    """A server that is not attestca; `reply` is what it answers."""

    reply: Any = None
    url: str = ""
    seen: list[web.BaseRequest] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        response: web.StreamResponse = await self.reply(request)
        return response


@contextlib.contextmanager
def faking(tls: ssl.SSLContext | None = None) -> Iterator[Fake]:
    """In a thread of its own, for commands have a loop of theirs."""
    fake, loop, ready = Fake(), asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()

    async def work() -> None:
        runner = web.ServerRunner(web.Server(fake.answer), shutdown_timeout=2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        fake.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(work(),))
    thread.start()
    ready.wait(20)
    try:
        yield fake
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setenv("ATTESTCA_TOKEN", TOKEN)
    with faking() as running:
        yield running


def text(status: int, body: str, **headers: str) -> Any:  # noqa: ANN401 - a value of any type is what it takes
    async def reply(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, text=body, headers=headers)

    return reply


def problem(status: int, **members: object) -> Any:  # noqa: ANN401 - a value of any type is what it takes
    return text(status, json.dumps({"type": "about:blank", "status": status, **members}))


def test_the_token_is_in_the_header_and_nowhere_else(cli: Cli, fake: Fake) -> None:
    fake.reply = text(200, '{"policies": []}')
    cli.good("policy", "list", "--url", fake.url + "/")
    (request,) = fake.seen
    assert request.headers.getall("Authorization") == [f"Bearer {TOKEN}"]
    assert TOKEN not in str(request.rel_url)
    assert request.path == "/v1/admin/policies"


@pytest.mark.parametrize(
    ("reply", "code", "says"),
    [
        (problem(403, code="scope", detail="not yours"), 1, "scope: not yours"),
        (problem(404, code="not-found", detail="no such"), 1, "not-found: no such"),
        (problem(429, code="rate-limited", detail="slow"), 69, "rate-limited: slow"),
        (problem(503, code="unavailable", detail="later"), 69, "unavailable: later"),
        (
            problem(500, code="internal", detail="ours", incident="a1b2"),
            69,
            "internal: ours (incident a1b2)",
        ),
        (text(404, "<html>"), 69, "answered 404 Not Found, and not as attestca does"),
        (text(502, '{"code": 1}'), 69, "answered 502 Bad Gateway"),
        (text(418, "[]"), 69, "answered 418"),
        (text(599, "null"), 69, "answered 599 "),
        (text(302, "", Location="http://127.0.0.1:9/"), 69, "answered 302 Found"),
        (text(200, "no JSON"), 69, "is the URL right?"),
        (text(200, "[]"), 69, "is the URL right?"),
        (text(200, "{}"), 69, "is the URL right?"),
    ],
    ids=range(13),
)
def test_answers(cli: Cli, fake: Fake, reply: Any, code: int, says: str) -> None:  # noqa: ANN401 - a value of any type is what it takes
    fake.reply = reply
    done = cli("policy", "list", "--url", fake.url)
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert "Traceback" not in done.err
    assert len(fake.seen) == 1


@given(st.integers(300, 599), st.binary(max_size=200))
def test_any_refusal_is_an_error_of_ours(status: int, body: bytes) -> None:
    code, words = explain(remote._refusal(status, body))
    assert code in {1, 69}
    assert words


def test_an_answer_that_is_too_long(cli: Cli, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_ANSWER", 100)
    fake.reply = text(200, " " * 101)
    assert "longer than 100 bytes" in cli("policy", "list", "--url", fake.url).err


def test_an_answer_that_does_not_come(
    cli: Cli, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_PATIENCE", 0.2)

    async def slow(_: web.BaseRequest) -> web.Response:
        await asyncio.sleep(0.5)
        return web.Response()

    fake.reply = slow
    done = cli("policy", "list", "--url", fake.url)
    assert (done.code, done.err) == (69, f"attestca: {fake.url}: no answer in time\n")


def test_an_export_that_is_cut_off(cli: Cli, fake: Fake, tmp_path: Path) -> None:
    async def cut(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b'{"certificates":[')
        assert request.transport is not None
        request.transport.abort()
        return response

    fake.reply = cut
    done = cli("certs", "export", "-o", "x.json", "--url", fake.url)
    assert done.code == 69
    assert not (tmp_path / "x.json").exists()


def test_nobody_there(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTESTCA_TOKEN", TOKEN)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = cli("actions", "list", "--url", url)
    assert done.code == 69
    assert TOKEN not in done.err


@pytest.mark.parametrize(
    "url",
    [
        *("http://ca.example.org", "http://10.0.0.1:8444", "http://127.0.0.1.example.org"),
        *("http://localhost@evil.example", "http://127.0.0.1:80@evil.example/", "ftp://localhost"),
        *("localhost:8444", "http://", "https://host/path?x", "http://[::2]:1", "http://0.0.0.0"),
    ],
)
def test_urls_that_a_token_is_not_sent_to(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("ATTESTCA_TOKEN", TOKEN)
    done = cli("policy", "list", "--url", url)
    assert done.code == 64
    assert TOKEN not in done.err


@pytest.mark.parametrize("url", ["http://localhost:1", "http://[::1]:1/", "https://ca.example.org"])
def test_urls_that_it_may_be_sent_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTESTCA_TOKEN", TOKEN)
    made = remote.connect(url, None, None)
    assert made.url == url.rstrip("/")
    assert TOKEN not in repr(made)


class TestTls:
    def test_a_root_that_is_named(self, cli: Cli, operator: Operator) -> None:
        """The service's public listener: its certificate is of the authority's own root."""
        url = operator.at.public.replace("127.0.0.1", "localhost")
        root = operator.at.place.keys / "root.pem"
        done = cli("policy", "list", "--url", url, "--ca-root", root)
        assert (done.code, done.err) == (1, "attestca: not-found: no such resource\n")

    def test_no_other_is_trusted(
        self, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ATTESTCA_TOKEN", TOKEN)
        authority = make_authority(tmp_path)
        with faking(authority.server) as fake:
            fake.reply = text(200, '{"policies": []}')
            assert cli("policy", "list", "--url", fake.url).code == 69
            assert fake.seen == []
            cli.good("policy", "list", "--url", fake.url, "--ca-root", authority.ca_file)

    def test_a_root_that_is_none(self, cli: Cli, tmp_path: Path, fake: Fake) -> None:
        (tmp_path / "root.pem").write_text("nothing")
        for name in ("root.pem", "none.pem"):
            done = cli("policy", "list", "--url", fake.url, "--ca-root", name)
            assert done.code == 66
            assert name in done.err


class TestToken:
    def test_file_before_environment(self, tmp_path: Path) -> None:
        path = tmp_path / "token"
        path.write_text(f"{TOKEN}\n")
        path.chmod(0o600)
        other = TOKEN.replace("A", "B")
        assert read_token(path, {"ATTESTCA_TOKEN": other}) == TOKEN
        assert read_token(None, {"ATTESTCA_TOKEN": f" {other}\n"}) == other

    @pytest.mark.parametrize(
        "content", [b"", b"canary-secret", b"\xff" * 60, b"A" * 5000], ids=range(4)
    )
    def test_what_is_none(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "token"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(ConfigurationError, match="holds no token") as caught:
            read_token(path, {})
        assert "canary" not in str(caught.value)

    def test_a_file_that_others_can_read(self, tmp_path: Path) -> None:
        path = tmp_path / "token"
        path.write_text(TOKEN)
        path.chmod(0o604)
        with pytest.raises(ConfigurationError, match="others cannot use"):
            read_token(path, {})

    def test_none_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="set ATTESTCA_TOKEN"):
            read_token(None, {})
        with pytest.raises(ConfigurationError, match="No such file"):
            read_token(tmp_path / "none", {})
