# SPDX-License-Identifier: Apache-2.0
"""The fake Google: its certificates are written as the real ones are, its VMs send what real ones do.

Read by other code: cryptography, `openssl verify`, and the two real certificates that the package has.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulator import bucket, der, google_certificates
from simulator.amd import FakeAmd
from simulator.eventlog import ccel, grub_boot
from simulator.faults import Fault
from simulator.google import FakeGoogle
from simulator.google_certificates import (
    AUTHORITY_INFORMATION_ACCESS,
    INSTANCE,
    KEY_ENCIPHERMENT,
    Instance,
)
from simulator.intel import FakeIntel
from simulator.pki import pem
from simulator.tpm_eventlog import of_tpm

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.google_certificates import Authority

NOW = datetime(2026, 10, 25, 12, tzinfo=UTC)
OPENSSL = shutil.which("openssl")
REPORT_DATA, EXTRA = bytes(range(64)), bytes(range(32))


@pytest.fixture
def google() -> FakeGoogle:
    return FakeGoogle.create(NOW)


def real(file: str) -> x509.Certificate:
    data = (files("verifiers.vtpm") / "anchors" / f"google-ek-ak-{file}.pem").read_bytes()
    return x509.load_pem_x509_certificate(data)


@pytest.mark.parametrize("kind", ["root", "intermediate"])
def test_authorities_are_written_as_the_real_ones(google: FakeGoogle, kind: str) -> None:
    """With the real one's values, the same bytes are signed. Addresses of its own bucket are left out of the fake."""
    wanted = real(kind)
    made: Authority = google.root if kind == "root" else google.intermediate()
    ids = {
        one.oid.dotted_string: one.value.public_bytes()
        for one in wanted.extensions
        if one.oid.dotted_string in {"2.5.29.14", "2.5.29.35", "1.3.6.1.5.5.7.1.1", "2.5.29.31"}
    }
    made.alter(
        serial=wanted.serial_number,
        issuer=wanted.issuer.public_bytes(),
        subject=wanted.subject.public_bytes(),
        not_before=wanted.not_valid_before_utc,
        not_after=wanted.not_valid_after_utc,
        spki=wanted.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        extensions=tuple(
            replace(one, value=ids[one.oid]) if one.oid in ids else one
            for one in made.spec.extensions
        ),
    )
    assert made.spec.tbs() == wanted.tbs_certificate_bytes


def test_names_of_authorities_are_encoded_as_the_real_ones() -> None:
    for file in ("root", "intermediate"):
        subject = real(file).subject
        common_name = subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        assert isinstance(common_name, str)
        assert google_certificates.authority_name(common_name) == subject.public_bytes()


def test_the_certificate_of_a_key(google: FakeGoogle) -> None:
    cvm = google.cvm(FakeAmd.create(NOW).machine())
    found = x509.load_der_x509_certificate(cvm.ak.der)
    issuer = x509.load_der_x509_certificate(google.intermediate().der)
    found.verify_directly_issued_by(issuer)
    issuer.verify_directly_issued_by(x509.load_der_x509_certificate(google.root.der))
    assert [(one.oid.dotted_string, one.critical) for one in found.extensions] == [
        ("2.5.29.15", True),
        ("2.5.29.19", True),
        ("2.5.29.14", False),
        ("2.5.29.35", False),
        (AUTHORITY_INFORMATION_ACCESS, False),
        (INSTANCE, False),
    ]
    assert found.subject.rfc4514_string() == (
        "CN=6524697943022743941,OU=simulated-project,O=Google Compute Engine,L=us-central1-a"
    )
    assert found.not_valid_before_utc < NOW < found.not_valid_after_utc
    ek = x509.load_der_x509_certificate(cvm.ek.der)
    usage = ek.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_encipherment, usage.digital_signature) == (True, False)
    assert ek.public_key() == cvm.tpm.ek.private.public_key()


def test_the_extension_is_that_of_a_real_certificate() -> None:
    """Its octets, written out: zone, number and name of the project, number and name of the VM, six properties."""
    instance = Instance("us-west1-b", 12345, "a-project", 1 << 63, "vm")
    assert instance.extension().value == bytes.fromhex(
        "304c"
        "0c0a75732d77657374312d62"
        "02023039"
        "0c09612d70726f6a656374"
        "0209008000000000000000"
        "0c02766d"
        "a020301ea003020100a1030101ffa2030101ffa303020100a403020100a503020100"
    )
    assert replace(instance, security=None).extension().value.endswith(b"\x0c\x02vm")


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
def test_openssl_accepts_the_chain_and_the_list(google: FakeGoogle, tmp_path: Path) -> None:
    cvm = google.cvm(FakeAmd.create(NOW).machine())
    (tmp_path / "root.pem").write_text(pem(google.root.der))
    (tmp_path / "intermediate.pem").write_text(pem(google.intermediate().der))
    (tmp_path / "leaf.pem").write_text(pem(cvm.ak.der))

    def verify(*arguments: str) -> str:
        crl = pem(google.crl.der, label="X509 CRL")
        (tmp_path / "crl.pem").write_text(crl)
        words = ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW.timestamp()))]
        command = [*words, "-CAfile", "root.pem", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)  # noqa: S603 - fixed words
        return (done.stdout + done.stderr).decode()

    assert verify("-untrusted", "intermediate.pem", "leaf.pem") == "leaf.pem: OK\n"
    checked = ("-crl_check", "-CRLfile", "crl.pem", "intermediate.pem")
    assert verify(*checked) == "intermediate.pem: OK\n"
    google.crl.revoke(google.intermediate().spec.serial)
    assert "certificate revoked" in verify(*checked)


def test_regions_have_one_name_and_keys_of_their_own(google: FakeGoogle) -> None:
    here, there = google.intermediate(), google.intermediate("europe-west4")
    assert here.spec.subject == there.spec.subject
    assert here.key.key_id != there.key.key_id
    assert google.intermediate("europe-west4") is there


def test_what_a_machine_on_snp_sends(google: FakeGoogle) -> None:
    cvm, boot = google.cvm(FakeAmd.create(NOW).machine()), grub_boot()
    assert cvm.logs == []
    cvm.boot(boot)
    report, attest, signature, pcrs, certificate = (
        data for _, data in cvm.evidence(REPORT_DATA, EXTRA)
    )
    assert report[0x50:0x90] == REPORT_DATA
    assert EXTRA in attest
    assert pcrs == b"".join(of_tpm(boot).pcrs)
    assert cvm.logs == [("tpm-event-log", of_tpm(boot).log)]
    key = x509.load_der_x509_certificate(certificate).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(signature, attest, padding.PKCS1v15(), SHA256())
    cvm.beside.append(google.intermediate().der)
    assert cvm.certificate == pem(cvm.ak.der, google.intermediate().der).encode()


def test_what_a_machine_on_tdx_sends(google: FakeGoogle) -> None:
    td, boot = google.td(FakeIntel.create(NOW).platform()), grub_boot()
    td.boot(boot)
    pieces = td.evidence(REPORT_DATA, EXTRA, mr_td=b"m" * 48)
    assert [kind for kind, _ in pieces] == [
        "tdx-quote",
        "tpm-attest",
        "tpm-signature",
        "tpm-pcrs",
        "tpm-ak-certificate",
    ]
    quote = pieces[0][1]
    assert quote[568:632] == REPORT_DATA
    assert quote[184:232] == b"m" * 48
    assert quote[424:472] == boot.registers["rtmr1"]
    assert td.logs == [("ccel", ccel(boot.events))]
    assert pieces[3][1] == b"".join(of_tpm(boot).pcrs)


def test_every_field_can_lie(google: FakeGoogle) -> None:
    instance = Instance(project_id="other", security=(der.explicit(1, der.FALSE),))
    cvm = google.cvm(FakeAmd.create(NOW).machine(), instance, "another vtpm")
    assert der.FALSE in cvm.ak.der
    assert b"other" in cvm.ak.der
    usual = google.cvm(FakeAmd.create(NOW).machine())
    assert cvm.tpm.ak is not usual.tpm.ak
    cvm.ak = google.certify(cvm.tpm.ak.spki, instance, KEY_ENCIPHERMENT)
    usage = x509.load_der_x509_certificate(cvm.certificate).extensions[0].value
    assert isinstance(usage, x509.KeyUsage)
    assert usage.key_encipherment


async def test_the_bucket(google: FakeGoogle) -> None:
    async with bucket.running(google) as service, aiohttp.ClientSession() as http:
        async with http.get(service.crl_url) as response:
            assert (response.status, response.content_type) == (200, "application/pkix-crl")
            assert await response.read() == google.crl.der
        google.crl.revoke(7)
        async with http.get(service.crl_url) as response:
            found = x509.load_der_x509_crl(await response.read())
        assert [one.serial_number for one in found] == [7]
        service.faults[bucket.CRL] = Fault(status=503)
        async with http.get(service.crl_url) as response:
            assert response.status == 503
        assert len(service.requests) == 3
        async with http.get(service.base_url) as response:
            assert response.status == 404
