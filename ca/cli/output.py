# SPDX-License-Identifier: Apache-2.0
"""What commands print: one JSON object for machines, tables for people. Errors go to standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def say(line: str) -> None:
    """One line of progress or advice, on standard error."""
    sys.stderr.write(line + "\n")


def say_blank() -> None:
    """An empty line on standard output."""
    sys.stdout.write("\n")
    sys.stdout.flush()


def _console() -> Console:
    """Standard output; where it is no terminal, wide enough that nothing is folded or cut."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200, no_color=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """A table; an empty one says so."""
    table = Table(*columns, title=title or None, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    _console().print(table if table.row_count else f"{title or 'nothing'}: none")


def print_facts(facts: Mapping[str, str], title: str = "") -> None:
    """Name and value, one below the other."""
    table = Table(
        show_header=False, title=title or None, title_justify="left", box=None, pad_edge=False
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value)
    _console().print(table)
