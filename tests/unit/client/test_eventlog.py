# SPDX-License-Identifier: Apache-2.0
"""The firmware's log goes with a quote where it can be read, and its absence or damage fails nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.eventlog import MAX_EVENTS, MAX_LOG, EventLogSource, end_of_log
from attestca_client.runtime import Runtime
from attestca_client.wire import Evidence
from tests import eventlog_vectors
from tests.eventlog_lab import action, event2, first, spec_id, tcg2
from tests.unit.client.fake_configfs import FakeConfigfs

if TYPE_CHECKING:
    from pathlib import Path

LOG = tcg2(action(1, b"one"), event2(2, 4, [(0x0C, b"d" * 48)], bytes(4)))


def source(folder: Path, said: list[str]) -> EventLogSource:
    return EventLogSource(Runtime(say=said.append), folder / "CCEL", FakeConfigfs(folder))


@pytest.mark.parametrize("padding", [b"", b"\xff" * 8, b"\xff" * 65536, bytes(8), bytes(9)])
def test_the_events_and_no_padding(tmp_path: Path, padding: bytes) -> None:
    """A log that ends in zero bytes of its own keeps them."""
    said: list[str] = []
    (tmp_path / "CCEL").write_bytes(LOG + padding)
    assert source(tmp_path, said)() == [Evidence("ccel", LOG)]
    assert said == []


def test_no_log(tmp_path: Path) -> None:
    said: list[str] = []
    assert source(tmp_path, said)() == []
    assert said == []


def test_a_log_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "CCEL").write_bytes(LOG)
    found = source(tmp_path, said)
    assert isinstance(found.files, FakeConfigfs)
    found.files.errors["read CCEL"] = [13]
    assert found() == []
    assert len(said) == 1
    assert "Permission denied; going on without it" in said[0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 65536,
        LOG[:-1],
        LOG[:40],
        tcg2(event2(1, 4, [(0x0B, bytes(32))], b"")),
        tcg2()[:4] + b"\1" + tcg2()[5:],
        tcg2().replace(b"Event03", b"Event02"),
    ],
)
def test_what_is_no_log_is_said(tmp_path: Path, data: bytes) -> None:
    said: list[str] = []
    (tmp_path / "CCEL").write_bytes(data)
    assert source(tmp_path, said)() == []
    assert len(said) == 1
    assert "not in the format of event logs" in said[0]


def test_a_log_that_the_authority_would_not_take(tmp_path: Path) -> None:
    said: list[str] = []
    large = event2(1, 4, [(0x0C, bytes(48))], bytes(MAX_LOG))
    (tmp_path / "CCEL").write_bytes(tcg2(large))
    assert source(tmp_path, said)() == []
    assert "more than 1048576 bytes" in said[0]


@pytest.mark.parametrize(
    ("kind", "banks"),
    [
        ("ccel", [(0x0B, 32)]),  # a TD has no registers for it
        ("ccel", [(0x12, 32)]),
        ("ccel", [(0x0C, 48), (0x27, 32)]),
        ("ccel", [(0x0C, 32)]),
        ("tpm-event-log", [(0x04, 20)]),
    ],
)
def test_a_log_of_other_banks_would_be_refused(
    tmp_path: Path, kind: str, banks: list[tuple[int, int]]
) -> None:
    said: list[str] = []
    (tmp_path / "CCEL").write_bytes(first(spec_id(banks)))
    assert replace(source(tmp_path, said), kind=kind)() == []
    assert len(said) == 1
    assert "going on without it" in said[0]


def test_a_log_of_too_many_events(tmp_path: Path) -> None:
    said: list[str] = []
    small = event2(1, 4, [(0x0C, bytes(48))], b"")
    (tmp_path / "CCEL").write_bytes(tcg2(*[small] * MAX_EVENTS))
    assert len(source(tmp_path, said)()) == 1
    (tmp_path / "CCEL").write_bytes(tcg2(*[small] * (MAX_EVENTS + 1)))
    assert source(tmp_path, said)() == []
    assert "4096 events" in said[0]


@pytest.mark.parametrize("name", eventlog_vectors.names())
def test_real_logs(name: str) -> None:
    case = eventlog_vectors.load(name)
    path = case.folder / "ccel.bin"
    if not path.exists():
        pytest.skip("no CCEL in this case")
    data = path.read_bytes()
    end = end_of_log(data)
    assert end is not None
    assert not data[end:].strip(b"\xff") or not any(data[end:])
    assert end_of_log(data[:end]) == end


@given(st.binary(max_size=100), st.binary(max_size=200))
def test_any_bytes(table: bytes, data: bytes) -> None:
    for area in (data, table, spec_id([(12, 48)], table[:255]) + data):
        end = end_of_log(area)
        assert end is None or end <= len(area)
