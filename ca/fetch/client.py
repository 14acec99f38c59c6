# SPDX-License-Identifier: Apache-2.0
"""One bounded request to a vendor's service, or an error of ours that says what to do.

Rules:
- Hosts come from the configuration: a URL whose scheme, host and port are not one of the given `Origin`s is not asked.
- The address is checked when the socket is made, after name resolution and for literals too: a public origin is reached
  at public addresses only, so a name that turns to 127.0.0.1 or 169.254.169.254 leads nowhere, whenever it turns.
- https with verified certificates. Plain http only to an origin that the configuration names as private (a PCCS
  beside us), and then only at addresses that are not public. Vendors sign what they say, so TLS guards freshness and
  availability, not content.
- No redirects, no proxy or .netrc of the environment, no cookies, no compression. Bodies, headers, header count,
  connect time and total time are bounded while they are read.
- A `Fetch` with a question is a POST of its bytes, any other a GET. What is posted may name machines: no text of ours,
  of errors and logs neither, has it.
- 200, 404 and 410 come back as `Response`; all else is `FetchFailed`, and so is a 200 whose body the verifier knows to
  be no answer (`Fetch.is_answer`): a page for people, an OCSP refusal. No exception of the HTTP library gets out.

It does not judge, cache or repeat: see `ca.fetch.cache`.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections import Counter
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn, Self

import aiohttp

from ca.errors import ConfigurationError, Unavailable
from ca.fetch.origins import split_url
from verifiers.endorsements import Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from types import TracebackType

    from aiohttp.abc import AbstractResolver

    from ca.fetch.origins import Origin
    from verifiers.endorsements import Fetch

_ANSWERS = frozenset({404, 410})  # besides 200: the statuses that mean something to a verifier
_MAX_RETRY_AFTER = 3600  # seconds; a vendor that asks for more is asked again after an hour
_HEADER_BYTES = 64 * 1024  # of all headers together


class FetchOutcome(StrEnum):
    """How one request ended. The list is closed: it is a label of metrics."""

    OK = "ok"
    ABSENT = "absent"  # 404 or 410
    NOT_ALLOWED = "not-allowed"
    ADDRESS_REFUSED = "address-refused"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    BUSY = "busy"  # 503
    THROTTLED = "throttled"  # 429
    REDIRECT = "redirect"
    STATUS = "status"
    TOO_LARGE = "too-large"
    MALFORMED = "malformed"

    @property
    def concerns_origin(self) -> bool:
        """True where the next URL of the same origin would fare no better."""
        return self in _CONCERNS_ORIGIN

    @property
    def concerns_part(self) -> bool:
        """True where the next URL of the same part and origin would fare no better; other parts may."""
        return self in _BUSY.values()


_CONCERNS_ORIGIN = frozenset({FetchOutcome.ADDRESS_REFUSED, FetchOutcome.CONNECT, FetchOutcome.TLS})
# What is waited for where the answer names no time. Who throttles counts requests over many minutes: AMD's service
# gives 429 for the fifth VCEK within ten, and still does two minutes later.
_BUSY = {429: FetchOutcome.THROTTLED, 503: FetchOutcome.BUSY}
_UNNAMED_WAIT = {FetchOutcome.THROTTLED: 300, FetchOutcome.BUSY: 5}  # seconds

_REMEDY = {
    FetchOutcome.NOT_ALLOWED: "name its URL under [collateral] if it is meant",
    FetchOutcome.ADDRESS_REFUSED: "name the host in collateral.allow_private_hosts if it is a service of yours",
    FetchOutcome.CONNECT: "check name resolution, routes and firewall from here to it",
    FetchOutcome.TLS: "check its certificate; a service with one of its own needs collateral.extra_ca_file",
    FetchOutcome.TIMEOUT: "check the route to it, or raise the timeouts under [collateral]",
    FetchOutcome.BUSY: "ask again later; a PCCS or mirror beside this service spares the vendor's",
    FetchOutcome.THROTTLED: "asked too often: ask again later, and have machines send their certificates",
    FetchOutcome.REDIRECT: "configure the address that it really answers at",
    FetchOutcome.STATUS: "ask again later; if it stays so, check the URL under [collateral]",
    FetchOutcome.TOO_LARGE: "check that the URL under [collateral] is that of this service",
    FetchOutcome.MALFORMED: "check that the URL under [collateral] is that of this service",
}


class FetchFailed(Unavailable):
    """A request without an answer. `outcome` says why, `retry_after` (seconds) is the vendor's wish if it had one."""

    def __init__(self, detail: str, outcome: FetchOutcome, *, retry_after: int = 5) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.outcome = outcome


class _AddressRefused(OSError):
    """Raised inside the connector; carries the text of the refusal."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Bounds of one request. Times in seconds."""

    total: float = 15.0
    connect: float = 3.0
    header_bytes: int = 16 * 1024  # one header; Intel's issuer chains take about 4 KiB
    headers: int = 64
    concurrent: int = 8  # connections to one origin


def tls_context(extra_ca_file: Path | None = None) -> ssl.SSLContext:
    """Certificates verified against the system's authorities, and those of `extra_ca_file` (PEM) besides.

    Raises ConfigurationError where that file cannot be read.
    """
    context = ssl.create_default_context()
    if extra_ca_file is not None:
        try:
            context.load_verify_locations(cafile=extra_ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigurationError(
                f"collateral.extra_ca_file: {extra_ca_file}: {error}"
            ) from error
    return context


class FetchClient:
    """Requests to the given origins. An async context manager: connections live as long as it is entered."""

    def __init__(
        self,
        origins: Iterable[Origin],
        limits: ClientLimits,
        tls: ssl.SSLContext,
        *,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._origins = {origin.key: origin for origin in origins}
        self._limits = limits
        self._tls = tls
        self._resolver = resolver
        self._sessions: dict[Origin, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        """Open one session per origin, so that a connection knows whose rule of addresses it keeps."""
        for origin in self._origins.values():
            self._sessions[origin] = self._session(origin)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def get(self, fetch: Fetch) -> Response:
        """What is answered, if the status is 200 (body of at most `fetch.max_bytes`), 404 or 410 (body not read).

        Headers that occur twice or are not ASCII are left out. Raises FetchFailed for everything else.
        """
        session = self._sessions[self._origin(fetch)]
        try:
            async with _request(session, fetch) as answer:
                return await _read(fetch, answer)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            outcome, what = _classify(error)
            _fail(fetch, outcome, what, cause=error)

    def _origin(self, fetch: Fetch) -> Origin:
        key = split_url(fetch.url)
        origin = self._origins.get(key) if key is not None else None
        if origin is None:
            _fail(fetch, FetchOutcome.NOT_ALLOWED, "not a configured address")
        return origin

    def _session(self, origin: Origin) -> aiohttp.ClientSession:
        def guarded_socket(info: aiohttp.AddrInfoType) -> socket.socket:
            family, kind, protocol, _, address = info
            if (why := origin.refusal(str(address[0]))) is not None:
                raise _AddressRefused(why)
            return socket.socket(family, kind, protocol)

        connector = aiohttp.TCPConnector(
            ssl=self._tls,
            resolver=self._resolver,
            use_dns_cache=False,
            force_close=True,  # fetches are rare: each connects, and is checked, anew
            limit=self._limits.concurrent,
            socket_factory=guarded_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers={"Accept-Encoding": "identity", "User-Agent": "attestca"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(
                total=self._limits.total, sock_connect=self._limits.connect
            ),
            max_line_size=self._limits.header_bytes,
            max_field_size=self._limits.header_bytes,
            max_headers=self._limits.headers,
        )


def _request(
    session: aiohttp.ClientSession, fetch: Fetch
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    if fetch.question is None:
        return session.get(fetch.url, allow_redirects=False)
    return session.post(
        fetch.url,
        data=fetch.question.body,
        headers={"Content-Type": fetch.question.media_type},
        allow_redirects=False,
    )


async def _read(fetch: Fetch, answer: aiohttp.ClientResponse) -> Response:
    headers = _headers(fetch, answer)
    if answer.status in _ANSWERS:
        return Response(answer.status, b"", headers)
    if answer.status in _BUSY:
        outcome = _BUSY[answer.status]
        wait = _retry_after(headers, _UNNAMED_WAIT[outcome])
        _fail(fetch, outcome, f"answered {answer.status}", retry_after=wait)
    if 300 <= answer.status < 400:
        _fail(fetch, FetchOutcome.REDIRECT, f"answered {answer.status}, redirects are not followed")
    if answer.status != 200:
        _fail(fetch, FetchOutcome.STATUS, f"answered {answer.status}")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        _fail(fetch, FetchOutcome.MALFORMED, "compressed its answer, which was not asked for")
    body = await _body(fetch, answer)
    if fetch.is_answer is not None and not fetch.is_answer(body):
        _fail(fetch, FetchOutcome.MALFORMED, "answered 200, but what came is no answer")
    return Response(200, body, headers)


async def _body(fetch: Fetch, answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    too_large = (answer.content_length or 0) > fetch.max_bytes
    while not too_large and (chunk := await answer.content.readany()):
        body += chunk
        too_large = len(body) > fetch.max_bytes
    if too_large:
        _fail(fetch, FetchOutcome.TOO_LARGE, f"more than {fetch.max_bytes} bytes")
    return bytes(body)


def _headers(fetch: Fetch, answer: aiohttp.ClientResponse) -> Mapping[str, str]:
    if sum(len(name) + len(value) for name, value in answer.raw_headers) > _HEADER_BYTES:
        _fail(fetch, FetchOutcome.TOO_LARGE, f"more than {_HEADER_BYTES} bytes of headers")
    pairs = [(name.lower(), value) for name, value in answer.headers.items()]
    seen = Counter(name for name, _ in pairs)
    return {
        name: value
        for name, value in pairs
        if seen[name] == 1 and name.isascii() and value.isascii()
    }


def _retry_after(headers: Mapping[str, str], unnamed: float) -> int:
    """Retry-After (RFC 9110 section 10.2.3) in seconds from 1 to an hour. A date counts from the answer's own Date.

    `unnamed`: where there is none that can be read.
    """
    text = headers.get("retry-after", "")
    seconds = unnamed
    if re.fullmatch(r"[0-9]{1,9}", text):
        seconds = int(text)
    elif text:
        try:
            wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
            seconds = wait.total_seconds()
        except (TypeError, ValueError):  # not a date, or only one of the two names its zone
            pass
    return int(min(max(seconds, 1), _MAX_RETRY_AFTER))


def _classify(error: Exception) -> tuple[FetchOutcome, str]:
    """Outcome and a short English clause for an exception of aiohttp or the socket layer."""
    match error:
        case TimeoutError():
            outcome, what = FetchOutcome.TIMEOUT, "no answer in time"
        case aiohttp.ClientConnectorCertificateError(certificate_error=cause):
            outcome, what = FetchOutcome.TLS, f"TLS failed: {cause}"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            outcome, what = FetchOutcome.TLS, f"TLS failed: {error}"
        case aiohttp.ClientConnectorError(os_error=_AddressRefused() as cause):
            outcome, what = FetchOutcome.ADDRESS_REFUSED, str(cause)
        case aiohttp.ClientConnectorError(os_error=cause):
            outcome, what = FetchOutcome.CONNECT, f"connection failed: {cause}"
        case aiohttp.ClientConnectionError() | OSError():
            outcome, what = FetchOutcome.CONNECT, f"connection failed: {error}"
        case _:
            what = f"not a well-formed HTTP answer ({type(error).__name__})"
            outcome = FetchOutcome.MALFORMED
    return outcome, what


def _fail(
    fetch: Fetch,
    outcome: FetchOutcome,
    what: str,
    *,
    retry_after: int = 5,
    cause: Exception | None = None,
) -> NoReturn:
    raise FetchFailed(
        f"{fetch.part}: {fetch.shown}: {what}; {_REMEDY[outcome]}", outcome, retry_after=retry_after
    ) from cause
