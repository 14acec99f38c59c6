# SPDX-License-Identifier: Apache-2.0
"""Servers on loopback that behave, or misbehave, like a vendor's; a clock that tests set; certificates for TLS."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ca.fetch.client import ClientLimits, FetchClient, tls_context
from ca.fetch.origins import Origin
from verifiers.endorsements import Fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from ca.ports import CachedResponse

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

START = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
FAST = ClientLimits(
    total=0.4, connect=0.4
)  # where nothing comes; elsewhere a busy machine needs time


@dataclass
class Clock:
    now: dt.datetime = START

    def __call__(self) -> dt.datetime:
        return self.now

    def advance(self, **units: float) -> None:
        self.now += dt.timedelta(**units)


@dataclass
class MemoryStore:
    """The port's three methods over a dict; `broken` is raised by each where it is set."""

    rows: dict[str, CachedResponse] = field(default_factory=dict)
    used: list[tuple[str, dt.datetime]] = field(default_factory=list)
    broken: Exception | None = None

    async def cached_response(self, url: str) -> CachedResponse | None:
        if self.broken is not None:
            raise self.broken
        return self.rows.get(url)

    async def put_cached_response(self, response: CachedResponse) -> None:
        if self.broken is not None:
            raise self.broken
        self.rows[response.url] = response

    async def mark_response_used(self, url: str, now: dt.datetime) -> None:
        if self.broken is not None:
            raise self.broken
        self.used.append((url, now))


@dataclass
class Vendor:
    """An HTTP server whose answer is `handler`; counts the requests that reached it, and records the last."""

    handler: Handler
    requests: list[web.Request] = field(default_factory=list)
    base: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.handler(request)

    @property
    def count(self) -> int:
        return len(self.requests)

    def fetch(
        self, path: str = "/tcb", *, part: str = "tcb_info", max_bytes: int = 256 * 1024
    ) -> Fetch:
        return Fetch(part, self.base + path, max_bytes=max_bytes)


class Names(AbstractResolver):
    """Name resolution by a list: each lookup takes the next entry, the last one stays."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)
        self.lookups = 0

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - the interface has it
    ) -> list[ResolveResult]:
        self.lookups += 1
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        return None


@dataclass(frozen=True)
class Authority:
    """A throw-away CA certificate in a file, and a server context with a certificate of it for pcs.test."""

    ca_file: Path
    server: ssl.SSLContext


class Lab:
    """What a test starts; all of it ends with the test."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def vendor(self, handler: Handler, *, tls: ssl.SSLContext | None = None) -> Vendor:
        vendor = Vendor(handler)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", vendor.answer)
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        vendor.base = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
        return vendor

    async def raw(self, answer: bytes, *, hold: bool = False) -> str:
        """A TCP server that sends `answer` to every request and closes, or holds the line open; its base URL."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
                if hold:
                    await reader.read()
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._stack.push_async_callback(_end, server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def client(
        self,
        *urls: str,
        limits: ClientLimits = ClientLimits(),  # noqa: B008 - frozen
        ca_file: Path | None = None,
        resolver: AbstractResolver | None = None,
        private: tuple[str, ...] = ("127.0.0.1",),
    ) -> FetchClient:
        origins = [Origin.of(url, private_hosts=private) for url in urls]
        client = FetchClient(origins, limits, tls_context(ca_file), resolver=resolver)
        return await self._stack.enter_async_context(client)


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until `condition` holds; at most five seconds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event to set
            await asyncio.sleep(0.001)


async def _end(server: asyncio.Server) -> None:
    server.close()


@asynccontextmanager
async def open_lab() -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        yield Lab(stack)


def make_authority(folder: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PCCS of a test")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("pcs.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return Authority(folder / "ca.pem", server)
