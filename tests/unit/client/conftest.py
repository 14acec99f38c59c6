# SPDX-License-Identifier: Apache-2.0
"""What several files of the client's tests share."""

from __future__ import annotations

import signal
import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.unit.client.cli_lab import PKI
from tests.unit.client.fake_authority import FakeAuthority, pem, serve
from tests.unit.client.fake_tpm_tools import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A source of Azure's evidence over fake tools, with a folder of its own for temporary files."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return Bench(tmp_path)


@pytest.fixture
def authority() -> Iterator[FakeAuthority]:
    """One that answers as it is told."""
    with serve(FakeAuthority(PKI)) as running:
        yield running


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """The command handles SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def root_file(tmp_path: Path) -> Path:
    """Its root certificate."""
    file = tmp_path / "root.pem"
    file.write_text(pem(PKI.root))
    return file
