# SPDX-License-Identifier: Apache-2.0
"""What several files of the client's tests share."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.unit.client.fake_tpm_tools import Bench

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A source of Azure's evidence over fake tools, with a folder of its own for temporary files."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return Bench(tmp_path)
