# SPDX-License-Identifier: Apache-2.0
"""Bytes -> a model, or every fault of text and form with its line and column. Policies and floors are read by it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import ValidationError

from policies.errors import PolicyError, Problem
from policies.model import Model
from policies.tree import locate, parse, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

    from policies.tree import Mark, Path

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Reading(Generic[M]):
    """What was read, where things stand in the text, and the faults of its structure."""

    value: M
    marks: Mapping[Path, Mark]
    problems: tuple[Problem, ...]

    def check(self, faults: Iterable[tuple[Path, str]] = ()) -> None:
        """Raise PolicyError if there is any fault of structure, or one of those given (paths and messages)."""
        found = [*self.problems, *(Problem(show(p), *locate(self.marks, p), m) for p, m in faults)]
        if found:
            raise PolicyError(_sorted(found))


def read(text: bytes, model: type[M]) -> Reading[M]:
    """Read YAML or JSON. Raises PolicyError with every fault of text and form."""
    tree = parse(text)
    try:
        value = model.model_validate_json(json.dumps(tree.value))
    except ValidationError as error:
        unread = {show(path) for path in tree.unread}  # said already
        details = error.errors(include_url=False, include_input=False)
        found = (_problem(one, tree.marks) for one in details)
        problems = [*tree.problems, *(one for one in found if one.path not in unread)]
        raise PolicyError(_sorted(problems)) from error
    return Reading(value, tree.marks, tree.problems)


def _sorted(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))


def _problem(details: ErrorDetails, marks: Mapping[Path, Mark]) -> Problem:
    path = tuple(part for part in details["loc"] if part != "[key]")
    match details["type"]:
        case "extra_forbidden":
            message = "unknown key"
        case "missing":
            message = "required, but not said"
        case _:
            message = details["msg"].removeprefix("Value error, ")
    return Problem(show(path), *locate(marks, path), message)
