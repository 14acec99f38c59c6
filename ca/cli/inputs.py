# SPDX-License-Identifier: Apache-2.0
"""Reading what the command line names: files (bounded), instants, durations; commands read the clock here alone."""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ca.cli.exits import UnreadableError
from verifiers.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

MAX_INPUT = 4 * 1024 * 1024


def now() -> datetime:
    """The clock, UTC."""
    return datetime.now(UTC)


def actor() -> str:
    """Who runs this, for the operators' log: the user of the process, whatever its environment says."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"


def read_input(name: str | Path) -> bytes:
    """The bytes of a file, or of standard input for "-"; at most 4 MiB."""
    try:
        with Path("/dev/stdin" if str(name) == "-" else name).open("rb") as file:
            data = file.read(MAX_INPUT + 1)
    except OSError as error:
        raise UnreadableError(f"{name}: {error.strerror}") from error
    if len(data) > MAX_INPUT:
        raise UnreadableError(f"{name}: larger than {MAX_INPUT} bytes")
    return data


def text_hint(files: Sequence[bytes], reason: Reason) -> str:
    """Evidence pasted as text is the commonest mistake; how to mend it, to be said behind the reason."""
    if reason not in {Reason.UNSUPPORTED_FORMAT, Reason.MALFORMED, Reason.UNSUPPORTED_TEE}:
        return ""
    heads = [data[:64].strip() for data in files]
    if not any(head.isascii() and head.isalnum() for head in heads):
        return ""
    return "; this looks like text: give the raw bytes (`xxd -r -p` for hexadecimal, `base64 -d`)"


def parse_instant(text: str | None) -> datetime:
    """`text` as RFC 3339 with an offset, or now."""
    if text is None:
        return now()
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no RFC 3339 time") from error
    if instant.tzinfo is None:
        raise typer.BadParameter(f"{text!r} needs an offset, e.g. 2026-01-31T12:00:00Z")
    return instant.astimezone(UTC)


def parse_duration(text: str) -> timedelta:
    """A duration such as "30d", "12h" or "P30D"; more than nothing."""
    from policies.scalars import read_duration

    try:
        duration = read_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}") from error
    if not duration:
        raise typer.BadParameter(f"{text!r} is no time at all")
    return duration
