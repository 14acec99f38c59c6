# SPDX-License-Identifier: Apache-2.0
"""Real quotes of virtual TPMs, in the encodings of those who recorded them, as bytes.

Where they are absent, every test that wants one is skipped from the same line, as in tests.tdx_vectors.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.tdx_vectors import NOTICE, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

Key: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

AZURE_SNP = ("azure-snp-v2", "azure-snp-genoa")
AZURE = (*AZURE_SNP, "azure-tdx-v1")
GCE = "gce-cos-85-nonce9009"


@dataclass(frozen=True)
class TpmVector:
    """One folder. `ak_der`: SubjectPublicKeyInfo where a bare key stands beside the quote. `vcek`: DER."""

    name: str
    attest: bytes
    signature: bytes
    pcrs: bytes
    hcl: bytes
    vcek: bytes
    ak_der: bytes
    expected: dict[str, Any]


@lru_cache(maxsize=16)
def load(name: str) -> TpmVector:
    """One folder with a quote; skips the test where there are none."""
    folder = ROOT / "vtpm" / name
    if not folder.is_dir():
        pytest.skip(NOTICE)
    expected = json.loads((folder / "expected.json").read_text())
    if name == "partial-pcr-selection":
        quote, signature = ((folder / f"quote.{end}").read_bytes() for end in ("msg", "sig"))
        return TpmVector(name, quote, signature, b"", b"", b"", b"", expected)
    evidence = json.loads((folder / "evidence.json").read_text())
    quote = evidence.get("tpm_quote") or evidence["quote"]
    return TpmVector(
        name,
        attest=as_bytes(quote["message"]),
        signature=as_bytes(quote["signature"]),
        pcrs=b"".join(as_bytes(value) for value in quote["pcrs"]),
        hcl=as_bytes(evidence.get("hcl_report") or evidence.get("report") or ""),
        vcek=as_bytes(evidence.get("vcek") or ""),
        ak_der=as_bytes(evidence.get("ak_public") or ""),
        expected=expected,
    )


def as_bytes(value: str | list[int]) -> bytes:
    """From a list of numbers, hexadecimal, PEM, base64 or base64url."""
    if isinstance(value, list):
        return bytes(value)
    if value.startswith("-----"):
        value = "".join(line for line in value.splitlines() if not line.startswith("-----"))
    try:
        return bytes.fromhex(value)
    except ValueError:
        text = value.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def load_gce() -> dict[str, TpmVector]:
    """The quotes of three banks that one machine of Google's made, by the bank's name; under one key."""
    folder = ROOT / "vtpm" / GCE
    if not folder.is_dir():
        pytest.skip(NOTICE)
    expected = json.loads((folder / "expected.json").read_text())
    modulus = (folder / "ak_tpmt_public.bin").read_bytes()[-256:]  # TPMT_PUBLIC ends with it
    key = rsa.RSAPublicNumbers(65537, int.from_bytes(modulus, "big")).public_key()
    ak_der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    empty = TpmVector(GCE, b"", b"", b"", b"", b"", ak_der, {})
    quotes = [
        value for number, value in fields((folder / "attestation.pb").read_bytes()) if number == 2
    ]
    return {
        told["bank"]: replace(gce_quote(empty, as_message(quote)), expected=told)
        for quote, told in zip(quotes, expected["quotes"], strict=True)
    }


def gce_quote(empty: TpmVector, quote: bytes) -> TpmVector:
    """Of the message Quote: 1 quote, 2 raw_sig, 3 pcrs, whose 2 is a map from number to value."""
    parts = {number: as_message(value) for number, value in fields(quote)}
    values: dict[int, bytes] = {}
    for number, entry in fields(parts[3]):
        if number == 2:
            pair = dict(fields(as_message(entry)))
            values[int(pair.get(1, 0))] = as_message(pair[2])
    pcrs = b"".join(values[number] for number in sorted(values))
    return replace(empty, attest=parts[1], signature=parts[2], pcrs=pcrs)


def as_message(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer of numbers and bytes: (number, value)."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        key, value = varint(), varint()
        if key & 7 == 0:
            yield key >> 3, value
        else:
            assert key & 7 == 2
            yield key >> 3, message[position : position + value]
            position += value
