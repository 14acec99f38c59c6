# SPDX-License-Identifier: Apache-2.0
"""Who meets whom in the tests of docs/relying-parties.md: machines of the running authority and a stranger, the lists
before and after one machine's certificate was revoked, servers on sockets of their own, and a client that knocks.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from attestca_client.protocol import DEFAULT_OID_ARC, OID_POLICY_PINNED, OID_POLICY_SIMULATED
from ca.issuance import crl, csr
from ca.issuance.request import Assurance
from tests.authority_lab import make_csr, make_lab, make_platform, make_request
from tests.docs.documents import TOP, blocks
from tests.docs.sessions import on
from tests.integration.test_crl_outsiders import Quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.stage import Stage
    from tests.docs.sessions import Session

BLOCKS = blocks(TOP / "docs" / "relying-parties.md")
HOST = "demo.example.org"  # what the policy of the stage grants
SIMULATED = f"{DEFAULT_OID_ARC}.{OID_POLICY_SIMULATED}"
PINNED = f"{DEFAULT_OID_ARC}.{OID_POLICY_PINNED}"
EXTENSIONS = {
    SIMULATED: "0603551d200410300e300c060a2b0601040181fd590209",
    PINNED: "0603551d200410300e300c060a2b0601040181fd590202",
}
SCOPES = ("--scope", "revocations:read", "--scope", "revocations:write", "--expires", "1h")
PATIENCE = 30.0  # seconds; a hang is a failure and no measurement

Place = Path | int  # a socket in the file system, or a port


@dataclass(frozen=True)
class Scene:
    """Folders as attestca-client writes them, in one with `root.pem` and the lists."""

    folder: Path
    good: Path
    revoked: Path
    stranger: Path  # another authority's: the same name, the same level
    before: Path
    after: Path

    @property
    def root(self) -> str:
        return str(self.folder / "root.pem")

    @property
    def cases(self) -> list[tuple[Path, Path, str, bool]]:
        """Who comes, which lists are known, which level is asked for, and whether that is taken."""
        return [
            (self.good, self.after, SIMULATED, True),
            (self.revoked, self.before, SIMULATED, True),
            (self.revoked, self.after, SIMULATED, False),
            (self.stranger, self.after, SIMULATED, False),
            (self.good, self.after, PINNED, False),
        ]


def block(word: str) -> str:
    """The one block of the document that has this in it."""
    (found,) = [one.text for one in BLOCKS if word in one.text]
    return found


def make_scene(stage: Stage, folder: Path) -> Scene:
    session = on(stage, "stage", folder)
    machines = (folder / "one", folder / "two")
    for machine in machines:
        done = stage.enroll(machine)
        assert done.returncode == 0, done.stderr
    for name in ("cert.pem", "chain.pem"):
        shutil.copy(machines[0] / name, folder)
    before = _fetch(session, "before.pem")
    serial = f"{certificate(machines[1]).serial_number:x}"
    token = stage.attestca("token", "create", "duty", *SCOPES, "--config", str(stage.config))
    revoke = ["-m", "ca", "revoke", "certificate", serial, "--reason", "keyCompromise"]
    done = stage.run([*revoke, "--url", stage.admin_url], ATTESTCA_TOKEN=token.split()[-1])
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + PATIENCE
    while not _lists(after := _fetch(session, "after.pem"), machines[1]):
        assert time.monotonic() < deadline, "it is revoked and on no list"
    return Scene(folder, *machines, _stranger(folder / "stranger"), before, after)


def _fetch(session: Session, name: str) -> Path:
    """The commands that fetch the lists, without those that use them."""
    (shown,) = [one for one in BLOCKS if "mv lists.new lists.pem" in one.text]
    text = shown.text.partition("\nopenssl verify")[0] + "\n"
    session.run([replace(shown, text=text)])
    return (session.folder / "lists.pem").rename(session.folder / name)


def crls(file: Path) -> list[x509.CertificateRevocationList]:
    parts = file.read_bytes().split(b"-----END X509 CRL-----\n")
    return [x509.load_pem_x509_crl(part + b"-----END X509 CRL-----\n") for part in parts[:-1]]


def _lists(file: Path, machine: Path) -> bool:
    serial, lists = certificate(machine).serial_number, crls(file)
    issuing = x509.load_pem_x509_certificates((machine / "chain.pem").read_bytes())[0]
    days = crl.days(issuing, max(one.last_update_utc for one in lists))
    assert len(lists) == 1 + len(days), "the root's, and those of all days"
    return any(one.get_revoked_certificate_by_serial_number(serial) for one in lists)


def certificate(machine: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((machine / "cert.pem").read_bytes())


def _stranger(folder: Path) -> Path:
    """A machine of an authority that nobody here has heard of."""
    now, key = datetime.now(UTC), ec.generate_private_key(ec.SECP256R1())
    lab = make_lab(Assurance.SIMULATED, now=now - timedelta(days=1))
    later = now + timedelta(days=30)
    request = make_request(
        lab,
        key=csr.parse(make_csr(key)),
        names=(f"dns:{HOST}",),
        platform=make_platform(certificates_expire=later),
        collateral_expires=later,
    )
    leaf = lab.issue(request, now).der
    pem = x509.load_der_x509_certificate(leaf).public_bytes(Encoding.PEM)
    issuing = lab.issuer.certificate.public_bytes(Encoding.PEM)
    folder.mkdir()
    for name, text in {
        "cert.pem": pem,
        "chain.pem": issuing + lab.root.public_bytes(Encoding.PEM),
        "fullchain.pem": pem + issuing,
        "key.pem": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }.items():
        (folder / name).write_bytes(text)
    return folder


# a client


def client(scene: Scene, machine: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=scene.root)
    context.load_cert_chain(machine / "fullchain.pem", machine / "key.pem")
    return context


def answer(
    place: Place, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[str, ssl.SSLSession | None, bool]:
    """What a server says, nothing if it refuses; the session that it offers, and whether it took the one given."""
    family = socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET
    with socket.socket(family) as plain:
        plain.settimeout(PATIENCE)
        plain.connect(str(place) if isinstance(place, Path) else ("127.0.0.1", place))
        try:
            with context.wrap_socket(plain, server_hostname=HOST, session=session) as connection:
                connection.sendall(f"GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
                said = b""
                while data := connection.recv(1 << 16):
                    said += data
                return said.decode(), connection.session, bool(connection.session_reused)
        except (ssl.SSLError, ConnectionError):
            return "", None, False


def resumes(place: Place, context: ssl.SSLContext) -> bool:
    """Whether a server takes a client of before without a look at its certificate."""
    said, session, _ = answer(place, context)
    assert said
    return session is not None and answer(place, context, session)[2]


# servers


@contextlib.contextmanager
def running(*words: str, socket_at: Path | None = None) -> Iterator[Place]:
    """A program that listens at `socket_at`, or says its port at the end of its first line; ends with the block."""
    process = subprocess.Popen(  # noqa: S603 - our own documents' programs
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )  # fmt: skip
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        if socket_at is None:
            yield int(process.stdout.readline().rpartition(":")[2])
        else:
            while not socket_at.exists():
                assert process.poll() is None, "it ended"
                time.sleep(0.02)
            yield socket_at
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


class _Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        said = self.headers.get("X-Client-Certificate", "").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def _serving(server: http.server.ThreadingHTTPServer) -> Iterator[int]:
    with server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.02))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def application() -> contextlib.AbstractContextManager[int]:
    """The port of an application that says what the proxy before it hands on of the client."""
    return _serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Echo))


def https(machine: Path) -> contextlib.AbstractContextManager[int]:
    """The port of a server that shows a machine's certificate and answers hello."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(machine / "fullchain.pem", machine / "key.pem")
    return _serving(Quiet(context))
