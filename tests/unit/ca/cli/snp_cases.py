# SPDX-License-Identifier: Apache-2.0
"""Real SEV-SNP evidence as arguments of the command line; each test that wants it is skipped where it is absent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.tdx_vectors import NOTICE, ROOT

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / "snp"


@dataclass(frozen=True)
class SnpCase:
    """One folder. `crl`: a revocation list that is in force at `at`, if the folder has one."""

    folder: Path
    expected: dict[str, Any]

    @property
    def expect(self) -> Any:  # noqa: ANN401 - JSON
        return self.expected["expect"]

    @property
    def at(self) -> tuple[str, str]:
        return ("--at", self.expected["at"])

    @property
    def report(self) -> Path:
        return self.folder / "report.bin"

    @property
    def certificates(self) -> list[Path]:
        return [*self.folder.glob("v?ek.der"), self.folder / "chain.pem"]

    @property
    def crl(self) -> list[Path]:
        return list(self.folder.glob("crl.der"))


def names(pattern: str = "*/report.bin") -> list[Any]:
    """Names of all folders that have such a file, as parameters of a test."""
    folders = sorted(path.parent.name for path in FOLDER.glob(pattern))
    return folders or [pytest.param("absent", id="absent")]


def load(name: str) -> SnpCase:
    folder = FOLDER / name
    if not folder.is_dir():
        pytest.skip(NOTICE)
    return SnpCase(folder, json.loads((folder / "expected.json").read_text()))
