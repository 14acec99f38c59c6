# SPDX-License-Identifier: Apache-2.0
"""Keys in encrypted files: PKCS#8 for private keys, a sealed box for the authority's small secrets.

Private keys: PEM EncryptedPrivateKeyInfo (RFC 5958), PBES2 with scrypt and AES-256-CBC (RFC 7914, section 7), which
`openssl pkey` reads. Written here, because the library's own encryption stretches the passphrase 2048 times only.
Secrets (nonce key, chip key): JSON, version 1, every member required and no other:

    {"attestca-secret": 1, "name": "nonce-key", "salt": hex of 16 bytes, "nonce": hex of 12, "sealed": hex}

    key    = scrypt( passphrase, salt, N = 2^14, r = 8, p = 5, 32 bytes )      as for private keys
    sealed = AES-256-GCM( key, nonce, secret, AAD = frame("attestca/1 secret", name) )

so a box cannot be passed off under another name. Another cost or cipher is another version. The passphrase is the
caller's; nothing of it or of a secret appears in an error.
"""

from __future__ import annotations

import base64
import json
import textwrap
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from attestca_client.protocol import Label, frame
from ca.errors import ConfigurationError
from ca.issuance import tbs
from ca.signers import files

if TYPE_CHECKING:
    from pathlib import Path

MIN_PASSPHRASE = 12
ENTROPY_LENGTH = 32
SALT_LENGTH = 16
GCM_NONCE_LENGTH = 12
_SECRET_LABEL = Label.SEALED.encode()
_N, _R, _P = 2**14, 8, 5  # 16 MiB: OpenSSL refuses 32; five passes instead
_PEM = "ENCRYPTED PRIVATE KEY"
_PBES2 = x509.ObjectIdentifier("1.2.840.113549.1.5.13")
_SCRYPT = x509.ObjectIdentifier("1.3.6.1.4.1.11591.4.11")
_AES256_CBC = x509.ObjectIdentifier("2.16.840.1.101.3.4.1.42")


@asn1.sequence
class _ScryptParameters:
    salt: bytes
    n: int
    r: int
    p: int


@asn1.sequence
class _Kdf:
    oid: x509.ObjectIdentifier
    parameters: _ScryptParameters


@asn1.sequence
class _Encryption:
    oid: x509.ObjectIdentifier
    iv: bytes


@asn1.sequence
class _Pbes2:
    kdf: _Kdf
    encryption: _Encryption


@asn1.sequence
class _Algorithm:
    oid: x509.ObjectIdentifier
    parameters: _Pbes2


@asn1.sequence
class _EncryptedKey:
    algorithm: _Algorithm
    data: bytes


class FileSigner:
    """`ca.ports.Signer` with the key in this process. Signs inline: P-256 takes less time than a thread's start."""

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        certificate: x509.Certificate,
        root: x509.Certificate,
    ) -> None:
        if certificate.public_key() != key.public_key():
            raise ConfigurationError("the issuing key is not that of the issuing CA certificate")
        self._key = key
        self._chain = (
            certificate.public_bytes(Encoding.DER),
            root.public_bytes(Encoding.DER),
        )

    @property
    def certificate_der(self) -> bytes:
        """DER of the issuing CA certificate."""
        return self._chain[0]

    @property
    def chain_der(self) -> tuple[bytes, ...]:
        """DER of the issuing CA certificate, then of the root."""
        return self._chain

    async def sign(self, tbs_der: bytes) -> bytes:
        """DER ECDSA-Sig-Value over `tbs_der`, with SHA-256 for a P-256 key."""
        return tbs.sign(self._key, tbs_der)


def encrypt_key(key: ec.EllipticCurvePrivateKey, passphrase: bytes, *, entropy: bytes) -> bytes:
    """PEM of an encrypted PKCS#8 key. `entropy`: 32 fresh random bytes.

    Raises:
        ConfigurationError: a passphrase of fewer than 12 bytes.
    """
    check_passphrase(passphrase)
    salt, iv = _split(entropy)
    padder = padding.PKCS7(128).padder()
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    encryptor = Cipher(algorithms.AES256(_stretch(passphrase, salt)), modes.CBC(iv)).encryptor()
    sealed = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    kdf = _Kdf(oid=_SCRYPT, parameters=_ScryptParameters(salt=salt, n=_N, r=_R, p=_P))
    scheme = _Pbes2(kdf=kdf, encryption=_Encryption(oid=_AES256_CBC, iv=iv))
    algorithm = _Algorithm(oid=_PBES2, parameters=scheme)
    der = asn1.encode_der(_EncryptedKey(algorithm=algorithm, data=sealed))
    text = textwrap.fill(base64.b64encode(der).decode(), 64)
    return f"-----BEGIN {_PEM}-----\n{text}\n-----END {_PEM}-----\n".encode()


def decrypt_key(pem: bytes, passphrase: bytes, what: str) -> ec.EllipticCurvePrivateKey:
    """The key of `encrypt_key`. `what` names it in errors.

    Raises:
        ConfigurationError: not an encrypted elliptic curve key, or another passphrase.
    """
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{what}: not an encrypted key, or another passphrase") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(f"{what}: not an elliptic curve key")
    return key


def save_key(
    path: Path, key: ec.EllipticCurvePrivateKey, passphrase: bytes, *, entropy: bytes
) -> None:
    """Write a key, encrypted, to a new file. `entropy`: 32 fresh random bytes. Raises ConfigurationError."""
    files.write_new(path, encrypt_key(key, passphrase, entropy=entropy))


def load_key(path: Path, passphrase: bytes) -> ec.EllipticCurvePrivateKey:
    """Read a key. Raises ConfigurationError."""
    return decrypt_key(files.read(path), passphrase, str(path))


def seal(name: str, secret: bytes, passphrase: bytes, *, entropy: bytes) -> bytes:
    """A secret under the passphrase. `entropy`: 32 fresh random bytes. Raises ConfigurationError."""
    check_passphrase(passphrase)
    salt, rest = _split(entropy)
    nonce = rest[:GCM_NONCE_LENGTH]
    sealed = AESGCM(_stretch(passphrase, salt)).encrypt(nonce, secret, _context(name))
    box = {"attestca-secret": 1, "name": name, "salt": salt.hex(), "nonce": nonce.hex()}
    return (json.dumps(box | {"sealed": sealed.hex()}, indent=1) + "\n").encode()


def unseal(box: bytes, name: str, passphrase: bytes) -> bytes:
    """The secret of `seal`.

    Raises:
        ConfigurationError: not such a box, another name, another passphrase, or changed bytes.
    """
    try:
        salt, nonce, sealed = _open(json.loads(box), name)
        return AESGCM(_stretch(passphrase, salt)).decrypt(nonce, sealed, _context(name))
    except (ValueError, TypeError, RecursionError, InvalidTag) as error:
        message = f"{name}: not a sealed secret of that name, or another passphrase"
        raise ConfigurationError(message) from error


def check_passphrase(passphrase: bytes) -> None:
    """Raises ConfigurationError for fewer than 12 bytes."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise ConfigurationError(f"the passphrase has fewer than {MIN_PASSPHRASE} bytes")


def _open(box: object, name: str) -> tuple[bytes, bytes, bytes]:
    if not isinstance(box, dict) or set(box) != {
        "attestca-secret",
        "name",
        "salt",
        "nonce",
        "sealed",
    }:
        raise ValueError("members")
    if (box["attestca-secret"], box["name"]) != (1, name):
        raise ValueError("version or name")
    salt, nonce, sealed = (bytes.fromhex(box[part]) for part in ("salt", "nonce", "sealed"))
    if len(salt) != SALT_LENGTH or len(nonce) != GCM_NONCE_LENGTH:
        raise ValueError("lengths")
    return salt, nonce, sealed


def _stretch(passphrase: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_N, r=_R, p=_P).derive(passphrase)


def _split(entropy: bytes) -> tuple[bytes, bytes]:
    if len(entropy) != ENTROPY_LENGTH:
        raise ValueError(f"{ENTROPY_LENGTH} bytes of entropy")
    return entropy[:SALT_LENGTH], entropy[SALT_LENGTH:]


def _context(name: str) -> bytes:
    return frame(_SECRET_LABEL, name.encode())
