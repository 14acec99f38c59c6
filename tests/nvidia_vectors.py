# SPDX-License-Identifier: Apache-2.0
"""Real reports, chains, manifests and OCSP answers of NVIDIA devices, where they are.

The folder is that of the TDX vectors (see tests.tdx_vectors); where it is absent, tests are skipped by the same notice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest

from tests.tdx_vectors import NOTICE, ROOT
from verifiers.nvidia.endorsements import NvidiaEndorsements
from verifiers.nvidia.evidence import NvidiaEvidence, parse_evidence_json

if TYPE_CHECKING:
    from pathlib import Path

NVIDIA = ROOT / "nvidia"


@dataclass(frozen=True)
class Vector:
    """One folder, or one of the variants that its `negatives` describe.

    Attributes:
        devices: in the order of the folder; GPUs before switches.
        rims: file name -> document. ocsp: likewise.
        at: the instant to judge at. expect: what must come of it. expected: the folder's expected.json.
    """

    name: str
    devices: tuple[NvidiaEvidence, ...]
    rims: dict[str, bytes]
    ocsp: dict[str, bytes]
    nonce: bytes
    at: datetime
    expect: dict[str, Any]
    expected: dict[str, Any]

    @property
    def endorsements(self) -> NvidiaEndorsements:
        return NvidiaEndorsements(tuple(self.rims.values()), tuple(self.ocsp.values()))


def names() -> list[Any]:
    """Names of the folders that hold evidence, as parameters of a test; one that will be skipped without any."""
    holding = {path.parent.name for path in NVIDIA.glob("*/report.bin")}
    holding |= {path.parent.name for path in NVIDIA.glob("*/*evidence.json")}
    return sorted(holding) or [pytest.param("absent", id="absent")]


def variants() -> list[Any]:
    """(folder, file of a negative) of every folder with evidence."""
    found = [
        pytest.param(name, file, id=f"{name}-{file.rpartition('/')[2]}")
        for name in names()
        if isinstance(name, str)
        for file in load(name).expected.get("negatives", {})
    ]
    return found or [pytest.param("absent", "absent", id="absent")]


@lru_cache(maxsize=32)
def load(name: str) -> Vector:
    """One folder; skips the test where there are none."""
    folder = NVIDIA / name
    if not folder.is_dir():
        pytest.skip(NOTICE)
    expected = json.loads((folder / "expected.json").read_text())
    return Vector(
        name=name,
        devices=_devices(folder),
        rims=_files(folder, "*.xml"),
        ocsp=_files(folder, "ocsp/*.der"),
        nonce=bytes.fromhex(expected["nonce"]),
        at=datetime.fromisoformat(expected["at"]),
        expect=expected["expect"],
        expected=expected,
    )


def document(path: str) -> bytes:
    """One file below the folder; skips the test where there is none."""
    if not NVIDIA.is_dir():
        pytest.skip(NOTICE)
    return (NVIDIA / path).read_bytes()


def variant(name: str, file: str) -> Vector:
    """What a negative of a folder is about: a manifest, chain, report or list in the place of the folder's own."""
    vector = load(name)
    data = (NVIDIA / name / file).read_bytes()
    changed = replace(
        vector, name=f"{name}-{file}", expect=vector.expected["negatives"][file]["expect"]
    )
    if file.endswith(".pem"):
        # these chains are of the device of another folder
        other = load("h100-550.90.07")
        return replace(changed, devices=(NvidiaEvidence(other.devices[0].report, data),))
    if file.endswith(".json"):
        return replace(changed, devices=parse_evidence_json(data))
    if file.endswith(".txt"):
        report = bytes.fromhex(data.decode())
        return replace(changed, devices=(replace(vector.devices[0], report=report),))
    if file.endswith("driver_rim_edited.xml"):
        return replace(changed, rims=vector.rims | {file: data})
    return replace(changed, rims={file: data})


def _devices(folder: Path) -> tuple[NvidiaEvidence, ...]:
    if (folder / "report.bin").exists():
        report, chain = (folder / "report.bin").read_bytes(), (folder / "chain.pem").read_bytes()
        return (NvidiaEvidence(report, chain),)
    files = [
        folder / file for file in ("evidence.json", "gpu_evidence.json", "switch_evidence.json")
    ]
    return tuple(
        device
        for file in files
        if file.exists()
        for device in parse_evidence_json(file.read_bytes())
    )


def _files(folder: Path, pattern: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob(pattern))}
