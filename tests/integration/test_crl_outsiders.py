# SPDX-License-Identifier: Apache-2.0
"""Programs that know nothing of us read the CRLs of an issuing CA: each takes the certificates that are good and
refuses those that are revoked, with the list that a certificate names and, where it can, with those of all days.

Each test skips with one visible notice where its program is not installed.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca.issuance import crl, csr
from ca.issuance.crl import Revoked
from ca.issuance.reasons import RevocationReason
from tests.authority_lab import make_csr, make_lab, make_platform, make_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date
    from pathlib import Path

    from tests.authority_lab import Lab

HOST = "node1.example.org"
GOOD, REVOKED = ("tomorrow", "later"), ("tomorrow-revoked", "later-revoked")
DAY = timedelta(days=1)
CURLE_PEER_FAILED_VERIFICATION = 60


@dataclass(frozen=True)
class Pki:
    """PEM files, of now, for most of these programs know no other clock.

    root, issuing; each leaf alone, as `<leaf>-chain` with the issuing CA, and its `<leaf>.key`; the lists
    `of-tomorrow`, `of-later`, `of-all` days together with the root's, and `of-the-root`.
    """

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def joined(self, *names: str) -> str:
        """One file of several."""
        path = self.folder / "+".join(names)
        path.write_bytes(b"".join((self.folder / name).read_bytes() for name in names))
        return str(path)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder, now = tmp_path_factory.mktemp("pki"), datetime.now(UTC)
    lab = make_lab(now=now - DAY)
    ends: dict[str, datetime] = {"tomorrow": now + DAY, "later": now + 4 * DAY}
    leaves = {
        name: _leaf(lab, folder, name, ends[name.removesuffix("-revoked")], now)
        for name in GOOD + REVOKED
    }
    for name, certificate in {"root": lab.root, "issuing": lab.issuer.certificate}.items():
        (folder / name).write_bytes(certificate.public_bytes(Encoding.PEM))
    lists = {day: _list(lab, day, leaves, now) for day in crl.days(lab.issuer.certificate, now)}
    (folder / "of-tomorrow").write_bytes(lists[ends["tomorrow"].date()])
    (folder / "of-later").write_bytes(lists[ends["later"].date()])
    root = _pem(lab.root_crl(now - timedelta(hours=1)))
    (folder / "of-the-root").write_bytes(root)
    (folder / "of-all").write_bytes(b"".join(lists.values()) + root)
    return Pki(folder)


def _leaf(lab: Lab, folder: Path, name: str, end: datetime, now: datetime) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    request = make_request(
        key=csr.parse(make_csr(key)),
        names=(f"dns:{HOST}",),
        lifetime=end - now,
        platform=make_platform(certificates_expire=now + 30 * DAY),
        collateral_expires=now + 30 * DAY,
    )
    leaf = x509.load_der_x509_certificate(lab.issue(request, now).der)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.key").write_bytes(pem)
    (folder / name).write_bytes(leaf.public_bytes(Encoding.PEM))
    chain = (leaf, lab.issuer.certificate)
    (folder / f"{name}-chain").write_bytes(b"".join(e.public_bytes(Encoding.PEM) for e in chain))
    return leaf


def _list(lab: Lab, day: date, leaves: dict[str, x509.Certificate], now: datetime) -> bytes:
    """Of a day: what of it is revoked, and a hundred others."""
    noon = datetime.combine(day, clock(12), UTC)
    revoked = [
        Revoked(leaves[name].serial_number, now, RevocationReason.PRIVILEGE_WITHDRAWN)
        for name in REVOKED
        if leaves[name].not_valid_after_utc.date() == day
    ]
    others = [Revoked(n, now - DAY, RevocationReason.SUPERSEDED) for n in range(1, 101)]
    return _pem(lab.crl(*revoked, *others, not_after=noon, now=now - timedelta(hours=1)))


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed: it has not read our lists")
    return found


def run(*words: str) -> tuple[int, str]:
    """Exit code and all that was printed."""
    done = subprocess.run(  # noqa: S603 - programs that `need` found
        words,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout


# OpenSSL


def openssl(pki: Pki, leaf: str, lists: str, check: str = "-crl_check") -> str:
    code, text = run(
        need("openssl"), "verify", "-x509_strict", check, "-CAfile", pki.path("root"),
        "-untrusted", pki.path("issuing"), "-CRLfile", lists, pki.path(leaf),
    )  # fmt: skip
    assert (code == 0) == text.endswith(": OK\n"), text
    return "OK" if code == 0 else text


def test_openssl_with_the_list_that_the_certificate_names(pki: Pki) -> None:
    for day in ("tomorrow", "later"):
        own = pki.path(f"of-{day}")
        assert openssl(pki, day, own) == "OK"
        assert "certificate revoked" in openssl(pki, f"{day}-revoked", own)


def test_openssl_with_all_lists_together(pki: Pki) -> None:
    for check in ("-crl_check", "-crl_check_all"):
        for leaf in GOOD:
            assert openssl(pki, leaf, pki.path("of-all"), check) == "OK"
        for leaf in REVOKED:
            assert "certificate revoked" in openssl(pki, leaf, pki.path("of-all"), check)


def test_openssl_takes_no_list_of_another_day(pki: Pki) -> None:
    for leaf in ("tomorrow", "tomorrow-revoked"):
        assert "different CRL scope" in openssl(pki, leaf, pki.path("of-later"))


# GnuTLS


def test_certtool_with_the_list_that_the_certificate_names(pki: Pki) -> None:
    """That one alone: certtool keeps one list of each issuer, whichever it is for."""
    certtool = need("certtool")
    for day in ("tomorrow", "later"):
        own = pki.joined(f"of-{day}", "of-the-root")
        for leaf, verdict in ((day, "Verified"), (f"{day}-revoked", "chain is revoked")):
            _, text = run(
                certtool, "--verify", "--load-ca-certificate", pki.path("root"), "--load-crl", own,
                "--infile", pki.path(f"{leaf}-chain"),
            )  # fmt: skip
            assert verdict in text.rpartition("Chain verification output: ")[2], text


def test_certtool_verifies_the_lists(pki: Pki) -> None:
    certtool = need("certtool")
    for lists, issuer in (("of-tomorrow", "issuing"), ("of-the-root", "root")):
        _, text = run(
            certtool, "--verify-crl", "--load-ca-certificate", pki.path(issuer), "--infile", pki.path(lists)
        )  # fmt: skip
        assert "Verification output: Verified." in text


def test_gnutls_client_of_a_server(pki: Pki) -> None:
    """Likewise one list of each issuer; and it verifies lists with the authorities that it was given alone."""
    program, authorities = need("gnutls-cli"), pki.joined("root", "issuing")
    for leaf in GOOD + REVOKED:
        own = pki.joined(f"of-{leaf.removesuffix('-revoked')}", "of-the-root")
        with serving(pki, leaf) as port:
            code, text = run(
                program, "--x509cafile", authorities, "--x509crlfile", own, "--sni-hostname", HOST,
                "--verify-hostname", HOST, "--port", str(port), "127.0.0.1",
            )  # fmt: skip
        assert (code == 0) == (leaf in GOOD), text
        assert ("certificate chain is revoked" in text) == (leaf in REVOKED), text


# curl


@pytest.mark.parametrize("lists", ["own", "all"])
def test_curl_as_client_of_a_server(pki: Pki, lists: str) -> None:
    curl = need("curl")
    for leaf in GOOD + REVOKED:
        day = leaf.removesuffix("-revoked")
        file = pki.path("of-all") if lists == "all" else pki.joined(f"of-{day}", "of-the-root")
        with serving(pki, leaf) as port:
            code, text = run(
                curl, "--silent", "--show-error", "--cacert", pki.path("root"), "--crlfile", file,
                "--resolve", f"{HOST}:{port}:127.0.0.1", f"https://{HOST}:{port}/",
            )  # fmt: skip
        if leaf in GOOD:
            assert (code, text) == (0, "hello")
        else:
            assert code == CURLE_PEER_FAILED_VERIFICATION, text
            assert "revoked" in text


# Python


@pytest.mark.parametrize("side", ["client", "server"])
def test_python_on_both_sides(pki: Pki, side: str) -> None:
    """Whoever checks has all lists; whoever is checked shows the leaf."""
    for leaf in GOOD + REVOKED:
        if side == "client":
            server = _context(pki, ssl.PROTOCOL_TLS_SERVER, leaf)
            client = _checking(_context(pki, ssl.PROTOCOL_TLS_CLIENT, "tomorrow"), pki)
        else:
            server = _checking(_context(pki, ssl.PROTOCOL_TLS_SERVER, "tomorrow"), pki)
            client = _context(pki, ssl.PROTOCOL_TLS_CLIENT, leaf)
        assert handshake(server, client, HOST) == ("" if leaf in GOOD else "certificate revoked")


def _context(pki: Pki, protocol: int, leaf: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.load_verify_locations(pki.path("root"))
    context.load_cert_chain(pki.path(f"{leaf}-chain"), pki.path(f"{leaf}.key"))
    return context


def _checking(context: ssl.SSLContext, pki: Pki) -> ssl.SSLContext:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pki.path("of-all"))
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    return context


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    """In memory. What one of the two had against the other's certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (ours, theirs):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
    assert ours.cipher() is not None
    return ""


# nginx


def test_nginx_as_server_of_clients(pki: Pki, tmp_path: Path) -> None:
    with nginx(pki, tmp_path) as place:
        for leaf in GOOD + REVOKED:
            context = _context(pki, ssl.PROTOCOL_TLS_CLIENT, leaf)
            status, body = answer_of(place, context, HOST)
            if leaf in GOOD:
                assert (status, body) == (200, b"hello")
            else:
                assert status == 400
                assert b"The SSL certificate error" in body


def answer_of(place: Path, context: ssl.SSLContext, name: str) -> tuple[int, bytes]:
    """Status and body of what the server at a socket in the file system answers."""
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(str(place))
        with context.wrap_socket(plain, server_hostname=name) as connection:
            connection.sendall(f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n".encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, answer.read()


def nginx(pki: Pki, folder: Path) -> contextlib.AbstractContextManager[Path]:
    """With all lists."""
    server = f"""server {{
        listen unix:{folder}/nginx.sock ssl;
        ssl_certificate {pki.path("tomorrow-chain")};
        ssl_certificate_key {pki.path("tomorrow.key")};
        ssl_verify_client on;
        ssl_verify_depth 2;
        ssl_client_certificate {pki.path("root")};
        ssl_crl {pki.path("of-all")};
        location / {{ return 200 hello; }}
    }}"""
    return nginx_with(server, folder)


@contextlib.contextmanager
def nginx_with(server: str, folder: Path) -> Iterator[Path]:
    """A server block that listens on `nginx.sock` of the folder, which is the result; ends with the block."""
    place, configuration, errors = (folder / name for name in ("nginx.sock", "conf", "errors"))
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration.write_text(
        f"daemon off; master_process off; pid {folder}/pid; events {{}}\n"
        f"http {{ access_log off;\n{temporary}{server}\n}}\n",
        encoding="ascii",
    )
    words = [need("nginx"), "-p", str(folder), "-c", str(configuration), "-e", str(errors)]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)  # noqa: S603 - found by `need`
    try:
        _wait(place.exists, process)
        yield place
    finally:
        process.terminate()
        process.wait(30)


def _wait(done: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not done():
        assert process.poll() is None, "it ended"
        time.sleep(0.02)


# Java

JAVA = """
import java.io.*; import java.nio.file.*; import java.security.cert.*; import java.util.*;

public class Check {
    public static void main(String[] arguments) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        X509Certificate root = read(factory, arguments[0]), issuing = read(factory, arguments[1]);
        Collection<? extends CRL> lists;
        try (InputStream in = Files.newInputStream(Path.of(arguments[2]))) { lists = factory.generateCRLs(in); }
        for (String file : Arrays.asList(arguments).subList(3, arguments.length)) {
            PKIXParameters wanted = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
            wanted.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(lists)));
            CertPathValidator validator = CertPathValidator.getInstance("PKIX");
            PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
            checker.setOptions(EnumSet.of(
                PKIXRevocationChecker.Option.PREFER_CRLS, PKIXRevocationChecker.Option.NO_FALLBACK));
            wanted.addCertPathChecker(checker);
            String verdict = "OK";
            try {
                validator.validate(factory.generateCertPath(List.of(read(factory, file), issuing)), wanted);
            } catch (CertPathValidatorException refused) {
                verdict = refused.getReason().toString();
                if (refused.getCause() instanceof CertificateRevokedException cause)
                    verdict += " " + cause.getRevocationReason();
            }
            System.out.println(verdict);
        }
    }

    static X509Certificate read(CertificateFactory factory, String file) throws Exception {
        try (InputStream in = Files.newInputStream(Path.of(file))) {
            return (X509Certificate) factory.generateCertificate(in);
        }
    }
}
"""


def test_java_validates_paths(pki: Pki, tmp_path: Path) -> None:
    need("javac")  # which `java` needs for a source file
    source = tmp_path / "Check.java"
    source.write_text(JAVA, encoding="ascii")
    leaves = [pki.path(leaf) for leaf in GOOD + REVOKED]

    def verdicts(lists: str) -> list[str]:
        code, text = run(need("java"), str(source), pki.path("root"), pki.path("issuing"), lists, *leaves)  # fmt: skip
        assert code == 0, text
        return text.splitlines()

    revoked = "REVOKED PRIVILEGE_WITHDRAWN"
    assert verdicts(pki.path("of-all")) == ["OK", "OK", revoked, revoked]
    unknown = "UNDETERMINED_REVOCATION_STATUS"
    own = pki.joined("of-tomorrow", "of-the-root")
    assert verdicts(own) == ["OK", unknown, revoked, unknown], "another day's list is no answer"


# a server with one of the leaves


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        pass


class Quiet(http.server.ThreadingHTTPServer):
    """Handshakes in the thread of the connection; who hangs up is nobody's fault here."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Hello)
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    def handle_error(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(pki: Pki, leaf: str) -> Iterator[int]:
    """The port of a server that shows the leaf."""
    with Quiet(_context(pki, ssl.PROTOCOL_TLS_SERVER, leaf)) as server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.02))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
