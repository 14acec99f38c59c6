# SPDX-License-Identifier: Apache-2.0
"""What commands print: one JSON object for machines, tables for people. Errors and progress go to standard error.

A reader that went away (`| head`) changes no exit code: what is printed after that is lost, and nothing else happens.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from typing import TYPE_CHECKING

import rich.progress
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_CLEAR = "\r\x1b[2K"  # to the beginning of the line, and nothing on it


def write(text: str) -> None:
    """Text on standard output, at once."""
    with _reader_may_leave():
        sys.stdout.write(text)
        sys.stdout.flush()


def write_bytes(data: bytes) -> None:
    """Bytes on standard output, as they are."""
    with _reader_may_leave():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _reader_may_leave() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # What is still buffered must go somewhere when the program ends.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def say(line: str) -> None:
    """One line of progress or advice, on standard error."""
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(_plain(line) + "\n")
        sys.stderr.flush()


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """What shows how far something is: one line of a terminal, written over each time and gone in the end.

    Nothing is shown where standard error is no terminal.
    """
    shown = sys.stderr.isatty()

    def show(line: str) -> None:
        if shown:
            with contextlib.suppress(BrokenPipeError):
                sys.stderr.write(f"{_CLEAR}{_plain(line)}")
                sys.stderr.flush()

    try:
        yield show
    finally:
        show("")


def say_blank() -> None:
    """An empty line on standard output."""
    write("\n")


class Progress:
    """A bar on standard error; nothing where that is no terminal."""

    def __init__(self, bar: rich.progress.Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("")

    def total(self, steps: int) -> None:
        """How many steps there will be, as far as is known."""
        self._bar.update(self._task, total=steps)

    def advance(self, steps: int) -> None:
        """So many more are done."""
        self._bar.advance(self._task, steps)


@contextlib.contextmanager
def bar() -> Iterator[Progress]:
    """A bar while the block runs; it leaves nothing behind."""
    columns = (
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    disable = not console.is_terminal
    with rich.progress.Progress(*columns, console=console, transient=True, disable=disable) as live:
        yield Progress(live)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """A table; an empty one says so. What is one word (a digest, a time) is not broken over lines."""
    lines = [tuple(map(_plain, row)) for row in rows]
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        words = all(len(line[index].split()) <= 1 for line in lines)
        table.add_column(column, overflow="fold", no_wrap=words and len(columns) > 1)
    for line in lines:
        table.add_row(*line)
    _render(table if lines else f"{title or 'nothing'}: none")


def print_facts(facts: Mapping[str, str], title: str = "") -> None:
    """Name and value, one below the other."""
    table = Table(
        show_header=False, title=title or None, title_justify="left", box=None, pad_edge=False
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, _plain(value))
    _render(table)


def _plain(text: str) -> str:
    """Without characters that a terminal would obey: some of what is shown was written by strangers."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\ufffd"
        for character in text
    )


def _render(table: Table | str) -> None:
    """As wide as the terminal, or 200 columns where there is none."""
    text = io.StringIO()
    terminal = sys.stdout.isatty()
    console = Console(
        file=text,
        force_terminal=terminal,
        width=Console().width if terminal else 200,
        highlight=False,
        emoji=False,
    )
    # Values come from evidence, policies and other people's requests: they are text, never markup.
    console.print(table, markup=False)
    write("".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()))
