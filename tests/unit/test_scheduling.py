# SPDX-License-Identifier: Apache-2.0
"""How test files are shared among workers: the names in `tests.scheduling` are of files that are there."""

from __future__ import annotations

import ast

import pytest

from tests.scheduling import ROOT, SLOW, STAGES, scope_of


@pytest.mark.parametrize("path", SLOW)
def test_what_is_slow_is_there(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("tests/docs/test_commands.py", STAGES[0]),
        ("tests/docs/test_metrics.py", STAGES[0]),
        ("tests/docs/test_references.py", "tests/docs/test_references.py"),
        ("tests/integration/test_canary.py", STAGES[1]),
        ("tests/integration/test_end_to_end.py", STAGES[1]),
        ("tests/integration/test_limits.py", "tests/integration/test_limits.py"),
    ],
)
def test_files_on_one_stage_go_together(path: str, scope: str) -> None:
    assert scope_of(path) == scope


def test_every_file_that_asks_for_a_stage_is_found() -> None:
    """By the fixtures' names, whatever their type is called there."""
    tests = (ROOT / "tests").rglob("test_*.py")
    found = [str(path.relative_to(ROOT)) for path in tests if _names_a_stage(path.read_text())]
    assert len(found) > 10
    assert {scope_of(path) for path in found} == set(STAGES)


def _names_a_stage(text: str) -> bool:
    """Whether one of its functions is given a stage, or what hangs on it."""
    if not any(word in text for word in ("stage", "enrolled")):
        return False
    names = {
        argument.arg
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.name.startswith("test_") or node.decorator_list)
        for argument in node.args.args
    }
    return bool(names & {"stage", "sqlite_stage", "postgres_stage", "enrolled"})
