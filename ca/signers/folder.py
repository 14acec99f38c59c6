# SPDX-License-Identifier: Apache-2.0
"""The authority's folder of keys: what is in it, and how each thing comes into it and out of it.

    root.pem  root.key                root certificate and key; the key is used to sign an issuing CA and is meant to be
                                      taken offline after `init`
    root-<number>.crl                 CRLs of the root; the highest number counts
    issuing-<key id>.key/.pem         issuing CAs; a key without certificate waits for `issuer install`
    tls-<key id>.key/.pem             the service's TLS certificates, each with the issuing CA behind it
    ear-<key id>.key/.pem             signers of attestation results, likewise
    ocsp-<key id>.key/.pem            OCSP responders, likewise; each for the issuing CA that signed it
    nonce.secret  chip.secret         32 bytes each, sealed under the passphrase
    log-<number>.secret               keys of the public log, likewise; see `ca.signers.log`
    chain-log-<number>.secret         keys that sign anchors, likewise; see `ca.signers.chain`
    trust-<version>.json              trust bundles that the root's key signed; the highest version counts

Keys are encrypted PKCS#8. Nothing is ever overwritten: what is newer has another name, so a crash between two files
leaves a folder that still works. Times and entropy are the caller's.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca.errors import ConfigurationError, NotFound
from ca.issuance import authority, crl, keys, tbs
from ca.signers import files
from ca.signers.file import load_key, save_key, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from ca.issuance.authority import Authority

SECRETS: Final = ("nonce", "chip")
ROOT_CRL_LIFETIME: Final = timedelta(days=366)
_KEY_ENTROPY: Final = 32
_SERIAL_ENTROPY: Final = 16


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate whose key is here."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def ends(self) -> datetime:
        """Its notAfter, UTC."""
        return self.certificate.not_valid_after_utc

    def valid(self, now: datetime) -> bool:
        """Whether `now` is within its dates."""
        return self.certificate.not_valid_before_utc <= now <= self.ends


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """One folder under one passphrase. Every method may raise ConfigurationError, with the file's name."""

    path: Path
    passphrase: bytes = field(repr=False)
    entropy: Callable[[int], bytes] = field(repr=False)
    # Decrypting takes a scrypt on purpose, and no file here ever changes: each is read once.
    _read: dict[Path, Held] = field(default_factory=dict, repr=False, compare=False)

    # made once

    def create(self, of: Authority, now: datetime) -> None:
        """Root, its empty CRL, the first issuing CA and the secrets. The folder appears whole or not at all."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ConfigurationError(f"{self.path} is not empty; an authority is never replaced")
        staging = replace(self, path=self.path.with_name(f".{self.path.name}.incomplete"))
        shutil.rmtree(staging.path, ignore_errors=True)  # of an init that was killed
        try:
            staging.path.mkdir(mode=0o700, parents=True)
            staging.fill(of, now)
            staging.path.rename(self.path)
            files.sync_folder(self.path.parent)
        except OSError as error:
            raise ConfigurationError(f"cannot make {self.path}: {error.strerror}") from error
        finally:
            shutil.rmtree(staging.path, ignore_errors=True)

    def fill(self, of: Authority, now: datetime) -> None:
        """What `create` does, in a folder that exists; use `create`."""
        for name in SECRETS:
            box = seal(name, self.entropy(32), self.passphrase, entropy=self.entropy(_KEY_ENTROPY))
            files.write_new(self.path / f"{name}.secret", box)
        root_key = ec.generate_private_key(ec.SECP384R1())
        root = authority.make_root(root_key, of, now=now, entropy=self.entropy(_SERIAL_ENTROPY))
        self._save_key("root", root_key)
        self._save_certificate("root", root)
        issuing, root_crl = self._sign(self.request_issuing(), root, root_key, of, now)
        self.install_issuing(issuing)
        self.install_root_crl(root_crl)

    # root

    def root(self) -> x509.Certificate:
        """The root certificate."""
        return _certificate(self.path / "root.pem")

    @property
    def holds_root_key(self) -> bool:
        """Whether the root's key, which the service never needs, still lies here."""
        return (self.path / "root.key").exists()

    def root_crl(self) -> bytes:
        """DER of the root's newest CRL."""
        found = sorted(
            self.path.glob("root-*.crl"), key=lambda path: int(path.stem.removeprefix("root-"))
        )
        if not found:
            raise ConfigurationError(f"{self.path} holds no CRL of the root")
        return files.read(found[-1])

    def install_root_crl(self, der: bytes) -> None:
        """Add a CRL of the root."""
        number = (
            x509.load_der_x509_crl(der)
            .extensions.get_extension_for_class(x509.CRLNumber)
            .value.crl_number
        )
        files.write_new(self.path / f"root-{number}.crl", der, mode=0o644)

    def sign_issuing(
        self, request_der: bytes, of: Authority, now: datetime
    ) -> tuple[x509.Certificate, bytes]:
        """With the root key: an issuing CA certificate for a request, and a new CRL of the root (DER)."""
        root_key = load_key(self.path / "root.key", self.passphrase)
        return self._sign(request_der, self.root(), root_key, of, now)

    def _sign(
        self,
        request_der: bytes,
        root: x509.Certificate,
        root_key: ec.EllipticCurvePrivateKey,
        of: Authority,
        now: datetime,
    ) -> tuple[x509.Certificate, bytes]:
        certificate = authority.sign_issuer(
            request_der, root, root_key, of, now=now, entropy=self.entropy(_SERIAL_ENTROPY)
        )
        prepared = crl.prepare(
            root,
            (),
            number=int(now.timestamp()),
            this_update=now,
            next_update=now + ROOT_CRL_LIFETIME,
        )
        return certificate, crl.complete(prepared, tbs.sign(root_key, prepared.tbs))

    def root_key(self) -> ec.EllipticCurvePrivateKey:
        """The root's key, where it was not taken offline."""
        return load_key(self.path / "root.key", self.passphrase)

    def trust(self) -> bytes | None:
        """The newest trust bundle; None where none was installed."""
        found = sorted(
            self.path.glob("trust-*.json"), key=lambda path: int(path.stem.removeprefix("trust-"))
        )
        return files.read(found[-1]) if found else None

    def install_trust(self, version: int, bundle: bytes) -> None:
        """Add a trust bundle."""
        files.write_new(self.path / f"trust-{version}.json", bundle, mode=0o644)

    # issuing CAs

    def request_issuing(self) -> bytes:
        """Make a key for a new issuing CA; returns the DER request for `sign_issuing`."""
        key = ec.generate_private_key(ec.SECP256R1())
        self._save_key(_name("issuing", key), key)
        return authority.issuer_request(key)

    def waiting(self, certificate: x509.Certificate) -> Held:
        """A certificate with the key that waits here for it. Raises NotFound if the key is not here."""
        return Held(certificate, load_key(self._key_of(certificate), self.passphrase))

    def install_issuing(self, certificate: x509.Certificate) -> None:
        """Put a certificate beside its key. Raises NotFound if the key is not here."""
        self._save_certificate(self._key_of(certificate).stem, certificate)

    def _key_of(self, certificate: x509.Certificate) -> Path:
        public = certificate.public_key()
        name = _name("issuing", public) if isinstance(public, ec.EllipticCurvePublicKey) else "-"
        path = self.path / f"{name}.key"
        if not path.exists():
            raise NotFound(
                f"{self.path} holds no key for this certificate: make one with `attestca issuer request`"
            )
        return path

    def issuing(self) -> tuple[Held, ...]:
        """The issuing CAs, the one that ends last at the end."""
        return self._held("issuing")

    # the service's own

    def add_service(
        self,
        kind: str,
        key: ec.EllipticCurvePrivateKey,
        own: x509.Certificate,
        issuer: x509.Certificate,
    ) -> None:
        """Keep a certificate of the service with its key; `kind` is "tls", "ear" or "ocsp".

        The issuing CA follows in the same file: a TLS server sends both, for clients have the root alone.
        """
        name = _name(kind, key)
        self._save_key(name, key)
        self._save_certificate(name, own, issuer)

    def service(self, kind: str) -> tuple[Held, ...]:
        """Certificates of the service of one kind, the one that ends last at the end; of two, the newer."""
        return self._held(kind)

    def paths(self, kind: str, held: Held) -> tuple[Path, Path]:
        """Files of a held certificate and its encrypted key."""
        name = _name(kind, held.key)
        return self.path / f"{name}.pem", self.path / f"{name}.key"

    def forget_service(self, kind: str, now: datetime) -> int:
        """Delete service certificates that have ended, with their keys. Returns how many."""
        ended = [held for held in self._held(kind) if held.ends < now]
        for held in ended:
            for path in self.paths(kind, held):
                path.unlink(missing_ok=True)
        return len(ended)

    # secrets

    def secret(self, name: str) -> bytes:
        """One of the sealed secrets, 32 bytes."""
        return unseal(files.read(self.path / f"{name}.secret"), name, self.passphrase)

    def _held(self, kind: str) -> tuple[Held, ...]:
        """Pairs of key and certificate. A key without certificate waits; a certificate never stands without key."""
        found = []
        for path in self.path.glob(f"{kind}-*.pem"):
            if path not in self._read:
                key = load_key(path.with_suffix(".key"), self.passphrase)
                self._read[path] = Held(_certificate(path), key)
            found.append(self._read[path])
        return tuple(
            sorted(found, key=lambda held: (held.ends, held.certificate.not_valid_before_utc))
        )

    def _save_key(self, name: str, key: ec.EllipticCurvePrivateKey) -> None:
        entropy = self.entropy(_KEY_ENTROPY)
        save_key(self.path / f"{name}.key", key, self.passphrase, entropy=entropy)

    def _save_certificate(self, name: str, *certificates: x509.Certificate) -> None:
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
        files.write_new(self.path / f"{name}.pem", pem, mode=0o644)


def _name(kind: str, key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> str:
    public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key
    return f"{kind}-{keys.key_id(public).hex()[:16]}"


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(files.read(path))
    except ValueError as error:
        raise ConfigurationError(f"{path}: not a PEM certificate") from error
