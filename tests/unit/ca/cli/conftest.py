# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the command line: see `tests.cli_lab`."""

from __future__ import annotations

import contextlib
import io
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

import ca.cli
from ca.cli import inspect
from tests.cli_lab import LISTEN, PASSPHRASE, PUBLIC_URL, Cli, Evidence, Place, make_evidence

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 25, 13, 0, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The passphrase, and nothing of the user's own."""
    for name in list(os.environ):
        if name.startswith("ATTESTCA_") and name != "ATTESTCA_VECTORS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("ATTESTCA_PASSPHRASE", PASSPHRASE)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An authority to copy: keys take a while."""
    folder = tmp_path_factory.mktemp("authority") / "here"
    before = os.environ.get("ATTESTCA_PASSPHRASE")
    os.environ["ATTESTCA_PASSPHRASE"] = PASSPHRASE
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            assert ca.cli.run(["init", str(folder), "--public-url", PUBLIC_URL, *LISTEN]) == 0
    finally:
        if before is None:
            del os.environ["ATTESTCA_PASSPHRASE"]
        else:
            os.environ["ATTESTCA_PASSPHRASE"] = before
    return Place(folder)


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    """An authority of the test's own."""
    return made.copy(tmp_path / "authority")


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    """A simulated machine whose vendor is trusted here in place of Intel."""
    made = make_evidence(tmp_path / "evidence", NOW)
    monkeypatch.setattr(inspect, "builtin", lambda: made.anchors)
    return made
