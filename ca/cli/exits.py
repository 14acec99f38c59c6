# SPDX-License-Identifier: Apache-2.0
"""Exit codes, which other programs rely on: 0, 1 and 2 are verdicts; from 64 on they are sysexits.h.

`explain` is the one place where an error becomes a code and words. Nothing that a user can do wrong shows a traceback.
"""

from __future__ import annotations

from enum import IntEnum

import typer

from ca.errors import AuthorityError, ConfigurationError, LintFailed, Unavailable
from verifiers.errors import Verdict


class Exit(IntEnum):
    """What the process says when it ends."""

    OK = 0  # verified, accepted, issued, done
    REFUSED = 1  # rejected, denied
    UNDETERMINED = 2
    USAGE = 64
    UNREADABLE = 66
    UNAVAILABLE = 69
    INTERNAL = 70


VERDICT_EXITS = {
    Verdict.VERIFIED: Exit.OK,
    Verdict.REJECTED: Exit.REFUSED,
    Verdict.UNDETERMINED: Exit.UNDETERMINED,
}


class UnreadableError(Exception):
    """An input that cannot be read, or holds something else than it should."""


def explain(error: Exception) -> tuple[Exit, str]:
    """The exit code for an error, and what to tell the user."""
    match error:
        case typer.Abort():
            return Exit.USAGE, "interrupted"
        case typer.TyperException():
            return Exit.USAGE, _usage(error)
        case UnreadableError():
            return Exit.UNREADABLE, str(error)
        case AuthorityError():
            return _explain_ours(error)
        case _:
            return Exit.INTERNAL, _internal(error)


def _explain_ours(error: AuthorityError) -> tuple[Exit, str]:
    match error:
        case ConfigurationError():
            return Exit.UNREADABLE, error.detail
        case Unavailable():
            return Exit.UNAVAILABLE, error.detail
        case LintFailed():
            return Exit.INTERNAL, f"{error.code}: {error.detail}"
        case _ if error.code == AuthorityError.code:
            return Exit.INTERNAL, _internal(error)
        case _:
            return Exit.REFUSED, f"{error.code}: {error.detail}"


def _usage(error: typer.TyperException) -> str:
    if isinstance(error, typer.BadParameter):
        return f"{error.format_message()}\nTry --help."
    if str(error).startswith("Usage:"):  # a group without a command
        return f"which command?\n{error}"
    return f"{error}\nTry --help."


def _internal(error: Exception) -> str:
    """One line, and how to learn more."""
    words = " ".join(str(error).split())[:200]
    return (
        f"internal error: {type(error).__name__}: {words}\n"
        "To see where, run it again as `attestca --traceback …`."
    )
