# SPDX-License-Identifier: Apache-2.0
"""R-21: a leaf can never act as a CA, as the service, as the signer of results or as the signer of a list."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca.errors import LintFailed
from ca.issuance import authority, crl, csr, ear, tbs
from ca.issuance.authority import PreparedService, ServiceKind
from tests.authority_lab import BUILD, NOW, Lab, entropy, make_csr, make_lab, make_request

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Leaf:
    """An attested machine that turned hostile: its certificate and its key."""

    lab: Lab
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


@pytest.fixture(scope="module")
def leaf() -> Leaf:
    lab, key = make_lab(), ec.generate_private_key(ec.SECP256R1())
    issued = lab.issue(make_request(key=csr.parse(make_csr(key))))
    return Leaf(lab, key, x509.load_der_x509_certificate(issued.der))


def test_as_issuing_ca(leaf: Leaf) -> None:
    with pytest.raises(LintFailed, match=r"issued-by-root.*basic-constraints.*key-usage"):
        authority.load_issuer(
            leaf.certificate,
            leaf.lab.root,
            leaf.lab.authority,
            build=BUILD,
            reserved_names=frozenset(),
        )


def test_as_root(leaf: Leaf) -> None:
    with pytest.raises(LintFailed, match="self-signed"):
        authority.load_issuer(
            leaf.lab.issuer.certificate,
            leaf.certificate,
            leaf.lab.authority,
            build=BUILD,
            reserved_names=frozenset(),
        )
    with pytest.raises(LintFailed, match="self-signed"):
        authority.sign_issuer(
            make_csr(), leaf.certificate, leaf.key, leaf.lab.authority, now=NOW, entropy=entropy()
        )


def test_what_a_leaf_signs_is_in_no_chain(leaf: Leaf, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: it has not refused a certificate signed by a leaf")
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "forged")]))
        .issuer_name(leaf.certificate.subject)
        .public_key(leaf.key.public_key())
        .serial_number(5)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(hours=1))
    )
    content = tbs.to_be_signed(builder, leaf.key.public_key())
    forged = tbs.signed(content, tbs.sign(leaf.key, content), leaf.key.public_key())
    (tmp_path / "forged").write_bytes(
        x509.load_der_x509_certificate(forged).public_bytes(Encoding.PEM)
    )
    between = (leaf.certificate, leaf.lab.issuer.certificate)
    (tmp_path / "between").write_bytes(
        b"".join(each.public_bytes(Encoding.PEM) for each in between)
    )
    (tmp_path / "root").write_bytes(leaf.lab.root.public_bytes(Encoding.PEM))
    command: list[str | Path] = [
        openssl, "verify", "-attime", str(int(NOW.timestamp()) + 60), "-CAfile", tmp_path / "root",
        "-untrusted", tmp_path / "between", tmp_path / "forged",
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)  # noqa: S603 - found above
    assert done.returncode != 0
    assert "invalid CA certificate" in done.stderr


@pytest.mark.parametrize("kind", ServiceKind)
def test_as_the_service(leaf: Leaf, kind: ServiceKind) -> None:
    names = ("node1.example.org",) if kind is ServiceKind.TLS else ()
    with pytest.raises(LintFailed, match=r"extensions.*extended-key-usage"):
        authority.check_service(
            leaf.certificate, PreparedService(b"", kind, names, leaf.lab.issuer)
        )


@pytest.mark.parametrize("name", ["ca.example.org"])
def test_no_leaf_gets_the_services_own_name(leaf: Leaf, name: str) -> None:
    """Clients that check chain and host name alone would take it for the service."""
    with pytest.raises(LintFailed, match="reserved-names"):
        leaf.lab.issue(make_request(names=(f"dns:{name}",)))


def test_as_signer_of_results(leaf: Leaf) -> None:
    issuer_der = leaf.lab.issuer.certificate.public_bytes(Encoding.DER)
    with pytest.raises(LintFailed, match="ear-key"):
        ear.token(
            leaf.lab.issue(make_request()), ear.EarKey(leaf.key, leaf.certificate, issuer_der)
        )


def test_as_signer_of_a_list(leaf: Leaf) -> None:
    prepared = crl.prepare(
        leaf.lab.issuer.certificate,
        [],
        number=1,
        this_update=NOW,
        next_update=NOW + timedelta(days=1),
    )
    with pytest.raises(LintFailed, match="signature"):
        crl.complete(prepared, tbs.sign(leaf.key, prepared.tbs))


def test_the_services_certificates_are_no_leaves(leaf: Leaf) -> None:
    """The other way round: nobody takes the service for an attested machine."""
    for kind in ServiceKind:
        names = ("ca.example.org",) if kind is ServiceKind.TLS else ()
        found = leaf.lab.service(kind, leaf.key.public_key(), names)
        oids = {each.oid.dotted_string for each in found.extensions}
        assert oids.isdisjoint({"1.3.6.1.4.1.32473.1.1", "1.3.6.1.5.5.7.1.35", "2.5.29.32"})
