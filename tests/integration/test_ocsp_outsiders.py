# SPDX-License-Identifier: Apache-2.0
"""Programs that know nothing of us ask for the status of certificates: each takes the one that is good and refuses
the one that is revoked.

The service is a running one; the address in its certificates leads nowhere here, so every program is told another.
Each test skips with one visible notice where its program is not installed.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp as library
from pkilint import loader, pkix, validation
from pkilint.pkix import extension, name
from pkilint.pkix import ocsp as pkilint_ocsp

from attestca_client.protocol import certificate_handle
from ca.http import public_application
from ca.issuance.reasons import RevocationReason
from tests import ocsp_lab, records
from tests.docs.documents import TOP, blocks
from tests.service_lab import leaf_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.app_lab import App


RELYING = TOP / "docs" / "relying-parties.md"
CURLE_SSL_INVALIDCERTSTATUS = 91


@dataclass(frozen=True)
class Scene:
    """A service, and files of PEM: root, issuing, chain; good and revoked with their keys."""

    app: App
    url: str
    folder: Path
    good: x509.Certificate
    revoked: x509.Certificate
    issuing: x509.Certificate

    def path(self, name: str) -> str:
        return str(self.folder / name)


@pytest.fixture
async def scene(app: App, tmp_path: Path) -> Scene:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    good, revoked = [leaf_of(await app.enroll(key=key)) for key in keys]
    issuing = app.service.keys.current(app.clock()).certificate
    issuer_key_id = app.service.authority.issuing().issuer.key_id
    await app.service.store.revoke(
        records.revocation(
            certificate_handle(issuer_key_id, revoked.serial_number),
            revoked_at=app.clock(),
            reason=RevocationReason.KEY_COMPROMISE,
        ),
        records.ACTION,
    )
    root = app.service.keys.root
    for label, certificates in {
        "root": (root,),
        "issuing": (issuing,),
        "chain": (issuing, root),
        "good": (good,),
        "revoked": (revoked,),
    }.items():
        pem = b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
        (tmp_path / label).write_bytes(pem)
    for label, key in zip(("good.key", "revoked.key"), keys, strict=True):
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / label).write_bytes(pem)
    base = await app._listen(public_application(app.doors), None)
    return Scene(app, f"{base}/v1/ocsp", tmp_path, good, revoked, issuing)


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed: it has asked nothing about our certificates")
    return found


async def run(*words: str) -> tuple[int, str]:
    """Exit code and all that was printed."""
    done = await asyncio.to_thread(
        subprocess.run, words, check=False, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


# OpenSSL


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384"])
@pytest.mark.parametrize("nonce", ["-nonce", "-no_nonce"])
async def test_openssl_asks_about_both_in_one_request(
    scene: Scene, algorithm: str, nonce: str
) -> None:
    code, text = await run(
        need("openssl"), "ocsp", f"-{algorithm}", "-issuer", scene.path("issuing"),
        "-cert", scene.path("good"), f"-{algorithm}", "-cert", scene.path("revoked"),
        "-url", scene.url, nonce, "-CAfile", scene.path("root"), "-verify_other", scene.path("issuing"),
    )  # fmt: skip
    assert code == 0, text
    assert "Response verify OK" in text
    assert f"{scene.path('good')}: good" in text
    assert f"{scene.path('revoked')}: revoked" in text
    assert "Reason: keyCompromise" in text
    assert "WARNING" not in text  # of a nonce that did not come back


async def test_openssl_asks_over_tls(scene: Scene) -> None:
    url = f"{scene.app.public}/v1/ocsp"
    code, text = await run(
        need("openssl"), "ocsp", "-issuer", scene.path("issuing"), "-cert", scene.path("good"),
        "-url", url, "-CAfile", scene.path("root"), "-verify_other", scene.path("issuing"),
    )  # fmt: skip
    assert code == 0, text
    assert "Response verify OK" in text
    assert f"{scene.path('good')}: good" in text


async def test_openssl_asks_about_a_certificate_that_was_never_issued(scene: Scene) -> None:
    code, text = await run(
        need("openssl"), "ocsp", "-issuer", scene.path("issuing"), "-serial", "0x4711",
        "-url", scene.url, "-CAfile", scene.path("root"), "-verify_other", scene.path("issuing"),
    )  # fmt: skip
    assert code == 0, text
    assert "0x4711: unknown" in text


async def test_openssl_asks_about_the_issuing_ca_itself(scene: Scene) -> None:
    _, text = await run(
        need("openssl"), "ocsp", "-issuer", scene.path("root"), "-cert", scene.path("issuing"),
        "-url", scene.url, "-CAfile", scene.path("root"),
    )  # fmt: skip
    assert "Responder Error: unauthorized (6)" in text


# GnuTLS


@pytest.mark.parametrize(("subject", "status"), [("good", "good"), ("revoked", "revoked")])
async def test_gnutls_asks(scene: Scene, subject: str, status: str) -> None:
    code, text = await run(
        need("ocsptool"), f"--ask={scene.url}", "--nonce", "--load-cert", scene.path(subject),
        "--load-issuer", scene.path("issuing"), "--load-trust", scene.path("chain"),
    )  # fmt: skip
    assert code == 0, text
    assert "Verifying OCSP Response: Success" in text  # and the nonce came back
    assert f"Certificate Status: {status}" in text


# Java


@pytest.mark.parametrize(
    ("subject", "nonce", "expected", "said"),
    [
        ("good", "false", 0, ""),
        ("good", "true", 0, ""),
        ("revoked", "false", 1, "REVOKED: Certificate has been revoked, reason: KEY_COMPROMISE"),
    ],
)
async def test_java_asks_as_the_document_shows(
    scene: Scene, subject: str, nonce: str, expected: int, said: str
) -> None:
    need("javac")  # which `java` needs for a source file
    java = need("java")
    (program,) = (block for block in blocks(RELYING) if "class Status" in block.text)
    (scene.folder / "Status.java").write_text(program.text, encoding="utf-8")
    files = [scene.path(each) for each in ("Status.java", "root", "issuing", subject)]
    code, text = await run(java, f"-Djdk.security.certpath.ocspNonce={nonce}", *files, scene.url)
    assert (code, text.partition(", revocation date")[0].strip()) == (expected, said), text


# TLS servers that hand on what is said of them


@asynccontextmanager
async def openssl_server(scene: Scene, subject: str) -> AsyncIterator[Sequence[str]]:
    """OpenSSL's server with the certificate `subject` and the answer about it; how curl finds it."""
    server = await asyncio.create_subprocess_exec(
        need("openssl"), "s_server", "-accept", "127.0.0.1:0", "-www", "-status_file", scene.path("answer"),
        "-cert", scene.path(subject), "-key", scene.path(f"{subject}.key"), "-cert_chain", scene.path("issuing"),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert server.stdout is not None
    try:
        async with asyncio.timeout(30):
            while not (accepts := re.match(rb"ACCEPT .*:(\d+)", await server.stdout.readline())):
                pass
        yield "--connect-to", f"::127.0.0.1:{accepts.group(1).decode()}"
    finally:
        server.kill()
        await server.wait()


@asynccontextmanager
async def nginx(scene: Scene, subject: str) -> AsyncIterator[Sequence[str]]:
    """The same of nginx, as the document shows."""
    folder, place = scene.folder, scene.folder / "nginx.sock"
    (folder / "full").write_bytes(b"".join((folder / n).read_bytes() for n in (subject, "issuing")))
    temporary = "".join(
        f"{each}_temp_path {folder}/{each};"
        for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; events {{}}\n"
        f"http {{ access_log off; {temporary} server {{ listen unix:{place} ssl;\n"
        f"ssl_certificate {folder}/full; ssl_certificate_key {folder}/{subject}.key;\n"
        f"ssl_stapling on; ssl_stapling_file {folder}/answer; location / {{ return 200; }} }} }}\n",
        encoding="ascii",
    )
    server = await asyncio.create_subprocess_exec(
        need("nginx"), "-p", str(folder), "-c", f"{folder}/conf", "-e", f"{folder}/errors"
    )
    try:
        async with asyncio.timeout(30):
            while not place.exists():
                assert server.returncode is None, (folder / "errors").read_text()
                await asyncio.sleep(0.02)
        yield "--unix-socket", str(place)
    finally:
        server.terminate()
        await server.wait()


@pytest.mark.parametrize("serving", [openssl_server, nginx])
async def test_curl_takes_what_a_server_staples(
    scene: Scene,
    serving: Callable[[Scene, str], AbstractAsyncContextManager[Sequence[str]]],
) -> None:
    curl, openssl = need("curl"), need("openssl")
    names = scene.good.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (host,) = names.get_values_for_type(x509.DNSName)
    for subject, expected in (("good", 0), ("revoked", CURLE_SSL_INVALIDCERTSTATUS)):
        code, text = await run(
            openssl, "ocsp", "-issuer", scene.path("issuing"), "-cert", scene.path(subject),
            "-url", scene.url, "-no_nonce", "-noverify", "-respout", scene.path("answer"),
        )  # fmt: skip
        assert code == 0, text
        async with serving(scene, subject) as found:
            code, text = await run(
                curl, "--silent", "--show-error", "--cert-status", "--cacert", scene.path("root"),
                *found, f"https://{host}/",
            )  # fmt: skip
        assert code == expected, text
        assert ("revocation reason: keyCompromise" in text) == (subject == "revoked")


# linters and parsers

VALIDATOR = pkilint_ocsp.create_pkix_ocsp_response_validator_container(
    [
        pkilint_ocsp.create_response_decoder(),
        pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
        pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
    ],
    [],
)


def findings(der: bytes) -> list[str]:
    document = loader.RFC6960OCSPResponseDocumentLoader().load_document(der, "answer")
    return [
        f"{each.finding.code} {each.message}"
        for result in VALIDATOR.validate(document.root)
        for each in result.finding_descriptions
        if each.finding.severity <= validation.ValidationFindingSeverity.INFO
    ]


async def ask(scene: Scene, der: bytes) -> bytes:
    reply = await scene.app.send(
        "POST", scene.url, data=der, headers={"Content-Type": "application/ocsp-request"}
    )
    assert reply.status == 200
    return reply.body


@pytest.mark.parametrize("algorithm", ocsp_lab.HASHES)
async def test_pkilint_finds_nothing(scene: Scene, algorithm: str) -> None:
    serials = (scene.good.serial_number, scene.revoked.serial_number, 5)
    ids = [ocsp_lab.cert_id(scene.issuing, serial, algorithm) for serial in serials]
    for asked in (ids, ids[:1]):
        der = await ask(scene, ocsp_lab.request(*asked, extensions=[ocsp_lab.nonce(bytes(32))]))
        assert findings(der) == []
    for der in (await ask(scene, b""), await ask(scene, ocsp_lab.request())):
        assert ocsp_lab.status_of(der) == "malformed_request"
        assert findings(der) == []


async def test_pkilint_would_find_something(scene: Scene) -> None:
    """The harness above works: one byte of a time that is no digit is found out."""
    der = await ask(scene, ocsp_lab.request(ocsp_lab.cert_id(scene.issuing, 5)))
    assert findings(der.replace(b"\x18\x0f2", b"\x18\x0fx")) != []


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()])  # noqa: S303 - names a certificate
async def test_the_librarys_own_request_and_parser(
    scene: Scene, algorithm: hashes.HashAlgorithm
) -> None:
    for certificate, status in (
        (scene.good, library.OCSPCertStatus.GOOD),
        (scene.revoked, library.OCSPCertStatus.REVOKED),
    ):
        builder = library.OCSPRequestBuilder().add_certificate(
            certificate, scene.issuing, algorithm
        )
        der = builder.build().public_bytes(Encoding.DER)
        found = library.load_der_ocsp_response(await ask(scene, der))
        assert (found.certificate_status, found.serial_number) == (
            status,
            certificate.serial_number,
        )
