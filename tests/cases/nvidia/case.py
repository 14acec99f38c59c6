# SPDX-License-Identifier: Apache-2.0
"""One line of the list of what a verifier of NVIDIA evidence must reject, or must not, made a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Case:
    """What is done and what must come of it.

    Attributes:
        line: number in the list. why: unique within the line.
        expect: the reason of the refusal, or what `run` must return.
        run: the verification of something altered, or of something that must not be refused.
    """

    line: int
    why: str
    expect: object
    run: Callable[[], object]
    id: str = ""

    def outcome(self) -> object:
        """The reason of the refusal, or what was returned."""
        try:
            return self.run()
        except VerificationError as error:
            return error.reason

    @property
    def refuses(self) -> bool:
        """Whether it is about a refusal."""
        return isinstance(self.expect, Reason)
