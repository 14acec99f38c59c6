# SPDX-License-Identifier: Apache-2.0
"""The text of a policy: what is read, what is a fault, and where it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import PolicyError, Problem
from policies.tree import MAX_BYTES, MAX_DEPTH, MAX_NODES, Tree, locate, parse, show
from tests.unit.policies.documents import attempt


def one_problem(text: str) -> Problem:
    (problem,) = parse(text.encode()).problems
    return problem


def refusal(text: bytes) -> Problem:
    with pytest.raises(PolicyError) as caught:
        parse(text)
    (problem,) = caught.value.problems
    return problem


def test_values_are_plain_and_exact() -> None:
    tree = parse(b"a: x\nb: [1, true, False, null, ~, '2', \"3\", 2026-01-31, yes]\nc: {d: }\n")
    assert tree.value == {
        "a": "x",
        "b": [1, True, False, None, None, "2", "3", "2026-01-31", "yes"],
        "c": {"d": None},
    }
    assert tree.problems == ()


def test_json_is_read_by_the_same_reader() -> None:
    value = {"a": [1, "x\U0001f600", {"b": None}], "c": True, "d/e": '\\ " \n'}
    for text in (
        json.dumps(value),
        json.dumps(value, separators=(",", ":")),
        json.dumps(value, indent=1),
    ):
        assert parse(text.encode()).value == value


def test_marks_count_from_one() -> None:
    tree = parse(b"a:\n  - b: 1\n    c: 2\n")
    assert tree.marks[("a",)] == (1, 1)
    assert tree.marks[("a", 0, "c")] == (3, 5)


def test_a_missing_path_is_located_at_its_nearest_ancestor() -> None:
    tree = parse(b"a:\n  b: 1\n")
    assert locate(tree.marks, ("a", "b", 3, "x")) == (2, 3)
    assert locate(tree.marks, ("z",)) == (1, 1)
    assert locate({}, ("z",)) == (0, 0)


def test_paths_are_shown_as_people_write_them() -> None:
    assert show(("reference_sets", "release", 0, "id")) == "reference_sets.release[0].id"
    assert show(()) == ""


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a: &x 1\n", 1, 4, "anchor"),
        ("a: 1\nb: *x\n", 2, 4, "alias"),
        ("a: !!int '1'\n", 1, 4, "tag"),
        ("a: !x {}\n", 1, 4, "tag"),
        ("a: 1\na: 2\n", 2, 1, "duplicate key"),
        ("a: 1\n[b]: 2\n", 2, 1, "a key is plain text"),
        ("a: 1\n---\nb: 1\n", 2, 1, "second document"),
        ("%YAML 1.1\n---\na: 1\n", 2, 1, "directives"),
        ("%TAG ! x:\n---\na: 1\n", 2, 1, "directives"),
        ('a: "\\ud83d"\n', 1, 4, "surrogate"),
        ("a: 0x10\n", 1, 4, "decimal"),
        ("a: 010\n", 1, 4, "decimal"),
        ("a: 1_000\n", 1, 4, "decimal"),
        ("a: -1\n", 1, 4, "decimal"),
        ("a: 1.5\n", 1, 4, "decimal"),
        ("a: .inf\n", 1, 4, "decimal"),
        ("a: 50806e000000\n", 1, 4, "decimal"),
        (f"a: {'9' * 5000}\n", 1, 4, "decimal"),
    ],
)
def test_a_fault_has_its_place(text: str, line: int, column: int, message: str) -> None:
    problem = one_problem(text)
    assert (problem.line, problem.column) == (line, column)
    assert message in problem.message


def test_anchored_and_tagged_keys_are_faults() -> None:
    messages = [problem.message for problem in parse(b"&k a: 1\n!!str b: 2\n").problems]
    assert sum("anchor" in message for message in messages) == 1
    assert sum("tag" in message for message in messages) == 1


def test_a_later_duplicate_never_replaces_the_first() -> None:
    assert parse(b"a: 1\na: 2\n").value == {"a": 1}


def test_all_faults_are_told_together() -> None:
    tree = parse(b"a: 0x1\nb: &x 1\nb: 2\nc: !t 1\n")
    assert [problem.line for problem in tree.problems] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "empty"),
        (b"# only a comment\n", "empty"),
        (b"\xff\xfea\x00", "UTF-8"),
        (b"a: \x00", "not YAML"),
        (b'a: "\\UFFFFFFFF"', "not YAML"),
        (b"a: [1", "not YAML"),
        (b"a: b: c", "not YAML"),
        (b"[" * 100, f"deeper than {MAX_DEPTH}"),
        (b"[" * 100_000, f"deeper than {MAX_DEPTH}"),
        (b"- x\n" * (MAX_NODES + 1), f"more than {MAX_NODES}"),
        (b" " * (MAX_BYTES + 1), f"at most {MAX_BYTES}"),
    ],
)
def test_text_without_structure_is_refused(text: bytes, message: str) -> None:
    assert message in refusal(text).message


def test_a_syntax_fault_has_its_place() -> None:
    problem = refusal(b"a: 1\nb: [1, }\n")
    assert (problem.line, problem.column) == (2, 8)


def test_the_deepest_allowed_nesting_is_read() -> None:
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH).problems == ()
    assert "deeper" in refusal(b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2)).message


def test_aliases_cannot_multiply() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
    )
    tree = parse(bomb.encode())
    assert len(tree.problems) == 61
    assert isinstance(tree.value, dict)
    assert tree.value["u"] == [None, None]


def test_a_problem_reads_like_a_compilers() -> None:
    assert str(Problem("a.b", 3, 4, "no")) == "line 3, column 4: a.b: no"
    assert str(Problem("", 3, 4, "no")) == "line 3, column 4: no"
    assert str(Problem("a", 0, 0, "no")) == "a: no"


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 10**18 - 1) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_any_json_of_the_language_reads_back(value: object) -> None:
    tree = parse(json.dumps(value).encode())
    assert (tree.value, tree.problems, tree.unread) == (value, (), frozenset())


noise = st.text(
    st.sampled_from("abc019 \n\t:-?[]{},#&*!|>%@`\"\\'~.=<x\u0085\u2028\ufeff"), max_size=80
)


@given(noise.map(str.encode) | st.binary(max_size=80))
def test_nothing_but_a_policy_error_comes_out(data: bytes) -> None:
    found = attempt(parse, data)
    assert isinstance(found, Tree) or len(found) > 0
