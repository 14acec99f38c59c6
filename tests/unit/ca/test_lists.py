# SPDX-License-Identifier: Apache-2.0
"""R-51, floors of AMD's TCBs: a newer file wins, versions only rise, each change is logged, nothing broken counts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from ca.errors import ConfigurationError
from ca.lists import AMD_FLOORS, MAX_BYTES, MAX_PLACES, ListInForce
from policies.floors import Floors, builtin_floors
from tests import records

if TYPE_CHECKING:
    from pathlib import Path

    from ca.ports import OperatorAction
    from ca.store.sql import SqlStore

BUILTIN = builtin_floors()
NEWER = BUILTIN.file.version + 1


def text(version: int, microcode: int = 0xDB) -> str:
    advisory = {
        "title": "of a test",
        "source": "https://vendor.example",
        "date": "2026-01-01",
        "floors": {"19-01-1": {"reported": {"microcode": microcode}}},
    }
    return json.dumps({"version": version, "date": "2026-11-25", "advisories": {"T-1": advisory}})


@dataclass
class Bench:
    """A file, and the store that remembers what was in force."""

    path: Path
    store: SqlStore

    def write(self, content: str) -> None:
        self.path.write_text(content)

    async def open(self, *, file: bool = True) -> ListInForce[Floors]:
        return await ListInForce.open(
            AMD_FLOORS, self.store, self.path if file else None, records.NOW
        )

    async def log(self) -> list[OperatorAction]:
        return [
            one for one in await self.store.actions(100, None) if one.action == AMD_FLOORS.action
        ]

    async def refused(self) -> str:
        with pytest.raises(ConfigurationError) as caught:
            await self.open()
        return caught.value.detail


@pytest.fixture
def bench(store: SqlStore, tmp_path: Path) -> Bench:
    return Bench(tmp_path / "floors.yaml", store)


async def test_the_packages_own_where_there_is_no_file(bench: Bench) -> None:
    for _ in range(2):
        assert (await bench.open(file=False)).current is BUILTIN
    (action,) = await bench.log()
    assert (action.actor, action.target) == ("service", f"amd-floors@{BUILTIN.file.version}")
    assert json.loads(action.detail) == {"sha256": BUILTIN.sha256.hex()}


async def test_a_newer_file_wins_and_is_logged(bench: Bench) -> None:
    await bench.open(file=False)
    bench.write(text(NEWER))
    current = (await bench.open()).current
    assert (current.file.version, current.text.decode()) == (NEWER, text(NEWER))
    assert [one.target for one in await bench.log()] == [
        f"amd-floors@{NEWER}",
        f"amd-floors@{BUILTIN.file.version}",
    ]


async def test_a_copy_of_the_packages_own(bench: Bench) -> None:
    bench.write(BUILTIN.text.decode())
    assert (await bench.open()).current is BUILTIN


@pytest.mark.parametrize("older", [True, False])
async def test_what_was_in_force_does_not_go_back(bench: Bench, *, older: bool) -> None:
    """Neither to an older file, nor to the package's for lack of a file."""
    bench.write(text(NEWER + 1))
    await bench.open()
    bench.write(text(NEWER))
    with pytest.raises(ConfigurationError, match=f"version {NEWER + 1} .*was in force"):
        await bench.open(file=older)
    assert len(await bench.log()) == 1


async def test_a_version_never_changes_its_content(bench: Bench) -> None:
    bench.write(text(NEWER))
    await bench.open()
    bench.write(text(NEWER, microcode=0))
    assert "amd_floors_file" in await bench.refused()
    bench.write(text(BUILTIN.file.version))
    assert "other content" in await bench.refused()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "empty"),
        (text(NEWER).replace("microcode", "microkode"), "microkode"),
        (text(NEWER) + " " * MAX_BYTES, "more than"),
    ],
)
async def test_a_broken_file_ends_the_start(bench: Bench, content: str, said: str) -> None:
    bench.write(content)
    detail = await bench.refused()
    assert detail.startswith(f"policies.amd_floors_file: {bench.path}: ")
    assert said in detail
    assert await bench.log() == []


async def test_no_file_at_all(bench: Bench) -> None:
    assert "No such file" in await bench.refused()


async def test_the_file_is_read_again(bench: Bench) -> None:
    bench.write(text(NEWER))
    floors = await bench.open()
    first = floors.current
    await floors.reload(records.NOW)
    assert floors.current is first
    bench.write(text(NEWER + 1))
    await floors.reload(records.NOW)
    assert floors.current.file.version == NEWER + 1
    assert len(await bench.log()) == 2


@pytest.mark.parametrize("content", ["{", text(NEWER - 1, microcode=0), None])
async def test_what_cannot_be_taken_later_changes_nothing(
    bench: Bench, content: str | None
) -> None:
    bench.write(text(NEWER))
    floors = await bench.open()
    before = floors.current
    if content is None:
        bench.path.unlink()
    else:
        bench.write(content)
    with pytest.raises(ConfigurationError):
        await floors.reload(records.NOW)
    assert floors.current is before


async def test_a_replica_with_older_floors_is_told(bench: Bench) -> None:
    bench.write(text(NEWER))
    floors = await bench.open()
    bench.write(text(NEWER + 1))
    await bench.open()  # the other one's
    bench.write(text(NEWER))
    with pytest.raises(ConfigurationError, match="never go back"):
        await floors.reload(records.NOW)


async def test_a_list_that_asks_for_less_is_taken_and_said(bench: Bench) -> None:
    """Whoever was refused may pass again."""
    bench.write(text(NEWER, microcode=5))
    with capture_logs() as at_start:
        floors = await bench.open()
    (said,) = at_start  # less than the package's own: its advisories are not there
    assert said["count"] > len(said["places"]) == MAX_PLACES
    bench.write(text(NEWER + 1, microcode=6))
    with capture_logs() as more:
        await floors.reload(records.NOW)
    assert more == []
    bench.write(text(NEWER + 2, microcode=4))
    with capture_logs() as less:
        await floors.reload(records.NOW)
        await floors.reload(records.NOW)
    assert less == [
        {
            "event": "list.lowered",
            "log_level": "warning",
            "list": "amd-floors",
            "version": NEWER + 2,
            "before": NEWER + 1,
            "places": ("T-1.floors.19-01-1.reported.microcode",),
            "count": 1,
        }
    ]
    assert floors.current.file.version == NEWER + 2


async def test_a_list_that_is_not_taken_lowers_nothing(bench: Bench) -> None:
    bench.write(text(NEWER + 1, microcode=5))
    floors = await bench.open()
    bench.write(text(NEWER, microcode=4))
    with capture_logs() as said, pytest.raises(ConfigurationError):
        await floors.reload(records.NOW)
    assert said == []
