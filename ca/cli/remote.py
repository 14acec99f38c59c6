# SPDX-License-Identifier: Apache-2.0
"""The operators' API over HTTP: one request per command.

Rules: no redirects, no proxy from the environment, plain HTTP on loopback only, an answer of at most 64 MiB (an export
goes to its file as it comes). The token goes into the one header and nowhere else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from ca import config as configuration
from ca.errors import AuthorityError, ConfigurationError, RequestRefused, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    import aiohttp

DEFAULT_URL: Final = "http://127.0.0.1:8444"
MAX_ANSWER: Final = 64 * 1024 * 1024
_PATIENCE: Final = 30.0  # seconds without a byte
_CHUNK: Final = 64 * 1024
_YAML: Final = "application/yaml"

UrlOption = Annotated[
    str, typer.Option("--url", metavar="URL", help="The operators' API.", show_default=True)
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file", metavar="FILE", help="Your token is in it. Default: $ATTESTCA_TOKEN."
    ),
]
CaRootOption = Annotated[
    Path | None,
    typer.Option(
        "--ca-root", metavar="FILE", help="Root (PEM) to trust for https. Default: the system's."
    ),
]


@dataclass(frozen=True, slots=True)
class Remote:
    """Where to ask, as whom."""

    url: str
    token: str = field(repr=False)
    ca_root: Path | None = None

    def get(self, path: str, member: str, **query: object) -> Any:  # noqa: ANN401 - JSON
        """The JSON object that answers a GET; it has `member`. Parameters that are None are left out."""
        return _object(asyncio.run(_ask(self, "GET", path, query=_said(query))), member)

    def get_bytes(self, path: str) -> bytes:
        """The body of the answer to a GET."""
        return asyncio.run(_ask(self, "GET", path))

    def post(self, path: str, text: bytes | None = None) -> Any:  # noqa: ANN401 - JSON
        """The policy that answers a POST of its text, or of nothing."""
        return _object(asyncio.run(_ask(self, "POST", path, body=text)), "version")

    def post_json(self, path: str, value: Mapping[str, object], member: str) -> Any:  # noqa: ANN401 - JSON
        """The JSON object that answers a POST of another; it has `member`."""
        body = json.dumps(value).encode()
        answer = asyncio.run(_ask(self, "POST", path, body=body, media_type="application/json"))
        return _object(answer, member)

    def save(self, path: str, sink: Callable[[bytes], None], **query: object) -> None:
        """Write the body of the answer to a GET as it comes."""
        asyncio.run(_save(self, path, sink, _said(query)))


def connect(url: str, token_file: Path | None, ca_root: Path | None) -> Remote:
    """Raises BadParameter for a URL over which a token must not go, ConfigurationError without a token."""
    match = re.fullmatch(r"(https?)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?/?", url)
    if match is None:
        raise typer.BadParameter("--url: must be https://host[:port]")
    if match[1] == "http" and not _is_loopback(match[2].strip("[]")):
        raise typer.BadParameter(
            "--url: plain http only to this machine; elsewhere others could read the token"
        )
    return Remote(url.rstrip("/"), configuration.read_token(token_file), ca_root)


def segment(text: str) -> str:
    """One segment of a path."""
    return quote(text, safe="")


def _object(body: bytes, member: str) -> dict[str, Any]:
    """Raises Unavailable where somebody else answers."""
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict) or member not in value:
        raise Unavailable("the answer is not one of attestca's: is the URL right?")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _said(query: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}


async def _ask(
    remote: Remote,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
    media_type: str = _YAML,
) -> bytes:
    exchange = _exchange(remote, method, path, query=query, body=body, media_type=media_type)
    async with exchange as response:
        return await _read(response)


async def _save(
    remote: Remote, path: str, sink: Callable[[bytes], None], query: Mapping[str, str]
) -> None:
    async with _exchange(remote, "GET", path, query=query) as response:
        async for chunk in response.content.iter_chunked(_CHUNK):
            sink(chunk)


@asynccontextmanager
async def _exchange(
    remote: Remote,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
    media_type: str = _YAML,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer, if it is a good one. Raises RequestRefused, Unavailable; no exception of the library."""
    import aiohttp

    headers = {"Authorization": f"Bearer {remote.token}", "Accept": "application/json, */*"}
    if body is not None:
        headers["Content-Type"] = media_type
    timeout = aiohttp.ClientTimeout(sock_connect=_PATIENCE, sock_read=_PATIENCE)
    connector = aiohttp.TCPConnector(ssl=tls_context(remote.ca_root))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.request(
                method,
                remote.url + path,
                params=query or {},
                data=body,
                headers=headers,
                allow_redirects=False,
            ) as response,
        ):
            if response.status >= 300:
                raise _refusal(response.status, await _read(response))
            yield response
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unavailable(f"{remote.url}: {_words(error)}") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        parts += chunk
        if len(parts) > MAX_ANSWER:
            raise Unavailable(f"the answer is longer than {MAX_ANSWER} bytes")
    return bytes(parts)


def tls_context(ca_root: Path | None) -> ssl.SSLContext:
    """What trusts that root, or those of the system. Raises ConfigurationError."""
    try:
        return ssl.create_default_context(cafile=ca_root)
    except OSError as error:  # ssl.SSLError among them
        raise ConfigurationError(f"{ca_root}: {error.strerror or 'no certificate'}") from error


def _refusal(status: int, body: bytes) -> AuthorityError:
    """What a problem document (RFC 9457) says, as the error it was on the other side."""
    try:
        problem = json.loads(body)
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, TypeError, KeyError):
        return Unavailable(f"answered {status} {_phrase(status)}, and not as attestca does")
    if status == 429 or status >= 500:
        incident = f" (incident {problem['incident']})" if "incident" in problem else ""
        return Unavailable(f"{code}: {detail}{incident}")
    return RequestRefused(detail, code=code)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
