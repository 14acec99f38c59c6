# SPDX-License-Identifier: Apache-2.0
"""A machine enrolls with the client's code at `attestca serve`; programs of others make use of what it gets."""

from __future__ import annotations

import shutil
import subprocess
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import PolicyBuilder, Store

from attestca_client.protocol import DEFAULT_OID_ARC, OID_EKU_EAR
from ca.issuance.keys import thumbprint
from tests.stage_lab import Enrolled, ask, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.stage import Stage

NAME = "demo.example.org"


def openssl() -> str:
    found = shutil.which("openssl")
    if found is None:
        pytest.skip("openssl is not installed: it has not met an enrolled machine")
    return found


def test_the_client_writes_what_it_was_given(enrolled: Enrolled) -> None:
    names = {path.name for path in enrolled.folder.iterdir()}
    assert {"key.pem", "cert.pem", "chain.pem", "fullchain.pem"} <= names
    assert (enrolled.folder / "key.pem").stat().st_mode & 0o777 == 0o600
    leaf = enrolled.leaf
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == [NAME]


def test_openssl_verifies_the_chain_with_the_lists_that_are_served(
    enrolled: Enrolled, tmp_path: Path
) -> None:
    chain = x509.load_pem_x509_certificates((enrolled.folder / "chain.pem").read_bytes())
    lists = b"".join(
        x509.load_der_x509_crl(enrolled.served(each)).public_bytes(Encoding.PEM)
        for each in (enrolled.leaf, chain[0])
    )
    (tmp_path / "lists").write_bytes(lists)
    for purpose in ("sslclient", "sslserver"):
        done = run(
            openssl(), "verify", "-x509_strict", "-crl_check_all", "-purpose", purpose,
            "-policy_check", "-explicit_policy", "-policy", f"{DEFAULT_OID_ARC}.2.9",
            "-CAfile", enrolled.stage.root, "-untrusted", enrolled.folder / "chain.pem",
            "-CRLfile", tmp_path / "lists", enrolled.folder / "cert.pem",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def test_the_served_chain_is_the_one_that_came_with_the_certificate(enrolled: Enrolled) -> None:
    served = x509.load_pem_x509_certificates(ask(enrolled.stage, "GET", "/v1/ca/chain").body)
    assert served == x509.load_pem_x509_certificates((enrolled.folder / "chain.pem").read_bytes())


def test_openssl_peers_meet_with_it(enrolled: Enrolled) -> None:
    """TLS with a certificate on both sides: server and client are openssl, both are the machine."""
    own = ["-cert", "cert.pem", "-cert_chain", "chain.pem", "-key", "key.pem"]
    trust = ["-CAfile", str(enrolled.stage.root), "-verify_return_error"]
    server = subprocess.Popen(  # noqa: S603 - found above
        [openssl(), "s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-rev", "-Verify", "2", *own, *trust],
        cwd=enrolled.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    with _ended(server) as listening:
        where = next(line for line in listening if line.startswith("ACCEPT")).split()[1]
        client = subprocess.Popen(  # noqa: S603 - found above
            [openssl(), "s_client", "-connect", where, "-verify_hostname", NAME, "-brief", *own, *trust],
            cwd=enrolled.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        with _ended(client) as said:
            assert client.stdin is not None
            client.stdin.write("attested\n")
            client.stdin.flush()
            assert any("detsetta" in line for line in said)


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[IO[str]]:
    """The lines of a process that is killed at the end, or after a minute."""
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        with process:
            assert process.stdout is not None
            yield process.stdout
            process.kill()
    finally:
        watchdog.cancel()


def test_the_attestation_result_verifies_to_the_root(enrolled: Enrolled) -> None:
    leaf, root = enrolled.leaf, x509.load_pem_x509_certificate(enrolled.stage.root.read_bytes())
    answer = ask(enrolled.stage, "GET", f"/v1/certificates/{leaf.serial_number:x}/ear")
    assert answer.headers["Content-Type"] == "application/eat+jwt"
    token = answer.body.decode()
    published = jwt.PyJWKSet.from_dict(ask(enrolled.stage, "GET", "/.well-known/jwks.json").json())
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, published[header["kid"]], algorithms=["ES256"])
    assert claims["cnf"] == {"jkt": thumbprint(_on_curve(leaf))}
    assert claims["jti"] == f"{leaf.serial_number:x}"
    assert claims["exp"] == int(leaf.not_valid_after_utc.timestamp())
    signer, issuer = (_certificate(text) for text in header["x5c"])
    assert thumbprint(_on_curve(signer)) == header["kid"]
    issuer.verify_directly_issued_by(root)
    signer.verify_directly_issued_by(issuer)
    usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [each.dotted_string for each in usage] == [f"{DEFAULT_OID_ARC}.{OID_EKU_EAR}"]


def _certificate(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(
        f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n".encode()
    )


def _on_curve(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def test_python_validates_it_as_a_client(enrolled: Enrolled) -> None:
    root = x509.load_pem_x509_certificate(enrolled.stage.root.read_bytes())
    chain = x509.load_pem_x509_certificates((enrolled.folder / "chain.pem").read_bytes())
    verified = PolicyBuilder().store(Store([root])).build_client_verifier()
    assert len(verified.verify(enrolled.leaf, chain[:1]).chain) == 3


def test_the_commands_see_it(stage: Stage, enrolled: Enrolled) -> None:
    serial = f"{enrolled.leaf.serial_number:x}"
    assert serial in stage.operate("certs", "list", "--json")
    assert NAME in stage.operate("certs", "show", serial)


def test_what_the_client_says_of_a_refusal_and_the_operator_sees(
    sqlite_stage: Stage, tmp_path: Path
) -> None:
    tampered = sqlite_stage.enroll(tmp_path / "tampered", "--tamper")
    assert tampered.returncode == 1
    assert "signature" in tampered.stderr
    other = sqlite_stage.enroll(tmp_path / "other", "--field", f"rtmr1={'ab' * 48}")
    assert other.returncode == 1
    assert "measurement" in other.stderr
    assert not (tmp_path / "other" / "key.pem").exists()
    listed = sqlite_stage.operate("refusals", "list", "--json")
    assert '"measurement"' in listed
    kernel = bytes(sqlite_stage.world.machine.fields["rtmr1"]).hex()
    assert ("ab" * 48 in listed, kernel in other.stderr) == (True, False)
