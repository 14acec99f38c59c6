# SPDX-License-Identifier: Apache-2.0
"""The folder of keys: made whole or not at all, never overwritten, and of use after a crash between any two files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.protocol import DEFAULT_OID_ARC
from ca.errors import ConfigurationError, NotFound, RequestRefused
from ca.issuance import authority, keys
from ca.issuance.authority import Authority
from ca.issuance.request import Assurance
from ca.signers import files
from ca.signers.folder import SECRETS, KeyFolder
from tests.authority_lab import NOW, make_csr, make_lab

if TYPE_CHECKING:
    from collections.abc import Callable

PASSPHRASE = b"correct horse battery staple"
OF = Authority("Example", Assurance.VERIFIED, "https://ca.example.org", DEFAULT_OID_ARC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ca.signers.file._N", 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "authority" / "ca"


@pytest.fixture
def folder(path: Path) -> KeyFolder:
    made = reader(path)
    made.create(OF, NOW)
    return made


def reader(path: Path, passphrase: bytes = PASSPHRASE) -> KeyFolder:
    """A process that starts."""
    return KeyFolder(path, passphrase, os.urandom)


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


# made once


def test_what_create_makes(folder: KeyFolder) -> None:
    (held,) = folder.issuing()
    key = f"issuing-{keys.key_id(held.key.public_key()).hex()[:16]}"
    assert names(folder.path) == {
        *("root.pem", "root.key", f"root-{int(NOW.timestamp())}.crl"),
        *(f"{key}.key", f"{key}.pem"),
        *(f"{name}.secret" for name in SECRETS),
    }
    assert folder.path.stat().st_mode & 0o777 == 0o700
    for entry in folder.path.iterdir():
        public = entry.suffix in {".pem", ".crl"}
        assert entry.stat().st_mode & 0o777 == (0o644 if public else 0o600)
        if entry.suffix == ".key":
            assert entry.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    held.certificate.verify_directly_issued_by(folder.root())
    crl = x509.load_der_x509_crl(folder.root_crl())
    assert crl.issuer == folder.root().subject
    assert list(crl) == []


def test_secrets_are_random_sealed_and_stay(folder: KeyFolder) -> None:
    found = {name: folder.secret(name) for name in SECRETS}
    assert {len(secret) for secret in found.values()} == {32}
    assert len(set(found.values())) == len(SECRETS)
    assert {name: reader(folder.path).secret(name) for name in SECRETS} == found
    for name, secret in found.items():
        box = (folder.path / f"{name}.secret").read_bytes()
        assert secret.hex().encode() not in box
    with pytest.raises(ConfigurationError, match="another passphrase"):
        reader(folder.path, b"not the passphrase").secret("nonce")


def test_never_into_a_folder_that_holds_something(folder: KeyFolder) -> None:
    before = {entry: entry.read_bytes() for entry in folder.path.iterdir()}
    with pytest.raises(ConfigurationError, match="never replaced"):
        reader(folder.path).create(OF, NOW)
    assert {entry: entry.read_bytes() for entry in folder.path.iterdir()} == before


def test_an_empty_folder_is_taken_and_a_file_is_not(path: Path) -> None:
    path.mkdir(parents=True)
    reader(path).create(OF, NOW)
    assert len(reader(path).issuing()) == 1
    other = path.with_name("file")
    other.touch()
    with pytest.raises(ConfigurationError, match="never replaced"):
        reader(other).create(OF, NOW)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot make"):
        reader(tmp_path / "file" / "ca").create(OF, NOW)


def writes(count: int) -> Callable[..., None]:
    """`files.write_new` until the power fails: that many files are written, then nothing is."""
    left = iter(range(count))
    real = files.write_new

    def write_new(path: Path, data: bytes, *, mode: int = 0o600) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        real(path, data, mode=mode)

    return write_new


@pytest.mark.parametrize("count", range(7))
def test_a_crash_while_it_is_made_leaves_nothing_and_the_next_one_succeeds(
    path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("ca.signers.folder.files.write_new", writes(count))
        with pytest.raises(KeyboardInterrupt):
            reader(path).create(OF, NOW)
    assert not path.exists(), "whole or not at all"
    folder = reader(path)
    folder.create(OF, NOW)
    assert len(names(folder.path)) == 7
    assert names(path.parent) == {"ca"}, "what the first left over is gone"


def test_what_a_killed_init_left_is_swept_away(path: Path) -> None:
    """One that had no time to clean up."""
    left = path.with_name(f".{path.name}.incomplete")
    left.mkdir(parents=True)
    (left / "root.key").write_bytes(b"half a key")
    reader(path).create(OF, NOW)
    assert names(path.parent) == {"ca"}
    assert len(names(path)) == 7


def test_eight_files_are_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ca.signers.folder.files.write_new", writes(8))
    reader(path).create(OF, NOW)


# issuing CAs


@dataclass
class Ceremony:
    """The root's machine: a copy of root.pem and root.key alone."""

    folder: KeyFolder

    @classmethod
    def of(cls, service: KeyFolder, where: Path) -> Ceremony:
        where.mkdir()
        for name in ("root.pem", "root.key"):
            (where / name).write_bytes((service.path / name).read_bytes())
        return cls(reader(where))


def test_renewal_with_the_root_key_elsewhere(folder: KeyFolder, tmp_path: Path) -> None:
    offline = Ceremony.of(folder, tmp_path / "offline").folder
    (folder.path / "root.key").unlink()
    request = folder.request_issuing()
    certificate, crl = offline.sign_issuing(request, OF, NOW + DAY)
    assert len(folder.issuing()) == 1, "a key without certificate waits"
    assert folder.waiting(certificate).certificate == certificate
    folder.install_root_crl(crl)
    folder.install_issuing(certificate)
    assert [held.certificate for held in folder.issuing()][-1] == certificate
    assert folder.root_crl() == crl
    assert [held.certificate for held in reader(folder.path).issuing()] == [
        held.certificate for held in folder.issuing()
    ]
    with pytest.raises(ConfigurationError, match=r"root\.key"):
        folder.sign_issuing(request, OF, NOW + DAY)


def test_a_certificate_without_its_key_is_not_taken(folder: KeyFolder) -> None:
    stranger = make_lab().issuer.certificate
    for attempt in (folder.waiting, folder.install_issuing):
        with pytest.raises(NotFound, match="holds no key for this certificate"):
            attempt(stranger)
    assert len(folder.issuing()) == 1


def test_a_certificate_on_another_kind_of_key_is_not_taken(folder: KeyFolder) -> None:
    lab = make_lab()
    key = ed25519.Ed25519PrivateKey.generate()
    builder = x509.CertificateBuilder().public_key(key.public_key()).serial_number(1)
    builder = builder.subject_name(lab.root.subject).issuer_name(lab.root.subject)
    certificate = builder.not_valid_before(NOW).not_valid_after(NOW + DAY).sign(key, None)
    with pytest.raises(NotFound):
        folder.waiting(certificate)


def test_installed_once(folder: KeyFolder) -> None:
    certificate, crl = folder.sign_issuing(folder.request_issuing(), OF, NOW + DAY)
    folder.install_issuing(certificate)
    with pytest.raises(ConfigurationError, match="never overwritten"):
        folder.install_issuing(certificate)
    folder.install_root_crl(crl)
    with pytest.raises(ConfigurationError, match="never overwritten"):
        folder.install_root_crl(crl)


def test_what_the_root_does_not_sign(folder: KeyFolder) -> None:
    with pytest.raises(RequestRefused):
        folder.sign_issuing(b"no request", OF, NOW)
    with pytest.raises(RequestRefused, match="P-256"):
        folder.sign_issuing(make_csr(ec.generate_private_key(ec.SECP384R1())), OF, NOW)


def test_the_root_crl_with_the_highest_number_counts(folder: KeyFolder) -> None:
    """By number, not by name: 9 is below 10."""
    root_key = files.read(folder.path / "root.key")
    assert root_key
    for days in (3, 1, 2):
        _, crl = folder.sign_issuing(folder.request_issuing(), OF, NOW + days * DAY)
        folder.install_root_crl(crl)
    newest = x509.load_der_x509_crl(folder.root_crl())
    assert newest.last_update_utc == NOW + 3 * DAY
    short = folder.path / "root-9.crl"
    short.write_bytes(b"an old one")
    assert x509.load_der_x509_crl(folder.root_crl()) == newest


def test_no_root_crl(folder: KeyFolder) -> None:
    for path in folder.path.glob("root-*.crl"):
        path.unlink()
    with pytest.raises(ConfigurationError, match="no CRL of the root"):
        folder.root_crl()


# the service's own


def add_own(folder: KeyFolder, kind: str, now: object = NOW) -> x509.Certificate:
    (issuing, *_) = folder.issuing()
    lab = make_lab()
    key = ec.generate_private_key(ec.SECP256R1())
    own = lab.service(authority.ServiceKind.EAR, key.public_key(), now=now)  # type: ignore[arg-type]  # a datetime
    folder.add_service(kind, key, own, issuing.certificate)
    return own


def test_service_certificates_by_kind_with_the_issuing_ca_behind(folder: KeyFolder) -> None:
    first, second = add_own(folder, "tls"), add_own(folder, "tls", NOW + DAY)
    other = add_own(folder, "ear")
    assert [held.certificate for held in folder.service("tls")] == [first, second]
    assert [held.certificate for held in folder.service("ear")] == [other]
    certificate, key = folder.paths("tls", folder.service("tls")[0])
    (issuing,) = folder.issuing()
    assert x509.load_pem_x509_certificates(certificate.read_bytes()) == [first, issuing.certificate]
    assert key.exists()


def test_those_that_have_ended_are_forgotten_with_their_keys(folder: KeyFolder) -> None:
    first, second = add_own(folder, "ear"), add_own(folder, "ear", NOW + DAY)
    kept = add_own(folder, "tls")
    end = first.not_valid_after_utc
    assert folder.forget_service("ear", end) == 0
    assert folder.forget_service("ear", end + timedelta(seconds=1)) == 1
    assert [held.certificate for held in folder.service("ear")] == [second]
    assert len([*folder.path.glob("ear-*")]) == 2
    assert [held.certificate for held in folder.service("tls")] == [kept]


def test_a_crash_between_key_and_certificate_leaves_a_folder_that_works(
    folder: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_own(folder, "tls")
    with monkeypatch.context() as patch:
        patch.setattr(KeyFolder, "_save_certificate", _crash)
        with pytest.raises(KeyboardInterrupt):
            add_own(folder, "tls")
    again = reader(folder.path)
    assert len([*folder.path.glob("tls-*.key")]) == 2
    assert len(again.service("tls")) == 1
    add_own(again, "tls", NOW + DAY)
    assert len(again.service("tls")) == 2


def test_a_crash_between_deleting_certificate_and_key(
    folder: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate goes first, so that none ever stands without its key."""
    own = add_own(folder, "tls")
    real = Path.unlink

    def unlink(path: Path, *, missing_ok: bool = False) -> None:
        if path.suffix == ".key":
            raise KeyboardInterrupt
        real(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        with pytest.raises(KeyboardInterrupt):
            folder.forget_service("tls", own.not_valid_after_utc + DAY)
    assert reader(folder.path).service("tls") == ()


def _crash(*_: object) -> None:
    raise KeyboardInterrupt


# what others wrote into it


def test_each_file_is_read_once(folder: KeyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = folder.issuing()
    monkeypatch.setattr("ca.signers.folder.load_key", _crash)
    assert folder.issuing() == first


def test_what_is_no_certificate_is_named(folder: KeyFolder) -> None:
    (path,) = folder.path.glob("issuing-*.pem")
    path.write_bytes(b"no certificate")
    with pytest.raises(ConfigurationError, match=f"{path.name}: not a PEM certificate"):
        reader(folder.path).issuing()


def test_a_certificate_without_its_key_is_named(folder: KeyFolder) -> None:
    (path,) = folder.path.glob("issuing-*.key")
    path.unlink()
    with pytest.raises(ConfigurationError, match=path.name):
        reader(folder.path).issuing()


def test_nothing_secret_in_its_repr(folder: KeyFolder) -> None:
    folder.issuing()
    shown = repr(folder) + repr(folder.issuing())
    assert PASSPHRASE.decode() not in shown
    assert str(folder.path) in shown


def test_root_as_others_read_it(folder: KeyFolder) -> None:
    pem = (folder.path / "root.pem").read_bytes()
    assert folder.root().public_bytes(Encoding.PEM) == pem
