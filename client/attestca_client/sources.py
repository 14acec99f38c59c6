# SPDX-License-Identifier: Apache-2.0
"""Where a relying party's bytes come from: files, and addresses that are https or this machine's loopback.

Rules: every read is bounded in bytes, every exchange in time; no redirects, no proxies. For https the system's
authorities are trusted, and for addresses of the authority its root besides: what comes is signed, and TLS keeps third
parties from seeing what is asked. What goes wrong is a `SourceError`, and no other exception. Its text and
`Source.name` show no more of an address than scheme, host and port: what follows may be a key that somebody pays for.
"""

from __future__ import annotations

import functools
import http.client
import ipaddress
import math
import re
import ssl
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import urlsplit

from attestca_client.checks import SourceError
from attestca_client.runtime import SYSTEM, Runtime
from attestca_client.transport import LOOPBACK_HOSTS, TimedSocket

if TYPE_CHECKING:
    import socket
    from pathlib import Path

EXCHANGE_SECONDS: Final = 15.0
_STEP_SECONDS: Final = 10.0


class Source(Protocol):
    """Something that gives bytes."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    def read(self, limit: int) -> bytes:
        """All of them, at most `limit`. Raises SourceError."""
        ...


@dataclass(frozen=True, slots=True)
class Bytes:
    """What the caller has already: a staple that came with a TLS connection, say."""

    name: str
    data: bytes

    def read(self, limit: int) -> bytes:
        """Raises SourceError."""
        return _bounded(self.data, limit)


@dataclass(frozen=True, slots=True)
class File:
    """A file."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def read(self, limit: int) -> bytes:
        """Raises SourceError."""
        try:
            with self.path.open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}") from error
        return _bounded(data, limit)


@dataclass(frozen=True, slots=True)
class Url:
    """An address; made by `parse`. `roots`: PEM certificates that are trusted beside the system's."""

    secure: bool
    host: str
    port: int
    target: str
    roots: str = ""
    runtime: Runtime = SYSTEM

    @classmethod
    def parse(cls, text: str, roots: str = "", runtime: Runtime = SYSTEM) -> Url:
        """From https://…, or http:// on loopback. Raises ValueError for anything else."""
        parts = urlsplit(text)  # ValueError
        host, port = parts.hostname or "", parts.port
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if parts.scheme not in {"https", "http"} or not host or parts.username is not None:
            raise ValueError("an address is https://host[:port]/…, without a user")
        if parts.fragment or not re.fullmatch(r"[!-~]+", host + target):
            raise ValueError("an address is printable ASCII, without a fragment")
        secure = parts.scheme == "https"
        if not secure and host not in LOOPBACK_HOSTS:
            raise ValueError(f"plain http:// is for loopback only, not for {host}")
        return cls(secure, host, port or (443 if secure else 80), target, roots, runtime)

    @property
    def name(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.secure else ''}://{host}:{self.port}"

    def read(self, limit: int) -> bytes:
        """GET. Raises SourceError."""
        return self._exchange("GET", None, limit)

    def post(self, body: bytes, limit: int, seconds: float = math.inf) -> bytes:
        """POST of JSON. `seconds`: that are left, more than 0. Raises SourceError."""
        return self._exchange("POST", body, limit, seconds)

    def _exchange(
        self, method: str, body: bytes | None, limit: int, seconds: float = math.inf
    ) -> bytes:
        deadline = self.runtime.monotonic() + min(EXCHANGE_SECONDS, seconds)
        connection = self._connection(min(_STEP_SECONDS, seconds))
        try:
            connection.connect()
            self._check_loopback(connection.sock)
            headers = {
                "Connection": "close",
                "User-Agent": f"attestca-client/{metadata.version('attestca-client')}",
            }
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, self.target, body, headers)
            return self._answer(connection.sock, method, limit, deadline)
        except ssl.SSLCertVerificationError as error:
            raise SourceError(f"TLS: {error.verify_message}") from error
        except TimeoutError as error:
            raise SourceError("no answer in time") from error
        except OSError as error:
            raise SourceError(f"cannot be reached: {error.strerror or 'closed'}") from error
        except UnicodeError as error:  # a label of a name that is empty, or too long
            raise SourceError("cannot be reached: no such name") from error
        except http.client.HTTPException as error:
            raise SourceError(f"not an HTTP answer: {type(error).__name__}") from error
        finally:
            connection.close()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if not self.secure:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        context = _context(self.roots)
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=context)

    def _check_loopback(self, sock: socket.socket) -> None:
        if not self.secure and not ipaddress.ip_address(sock.getpeername()[0]).is_loopback:
            raise SourceError("is not on this machine: use https://")

    def _answer(self, sock: socket.socket, method: str, limit: int, deadline: float) -> bytes:
        timed = TimedSocket(sock, deadline, self.runtime)
        response = http.client.HTTPResponse(cast("socket.socket", timed), method=method)
        with response:
            response.begin()
            if response.status != 200:
                raise SourceError(f"answered {response.status}")
            data = _bounded(response.read(limit + 1), limit)
            if response.length:
                raise SourceError("the answer ended early")
            return data


def _bounded(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise SourceError(f"larger than {limit} bytes")
    return data


@functools.lru_cache(maxsize=4)
def _context(roots: str) -> ssl.SSLContext:
    """Trusts the system's authorities and `roots`; reading the former takes a while."""
    context = ssl.create_default_context()
    if roots:
        context.load_verify_locations(cadata=roots)
    return context
