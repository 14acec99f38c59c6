# SPDX-License-Identifier: Apache-2.0
"""One HTTPS exchange with the pinned authority, bounded in time and bytes.

Rules: TLS 1.3, trusting the pinned root and nothing of the system, with the host name checked; every exchange is a
connection of its own with a full handshake, so that no check ever rests on a resumed session. A certificate that an
authority issued to an attester never passes as the authority's own. Plain http:// to this machine's loopback only.
No redirects, no proxies, no environment. An answer is at most 1 MiB and the whole exchange at most 60 seconds.

No exception of http.client, ssl or socket crosses this line: Misconfigured, Unavailable, Untrusted, BadAnswer do.
"""

from __future__ import annotations

import email.utils
import http.client
import io
import ipaddress
import re
import ssl
from dataclasses import dataclass
from datetime import UTC
from importlib import metadata
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.chain import UNREADABLE
from attestca_client.errors import BadAnswer, Misconfigured, Unavailable, Untrusted
from attestca_client.protocol import OID_PE_CMW
from attestca_client.runtime import SYSTEM, Runtime

if TYPE_CHECKING:
    import socket
    from datetime import datetime

    from _typeshed import WriteableBuffer

MAX_ANSWER = 1024 * 1024
EXCHANGE_SECONDS = 60.0
STEP_SECONDS = 25.0  # one connect, one read, one write; the authority may need 20 for its queue and its vendors
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where the authority is. `path` is a prefix without a trailing slash, mostly empty."""

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """From https://host[:port][/prefix]. Raises Misconfigured."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise Misconfigured(f"not an address: {url!r}") from None
        if parts.scheme not in {"https", "http"} or not host:
            raise Misconfigured(f"the authority's address must be https://host[:port], not {url!r}")
        if parts.username is not None or parts.query or parts.fragment:
            raise Misconfigured("the authority's address takes no user, query or fragment")
        if not re.fullmatch(r"[!-~]*", host + parts.path):
            raise Misconfigured("the authority's address must be printable ASCII")
        secure = parts.scheme == "https"
        if not secure and host not in LOOPBACK_HOSTS:
            raise Misconfigured(
                f"plain http:// is for loopback only, not for {host}", "use https://"
            )
        return cls(secure, host, port or (443 if secure else 80), parts.path.rstrip("/"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: status, the seconds of Retry-After if it was given, at most 1 MiB of body."""

    status: int
    retry_after: float | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Transport:
    """Exchanges with one authority."""

    address: Address
    root: x509.Certificate
    runtime: Runtime = SYSTEM

    def get(self, path: str) -> Answer:
        """GET. Raises Unavailable, Untrusted, BadAnswer."""
        return self._exchange("GET", path, None)

    def post(self, path: str, body: bytes) -> Answer:
        """POST of JSON. Raises Unavailable, Untrusted, BadAnswer."""
        return self._exchange("POST", path, body)

    def _exchange(self, method: str, path: str, body: bytes | None) -> Answer:
        deadline = self.runtime.monotonic() + EXCHANGE_SECONDS
        connection = self._connection()
        try:
            connection.connect()
            self._check_peer(connection.sock)
            headers = {
                "Accept": "application/json",
                "Connection": "close",
                "User-Agent": f"attestca-client/{metadata.version('attestca-client')}",
            }
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, self.address.path + path, body, headers)
            return self._read(connection.sock, method, deadline)
        except ssl.SSLCertVerificationError as error:
            raise Untrusted(
                f"TLS: {error.verify_message}",
                "the server must present a certificate for this host that chains to --ca-root",
            ) from error
        except TimeoutError as error:
            raise Unavailable(f"{self._where} did not answer in time") from error
        except OSError as error:  # ssl.SSLError and http.client.RemoteDisconnected are two
            raise Unavailable(f"{self._where}: {error.strerror or error}") from error
        except http.client.IncompleteRead as error:
            raise Unavailable(f"{self._where}: the answer ended early") from error
        except http.client.HTTPException as error:
            raise BadAnswer(f"not an HTTP answer: {type(error).__name__}") from error
        finally:
            connection.close()

    @property
    def _where(self) -> str:
        return f"{self.address.host} port {self.address.port}"

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self.address.host, self.address.port
        if not self.address.secure:
            return http.client.HTTPConnection(host, port, timeout=STEP_SECONDS)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks names and chains
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cadata=self.root.public_bytes(Encoding.PEM).decode())
        return http.client.HTTPSConnection(host, port, timeout=STEP_SECONDS, context=context)

    def _check_peer(self, sock: socket.socket) -> None:
        if not isinstance(sock, ssl.SSLSocket):
            if not ipaddress.ip_address(sock.getpeername()[0]).is_loopback:
                raise Misconfigured(f"{self.address.host} is not on this machine: use https://")
            return
        der = cast(
            "bytes", sock.getpeercert(binary_form=True)
        )  # never None: the chain was verified
        try:
            extensions = x509.load_der_x509_certificate(der).extensions
        except (ValueError, *UNREADABLE) as error:
            raise Untrusted("the server's certificate cannot be read") from error
        if any(extension.oid.dotted_string == OID_PE_CMW for extension in extensions):
            raise Untrusted(
                "the server presents a certificate that was issued to an attester, not the authority's"
            )

    def _read(self, sock: socket.socket, method: str, deadline: float) -> Answer:
        response = http.client.HTTPResponse(
            cast("socket.socket", TimedSocket(sock, deadline, self.runtime)), method=method
        )
        with response:
            response.begin()
            body = response.read(MAX_ANSWER + 1)
            if len(body) > MAX_ANSWER:
                raise BadAnswer(f"the answer is larger than {MAX_ANSWER} bytes")
            if response.length:
                raise Unavailable(f"{self._where}: the answer ended early")
            if 300 <= response.status < 400:
                raise BadAnswer(
                    f"the authority answered with a redirect ({response.status})",
                    "redirects are not followed: give the final address as --ca",
                )
            wait = response.headers.get("Retry-After")
            return Answer(response.status, parse_retry_after(wait, self.runtime.now()), body)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait, from either form of RFC 9110 section 10.2.3; None where it says nothing usable."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


class TimedSocket(io.RawIOBase):
    """The receiving end of a socket, each read within what is left until the deadline."""

    def __init__(self, sock: socket.socket, deadline: float, runtime: Runtime) -> None:
        self._sock = sock
        self._deadline = deadline
        self._runtime = runtime

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What http.client asks of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Yes: io.BufferedReader asks."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Receive into `buffer`. Raises TimeoutError past the deadline."""
        left = self._deadline - self._runtime.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(min(left, STEP_SECONDS))
        return self._sock.recv_into(buffer)
