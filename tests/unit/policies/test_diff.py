# SPDX-License-Identifier: Apache-2.0
"""What differs between two documents, and whom it can concern: by the tables in `diff_cases_tdx`, `diff_cases_others`.

Whether the directions are true, is asked in `test_diff_directions`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

import pytest

from policies.diff import COMPARISONS, PATTERNS, diff
from policies.difference import OPPOSITE, Difference
from policies.document import PolicyDocument
from policies.loader import load_policy
from policies.model import Model
from tests.unit.policies import diff_cases_others, diff_cases_tdx
from tests.unit.policies.diff_documents import tdx
from tests.unit.policies.documents import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.policies.diff_documents import Case

CASES = diff_cases_tdx.CASES | diff_cases_others.CASES


def test_no_case_hides_another() -> None:
    assert not diff_cases_tdx.CASES.keys() & diff_cases_others.CASES.keys()


def found(old: PolicyDocument, new: PolicyDocument) -> list[tuple[str, str, str, str]]:
    return [(one.path, one.effect.value, one.before, one.after) for one in diff(old, new)]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_differences(
    case: Case,
) -> None:
    old, new, expected = case
    assert found(old, new) == expected


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_other_way_round(case: Case) -> None:
    """What is stricter one way is looser the other way, with the sides changed."""
    old, new, _ = case
    assert diff(old, old) == diff(new, new) == ()
    back = {
        Difference(one.path, OPPOSITE.get(one.effect, one.effect), one.after, one.before)
        for one in diff(new, old)
    }
    there = {one for one in diff(old, new) if not one.path.endswith(".id")}  # the id on either side
    assert there == {one for one in back if not one.path.endswith(".id")}


def test_notation_is_no_difference() -> None:
    reordered = json.loads(text())
    reordered = dict(reversed(reordered.items())) | {"not_before": None, "relax": {}}
    del reordered["not_before"]
    reordered["tdx"] |= {"xfam": {"required": "0000000000000003"}, "tcb": {"accept": []}}
    assert diff(tdx(), load_policy(json.dumps(reordered).encode()).document) == ()


# every key has its direction


def keys(model: type[Model], prefix: str = "") -> Iterator[str]:
    """Paths of everything that a document can say, with * for keys of mappings and elements of lists."""
    for name, field in model.model_fields.items():
        yield from _of(field.annotation, f"{prefix}{name}")


def _of(annotation: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - any annotation
    inside = list(_models(annotation))
    if not inside:
        yield path
    for model, depth in inside:
        yield from keys(model, f"{path}{'.*' * depth}.")


def _models(annotation: Any, depth: int = 0) -> Iterator[tuple[type[Model], int]]:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation, depth
    origin = getattr(annotation, "__origin__", None)
    for argument in get_args(annotation):
        yield from _models(argument, depth + (origin in {dict, tuple}))


def test_every_key_has_a_direction() -> None:
    """A key that is added to the document is `other` until it has a line in `policies.diff.COMPARISONS`."""
    unnamed = []
    for path in keys(PolicyDocument):
        parts = path.split(".")
        prefixes = {".".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
        if not prefixes & COMPARISONS.keys() and f"{path}.*" not in PATTERNS:
            unnamed.append(path)
    told_elsewhere = ["reference_sets.*.*.id", "tdx.tcb.accept.*.status"]
    assert [path for path in unnamed if path not in told_elsewhere] == []


def test_what_has_no_direction_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "policies.diff.COMPARISONS",
        {name: one for name, one in COMPARISONS.items() if name != "issue.lifetime"},
    )
    new = tdx(
        issue={"lifetime": "1h", "san": {"uri": ["spiffe://example.org/tdx/{mr_config_id_32}"]}}
    )
    assert found(tdx(), new) == [("issue.lifetime", "other", "1 day, 0:00:00", "1:00:00")]
