# SPDX-License-Identifier: Apache-2.0
"""The fake AMD as a whole: one seed one vendor, alterations that stay, chains and lists that OpenSSL accepts."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

from simulator.amd import FakeAmd
from simulator.amd_certificates import HWID, spl
from simulator.amd_keys import SHARED, P384Key, RsaKey, RsaKeys
from simulator.pki import BASIC_CONSTRAINTS, pem
from simulator.products import GENOA, PRODUCTS, TURIN, Tcb
from tests.snp_lab import OTHER_KEYS

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

OPENSSL = shutil.which("openssl")


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if OPENSSL is None:
        pytest.skip("openssl is not installed: the simulator's chains are not judged by it")
    words = [OPENSSL, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed program


@pytest.mark.parametrize("name", ["Milan", "Genoa", "Turin"])
@pytest.mark.parametrize("kind", ["vcek", "vlek"])
def test_openssl_accepts_chains(amd: FakeAmd, tmp_path: Path, name: str, kind: str) -> None:
    machine = amd.machine(name)
    line = amd.line(name)
    for file, data in (
        ("root", line.ark.der),
        ("issuer", line.issuer(kind).der),
        ("leaf", machine.vek(kind).der),
    ):
        (tmp_path / file).write_text(pem(data), encoding="ascii")
    root, issuer, leaf = (tmp_path / file for file in ("root", "issuer", "leaf"))
    at = f"{amd.now.timestamp():.0f}"
    done = openssl("verify", "-attime", at, "-CAfile", root, "-untrusted", issuer, leaf)
    assert done.returncode == 0, done.stderr
    wrong = tmp_path / "wrong"
    wrong.write_text(pem(line.issuer("vlek" if kind == "vcek" else "vcek").der), encoding="ascii")
    done = openssl("verify", "-attime", at, "-CAfile", root, "-untrusted", wrong, leaf)
    assert done.returncode != 0


@pytest.mark.parametrize("kind", ["vcek", "vlek"])
def test_openssl_accepts_revocation_lists(amd: FakeAmd, tmp_path: Path, kind: str) -> None:
    line = amd.line("Genoa")
    line.crl(kind).revoke(line.ask.spec.serial)
    (tmp_path / "root").write_text(pem(line.ark.der), encoding="ascii")
    (tmp_path / "crl").write_text(pem(line.crl(kind).der, label="X509 CRL"), encoding="ascii")
    done = openssl("crl", "-in", tmp_path / "crl", "-CAfile", tmp_path / "root", "-noout", "-text")
    assert "verify OK" in done.stderr
    assert "Serial Number: 020002" in done.stdout


def test_a_seed_makes_the_same_chips_and_keys(now: datetime) -> None:
    one, same, other = (FakeAmd.create(now, seed=seed) for seed in (b"x", b"x", None))
    machines = [vendor.machine() for vendor in (one, same, other)]
    assert machines[0].report() == machines[1].report()
    assert machines[0].chip_id != machines[2].chip_id
    assert one.machine().chip_id != machines[0].chip_id
    assert one.line("Genoa").ark.key is other.line("Genoa").ark.key is SHARED.made["Genoa ark"]


def test_a_vendor_may_have_keys_of_its_own(amd: FakeAmd, now: datetime) -> None:
    stranger = FakeAmd.create(now, seed=amd.seed, keys=OTHER_KEYS)
    ours, theirs = amd.line("Genoa"), stranger.line("Genoa")
    assert ours.ark.spec.subject == theirs.ark.spec.subject
    assert ours.ark.key.spki != theirs.ark.key.spki


def test_keys_can_be_written_down() -> None:
    keys = RsaKeys()
    first = keys.get("small", 1024)
    assert keys.get("small", 1024) is first
    read = RsaKeys.load(keys.dump())
    assert read.get("small").spki == first.spki
    with pytest.raises(TypeError, match="other"):
        RsaKeys.load({"other": pkcs8(P384Key.derive(b"", "").private)})


def pkcs8(private: PrivateKeyTypes) -> str:
    return private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def test_each_chip_and_level_has_a_key_of_its_own(amd: FakeAmd) -> None:
    one, two = amd.machine(), amd.machine()
    older = Tcb(bootloader=10, tee=0, snp=26, microcode=88)
    keys = {
        vek.key.spki
        for vek in (one.vek(), one.vek(tcb=older), two.vek(), one.vek("vlek"), two.vek("vlek"))
    }
    assert len(keys) == 4
    assert one.vek("vlek") is two.vek("vlek")


def test_alterations_stay(amd: FakeAmd) -> None:
    machine = amd.machine()
    machine.vek().drop(HWID)
    machine.vek().alter(serial=1)
    found = x509.load_der_x509_certificate(amd.vcek("Genoa", machine.hwid, machine.tcb).der)
    assert found.serial_number == 1
    assert HWID not in {extension.oid.dotted_string for extension in found.extensions}
    ask = amd.line("Genoa").ask
    ask.drop(BASIC_CONSTRAINTS)
    assert len(x509.load_der_x509_certificate(amd.line("Genoa").ask.der).extensions) == 4


def test_chips_are_known_to_the_vendor(amd: FakeAmd) -> None:
    genoa, turin = amd.machine("Genoa"), amd.machine("Turin", chip_id=b"\x02" * 8)
    assert amd.chips == {("Genoa", genoa.hwid), ("Turin", b"\x02" * 8)}
    assert (len(genoa.hwid), len(turin.hwid)) == (64, 8)
    assert turin.chip_id == b"\x02" * 8 + bytes(56)


@pytest.mark.parametrize("name", sorted(PRODUCTS))
def test_levels_are_written_and_read_back(name: str) -> None:
    product = PRODUCTS[name]
    assert product.decode(product.encode(product.tcb)) == product.tcb


def test_layouts_of_levels() -> None:
    tcb = Tcb(fmc=1, bootloader=2, tee=3, snp=4, microcode=5)
    assert GENOA.encode(tcb).hex() == "0203000000000405"
    assert TURIN.encode(tcb).hex() == "0102030400000005"


def test_turin_has_an_fmc_and_no_fourth_level(amd: FakeAmd) -> None:
    extensions = {e.oid for e in amd.machine("Turin").vek().spec.extensions}
    assert spl(9) in extensions
    assert spl(4) not in extensions


def test_rsa_keys_have_the_size_asked_for() -> None:
    key = RsaKey.generate(2048)
    assert len(key.modulus) == 256
    assert len(key.sign_pkcs1(b"data")) == 256
