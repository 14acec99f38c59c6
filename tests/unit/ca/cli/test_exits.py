# SPDX-License-Identifier: Apache-2.0
"""Every way in which a command ends: its exit code, one clear line, never a traceback that nobody asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
import typer

from ca.cli import inspect
from ca.cli.exits import Exit, UnreadableError, explain
from ca.errors import (
    AuthorityError,
    ConfigurationError,
    Conflict,
    Denied,
    LintFailed,
    NotFound,
    RequestRefused,
    Unavailable,
)

if TYPE_CHECKING:
    from tests.cli_lab import Cli, Evidence


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (typer.BadParameter("x"), 64),
        (typer.Abort(), 64),
        (UnreadableError("x"), 66),
        (ConfigurationError("x"), 66),
        (Unavailable("x"), 69),
        (LintFailed("x"), 70),
        (AuthorityError("x"), 70),
        (ZeroDivisionError("x"), 70),
        (RequestRefused("x"), 1),
        (Denied("x"), 1),
        (Conflict("x"), 1),
        (NotFound("x"), 1),
    ],
)
def test_codes(error: Exception, code: int) -> None:
    found, message = explain(error)
    assert found == code
    assert "x" in message or isinstance(error, typer.Abort)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Usage: "),
        (("token",), "Usage: "),
        (("no-such-command",), "No such command 'no-such-command'"),
        (("verify",), "evidence is wanted, or --nras-token"),
        (("verify", "--no-such-option", "x"), "No such option: --no-such-option"),
        (("token", "create", "me", "--expires", "1d"), "Missing option '--scope'"),
        (("policy", "activate", "web", "first"), "Invalid value for 'VERSION'"),
        (("policy", "activate", "web", "0"), "greater than or equal to 1"),
        (("refusals", "list", "--kind", "all"), "'all' is not one of"),
    ],
)
def test_wrong_usage_is_64(cli: Cli, arguments: tuple[str, ...], says: str) -> None:
    done = cli(*arguments)
    assert done.code == Exit.USAGE
    assert done.out == ""
    assert done.err.startswith("attestca: ")
    assert says in done.err
    assert "Traceback" not in done.err


def test_version_and_help_are_0(cli: Cli) -> None:
    assert cli.good("--version").out == f"attestca {version('attestca')}\n"
    assert "Commands:" in cli.good("--help").out
    assert "--collateral" in cli.good("appraise", "--help").out


def test_an_unexpected_error_is_one_line_and_a_hint(
    cli: Cli, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("one\ntwo")

    monkeypatch.setattr(inspect, "builtin", broken)
    quote = evidence.quote()
    done = cli("verify", quote)
    assert done.code == Exit.INTERNAL
    assert done.err == (
        "attestca: internal error: ZeroDivisionError: one two\n"
        "To see where, run it again as `attestca --traceback …`.\n"
    )
    traced = cli("--traceback", "verify", quote)
    assert traced.code == Exit.INTERNAL
    assert "Traceback (most recent call last)" in traced.err
    assert "in broken" in traced.err


def test_a_reader_that_leaves_changes_no_exit_code(evidence: Evidence) -> None:
    """The pipe is closed before anything is written."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "ca", "verify", str(evidence.quote()), "--at", evidence.at],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    os.close(write)
    reached = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "ca", "verify", str(evidence.quote()), "--at", evidence.at],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stderr == reached.stderr == ""
    assert "verdict" in reached.stdout
    assert done.returncode == reached.returncode == Exit.REFUSED
