# SPDX-License-Identifier: Apache-2.0
"""Real SEV-SNP reports with their certificates, and the list of changes that must be refused, where they are.

The folder is that of the TDX vectors (see tests.tdx_vectors); where it is absent, tests are skipped by the same notice.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest

from tests.tdx_vectors import NOTICE, ROOT

if TYPE_CHECKING:
    from pathlib import Path

SNP = ROOT / "snp"
ROOTS = SNP / "roots"


@dataclass(frozen=True)
class Vector:
    """One folder, or a change of one.

    Attributes:
        report: ATTESTATION_REPORT.
        vek, ica, ark: DER of the VCEK or VLEK, and of what was sent as its ASK or ASVK, and as its ARK.
        crl: DER, if there is one. hcl: Azure's HCL report around the same report, if there is one.
        at: the instant to judge at. expected: the folder's expected.json.
    """

    name: str
    report: bytes
    vek: bytes
    ica: bytes
    ark: bytes
    crl: bytes | None
    hcl: bytes | None
    at: datetime
    expected: dict[str, Any]


def names() -> list[Any]:
    """Names of all folders, as parameters of a test; one that will be skipped where there are none."""
    folders = sorted(path.parent.name for path in SNP.glob("*/report.bin"))
    return folders or [pytest.param("absent", id="absent")]


@lru_cache(maxsize=32)
def load(name: str) -> Vector:
    """One folder; skips the test where there are none."""
    folder = SNP / name
    if not folder.is_dir():
        pytest.skip(NOTICE)
    expected = json.loads((folder / "expected.json").read_text())
    ica, ark = _certificates((folder / "chain.pem").read_text())
    return Vector(
        name=name,
        report=(folder / "report.bin").read_bytes(),
        vek=(folder / f"{expected['signing_key'].lower()}.der").read_bytes(),
        ica=ica,
        ark=ark,
        crl=_optional(folder / "crl.der"),
        hcl=_optional(folder / "hcl_report.bin"),
        at=datetime.fromisoformat(expected["at"]),
        expected=expected,
    )


def root_file(name: str) -> bytes:
    """A file of the roots; skips the test where there are none."""
    if not ROOTS.is_dir():
        pytest.skip(NOTICE)
    return (ROOTS / name).read_bytes()


def certificate(name: str) -> bytes:
    """The DER of a PEM file of the roots."""
    (der,) = _certificates(root_file(name).decode())
    return der


def negatives() -> list[Any]:
    """The listed changes, as parameters of a test named by them."""
    if not (SNP / "negatives.json").is_file():
        return [pytest.param({}, id="absent")]
    listed = json.loads((SNP / "negatives.json").read_text())
    return [pytest.param(negative, id=negative["name"]) for negative in listed]


def changed(negative: dict[str, Any]) -> Vector:
    """The folder that a listed change is about, with the change made."""
    if not negative:
        pytest.skip(NOTICE)
    base = load(negative["base"])
    report = bytearray(base.report)
    for edit in negative.get("report_edits", ()):
        new = bytes.fromhex(edit["hex"])
        report[edit["offset"] : edit["offset"] + len(new)] = new
    length = negative.get("report_length", len(report))
    vector = replace(
        base, name=negative["name"], report=bytes(report[:length].ljust(length, b"\0"))
    )
    if "at" in negative:
        vector = replace(vector, at=datetime.fromisoformat(negative["at"]))
    if "ica" in negative:
        vector = replace(vector, ica=certificate(negative["ica"]))
    if "ark" in negative:
        vector = replace(vector, ark=certificate(negative["ark"]))
    if "crl" in negative:
        vector = replace(vector, crl=root_file(negative["crl"]))
    if "vek_from" in negative:
        vector = replace(vector, vek=load(negative["vek_from"]).vek)
    return vector


def pem(*ders: bytes) -> bytes:
    """Certificates as PEM, one behind the other."""
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in ders).encode()


def _certificates(text: str) -> list[bytes]:
    """The DER of the certificates in a PEM text."""
    end = "-----END CERTIFICATE-----\n"
    return [ssl.PEM_cert_to_DER_cert(block + end) for block in text.split(end)[:-1]]


def _optional(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
