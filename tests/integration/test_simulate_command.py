# SPDX-License-Identifier: Apache-2.0
"""`attestca policy simulate` beside a running service, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from ca.cli import simulate
from ca.store import tables
from ca.store.sql import SqlStore
from simulator.tdx_policies import tdx_policy
from tests.cli_lab import Cli
from tests.databases import run_to_end
from tests.stage_lab import database_url, enroll_machine, enroll_snp_machine

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.stage import Stage

ASKED = "  measurements: [release]\n"
HIGHER = ASKED + "  tcb: {minimum: {tcb_evaluation_data_number: 60000}}\n"


@pytest.fixture
def cli(stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Commands in this process, over the stage's database."""
    monkeypatch.setenv("ATTESTCA_CONFIG", str(stage.config))
    monkeypatch.setenv("ATTESTCA_DATABASE__URL", database_url(stage))
    return Cli(capsys)


@pytest.fixture
def records(stage: Stage, tmp_path: Path) -> Stage:
    """Certificates and a refusal, once for each stage."""
    made = stage.folder / "records-to-judge"
    if made.exists():
        return stage
    enroll_machine(stage, tmp_path / "tdx")
    enroll_snp_machine(stage, tmp_path / "snp")
    with pytest.raises(Exception, match="refuses this machine"):
        enroll_machine(stage, tmp_path / "other", rtmr1=bytes(48))
    made.touch()
    return stage


def draft(folder: Path, *changes: tuple[str, str], version: int = 2) -> Path:
    text = tdx_policy().replace("version: 1", f"version: {version}")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "draft.yaml"
    path.write_text(text)
    return path


def words(shown: str) -> str:
    """The columns of a table are as wide as what stands in it, which is what else has happened on this stage."""
    return " ".join(shown.split())


def total(side: dict[str, Any]) -> int:
    return int(side["certificates"]) + int(side["refusals"])


def test_a_draft(records: Stage, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    higher = draft(tmp_path, (ASKED, HIGHER))
    done = cli("policy", "simulate", higher, "--json", "--since", "1h", "--examples", "1")
    assert done.code == 1, done.err
    said = done.json()
    assert (said["draft"]["version"], said["replaces"]["version"]) == (2, 1)
    assert said["newly_refused"]["certificates"] >= 1
    assert total(said["newly_admitted"]) == total(said["unknown"]) == 0
    (group,) = said["newly_refused"]["by_rule"]
    assert group["rule"] == "tcb-evaluation-number"
    (example,) = group["examples"]
    assert (example["kind"], example["before"], example["after"]) == (
        "certificate",
        "accepted",
        "denied",
    )
    assert example["causes"][0]["expected"] == "at least 60000"
    shown = cli("policy", "simulate", higher, "--since", "1h", "--examples", "0")
    assert shown.code == 1
    assert "in the place of demo@1" in words(shown.out)
    assert "tcb-evaluation-number" in shown.out
    # in other processes the same
    monkeypatch.setattr(simulate, "FEW", 0)
    again = cli(
        "policy", "simulate", higher, "--json", "--since", "1h", "--examples", "1", "--workers", "2"
    )
    for volatile in ("at", "since"):
        assert said.pop(volatile) is not None
    elsewhere = again.json()
    assert said.items() <= elsewhere.items()
    assert records.url


def test_the_policy_in_force_changes_nothing(records: Stage, cli: Cli) -> None:
    for name in ("demo@1", "demo-snp@1"):
        done = cli("policy", "simulate", name)
        assert done.code == 0, done.out + done.err
        assert "newly refused none" in words(done.out)
    assert records.url


def test_who_is_admitted(records: Stage, cli: Cli, tmp_path: Path) -> None:
    value = tdx_policy().split('rtmr1: "')[1].split('"')[0]
    also = draft(tmp_path, (f'rtmr1: "{value}"', f'rtmr1: ["{value}", "{"00" * 48}"]'), version=1)
    done = cli("policy", "simulate", also)
    assert done.code == 0, done.err
    assert "Would newly be admitted, by the rule that refuses today" in done.out
    assert "refusal " in done.out
    assert "version 1 is not above 1" in done.err
    assert records.url


def test_what_is_refused_when_saved(records: Stage, cli: Cli, tmp_path: Path) -> None:
    open_ = draft(tmp_path, ("        rtmr1:", "        rtmr3:"))
    done = cli("policy", "simulate", open_)
    assert (done.code, done.out) == (1, "")
    assert "policy-invalid" in done.err
    second = draft(tmp_path, ("name: demo", "name: second"))
    done = cli("policy", "simulate", second)
    assert done.code == 1
    assert "policy-conflict: demo@1 is active and matches the same machines" in done.err
    for name, code in (("none.yaml", 66), ("demo@77", 1)):
        assert cli("policy", "simulate", name).code == code
    assert cli("policy", "simulate", second, "--since", "0s").code == 64
    assert records.url


def test_nothing_is_written(records: Stage, cli: Cli, tmp_path: Path) -> None:
    """Not even a line in the operators' log: who can read the database needs no leave of the service."""
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    run_to_end(count(records, before))
    assert cli("policy", "simulate", draft(tmp_path, (ASKED, HIGHER))).code == 1
    run_to_end(count(records, after))
    assert before == after
    assert before["decisions"] >= 3


async def count(stage: Stage, rows: dict[str, int]) -> None:
    """Of what the service does not write by itself."""
    store = await SqlStore.open(database_url(stage))
    for table in (tables.operator_actions, tables.decisions, tables.policies, tables.blobs):
        statement = select(func.count()).select_from(table)
        found: int = await store._database.read(
            lambda connection, query: connection.execute(query).scalar_one(), statement
        )
        rows[table.name] = found
    await store.close()
