# SPDX-License-Identifier: Apache-2.0
"""A fresh fake Intel and fake AMD per test; the independent judge of quotes: dcap_qvl with the fake root as its anchor.

RSA keys of AMD's authorities are those of the process.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dcap_qvl
import pytest

from simulator.amd import FakeAmd
from simulator.intel import FakeIntel

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.machine import Platform

NOW = datetime(2026, 10, 25, 12, 0, 0, tzinfo=UTC)
VECTORS = Path(__file__).parents[3].resolve().parent / "shared" / "vectors" / "tdx"


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def intel() -> FakeIntel:
    return FakeIntel.create(NOW, seed=b"unit tests of the simulator")


@pytest.fixture
def amd() -> FakeAmd:
    return FakeAmd.create(NOW, seed=b"unit tests of the simulator")


@pytest.fixture
def platform(intel: FakeIntel) -> Platform:
    return intel.platform()


@pytest.fixture
def judge() -> Callable[..., dcap_qvl.VerifiedReport]:
    """judge(intel, quote, bundle, at=NOW) gives dcap_qvl's report under the root of `intel`, or raises ValueError."""

    def verify(
        intel: FakeIntel, quote: bytes, bundle: dict[str, str], at: datetime = NOW
    ) -> dcap_qvl.VerifiedReport:
        collateral = dcap_qvl.QuoteCollateralV3.from_json(json.dumps(bundle))
        return dcap_qvl.verify_with_root_ca(quote, collateral, intel.root_der, int(at.timestamp()))

    return verify


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of real quotes; absent outside the project's own machines."""
    if not VECTORS.is_dir():
        pytest.skip("real quotes not present (../shared/vectors/tdx): encodings not compared")
    return VECTORS


@pytest.fixture(scope="session")
def snp_vectors(vectors: Path) -> Path:
    """The folder of real SEV-SNP evidence."""
    return vectors.parent / "snp"
