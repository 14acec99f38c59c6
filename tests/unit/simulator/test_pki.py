# SPDX-License-Identifier: Apache-2.0
"""Certificates and lists: what cryptography and openssl read in them, and every lever a test has."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from simulator import pki
from simulator.pck import SGX_EXTENSION, encode
from simulator.pki import Key, malleate, pem

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from simulator.intel import FakeIntel
    from simulator.machine import Platform

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")


def load(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(der)


def verify_raw(key: Key, signature: bytes, data: bytes) -> None:
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    encoded = encode_dss_signature(r, s)
    key.private.public_key().verify(encoded, data, ec.ECDSA(hashes.SHA256()))


def test_keys_follow_from_seed_and_label() -> None:
    assert Key.derive(b"s", "a").point == Key.derive(b"s", "a").point
    others = {Key.derive(b"s", "b").point, Key.derive(b"t", "a").point, Key.generate().point}
    assert len(others | {Key.derive(b"s", "a").point, Key.generate().point}) == 5


def test_raw_signatures_and_their_malleable_twin() -> None:
    key = Key.generate()
    signature = key.sign_raw(b"data")
    twin = malleate(signature)
    assert signature != twin
    assert malleate(twin) == signature
    for good in (signature, twin):
        verify_raw(key, good, b"data")
    with pytest.raises(InvalidSignature):
        verify_raw(key, signature, b"date")


def test_names_and_extensions_of_every_certificate(intel: FakeIntel, platform: Platform) -> None:
    expected = {
        "Intel SGX Root CA": (intel.root, True, 1),
        "Intel SGX PCK Platform CA": (intel.platform_ca, True, 0),
        "Intel SGX PCK Processor CA": (intel.processor_ca, True, 0),
        "Intel SGX TCB Signing": (intel.tcb_signing, False, None),
        "Intel SGX PCK Certificate": (platform.pck, False, None),
    }
    for name, (entity, ca, path_length) in expected.items():
        certificate = load(entity.der)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        subject = f"C=US,ST=CA,L=Santa Clara,O=Intel Corporation,CN={name}"
        assert certificate.subject.rfc4514_string() == subject
        assert (constraints.ca, constraints.path_length) == (ca, path_length)
        assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (ca, ca, not ca)


def test_every_signature_verifies(intel: FakeIntel, platform: Platform) -> None:
    root = load(intel.root_der)
    root.verify_directly_issued_by(root)
    for entity in (intel.platform_ca, intel.processor_ca, intel.tcb_signing):
        load(entity.der).verify_directly_issued_by(root)
    load(platform.pck.der).verify_directly_issued_by(load(intel.platform_ca.der))
    for crl, issuer in (
        (intel.root_crl, intel.root),
        (intel.platform_crl, intel.platform_ca),
        (intel.processor_crl, intel.processor_ca),
    ):
        key = issuer.key.private.public_key()
        assert x509.load_der_x509_crl(crl.der).is_signature_valid(key)


def test_root_key_is_what_anchors_compare(intel: FakeIntel) -> None:
    assert intel.root_spki in intel.root_der
    assert intel.root.key.spki == intel.root_spki


def test_alterations_are_signed(platform: Platform, now: datetime) -> None:
    genuine = platform.pck.der
    platform.pck.alter(not_after=now, serial=255)
    altered = load(platform.pck.der)
    assert (altered.serial_number, altered.not_valid_after_utc) == (255, now)
    altered.verify_directly_issued_by(load(platform.ca.der))
    platform.pck.signer = Key.generate()
    with pytest.raises(InvalidSignature):
        load(platform.pck.der).verify_directly_issued_by(load(platform.ca.der))
    assert platform.pck.der != genuine


def test_extensions_are_put_in_place_and_dropped(platform: Platform) -> None:
    before = [extension.oid for extension in platform.pck.spec.extensions]
    platform.pck.put(pki.basic_constraints(ca=True, path_len=3))
    assert [extension.oid for extension in platform.pck.spec.extensions] == before
    found = load(platform.pck.der).extensions.get_extension_for_class(x509.BasicConstraints)
    assert found.value == x509.BasicConstraints(ca=True, path_length=3)
    platform.pck.drop(SGX_EXTENSION)
    with pytest.raises(x509.ExtensionNotFound):
        load(platform.pck.der).extensions.get_extension_for_oid(
            x509.ObjectIdentifier(SGX_EXTENSION)
        )
    platform.pck.alter(extensions=())
    assert len(load(platform.pck.der).extensions) == 0


def test_edits_come_after_the_signature(intel: FakeIntel) -> None:
    genuine = intel.platform_crl.der
    intel.platform_crl.edit = lambda der: der[:-1] + bytes((der[-1] ^ 1,))
    assert intel.platform_crl.der[:-1] == genuine[:-1]
    assert intel.platform_crl.der[-1] == genuine[-1] ^ 1


def test_inner_and_outer_algorithm_can_differ(platform: Platform) -> None:
    platform.pck.alter(outer_algorithm=pki.ECDSA_SHA384)
    assert platform.pck.der.count(pki.ECDSA_SHA256) == 1
    assert platform.pck.der.count(pki.ECDSA_SHA384) == 1


def test_lists_name_serials_negative_ones_too(intel: FakeIntel, now: datetime) -> None:
    intel.root_crl.revoke(255, -1)
    crl = x509.load_der_x509_crl(intel.root_crl.der)
    entry = crl.get_revoked_certificate_by_serial_number(255)
    assert entry is not None
    assert entry.revocation_date_utc == now - timedelta(days=1)
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value == x509.CRLReason(
        x509.ReasonFlags.key_compromise
    )
    assert b"\x02\x01\xff" in intel.root_crl.der
    intel.root_crl.alter(revoked=(pki.Revoked(7, now, reason=None),))
    (only,) = x509.load_der_x509_crl(intel.root_crl.der)
    assert (only.serial_number, len(only.extensions)) == (7, 0)


def test_lists_can_lack_what_they_need(intel: FakeIntel) -> None:
    crl = intel.platform_crl
    crl.drop(pki.AUTHORITY_KEY_IDENTIFIER)
    crl.alter(next_update=None)
    read = x509.load_der_x509_crl(crl.der)
    assert read.next_update_utc is None
    assert [extension.oid.dotted_string for extension in read.extensions] == [pki.CRL_NUMBER]
    crl.put(pki.crl_number(41))
    crl.drop(pki.CRL_NUMBER)
    assert len(x509.load_der_x509_crl(crl.der).extensions) == 0


def test_processor_certificates_have_no_instance_and_no_flags(intel: FakeIntel) -> None:
    arcs = [arc for arc, _ in intel.platform(ca="processor").sgx.parts()]
    assert arcs[-1] == "5"
    assert [arc for arc, _ in intel.platform().sgx.parts()][-4:] == ["6", "7.1", "7.2", "7.3"]


def test_sgx_extension_can_be_taken_apart(platform: Platform) -> None:
    parts = platform.sgx.parts()
    whole = encode(parts).value
    assert platform.sgx.extension().value == whole
    without = encode([part for part in parts if part[0] != "3"]).value
    assert len(whole) - len(without) == 18
    twice = encode([*parts, parts[-4]]).value
    assert twice.count(parts[-4][1]) == 2


def test_certify_replaces_the_extension(platform: Platform) -> None:
    platform.certify(replace(platform.sgx, fmspc=b"\1\2\3\4\5\6"))
    assert platform.fmspc == "010203040506"
    assert b"\x04\x06\1\2\3\4\5\6" in platform.pck.der


@needs_openssl
def test_openssl_verifies_the_chain_against_the_lists(
    intel: FakeIntel, platform: Platform, tmp_path: Path
) -> None:
    def verify() -> subprocess.CompletedProcess[str]:
        files = {
            "root.pem": pem(intel.root_der),
            "ca.pem": pem(platform.ca.der),
            "pck.pem": pem(platform.pck.der),
            "crls.pem": pem(intel.root_crl.der, intel.platform_crl.der, label="X509 CRL"),
        }
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        command = "openssl verify -x509_strict -crl_check_all -CRLfile crls.pem"
        command += " -CAfile root.pem -untrusted ca.pem -attime"
        at = str(int(intel.now.timestamp()))
        return subprocess.run(  # noqa: S603 - a fixed command on files of this test
            [*command.split(), at, "pck.pem"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    assert verify().stdout == "pck.pem: OK\n"
    intel.platform_crl.revoke(platform.pck.spec.serial)
    assert "certificate revoked" in verify().stderr


@needs_openssl
def test_openssl_reads_the_lists(intel: FakeIntel, tmp_path: Path) -> None:
    intel.platform_crl.revoke(0xABCDEF)
    path = tmp_path / "crl.der"
    path.write_bytes(intel.platform_crl.der)
    command = "openssl crl -inform DER -noout -text -in crl.der"
    text = subprocess.check_output(command.split(), cwd=tmp_path, text=True)  # noqa: S603 - fixed
    assert "Issuer: CN = Intel SGX PCK Platform CA, O = Intel Corporation" in text
    assert "Serial Number: ABCDEF" in text
    assert "X509v3 CRL Number: \n                1" in text
