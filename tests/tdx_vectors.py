# SPDX-License-Identifier: Apache-2.0
"""Real quotes and collateral, where they are: the folder in ATTESTCA_VECTORS, or ../shared/vectors beside the checkout.

Where they are absent, every test that wants one is skipped from the same line, so that the summary shows one notice.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(
    os.environ.get("ATTESTCA_VECTORS", Path(__file__).parents[2].resolve() / "shared" / "vectors")
)
NOTICE = "real quotes are not here: set ATTESTCA_VECTORS or put them at ../shared/vectors"


@dataclass(frozen=True)
class Vector:
    """One folder. `at` is the instant to judge at; where the folder names none, one at which its chain is valid."""

    name: str
    quote: bytes
    bundle: dict[str, str]
    expected: dict[str, Any]
    at: datetime


def names(prefix: str = "") -> list[Any]:
    """Names of all folders, as parameters of a test; one that will be skipped where there are none."""
    folders = sorted(path.parent.name for path in (ROOT / "tdx").glob(f"{prefix}*/quote.bin"))
    return folders or [pytest.param("absent", id="absent")]


@lru_cache(maxsize=64)
def load(name: str) -> Vector:
    """One folder; skips the test where there are none."""
    folder = ROOT / "tdx" / name
    if not folder.is_dir():
        pytest.skip(NOTICE)
    expected = json.loads((folder / "expected.json").read_text())
    bundle = folder / "collateral.json"
    at = expected.get("at")
    return Vector(
        name,
        (folder / "quote.bin").read_bytes(),
        json.loads(bundle.read_text()) if bundle.exists() else {},
        expected,
        datetime.fromisoformat(at) if at else datetime(2026, 10, 25, tzinfo=UTC),
    )
