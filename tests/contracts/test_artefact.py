# SPDX-License-Identifier: Apache-2.0
"""What is deployed is what the sources compile to; forge's tests hold, and gas costs what the snapshot says."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from simulator import node
from tests import registry_vectors

if TYPE_CHECKING:
    from pathlib import Path

ARTEFACT = node.CONTRACTS / "artifact" / "AttestationRegistry.json"


def build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own script
        [str(node.node()), str(folder / "build.mjs"), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    node.install(node.tell)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources and the artefact at another place of the machine."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("src", "artifact"):
        shutil.copytree(node.CONTRACTS / name, folder / name)
    for name in ("build.mjs", "package.json"):
        shutil.copyfile(node.CONTRACTS / name, folder / name)
    (folder / "node_modules").symlink_to(node.CONTRACTS / "node_modules")
    return folder


def test_the_artefact_is_reproduced_byte_for_byte() -> None:
    done = build(node.CONTRACTS)
    assert done.returncode == 0, done.stderr


def test_and_anywhere_else(copy: Path) -> None:
    (copy / "artifact" / ARTEFACT.name).unlink()
    done = build(copy, "--write")
    assert done.returncode == 0, done.stderr
    assert (copy / "artifact" / ARTEFACT.name).read_bytes() == ARTEFACT.read_bytes()


def test_another_artefact_is_noticed(copy: Path) -> None:
    file = copy / "artifact" / ARTEFACT.name
    artefact = json.loads(file.read_text())
    last = "0" if artefact["bytecode"][-1] != "0" else "1"
    artefact["bytecode"] = artefact["bytecode"][:-1] + last
    file.write_text(json.dumps(artefact, indent=2) + "\n")
    done = build(copy)
    assert done.returncode == 1
    assert "make contracts WRITE=1" in done.stderr


def test_a_warning_is_an_error(copy: Path) -> None:
    source = copy / "src" / "Rfc9162.sol"
    source.write_text(
        source.read_text().replace("bytes32 computed", "uint256 idle; bytes32 computed")
    )
    done = build(copy, "--write")
    assert done.returncode == 1
    assert "Unused local variable" in done.stderr


def test_the_code_says_nothing_of_where_it_was_made() -> None:
    artefact = json.loads(ARTEFACT.read_text())
    assert artefact["settings"]["evmVersion"] == "paris"
    code = bytes.fromhex(artefact["deployedBytecode"].removeprefix("0x"))
    assert b"ipfs" not in code
    assert b"solc" not in code  # what metadata would begin with
    assert bytes.fromhex(artefact["bytecode"].removeprefix("0x")).endswith(code)  # no immutables


def test_every_source_says_under_which_licence_it_is() -> None:
    sources = [*node.CONTRACTS.glob("*.mjs"), *node.CONTRACTS.glob("[st]*/*.sol")]
    assert len(sources) > 10
    for source in sources:
        lines = source.read_text().splitlines()[:2]
        assert "// SPDX-License-Identifier: Apache-2.0" in lines, source


def forge(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - what npm installed
        [str(node.forge(node.tell)), *arguments],
        cwd=node.CONTRACTS,
        env=node.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_what_forge_tests() -> None:
    """Unit, fuzz and invariants; and snapshots/Gas.json is what the calls cost."""
    done = forge("test", "--gas-snapshot-check=true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed, 0 skipped" in done.stdout
    out = node.CONTRACTS / "out" / "AttestationRegistry.sol" / ARTEFACT.name
    tested = json.loads(out.read_text())["deployedBytecode"]["object"]
    assert tested == json.loads(ARTEFACT.read_text())["deployedBytecode"]


def test_sources_are_formatted() -> None:
    done = forge("fmt", "--check")
    assert done.returncode == 0, done.stdout


def test_proofs_are_those_of_the_log() -> None:
    assert registry_vectors.FILE.read_text() == registry_vectors.text()
