# SPDX-License-Identifier: Apache-2.0
"""One real and one simulated authority for the whole folder: frozen values, nobody can change them for another test."""

from __future__ import annotations

import pytest

from ca.issuance.request import Assurance
from tests.authority_lab import Lab, make_lab


@pytest.fixture(scope="session")
def lab() -> Lab:
    return make_lab()


@pytest.fixture(scope="session")
def simulated() -> Lab:
    return make_lab(Assurance.SIMULATED)
