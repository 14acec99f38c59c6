# SPDX-License-Identifier: Apache-2.0
"""`attestca policy diff`: of files, of versions through the operators' API, of versions in the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ca.cli import output
from tests.unit.ca.cli.test_policy import write

if TYPE_CHECKING:
    import pytest

    from tests.cli_lab import Cli, Place
    from tests.unit.ca.cli.conftest import Operator

LOOSER = "relax: {debug: a laboratory}\n"


def test_files(cli: Cli) -> None:
    old, new = write("web"), write("web", 2, LOOSER + "not_before: 2026-01-01\n")
    done = cli("policy", "diff", old, new)
    assert done.code == 1
    title, _, *rows = done.out.splitlines()
    assert title == "web@1 -> web@2"
    assert [row.split() for row in rows] == [
        ["stricter", "not_before", "2026-01-01T00:00:00Z"],
        ["looser", "relax.debug", "a", "laboratory"],
        ["none", "version", "1", "2"],
    ]
    assert done.err == "1 stricter, 1 looser, 1 none\n"


def test_json(cli: Cli) -> None:
    done = cli("policy", "diff", write("web"), write("web", 2, LOOSER), "--json")
    assert done.code == 1
    said = done.json()
    assert (said["old"]["version"], said["new"]["version"]) == (1, 2)
    assert said["differences"] == [
        {"path": "version", "effect": "none", "before": "1", "after": "2"},
        {"path": "relax.debug", "effect": "looser", "before": "", "after": "a laboratory"},
    ]


def test_nobody_is_judged_otherwise(cli: Cli) -> None:
    done = cli("policy", "diff", write("web"), write("web", 2, "description: the same\n"))
    assert done.code == 0
    same = cli.good("policy", "diff", write("web"), write("web"))
    assert same.out == "web@1 -> web@1: none\n"


def test_what_is_no_policy(cli: Cli) -> None:
    bad = write("web", 1, "no_such: 1\n")
    done = cli("policy", "diff", write("db"), bad)
    assert done.code == 66
    assert "no_such: unknown key" in done.err
    assert cli("policy", "diff", "none.yaml", bad).code == 66


def test_versions_through_the_api(operator: Operator) -> None:
    first, second = write("difference"), write("difference", 2, LOOSER)
    operator.good("policy", "add", first)
    operator.good("policy", "add", second)
    done = operator("policy", "diff", "difference@1", "difference@2")
    assert done.code == 1
    assert "relax.debug" in done.out
    assert operator("policy", "diff", "difference@2", second).code == 0
    missing = operator("policy", "diff", first, "difference@9")
    assert missing.code == 1
    assert "not-found" in missing.err


def test_versions_in_the_database(cli: Cli, place: Place, operator: Operator) -> None:
    first = write("in-database")
    operator.good("policy", "add", first)
    config = operator.at.place.path
    assert cli("policy", "diff", "in-database@1", first, "--config", config).code == 0
    missing = cli("policy", "diff", "in-database@1", first, "--config", place.path)
    assert missing.code == 1
    assert "not-found: there is no policy in-database@1" in missing.err


def test_a_file_whose_name_is_like_a_version(cli: Cli) -> None:
    Path("web@1").write_bytes(write("web").read_bytes())
    assert cli("policy", "diff", "./web@1", write("web")).code == 0


def test_progress_is_for_terminals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for terminal in (False, True):
        if terminal:
            monkeypatch.setenv("FORCE_COLOR", "1")
        with output.bar() as bar:
            bar.total(4)
            bar.advance(4)
        printed = capsys.readouterr()
        assert printed.out == ""
        assert ("4/4" in printed.err) == terminal
