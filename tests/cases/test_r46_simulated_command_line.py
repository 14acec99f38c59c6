# SPDX-License-Identifier: Apache-2.0
"""R-46, the operator's side: `init --simulated` says so, no real one trusts a simulated vendor, none is shipped."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import ca.cli
from simulator.intel import FakeIntel
from tests.cli_lab import LISTEN, PASSPHRASE, PUBLIC_URL, Place, logging_kept
from verifiers.anchors import (
    INTEL_INTERMEDIATES_SHA256,
    INTEL_SGX_ROOT_CA_SHA256,
    NVIDIA_DEVICE_IDENTITY_CA_SHA256,
    NVIDIA_RIM_SIGNING_ROOT_CA_SHA256,
    builtin,
)
from verifiers.google_ca import EK_AK_CA_INTERMEDIATE_SHA256, EK_AK_CA_ROOT_SHA256

if TYPE_CHECKING:
    from simulator.stage import Stage

CHECKOUT = Path(__file__).parents[2]
POLICY_SAYS_SIMULATED = "1.3.6.1.4.1.32473.2.9"


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and what went to standard error."""
    said = io.StringIO()
    quiet = contextlib.redirect_stdout(io.StringIO())
    with logging_kept(), quiet, contextlib.redirect_stderr(said):
        code = ca.cli.run([str(argument) for argument in arguments])
    return code, said.getvalue()


@pytest.fixture(scope="module")
def anchor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a fake Intel."""
    root = x509.load_der_x509_certificate(FakeIntel.create(datetime.now(UTC)).root_der)
    path = tmp_path_factory.mktemp("vendor") / "root.pem"
    path.write_bytes(root.public_bytes(Encoding.PEM))
    return path


@pytest.fixture(autouse=True)
def _passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTESTCA_PASSPHRASE", PASSPHRASE)


def initialize(folder: Path, *more: str | Path) -> Place:
    code, said = run("init", folder, "--public-url", PUBLIC_URL, *LISTEN, *more)
    assert code == 0, said
    return Place(folder)


def test_its_root_says_so(tmp_path: Path, anchor: Path) -> None:
    place = initialize(tmp_path / "ca", "--simulated", "--simulated-anchor", anchor)
    for certificate in (place.open().root(), place.open().issuing()[0].certificate):
        assert "CN=SIMULATED " in certificate.subject.rfc4514_string()
        policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
        assert [one.policy_identifier.dotted_string for one in policies] == [POLICY_SAYS_SIMULATED]


def test_a_real_authority_with_a_simulated_vendor_does_not_start(
    tmp_path: Path, anchor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the file or by the environment, in every command that uses its keys."""
    place = initialize(tmp_path / "ca")
    monkeypatch.setenv("ATTESTCA_CA__SIMULATED_ANCHORS", str(anchor))
    for command in (("serve",), ("issuer", "list")):
        code, said = run(*command, "--config", place.path)
        assert code == 66
        assert "ca.simulated_anchors: only an authority made by `init --simulated`" in said
    monkeypatch.delenv("ATTESTCA_CA__SIMULATED_ANCHORS")
    text = place.path.read_text()
    place.path.write_text(
        re.sub(
            r"^simulated_anchors = \[\]",
            f'simulated_anchors = ["{anchor}"]',
            text,
            flags=re.MULTILINE,
        )
    )
    assert place.path.read_text() != text
    assert run("serve", "--config", place.path)[0] == 66


def test_a_simulated_authority_without_its_vendor_does_not_start(
    tmp_path: Path, anchor: Path
) -> None:
    place = initialize(tmp_path / "ca", "--simulated", "--simulated-anchor", anchor)
    place.path.write_text(place.path.read_text().replace(f'"{anchor}"', ""))
    code, said = run("serve", "--config", place.path)
    assert code == 66
    assert "ca.simulated_anchors" in said


@pytest.mark.parametrize("content", ["", "no certificate", "key"])
def test_an_anchor_that_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "anchor.pem"
    path.write_text(content)
    code, said = run(
        *("init", tmp_path / "ca", "--public-url", PUBLIC_URL),
        *("--simulated", "--simulated-anchor", path),
    )
    assert code == 66
    assert "anchor.pem" in said
    assert not (tmp_path / "ca").exists()


def test_verify_and_appraise_know_the_real_vendor_only(tmp_path: Path, anchor: Path) -> None:
    """They have no option for another, and take none from a configuration."""
    place = initialize(tmp_path / "ca", "--simulated", "--simulated-anchor", anchor)
    intel = FakeIntel.create(datetime.now(UTC))
    quote = tmp_path / "quote.bin"
    quote.write_bytes(intel.platform().quote())
    os.chdir(place.folder)
    for command in ("verify", "appraise"):
        assert run(command, quote)[0] in {1, 2}
        for option in ("--simulated-anchor", "--anchor", "--config"):
            assert run(command, quote, option, anchor)[0] == 64


def test_certificates_on_simulated_evidence(sqlite_stage: Stage, tmp_path: Path) -> None:
    """From end to end: another root, a policy that says so, and nobody who trusts the real one is taken in."""
    real = initialize(tmp_path / "real")
    done = sqlite_stage.enroll(tmp_path / "vm")
    assert done.returncode == 0, done.stderr
    root = x509.load_pem_x509_certificate(sqlite_stage.root.read_bytes())
    certificate, issuing = x509.load_pem_x509_certificates(
        (tmp_path / "vm" / "fullchain.pem").read_bytes()
    )[:2]
    policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert [one.policy_identifier.dotted_string for one in policies] == [POLICY_SAYS_SIMULATED]
    certificate.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(root)
    assert "SIMULATED" in root.subject.rfc4514_string()
    assert root.public_key() != real.open().root().public_key()


def test_what_is_shipped_holds_no_simulated_root(tmp_path: Path) -> None:
    """The wheel: no simulator, and no certificate but the vendors' pinned ones (of AMD's ASVKs the facts)."""
    subprocess.run(  # noqa: S603 - our own interpreter and a build tool
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        contents = {name: archive.read(name) for name in names}
    assert not [name for name in names if name.startswith(("simulator/", "tests/"))]
    assert any(name.startswith("ca/store/migrations/versions/") for name in names)
    pem = rb"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----"
    found = {
        sha256(x509.load_pem_x509_certificate(block).public_bytes(Encoding.DER)).hexdigest()
        for data in contents.values()
        for block in re.findall(pem, data)
    }
    amd = [one for line in builtin().amd for one in (line.ark, line.ask)]
    pinned = {one.certificate_sha256.hex() for one in amd}
    assert len(pinned) == 6
    assert found == pinned | {
        EK_AK_CA_ROOT_SHA256,
        EK_AK_CA_INTERMEDIATE_SHA256,
        INTEL_SGX_ROOT_CA_SHA256,
        *INTEL_INTERMEDIATES_SHA256,
        NVIDIA_DEVICE_IDENTITY_CA_SHA256,
        NVIDIA_RIM_SIGNING_ROOT_CA_SHA256,
    }
    der = re.compile(rb"\x30\x82..\x30\x82..\xa0\x03\x02\x01\x02", re.DOTALL)
    assert der.search(FakeIntel.create(datetime.now(UTC)).root_der)
    assert not [name for name, data in contents.items() if der.search(data)]
