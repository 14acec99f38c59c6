# SPDX-License-Identifier: Apache-2.0
"""`attestca issuer`: the issuing CA is renewed while the root key is offline, and nothing ends in between."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca.app import service as running
from ca.app.keys import key_id
from ca.cli import inputs
from ca.issuance import crl, tbs
from ca.signers.file import load_key
from tests.cli_lab import PASSPHRASE, PUBLIC_URL
from tests.unit.ca.cli.test_initialize import actions

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tests.cli_lab import Cli, Done, Place


@dataclass
class Ceremony:
    """The service's machine, the offline one, and the time on both."""

    cli: Cli
    place: Place
    offline: Path
    patch: pytest.MonkeyPatch

    def at(self, days: int) -> datetime:
        """Set the time: days after the authority was made."""
        began = self.place.open().root().not_valid_before_utc
        now = began + timedelta(days=days)
        self.patch.setattr(inputs, "now", lambda: now)
        self.patch.setattr(running, "clock", lambda: now)
        return now

    def request(self, name: str = "request.pem") -> Path:
        file = self.offline / name
        self.cli.good("issuer", "request", "-o", file, "--config", self.place.path)
        return file

    def sign(self, request: Path, name: str = "signed.pem", *more: str | Path) -> Done:
        """Root key, root certificate and the request are all that is there."""
        url = () if "--public-url" in more else ("--public-url", PUBLIC_URL)
        return self.cli(
            *("issuer", "sign", request, "-o", self.offline / name),
            *("--root-dir", self.offline / "root", *url, *more),
        )

    def install(self, name: str = "signed.pem") -> Done:
        return self.cli("issuer", "install", self.offline / name, "--config", self.place.path)

    def renew(self, days: int) -> x509.Certificate:
        self.at(days)
        done = self.sign(self.request(f"{days}.csr"), f"{days}.pem")
        assert done.code == 0, done.err
        done = self.install(f"{days}.pem")
        assert done.code == 0, done.err
        return x509.load_pem_x509_certificate((self.offline / f"{days}.pem").read_bytes())

    def states(self) -> list[str]:
        shown = self.cli.good("issuer", "list", "--config", self.place.path).out
        return [line.rpartition("+00:00")[2].strip() for line in shown.splitlines()[2:]]


@pytest.fixture
def ceremony(cli: Cli, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ceremony:
    """The root key leaves the service's machine first of all."""
    offline = tmp_path / "offline"
    (offline / "root").mkdir(parents=True)
    shutil.copy(place.keys / "root.pem", offline / "root")
    shutil.move(place.keys / "root.key", offline / "root")
    return Ceremony(cli, place, offline, monkeypatch)


def test_renewal_with_overlap(ceremony: Ceremony) -> None:
    (old,) = ceremony.place.open().issuing()
    crl_before = ceremony.place.open().root_crl()
    new = ceremony.renew(80)
    assert ceremony.states() == ["valid", "in force"]
    assert new.not_valid_after_utc - old.ends == timedelta(days=80)
    assert new.subject != old.certificate.subject
    folder = ceremony.place.open()
    assert folder.issuing()[0].certificate == old.certificate
    assert folder.root_crl() != crl_before
    ceremony.at(95)
    assert ceremony.states() == ["ended", "in force"]


async def test_the_service_goes_over_while_it_runs(ceremony: Ceremony) -> None:
    """Chain, issuer of results and CRLs, before and after, in one running service."""
    now = ceremony.at(80)
    (old,) = ceremony.place.open().issuing()
    async with running.opened(ceremony.place.config) as service:
        assert x509.load_pem_x509_certificates(service.chain_pem())[0] == old.certificate
        new = await asyncio.to_thread(ceremony.renew, 80)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        for job in service.jobs(context):
            if job.name == "certificates":
                await job.run(now)
        chain = x509.load_pem_x509_certificates(service.chain_pem())
        assert chain == [new, service.keys.root]
        assert service.authority.issuing().issuer.certificate == new
        for issuer in (old.certificate, new):
            record = await service.store.crl(key_id(issuer), now.date())
            assert record is not None
            assert x509.load_der_x509_crl(record.der).issuer == issuer.subject
        root_crl = service.root_crl(key_id(service.keys.root))
        assert root_crl == ceremony.place.open().root_crl()


def test_after_the_last_one_has_ended(ceremony: Ceremony) -> None:
    ceremony.at(100)
    assert ceremony.states() == ["ended"]
    ceremony.renew(100)
    assert ceremony.states() == ["ended", "in force"]


def test_an_install_that_was_cut_short_is_done_again(ceremony: Ceremony) -> None:
    """The list is in the folder already, the certificate is not."""
    ceremony.at(80)
    assert ceremony.sign(ceremony.request()).code == 0
    signed = x509.load_pem_x509_crl((ceremony.offline / "signed.pem").read_bytes())
    ceremony.place.open().install_root_crl(signed.public_bytes(Encoding.DER))
    assert ceremony.install().code == 0
    assert ceremony.states() == ["valid", "in force"]


def test_both_machines_show_the_same_key_id(ceremony: Ceremony) -> None:
    ceremony.at(80)
    file = ceremony.offline / "r.pem"
    made = ceremony.cli.good("issuer", "request", "-o", file, "--config", ceremony.place.path)
    signed = ceremony.sign(file)
    request = x509.load_pem_x509_csr(file.read_bytes())
    ids = {
        line.split()[-1]
        for line in (made.out + signed.out).splitlines()
        if line.startswith("key id")
    }
    assert len(ids) == 1
    assert len(request.extensions) == 0
    signed_key = x509.load_pem_x509_certificate((ceremony.offline / "signed.pem").read_bytes())
    assert signed_key.public_key() == request.public_key()


def test_request_and_install_are_logged(ceremony: Ceremony) -> None:
    new = ceremony.renew(80)
    installed, requested = actions(ceremony.place.database)[:2]
    assert (requested.action, installed.action) == ("issuer.request", "issuer.install")
    assert requested.target == installed.target == key_id(new).hex()


def test_a_der_request_is_signed_too(ceremony: Ceremony) -> None:
    ceremony.at(80)
    file = ceremony.request()
    file.write_bytes(x509.load_pem_x509_csr(file.read_bytes()).public_bytes(Encoding.DER))
    assert ceremony.sign(file).code == 0


def test_with_a_configuration_in_place_of_options(ceremony: Ceremony) -> None:
    ceremony.at(80)
    request = ceremony.request()
    out = ceremony.offline / "signed.pem"
    done = ceremony.cli.good(
        *("issuer", "sign", request, "-o", out, "--config", ceremony.place.path),
        *("--root-dir", ceremony.offline / "root"),
    )
    assert "attestca issuer install signed.pem" in done.err
    assert ceremony.install().code == 0


def csr(key: ec.EllipticCurvePrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (("--passphrase-env", "OTHER"), 66, "another passphrase"),
        (("--public-url", "http://plain.example"), 66, "command line: server.public_url"),
        (("--oid-arc", "2.25.340282366920938463463374607431768211455"), 66, "oid_arc"),
    ],
)
def test_what_is_not_signed(
    ceremony: Ceremony, more: tuple[str, ...], code: int, says: str
) -> None:
    ceremony.patch.setenv("OTHER", PASSPHRASE + "x")
    ceremony.at(80)
    done = ceremony.sign(ceremony.request(), "signed.pem", *more)
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert not (ceremony.offline / "signed.pem").exists()


def test_no_request(ceremony: Ceremony) -> None:
    file = ceremony.offline / "request.pem"
    for text in (b"", b"-----BEGIN CERTIFICATE REQUEST-----\n", bytes(100)):
        file.write_bytes(text)
        assert ceremony.sign(file).code == 66
    file.write_bytes(csr(ec.generate_private_key(ec.SECP384R1())))
    done = ceremony.sign(file)
    assert done.code == 1
    assert "key-type" in done.err


def test_public_url_needs_the_folder(ceremony: Ceremony) -> None:
    request = ceremony.request()
    done = ceremony.cli("issuer", "sign", request, "-o", "x.pem", "--public-url", PUBLIC_URL)
    assert done.code == 64


def test_files_are_never_overwritten(ceremony: Ceremony) -> None:
    ceremony.at(80)
    request = ceremony.request()
    keys = len([*ceremony.place.keys.glob("issuing-*.key")])
    again = ceremony.cli("issuer", "request", "-o", request, "--config", ceremony.place.path)
    assert again.code == 66
    assert len([*ceremony.place.keys.glob("issuing-*.key")]) == keys
    assert ceremony.sign(request, "request.pem").code == 66
    nowhere = ceremony.offline / "none" / "request.pem"
    assert (
        ceremony.cli("issuer", "request", "-o", nowhere, "--config", ceremony.place.path).code == 66
    )


class TestWhatIsNotInstalled:
    @pytest.fixture
    def signed(self, ceremony: Ceremony) -> Path:
        ceremony.at(80)
        assert ceremony.sign(ceremony.request()).code == 0
        return ceremony.offline / "signed.pem"

    def refused(self, ceremony: Ceremony, says: str, name: str = "signed.pem") -> None:
        before = {name: data for name, data in ceremony.place.contents().items() if "ca/" in name}
        done = ceremony.install(name)
        assert (done.code, done.out) == (1, ""), done.err
        assert says in done.err
        after = {name: data for name, data in ceremony.place.contents().items() if "ca/" in name}
        assert after == before

    def test_twice(self, ceremony: Ceremony, signed: Path) -> None:
        assert signed.exists()
        assert ceremony.install().code == 0
        self.refused(ceremony, "same-key")

    def test_one_whose_key_is_not_here(self, ceremony: Ceremony) -> None:
        ceremony.at(80)
        request = ceremony.offline / "foreign.csr"
        request.write_bytes(csr(ec.generate_private_key(ec.SECP256R1())))
        assert ceremony.sign(request).code == 0
        self.refused(ceremony, "holds no key for this certificate")

    def test_one_of_another_root(self, ceremony: Ceremony, tmp_path: Path) -> None:
        request = ceremony.request()
        other = tmp_path / "other"
        ceremony.cli.good("init", other, "--public-url", PUBLIC_URL)
        ceremony.at(80)
        shutil.copy(other / "ca" / "root.pem", ceremony.offline / "root")
        shutil.copy(other / "ca" / "root.key", ceremony.offline / "root")
        assert ceremony.sign(request).code == 0
        self.refused(ceremony, "issued-by-root")

    def test_one_signed_for_another_address(self, ceremony: Ceremony) -> None:
        ceremony.at(80)
        done = ceremony.sign(
            ceremony.request(), "signed.pem", "--public-url", "https://wrong.example"
        )
        assert done.code == 0
        self.refused(ceremony, f"sign it again with --public-url {PUBLIC_URL}")

    def test_one_that_ends_earlier(self, ceremony: Ceremony) -> None:
        ceremony.at(10)
        assert ceremony.sign(ceremony.request("early.csr"), "early.pem").code == 0
        ceremony.renew(20)
        self.refused(ceremony, "ends-earlier", "early.pem")

    def test_one_that_is_not_valid_yet(self, ceremony: Ceremony, signed: Path) -> None:
        assert signed.exists()
        ceremony.at(79)
        self.refused(ceremony, "dates")

    @pytest.mark.parametrize("kind", ["older", "foreign"])
    def test_with_a_crl_that_is_not_newer_or_not_ours(
        self, ceremony: Ceremony, signed: Path, kind: str
    ) -> None:
        now = ceremony.at(80)
        folder = ceremony.place.open()
        number = x509.load_der_x509_crl(folder.root_crl()).extensions
        current = number.get_extension_for_class(x509.CRLNumber).value.crl_number
        root_key = ec.generate_private_key(ec.SECP384R1())
        if kind == "older":
            root_key = load_key(ceremony.offline / "root" / "root.key", PASSPHRASE.encode())
        prepared = crl.prepare(
            folder.root(),
            (),
            number=current - 1 if kind == "older" else current + 10**6,
            this_update=now,
            next_update=now + timedelta(days=1),
        )
        signature = tbs.sign(root_key, prepared.tbs)
        der = tbs.assemble(prepared.tbs, signature, root_key.public_key())
        certificate = x509.load_pem_x509_certificate(signed.read_bytes())
        signed.write_bytes(
            certificate.public_bytes(Encoding.PEM)
            + x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)
        )
        self.refused(ceremony, "not newer" if kind == "older" else "not of this root")

    def test_no_such_file(self, ceremony: Ceremony, signed: Path) -> None:
        text = signed.read_text()
        certificate, _, rest = text.partition("-----BEGIN X509 CRL")
        for damaged in ("", certificate, "-----BEGIN X509 CRL" + rest, certificate + text):
            signed.write_text(damaged)
            done = ceremony.install()
            assert done.code == 66
            assert "one certificate and one CRL" in done.err
