# SPDX-License-Identifier: Apache-2.0
"""The project's documents taken apart: fenced blocks with what a comment above them says, links, names of files.

Two comments are ours:

    <!-- run: SITUATION -->      before a block of sh, whose commands a test runs; blocks of one document and situation
                                 run in order, as one session
    <!-- output: SITUATION -->   before a block of text: lines that the run above (or `make demo`) prints, in order.
                                 … stands for anything, on a line of its own for any lines; hexadecimal of eight digits
                                 and more is like any other, and so are instants, seconds, versions of the policy `demo`
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOP = Path(__file__).parents[2]
DOCUMENTS = (
    *(TOP / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md", "THREAT_MODEL.md")),
    TOP / "client" / "README.md",
    *sorted((TOP / "docs").rglob("*.md")),
)
_FENCE = re.compile(r"^```(\w*)$")
_COMMENT = re.compile(r"^<!-- (run|output): ([a-z ]+) -->$")
_VOLATILE = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "INSTANT"),
    (re.compile(r"\b[0-9a-f]{8,}\b"), "HEX"),
    (re.compile(r"\bin \d+ s\b"), "in N s"),
    (re.compile(r"\bdemo@\d+"), "demo@N"),  # each session has a version of its own
    (re.compile(r"\s+"), " "),
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `verb` and `situation` are empty where no comment of ours stands above it."""

    document: Path
    line: int
    language: str
    text: str
    verb: str = ""
    situation: str = ""

    @property
    def where(self) -> str:
        return f"{self.document.relative_to(TOP)}:{self.line}"


def blocks(document: Path) -> tuple[Block, ...]:
    """All fenced blocks of a document, in order."""
    return tuple(_blocks(document, document.read_text(encoding="utf-8").splitlines()))


def _blocks(document: Path, lines: Sequence[str]) -> Iterator[Block]:
    start, above, said = 0, "", ("", "")
    language, inside = "", False
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.match(line)
        if fence is not None and not inside:
            comment = _COMMENT.match(above)
            said = (comment[1], comment[2]) if comment else ("", "")
            start, language, inside = number, fence[1], True
        elif fence is not None:
            text = "\n".join(lines[start : number - 1]) + "\n"
            yield Block(document, start, language, text, *said)
            inside = False
        above = line if line.strip() else above
    assert not inside, f"{document}: a block is not closed"


def prose(document: Path) -> str:
    """The document without its fenced blocks."""
    text = document.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def section(document: Path, heading: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    text = document.read_text(encoding="utf-8")
    level = len(heading) - len(heading.lstrip("#"))
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"{document.name} has no heading {heading!r}"
    return re.split(rf"^#{{1,{level}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows in `text`, without headings and rules."""
    found = [line.strip() for line in text.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in found]
    rules = [
        index for index, row in enumerate(table) if all(set(cell) <= set("-: ") for cell in row)
    ]
    heads = {index - 1 for index in rules}
    return [row for index, row in enumerate(table) if index not in heads and index not in rules]


def codes(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def missing_lines(shown: str, printed: str) -> list[str]:
    """Lines of `shown` that `printed` does not have, or not in that order; see the module's docstring."""
    rest = [_normal(line) for line in printed.splitlines()]
    lost = []
    for line in shown.splitlines():
        if line.strip() in {"", "…"}:
            continue
        pattern = re.compile(".*".join(re.escape(_normal(part)) for part in line.split("…")))
        found = next((index for index, one in enumerate(rest) if pattern.search(one)), None)
        if found is None:
            lost.append(line)
        else:
            rest = rest[found + 1 :]
    return lost


def _normal(line: str) -> str:
    for volatile, name in _VOLATILE:
        line = volatile.sub(name, line)
    return line.strip()
