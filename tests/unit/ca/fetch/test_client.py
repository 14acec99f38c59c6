# SPDX-License-Identifier: Apache-2.0
"""One request: what comes back, and what each way to misbehave is called."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.errors import ConfigurationError, Unavailable
from ca.fetch.client import ClientLimits, FetchFailed, FetchOutcome, tls_context
from tests.vendor_lab import FAST, Authority, Lab, Names, open_lab
from verifiers.endorsements import Fetch, Question

if TYPE_CHECKING:
    from pathlib import Path

    from ca.fetch.client import FetchClient


async def fails(client: FetchClient, fetch: Fetch, outcome: FetchOutcome) -> FetchFailed:
    with pytest.raises(FetchFailed) as caught:
        await client.get(fetch)
    assert isinstance(caught.value, Unavailable)
    assert caught.value.outcome is outcome
    assert fetch.part in caught.value.detail
    assert "; " in caught.value.detail  # what to do
    return caught.value


async def test_answer_has_body_and_lower_case_headers(lab: Lab) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b"{}", headers={"TCB-Info-Issuer-Chain": "a%0Ab"})

    vendor = await lab.vendor(handler)
    client = await lab.client(vendor.base)
    response = await client.get(vendor.fetch("/tcb?fmspc=00606a000000&update=standard"))
    assert (response.status, response.body) == (200, b"{}")
    assert response.headers["tcb-info-issuer-chain"] == "a%0Ab"
    (request,) = vendor.requests
    assert request.query_string == "fmspc=00606a000000&update=standard"
    assert request.headers["Accept-Encoding"] == "identity"


async def test_headers_that_are_ambiguous_or_not_ascii_are_left_out(lab: Lab) -> None:
    base = await lab.raw(
        b"HTTP/1.1 200 OK\r\nX-Chain: a\r\nx-chain: b\r\nX-Odd: \xff\r\nX-One: c\r\nContent-Length: 0\r\n\r\n"
    )
    client = await lab.client(base)
    response = await client.get(Fetch("pck_crl", base + "/"))
    assert dict(response.headers) == {"x-one": "c", "content-length": "0"}


@pytest.mark.parametrize("status", [404, 410])
async def test_absent_is_an_answer_whose_body_is_not_read(lab: Lab, status: int) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, body=b"x" * 100_000)

    vendor = await lab.vendor(handler)
    client = await lab.client(vendor.base)
    response = await client.get(vendor.fetch(max_bytes=10))
    assert (response.status, response.body) == (status, b"")


@pytest.mark.parametrize("status", [201, 204, 400, 401, 403, 418, 500, 502, 504])
async def test_other_statuses_are_failures(lab: Lab, status: int) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status)

    vendor = await lab.vendor(handler)
    client = await lab.client(vendor.base)
    failure = await fails(client, vendor.fetch(), FetchOutcome.STATUS)
    assert str(status) in failure.detail


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "30"}, 30),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "99999999"}, 3600),
        ({"Retry-After": "9" * 4000}, None),
        ({"Retry-After": "soon"}, None),
        (
            {
                "Date": "Fri, 02 Jan 2026 03:04:05 GMT",
                "Retry-After": "Fri, 02 Jan 2026 03:05:05 GMT",
            },
            60,
        ),
        (
            {
                "Date": "Fri, 02 Jan 2026 03:04:05 GMT",
                "Retry-After": "Fri, 02 Jan 2026 03:05:05 -0000",
            },
            None,
        ),
    ],
)
@pytest.mark.parametrize(
    ("status", "outcome", "unnamed"),
    [(429, FetchOutcome.THROTTLED, 300), (503, FetchOutcome.BUSY, 5)],
)
async def test_busy_says_when_to_come_back(
    lab: Lab,
    status: int,
    outcome: FetchOutcome,
    unnamed: int,
    headers: dict[str, str],
    seconds: int | None,
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers)

    vendor = await lab.vendor(handler)
    client = await lab.client(vendor.base)
    wait = (await fails(client, vendor.fetch(), outcome)).retry_after
    assert wait == (unnamed if seconds is None else seconds)


@pytest.mark.parametrize("chunked", [False, True])
async def test_oversized_body_is_cut_off_while_reading(lab: Lab, chunked: bool) -> None:  # noqa: FBT001 - a parameter of the table
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        if not chunked:
            answer.content_length = 1 << 30
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 65536)

    vendor = await lab.vendor(handler)
    client = await lab.client(vendor.base)
    await fails(client, vendor.fetch(max_bytes=200_000), FetchOutcome.TOO_LARGE)


async def test_body_of_exactly_the_limit_passes_and_one_more_does_not(lab: Lab) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1000)

    vendor = await lab.vendor(handler)
    client = await lab.client(vendor.base)
    assert len((await client.get(vendor.fetch(max_bytes=1000))).body) == 1000
    await fails(client, vendor.fetch(max_bytes=999), FetchOutcome.TOO_LARGE)


async def test_compressed_answer_is_refused_unread(lab: Lab) -> None:
    bomb = gzip.compress(bytes(10_000_000))

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    vendor = await lab.vendor(handler)
    client = await lab.client(vendor.base)
    await fails(client, vendor.fetch(max_bytes=1 << 20), FetchOutcome.MALFORMED)


async def test_slow_body(lab: Lab) -> None:
    base = await lab.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", hold=True)
    client = await lab.client(base, limits=FAST)
    await fails(client, Fetch("tcb_info", base), FetchOutcome.TIMEOUT)


async def test_slow_headers(lab: Lab) -> None:
    base = await lab.raw(b"HTTP/1.1 200 OK\r\nX-A: ", hold=True)
    client = await lab.client(base, limits=FAST)
    await fails(client, Fetch("tcb_info", base), FetchOutcome.TIMEOUT)


@pytest.mark.parametrize(
    "headers",
    [
        b"X-Long: " + b"a" * 20_000 + b"\r\n",
        b"".join(b"X-%d: a\r\n" % number for number in range(100)),
        b"".join(b"X-%d: %s\r\n" % (number, b"a" * 8000) for number in range(10)),
    ],
    ids=["one-too-long", "too-many", "too-much-together"],
)
async def test_headers_are_bounded(lab: Lab, headers: bytes) -> None:
    base = await lab.raw(b"HTTP/1.1 200 OK\r\n" + headers + b"Content-Length: 0\r\n\r\n")
    client = await lab.client(base)
    with pytest.raises(FetchFailed) as caught:
        await client.get(Fetch("tcb_info", base))
    assert caught.value.outcome in {FetchOutcome.MALFORMED, FetchOutcome.TOO_LARGE}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"", FetchOutcome.CONNECT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", FetchOutcome.MALFORMED),
        (b"SSH-2.0-OpenSSH_9.2\r\n", FetchOutcome.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", FetchOutcome.MALFORMED),
    ],
    ids=["closed-at-once", "closed-within-the-body", "another-protocol", "wrong-chunk"],
)
async def test_broken_answers(lab: Lab, answer: bytes, outcome: FetchOutcome) -> None:
    base = await lab.raw(answer)
    client = await lab.client(base)
    await fails(client, Fetch("tcb_info", base), outcome)


async def test_refused_connection(lab: Lab) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()
    client = await lab.client(base)
    await fails(client, Fetch("tcb_info", base), FetchOutcome.CONNECT)


async def test_name_that_does_not_resolve(lab: Lab) -> None:
    class Nothing(Names):
        async def resolve(self, *_args: object, **_more: object) -> list[object]:  # type: ignore[override]  # only raises
            raise OSError(None, "no such name")

    client = await lab.client("https://pcs.test", resolver=Nothing(()))
    failure = await fails(client, Fetch("tcb_info", "https://pcs.test/"), FetchOutcome.CONNECT)
    assert "no such name" in failure.detail


async def hello(_: web.Request) -> web.Response:
    return web.Response(body=b"hello")


async def test_tls_with_an_unknown_authority_is_refused(lab: Lab, authority: Authority) -> None:
    vendor = await lab.vendor(hello, tls=authority.server)
    client = await lab.client(vendor.base)
    failure = await fails(client, vendor.fetch(), FetchOutcome.TLS)
    assert "extra_ca_file" in failure.detail
    assert vendor.count == 0


async def test_tls_with_the_configured_authority(lab: Lab, authority: Authority) -> None:
    vendor = await lab.vendor(hello, tls=authority.server)
    client = await lab.client(vendor.base, ca_file=authority.ca_file)
    assert (await client.get(vendor.fetch())).body == b"hello"


async def test_tls_for_another_name_is_refused(lab: Lab, authority: Authority) -> None:
    vendor = await lab.vendor(hello, tls=authority.server)
    base = vendor.base.replace("127.0.0.1", "other.test")
    client = await lab.client(
        base, ca_file=authority.ca_file, resolver=Names(("127.0.0.1",)), private=("other.test",)
    )
    await fails(client, Fetch("tcb_info", base), FetchOutcome.TLS)


async def test_plain_http_where_tls_is_spoken(lab: Lab, authority: Authority) -> None:
    vendor = await lab.vendor(hello)
    base = vendor.base.replace("http:", "https:")
    client = await lab.client(base, ca_file=authority.ca_file)
    await fails(client, Fetch("tcb_info", base), FetchOutcome.TLS)


def test_extra_authorities_must_be_readable(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_bytes(b"")
    for name in ("absent.pem", "empty.pem"):
        with pytest.raises(ConfigurationError, match="extra_ca_file"):
            tls_context(tmp_path / name)


async def test_environment_and_netrc_change_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("default login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    vendor = await lab.vendor(hello)
    client = await lab.client(vendor.base)
    assert (await client.get(vendor.fetch())).body == b"hello"
    assert "Authorization" not in vendor.requests[0].headers


async def test_cookies_are_not_kept(lab: Lab) -> None:
    async def handler(_: web.Request) -> web.Response:
        answer = web.Response()
        answer.set_cookie("session", "1")
        return answer

    vendor = await lab.vendor(handler)
    base = vendor.base.replace("127.0.0.1", "pcs.test")  # cookies are not kept for addresses anyway
    client = await lab.client(base, resolver=Names(("127.0.0.1",)), private=("pcs.test",))
    for _ in range(2):
        await client.get(Fetch("tcb_info", base))
    assert "Cookie" not in vendor.requests[1].headers


async def test_connections_are_bounded(lab: Lab) -> None:
    running = peak = 0

    async def handler(_: web.Request) -> web.Response:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.01)
        running -= 1
        return web.Response()

    vendor = await lab.vendor(handler)
    client = await lab.client(vendor.base, limits=ClientLimits(concurrent=2))
    await asyncio.gather(*(client.get(vendor.fetch(f"/{number}")) for number in range(8)))
    assert peak == 2
    assert vendor.count == 8


_lines = st.one_of(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK",
            b"HTTP/1.1 404 Not Found",
            b"HTTP/1.1 302 Found",
            b"HTTP/2 200",
            b"Content-Length: 3",
            b"Content-Length: -1",
            b"Transfer-Encoding: chunked",
            b"Content-Encoding: br",
            b"Location: http://127.0.0.1:1/",
            b"Content-Type: text/html; charset=\xff",
            b"Set-Cookie: \x00",
            b"Date: x",
            b"Retry-After: x",
            b"",
        ]
    ),
    st.binary(max_size=20),
)


@settings(max_examples=80, deadline=None)
@given(first=st.booleans(), lines=st.lists(_lines, max_size=8))
async def test_no_answer_raises_anything_else(first: bool, lines: list[bytes]) -> None:  # noqa: FBT001 - drawn
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    answer = b"\r\n".join([b"HTTP/1.1 200 OK"] * first + lines) + b"\r\n\r\nabc"
    async with open_lab() as lab:
        base = await lab.raw(answer)
        client = await lab.client(base)
        response = None
        with contextlib.suppress(FetchFailed):  # any other exception fails the test
            response = await client.get(Fetch("tcb_info", base, max_bytes=1000))
    if response is not None:
        assert response.status in {200, 404, 410}
        assert all(name == name.lower() for name in response.headers)


QUESTION = Question(b"0 of machine 4711", "application/ocsp-request")


async def test_a_question_is_posted(lab: Lab) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=request.method.encode() + b" " + await request.read())

    vendor = await lab.vendor(handler)
    client = await lab.client(vendor.base)
    asked = replace(vendor.fetch("/ocsp"), question=QUESTION)
    assert (await client.get(asked)).body == b"POST 0 of machine 4711"
    assert (await client.get(vendor.fetch("/ocsp"))).body == b"GET "
    posted, got = vendor.requests
    assert posted.headers["Content-Type"] == "application/ocsp-request"
    assert posted.headers["Content-Length"] == str(len(QUESTION.body))
    assert posted.headers["Accept-Encoding"] == "identity"
    assert "Content-Type" not in got.headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_question_is_posted_to_nobody_else(lab: Lab, status: int) -> None:
    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    vendor = await lab.vendor(redirect)
    other = await lab.vendor(redirect)
    client = await lab.client(vendor.base)
    await fails(client, replace(vendor.fetch(), question=QUESTION), FetchOutcome.REDIRECT)
    await fails(client, replace(other.fetch(), question=QUESTION), FetchOutcome.NOT_ALLOWED)
    assert (vendor.count, other.count) == (1, 0)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, FetchOutcome.TOO_LARGE), (400, FetchOutcome.STATUS), (503, FetchOutcome.BUSY)],
)
async def test_what_is_posted_is_in_no_text(
    lab: Lab, caplog: pytest.LogCaptureFixture, status: int, outcome: FetchOutcome
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, body=await request.read())

    vendor = await lab.vendor(handler)
    client = await lab.client(vendor.base)
    asked = replace(vendor.fetch(max_bytes=3), question=QUESTION)
    with caplog.at_level(logging.DEBUG):
        failure = await fails(client, asked, outcome)
    for text in (failure.detail, repr(failure), repr(asked), caplog.text):
        assert "4711" not in text


async def test_an_absent_answer_to_a_question(lab: Lab) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=404, text="who?")

    vendor = await lab.vendor(handler)
    client = await lab.client(vendor.base)
    response = await client.get(replace(vendor.fetch(), question=QUESTION))
    assert (response.status, response.body) == (404, b"")
