# SPDX-License-Identifier: Apache-2.0
"""Real quotes of virtual TPMs, in the encodings of those who recorded them, as bytes.

Where they are absent, every test that wants one is skipped from the same line, as in tests.tdx_vectors.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest

from tests.tdx_vectors import NOTICE, ROOT

AZURE_SNP = ("azure-snp-v2", "azure-snp-genoa")
AZURE = (*AZURE_SNP, "azure-tdx-v1")


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
