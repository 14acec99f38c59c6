# SPDX-License-Identifier: Apache-2.0
"""An authority for the client's tests: a real HTTPS server on loopback with a throw-away CA, by the wire contract.

Left alone it is honest: it demands the binding, a nonce of its own that was not used, and proof of possession, and
repeats its answer for the same bytes. `script` puts any other answer in front. It verifies no vendor signature.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import ipaddress
import json
import secrets
import ssl
import tempfile
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from attestca_client import protocol
from attestca_client.wire import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

QUOTE_PREFIX = b"a quote over "
DEVICE = "nvidia-device"
LOGS = ("ccel", "ima-log")  # which are in no binding
REQUEST = bytes.fromhex("11e001ff")  # how a device's report begins, before the nonce
HOUR = timedelta(hours=1)


def fake_quote(report_data: bytes) -> list[Evidence]:
    """The quote source of these tests."""
    return [Evidence("tdx-quote", QUOTE_PREFIX + report_data)]


def fake_devices(count: int) -> Callable[[bytes], list[Evidence]]:
    """A source of `count` devices, no two alike."""

    def source(nonce: bytes) -> list[Evidence]:
        reports = [REQUEST + nonce + b"device %d" % index for index in range(count)]
        return [Evidence(DEVICE, protocol.frame(report, b"its chain")) for report in reports]

    return source


def spki_of(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def of_no_version(certificate: x509.Certificate) -> str:
    """The same as version 5, which there is not: readers raise an exception of its own for it."""
    data = certificate.public_bytes(Encoding.DER)
    three, five = (b"\xa0\x03\x02\x01" + bytes([number]) for number in (2, 4))
    return ssl.DER_cert_to_PEM_cert(data.replace(three, five, 1))


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class Pki:
    """A root, an issuing CA (pathlen 0), and what they sign. All times are around the real clock's: TLS uses it."""

    title: str = "test"
    root_key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP384R1())
    )
    issuer_key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def __post_init__(self) -> None:
        self.root_name = name(f"{self.title} root")
        self.issuer_name = name(f"{self.title} issuing CA")
        self.root = self.ca(self.root_name, self.root_key, self.root_name, self.root_key, None)
        self.issuer = self.ca(self.issuer_name, self.issuer_key, self.root_name, self.root_key, 0)

    def ca(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Name,
        issuer_key: ec.EllipticCurvePrivateKey,
        path_length: int | None,
        *,
        ca: bool = True,
        lifetime: timedelta = timedelta(days=300),
    ) -> x509.Certificate:
        """A CA certificate, or with `ca` False one that only looks like it."""
        usage = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = self._builder(key.public_key(), issuer, issuer_key, lifetime)
        builder = (
            builder.subject_name(subject)
            .add_extension(x509.BasicConstraints(ca, path_length if ca else None), critical=True)
            .add_extension(x509.KeyUsage(key_cert_sign=ca, crl_sign=ca, **usage), critical=True)
        )
        return builder.sign(issuer_key, hashes.SHA256())

    def leaf(
        self,
        key: CertificatePublicKeyTypes,
        *,
        lifetime: timedelta = 24 * HOUR,
        start: datetime | None = None,
        names: tuple[x509.GeneralName, ...] = (x509.DNSName("cvm.example"),),
        extra: tuple[x509.ExtensionType, ...] = (),
    ) -> x509.Certificate:
        """An end entity's certificate, signed by the issuing CA."""
        builder = self._builder(key, self.issuer_name, self.issuer_key, lifetime, start)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = (
            builder.subject_name(x509.Name([]))
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        for extension in extra:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.issuer_key, hashes.SHA256())

    def _builder(
        self,
        key: CertificatePublicKeyTypes,
        issuer: x509.Name,
        issuer_key: ec.EllipticCurvePrivateKey,
        lifetime: timedelta,
        start: datetime | None = None,
    ) -> x509.CertificateBuilder:
        start = start or datetime.now(UTC) - HOUR
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        return (
            x509.CertificateBuilder()
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + lifetime)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(authority_key, critical=False)
        )


@dataclass
class Reply:
    """One HTTP answer. `length`: a Content-Length that may lie."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None

    @classmethod
    def json(cls, status: int, value: object, **headers: str) -> Reply:
        named = {key.replace("_", "-"): text for key, text in headers.items()}
        return cls(status, json.dumps(value).encode(), named)


def problem(status: int, code: str, detail: str = "", **more: object) -> Reply:
    """An RFC 9457 problem document."""
    body = {"type": "about:blank", "title": "t", "status": status, "code": code, "detail": detail}
    reply = Reply.json(status, body | more)
    reply.headers["Content-Type"] = "application/problem+json"
    return reply


@dataclass
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client_certificate: bytes | None
    session_reused: bool

    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


@dataclass
class FakeAuthority:
    pki: Pki = field(default_factory=Pki)
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    scripts: dict[str, list[Reply | Callable[[Seen], Reply | None]]] = field(default_factory=dict)
    nonces: set[bytes] = field(default_factory=set)
    answered: dict[bytes, Reply] = field(default_factory=dict)
    issued: list[x509.Certificate] = field(default_factory=list)
    lifetime: timedelta = 24 * HOUR
    start: datetime | None = None

    @property
    def root_pem(self) -> bytes:
        return pem(self.pki.root).encode()

    @property
    def ca_id(self) -> bytes:
        return hashlib.sha256(spki_of(self.pki.root.public_key())).digest()

    def script(self, method: str, *answers: Reply | Callable[[Seen], Reply | None]) -> None:
        """Give these answers to the next requests of `method`; a callable may return None to drop the line."""
        self.scripts.setdefault(method, []).extend(answers)

    def posts(self) -> list[Seen]:
        return [request for request in self.seen if request.method == "POST"]

    def reply(self, request: Seen) -> Reply | None:
        self.seen.append(request)
        if waiting := self.scripts.get(request.method):
            answer = waiting.pop(0)
            return answer if isinstance(answer, Reply) else answer(request)
        if (request.method, request.path) == ("GET", "/v1/nonce"):
            return self.nonce()
        if (request.method, request.path) == ("POST", "/v1/enrollments"):
            return self.enrollment(request)
        return problem(404, "not-found")

    def nonce(self, **changes: object) -> Reply:
        nonce = secrets.token_bytes(48)
        self.nonces.add(nonce)
        answer = {
            "nonce": base64.b64encode(nonce).decode(),
            "expires_at": f"{datetime.now(UTC) + timedelta(seconds=120):%Y-%m-%dT%H:%M:%SZ}",
            "ca_id": self.ca_id.hex(),
        }
        return Reply.json(200, answer | changes)

    def enrollment(self, request: Seen) -> Reply:
        if request.body in self.answered:
            first = self.answered[request.body]
            return Reply(200, first.body, first.headers)
        body = request.json()
        nonce = base64.b64decode(body["nonce"], validate=True)
        if nonce not in self.nonces:
            return problem(409, "nonce-used", "this nonce was answered before")
        self.nonces.discard(nonce)
        csr = x509.load_der_x509_csr(base64.b64decode(body["csr"], validate=True))
        if not csr.is_signature_valid:
            return problem(400, "csr-signature")
        if (refusal := self.refusal(body, nonce, csr)) is not None:
            return refusal
        key = csr.public_key()
        reply = self.certificate(self.pki.leaf(key, lifetime=self.lifetime, start=self.start))
        self.answered[request.body] = reply
        return reply

    def refusal(
        self, body: dict[str, Any], nonce: bytes, csr: x509.CertificateSigningRequest
    ) -> Reply | None:
        pieces = [
            Evidence(one["kind"], base64.b64decode(one["data"], validate=True))
            for one in body["evidence"]
        ]
        devices = [piece for piece in pieces if piece.kind == DEVICE]
        spki_der = spki_of(csr.public_key())
        expected = protocol.binding(
            ca_id=self.ca_id,
            profile=body["profile"],
            nonce=nonce,
            spki_der=spki_der,
            attachments=[protocol.attachment(device.kind, device.data) for device in devices],
        )
        (quote,) = (piece for piece in pieces if piece.kind not in {DEVICE, *LOGS})
        if quote != Evidence("tdx-quote", QUOTE_PREFIX + expected):
            return problem(422, "binding-mismatch", "report_data is not the binding")
        device_nonce = protocol.gpu_nonce(
            ca_id=self.ca_id, profile=body["profile"], nonce=nonce, spki_der=spki_der
        )
        if any(device.data[4:40] != REQUEST + device_nonce for device in devices):
            return problem(422, "binding-mismatch", "a device answers another nonce")
        return None

    def certificate(
        self, leaf: x509.Certificate, chain: list[x509.Certificate] | None = None, **changes: object
    ) -> Reply:
        self.issued.append(leaf)
        answer = {
            "serial": f"{leaf.serial_number:x}",
            "certificate": pem(leaf),
            "chain": [pem(c) for c in chain or [self.pki.issuer, self.pki.root]],
            "not_before": f"{leaf.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
            "not_after": f"{leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
            "policy": {"name": "demo", "version": 3, "sha256": "00" * 32},
            "assurance": "simulated",
        }
        return Reply.json(201, answer | changes)


def csr_key(request: Seen) -> CertificatePublicKeyTypes:
    """The public key that a request asks to certify."""
    csr = x509.load_der_x509_csr(base64.b64decode(request.json()["csr"]))
    return csr.public_key()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        tls = isinstance(self.connection, ssl.SSLSocket)
        reply = self.server.authority.reply(
            Seen(
                self.command,
                self.path,
                dict(self.headers),
                body,
                self.connection.getpeercert(binary_form=True) if tls else None,
                bool(self.connection.session_reused) if tls else False,
            )
        )
        self.close_connection = True
        if reply is None:
            return
        self.send_response(reply.status)
        length = len(reply.body) if reply.length is None else reply.length
        for key, value in ({"Content-Length": str(length)} | reply.headers).items():
            self.send_header(key, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may have seen enough
            self.wfile.write(reply.body)

    def log_message(self, *_args: object) -> None:
        """Quiet."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, authority: FakeAuthority, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.authority = authority
        self.context = context

    # As typeshed has it: a socket, or for datagrams something else.
    def finish_request(self, request: Any, client_address: object) -> None:  # noqa: ANN401 - a value of any type is what it takes
        if self.context is None:
            super().finish_request(request, client_address)
            return
        # In the request's own thread, so that a bad handshake stops nobody.
        with self.context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, *_args: object) -> None:
        """A client that breaks off is what many of these tests are about."""


def server_context(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.TemporaryDirectory() as folder:  # ssl loads from files only
        file = Path(folder, "server.pem")
        file.write_bytes(private + (pem(certificate) + pem(issuer)).encode())
        context.load_cert_chain(file)
    return context


@contextlib.contextmanager
def serve(
    authority: FakeAuthority,
    *,
    tls: bool = True,
    names: tuple[x509.GeneralName, ...] | None = None,
    extra: tuple[x509.ExtensionType, ...] = (),
    context: ssl.SSLContext | None = None,
) -> Iterator[FakeAuthority]:
    """Run it; its address is `authority.url`. `names`, `extra`: of its TLS certificate, unless `context` has one."""
    if tls and context is None:
        key = ec.generate_private_key(ec.SECP256R1())
        loopback = (x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost"))
        certificate = authority.pki.leaf(key.public_key(), names=names or loopback, extra=extra)
        context = server_context(certificate, key, authority.pki.issuer)
    server = _Server(authority, context)
    authority.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield authority
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
