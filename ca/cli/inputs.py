# SPDX-License-Identifier: Apache-2.0
"""Reading what the command line names: files (bounded), instants; a command reads the clock here alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer

MAX_INPUT = 4 * 1024 * 1024


class UnreadableError(Exception):
    """An input that cannot be read; ends the process with exit code 66."""


def read_input(name: str) -> bytes:
    """The bytes of a file, or of standard input for "-"; at most 4 MiB."""
    try:
        with Path("/dev/stdin" if name == "-" else name).open("rb") as file:
            data = file.read(MAX_INPUT + 1)
    except OSError as error:
        raise UnreadableError(f"{name}: {error.strerror}") from error
    if len(data) > MAX_INPUT:
        raise UnreadableError(f"{name}: larger than {MAX_INPUT} bytes")
    return data


def parse_instant(text: str | None) -> datetime:
    """`text` as RFC 3339 with an offset, or now."""
    if text is None:
        return datetime.now(UTC)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no RFC 3339 time") from error
    if instant.tzinfo is None:
        raise typer.BadParameter(f"{text!r} needs an offset, e.g. 2026-01-31T12:00:00Z")
    return instant
