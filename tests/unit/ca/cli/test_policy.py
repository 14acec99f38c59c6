# SPDX-License-Identifier: Apache-2.0
"""`attestca policy`: lint offline, everything else through a running service."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from policies.loader import default_text
from tests.unit.ca.cli.conftest import POLICY as OF_RECORDS
from verifiers.evidence import Tee

if TYPE_CHECKING:
    from tests.cli_lab import Cli
    from tests.unit.ca.cli.conftest import Operator

GOOD = """\
# kept byte for byte: naïve ☂
name: {name}
version: {version}
match: {{tee: tdx}}
reference_sets:
  release:
    - {{id: r1, values: {{mr_td: "{value}", rtmr0: "{value}", rtmr1: "{value}", rtmr2: "{value}"}}}}
tdx: {{measurements: [release]}}
issue:
  profile: {name}
  san: {{uri: ["spiffe://example.org/tdx/{{mr_td_32}}"]}}
  shared_name: every machine of this image
"""


def write(name: str, version: int = 1, extra: str = "") -> Path:
    path = Path(f"{name}-{version}.yaml")
    path.write_text(GOOD.format(name=name, version=version, value="ab" * 48) + extra)
    return path


class TestLint:
    def test_clean(self, cli: Cli) -> None:
        done = cli.good("policy", "lint", write("web"), write("db"))
        assert (done.out, done.err) == ("", "no errors\n")

    def test_every_problem_with_its_place(self, cli: Cli) -> None:
        broken = write("web", 1, "no_such: 1\nname: twice\n")
        done = cli("policy", "lint", write("good"), broken)
        assert done.code == 1
        lines = done.out.splitlines()
        assert [line.partition(": error: ")[0] for line in lines] == [str(broken)] * len(lines)
        assert any("line 13, column 1: no_such: unknown key" in line for line in lines)
        assert any("line 14, column 1" in line for line in lines)

    def test_what_would_be_refused_when_saved(self, cli: Cli) -> None:
        path = Path("default.yaml")
        path.write_bytes(default_text(Tee.TDX))
        done = cli("policy", "lint", path)
        assert done.code == 1
        assert "mr_td is not pinned" in done.out

    def test_warnings_are_allowed(self, cli: Cli) -> None:
        done = cli.good("policy", "lint", write("web", 1, "relax: {debug: a laboratory}\n"))
        assert "warning: " in done.out
        assert "the rule debug is off" in done.out

    def test_no_file(self, cli: Cli) -> None:
        assert cli("policy", "lint", "none.yaml").code == 66


def versions(operator: Operator, name: str) -> dict[int, str]:
    listed = operator.good("policy", "list", "--json").json()["policies"]
    return {one["version"]: one["state"] for one in listed if one["name"] == name}


def test_life_of_a_policy(operator: Operator) -> None:
    first, second = write("life", 1), write("life", 2)
    added = operator.good("policy", "add", first)
    assert "state    draft" in added.out
    assert added.err == "Next: attestca policy activate life 1\n"
    assert "state    active" in operator.good("policy", "activate", "life", "1").out
    operator.good("policy", "add", second)
    operator.good("policy", "activate", "life", "2")
    assert versions(operator, "life") == {1: "retired", 2: "active"}
    operator.good("policy", "retire", "life", "2")
    assert versions(operator, "life") == {1: "retired", 2: "retired"}


def test_the_table(operator: Operator) -> None:
    shown = operator.good("policy", "list").out
    assert shown.startswith("Policies\nname")
    (line,) = [line for line in shown.splitlines() if line.startswith("cvm ")]
    assert line.split()[1:3] == ["1", "active"]
    assert sha256(OF_RECORDS).hexdigest() in line


def test_the_text_comes_back_byte_for_byte(operator: Operator) -> None:
    path = write("bytes")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    operator.good("policy", "add", path)
    assert operator.good("policy", "get", "bytes", "1").out.encode() == path.read_bytes()


def test_what_the_service_refuses(operator: Operator) -> None:
    operator.good("policy", "add", write("refused", 3))
    rising = operator("policy", "add", write("refused", 2))
    assert (rising.code, rising.out) == (1, "")
    assert rising.err.startswith("attestca: policy-conflict: ")
    broken = operator("policy", "add", write("broken", 1, "no_such: 1\n"))
    assert broken.code == 1
    assert "policy-invalid: line 13, column 1: no_such: unknown key" in broken.err
    assert operator("policy", "activate", "refused", "9").code == 1
    assert operator("policy", "get", "no-such", "1").err.startswith("attestca: not-found: ")
    assert operator("policy", "add", "none.yaml").code == 66


@pytest.mark.parametrize("name", ["../certificates", "a/b", "a?b", "a#b", "%2e%2e", "ü"])
def test_a_name_is_one_segment_of_the_path(operator: Operator, name: str) -> None:
    done = operator("policy", "get", name, "1")
    assert done.code == 1
    assert done.err.startswith("attestca: not-found: ")
