# SPDX-License-Identifier: Apache-2.0
"""Files, instants and durations of the command line."""

from __future__ import annotations

import contextlib
import os
import pwd
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from ca.cli import inputs
from ca.cli.exits import UnreadableError


def test_reads_files_up_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_INPUT", 10)
    path = tmp_path / "file"
    path.write_bytes(bytes(10))
    assert inputs.read_input(path) == bytes(10)
    path.write_bytes(bytes(11))
    with pytest.raises(UnreadableError, match="larger than 10 bytes"):
        inputs.read_input(str(path))


@pytest.mark.parametrize("name", ["none", "."])
def test_what_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableError, match=str(tmp_path)):
        inputs.read_input(tmp_path / name)


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def open_(path: Path, mode: str) -> None:
        opened.append((str(path), mode))
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "open", open_)
    with pytest.raises(UnreadableError):
        inputs.read_input("-")
    assert opened == [("/dev/stdin", "rb")]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00+01:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
    ],
)
def test_instants(text: str, instant: datetime) -> None:
    found = inputs.parse_instant(text)
    assert found == instant
    assert found.tzinfo is UTC


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00", "2026-01-31", "yesterday", ""])
def test_no_instants(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        inputs.parse_instant(text)


@given(st.text(max_size=30))
def test_instants_raise_nothing_else(text: str) -> None:
    with contextlib.suppress(typer.BadParameter):
        assert inputs.parse_instant(text).tzinfo is UTC


def test_now_is_the_default() -> None:
    before = datetime.now(UTC)
    assert before <= inputs.parse_instant(None) <= datetime.now(UTC)


def test_durations() -> None:
    assert inputs.parse_duration("30d") == timedelta(days=30)
    assert inputs.parse_duration("PT12H") == timedelta(hours=12)
    for text in ("0d", "30", "-1d", "", "1y"):
        with pytest.raises(typer.BadParameter):
            inputs.parse_duration(text)


def test_the_actor_is_the_user_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    name = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert inputs.actor() == f"cli:{name}"
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    assert inputs.actor() == "cli:4000000001"
