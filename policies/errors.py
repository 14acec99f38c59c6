# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a policy document: the operator's fault, told all at once and with places.

    Exception
      PolicyError            a document that cannot be loaded
        problems             every fault that was found, never empty, in the order of the text
      NameRefused            verified claims do not give a valid name under the policy's templates
        template, detail

Errors carry data; how they are shown is the shell's business.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault.

    Attributes:
        path: keys and list indices from the top of the document, e.g. "tdx.tcb.accept[0].status"; "" is the document.
        line, column: of the key or value, counted from 1; 0 where no text is known.
        message: one English line.
    """

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}: " if self.line else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class PolicyError(Exception):
    """A document that cannot be loaded. `problems` lists every fault."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class NameRefused(Exception):
    """A template that gives no valid name for these claims. `detail` holds nothing of the policy's allowed values."""

    def __init__(self, template: str, detail: str) -> None:
        super().__init__(f"{template}: {detail}")
        self.template = template
        self.detail = detail
