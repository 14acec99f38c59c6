# SPDX-License-Identifier: Apache-2.0
"""Finding secrets in what was written: each in every spelling that a program might have given it.

A secret of n bytes is looked for as it is, in hexadecimal of both cases, in base64 at each of the three alignments that
it can have within a longer text (and so in PEM, unless a line break is in it: keys are looked for in pieces), as its
Python repr, and percent-encoded.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from ca.signers.file import load_key
from ca.signers.folder import SECRETS, KeyFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

    from simulator.stage import Stage


def spellings(secret: bytes) -> frozenset[bytes]:
    """Every form of it; the base64 ones are what does not depend on the bytes around it."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    found.add(repr(secret)[2:-1].encode())
    found.add(quote(secret, safe="").encode())
    for shift in range(3):
        for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
            text = alphabet(bytes(shift) + secret).rstrip(b"=")
            found.add(text[-(-shift * 4 // 3) : len(text) - len(text) % 4 or None])
    return frozenset(one for one in found if len(one) >= 8)


def leaks(texts: Mapping[str, bytes], secrets: Mapping[str, bytes]) -> list[str]:
    """Which secret stands in which text."""
    return [
        f"{name} in {place}"
        for name, secret in secrets.items()
        for place, text in texts.items()
        if any(spelling in text for spelling in spellings(secret))
    ]


def private_parts(name: str, key: ec.EllipticCurvePrivateKey) -> Iterator[tuple[str, bytes]]:
    """What must not be seen of a private key: its number, and the lines of its PEM forms that hold it."""
    size = (key.key_size + 7) // 8
    yield name, key.private_numbers().private_value.to_bytes(size, "big")
    for label, form in (
        ("PKCS#8", PrivateFormat.PKCS8),
        ("SEC 1", PrivateFormat.TraditionalOpenSSL),
    ):
        pem = key.private_bytes(Encoding.PEM, form, NoEncryption()).splitlines()
        yield f"{name}, {label}", pem[1]


def secrets_of(stage: Stage) -> dict[str, bytes]:
    """Everything about a stage that nobody may see, by name."""
    passphrase = (stage.folder / "passphrase").read_bytes().strip()
    found = dict(_in_folder(stage.root.parent, passphrase, len([*stage.root.parent.iterdir()])))
    found["passphrase"] = passphrase
    found["token"] = stage._environment["ATTESTCA_TOKEN"].encode()
    found["ppid"] = stage.world.machine.sgx.ppid
    found["chip id"] = stage.world.snp.chip_id
    for place, gpu in enumerate(stage.world.gpus):
        found[f"serial of GPU {place}"] = bytes.fromhex(gpu.serial)
    if "ATTESTCA_DATABASE__URL" in stage.overrides:
        found["database password"] = b"marked-database-password"
    return found


@lru_cache
def _in_folder(path: Path, passphrase: bytes, _files: int) -> tuple[tuple[str, bytes], ...]:
    """What is sealed and encrypted in a folder of keys; read anew when there are other files in it."""
    folder = KeyFolder(path, passphrase, bytes)
    logs = [file.stem for file in path.glob("log-*.secret")]
    found = [(name, folder.secret(name)) for name in (*SECRETS, *logs)]
    for file in path.glob("*.key"):
        found += private_parts(file.name, load_key(file, passphrase))
    return tuple(found)
