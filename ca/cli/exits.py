# SPDX-License-Identifier: Apache-2.0
"""Exit codes, which other programs rely on: 0, 1 and 2 are verdicts; from 64 on they are sysexits.h."""

from __future__ import annotations

from enum import IntEnum

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
