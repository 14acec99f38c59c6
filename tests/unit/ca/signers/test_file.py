# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from asn1crypto import keys, pem
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.errors import ConfigurationError
from ca.signers import file
from ca.signers.file import FileSigner
from tests.authority_lab import make_lab

if TYPE_CHECKING:
    from pathlib import Path

    from ca.ports import Signer

PASSPHRASE = b"correct horse battery staple"
ENTROPY = bytes(range(32))
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = file.encrypt_key(KEY, PASSPHRASE, entropy=ENTROPY)
SECRET = b"s" * 32
BOX = file.seal("nonce-key", SECRET, PASSPHRASE, entropy=ENTROPY)


def numbers(key: ec.EllipticCurvePrivateKey) -> ec.EllipticCurvePrivateNumbers:
    return key.private_numbers()


# the signer


async def test_signs_what_the_certificates_key_verifies() -> None:
    lab = make_lab()
    signer: Signer = FileSigner(lab.issuer_key, lab.issuer.certificate, lab.root)
    signature = await signer.sign(b"to be signed")
    lab.issuer.public_key.verify(signature, b"to be signed", ec.ECDSA(hashes.SHA256()))
    assert signer.certificate_der == lab.issuer.certificate.public_bytes(Encoding.DER)
    assert signer.chain_der == (signer.certificate_der, lab.root.public_bytes(Encoding.DER))


def test_the_key_must_be_the_certificates() -> None:
    lab = make_lab()
    with pytest.raises(ConfigurationError, match="not that of the issuing CA"):
        FileSigner(KEY, lab.issuer.certificate, lab.root)


# keys


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_round_trip(curve: ec.EllipticCurve, tmp_path: Path) -> None:
    key = ec.generate_private_key(curve)
    path = tmp_path / "key.pem"
    file.save_key(path, key, PASSPHRASE, entropy=os.urandom(32))
    assert numbers(file.load_key(path, PASSPHRASE)) == numbers(key)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigurationError, match="never overwritten"):
        file.save_key(path, key, PASSPHRASE, entropy=os.urandom(32))


def test_the_file_is_what_it_says() -> None:
    """scrypt with our cost and AES-256-CBC, by their object identifiers; the key is not in it."""
    assert PEM.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert max(map(len, PEM.splitlines())) <= 64
    label, _, der = pem.unarmor(PEM)
    assert label == "ENCRYPTED PRIVATE KEY"
    parameters = keys.EncryptedPrivateKeyInfo.load(der, strict=True)["encryption_algorithm"][
        "parameters"
    ]
    kdf = parameters["key_derivation_func"]
    assert kdf["algorithm"].dotted == "1.3.6.1.4.1.11591.4.11"
    assert [int(kdf["parameters"].parsed[index].native) for index in (1, 2, 3)] == [2**14, 8, 5]
    assert parameters["encryption_scheme"]["algorithm"].native == "aes256_cbc"
    assert KEY.private_numbers().private_value.to_bytes(32, "big") not in der


def test_openssl_reads_the_file(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: it has not read our key file")
    path = tmp_path / "key.pem"
    path.write_bytes(PEM)
    words = [
        openssl,
        "pkey",
        "-in",
        str(path),
        "-passin",
        f"pass:{PASSPHRASE.decode()}",
        "-outform",
        "DER",
    ]
    read = subprocess.run(words, check=True, capture_output=True, timeout=60).stdout  # noqa: S603 - found above
    assert KEY.private_numbers().private_value.to_bytes(32, "big") in read


@pytest.mark.parametrize("passphrase", [b"", b"wrong horse battery staple", PASSPHRASE + b" "])
def test_another_passphrase(passphrase: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"^root\.pem: not an encrypted key") as error:
        file.decrypt_key(PEM, passphrase, "root.pem")
    assert PASSPHRASE.decode() not in str(error.value)


def pkcs8(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, *, plain: bool = False
) -> bytes:
    protection = NoEncryption() if plain else BestAvailableEncryption(PASSPHRASE)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def test_what_is_no_encrypted_elliptic_curve_key() -> None:
    for text in (
        b"",
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
        PEM[:100],
        pkcs8(KEY, plain=True),
    ):
        with pytest.raises(ConfigurationError, match="not an encrypted key"):
            file.decrypt_key(text, PASSPHRASE, "k")
    with pytest.raises(ConfigurationError, match="not an elliptic curve key"):
        file.decrypt_key(pkcs8(ed25519.Ed25519PrivateKey.generate()), PASSPHRASE, "k")


def test_keys_encrypted_by_others_are_read() -> None:
    assert numbers(file.decrypt_key(pkcs8(KEY), PASSPHRASE, "k")) == numbers(KEY)


def test_short_passphrases_are_refused_when_written() -> None:
    with pytest.raises(ConfigurationError, match="fewer than 12 bytes"):
        file.encrypt_key(KEY, b"eleven byte", entropy=ENTROPY)
    with pytest.raises(ConfigurationError, match="fewer than 12 bytes"):
        file.seal("n", SECRET, b"eleven byte", entropy=ENTROPY)


def test_entropy_has_32_bytes() -> None:
    for entropy in (b"", bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="32 bytes of entropy"):
            file.encrypt_key(KEY, PASSPHRASE, entropy=entropy)
        with pytest.raises(ValueError, match="32 bytes of entropy"):
            file.seal("n", SECRET, PASSPHRASE, entropy=entropy)


# sealed secrets


def test_seal_and_unseal() -> None:
    assert file.unseal(BOX, "nonce-key", PASSPHRASE) == SECRET
    assert SECRET.hex().encode() not in BOX
    other = file.seal("nonce-key", SECRET, PASSPHRASE, entropy=bytes(32))
    assert json.loads(other)["sealed"] != json.loads(BOX)["sealed"]


def refused(box: bytes, name: str = "nonce-key", passphrase: bytes = PASSPHRASE) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: not a sealed secret"):
        file.unseal(box, name, passphrase)


def test_unseal_refuses_another_name_or_passphrase() -> None:
    refused(BOX, passphrase=b"wrong horse battery staple")
    refused(BOX, name="chip-key")
    refused(json.dumps(json.loads(BOX) | {"name": "chip-key"}).encode(), name="chip-key")


@pytest.mark.parametrize("part", ["salt", "nonce", "sealed"])
def test_unseal_refuses_changed_bytes(part: str) -> None:
    box = json.loads(BOX)
    box[part] = f"{int(box[part][:2], 16) ^ 1:02x}" + box[part][2:]
    refused(json.dumps(box).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"attestca-secret": 2},
        {"salt": "00" * 15},
        {"nonce": "00" * 13},
        {"sealed": "xx"},
        {"sealed": ""},
        {"salt": 7},
        {"more": 1},
    ],
)
def test_unseal_refuses_another_form(change: dict[str, object]) -> None:
    refused(json.dumps(json.loads(BOX) | change).encode())


@pytest.mark.parametrize("box", [b"", b"{", b"[]", b"7", b"{}", b"\xff", b"[" * 100_000])
def test_unseal_refuses_what_is_no_box(box: bytes) -> None:
    refused(box)


@settings(max_examples=20)
@given(st.binary(max_size=100))
def test_unseal_arbitrary(box: bytes) -> None:
    refused(box)
