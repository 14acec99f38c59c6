# SPDX-License-Identifier: Apache-2.0
"""What the logs beside one CPU's evidence came to: the states of its registers, and what the logs prove. Vocabulary.

Made by whoever verified that evidence, from its verified registers; read by policies. A log that could not be read is
not here: it refuses the evidence. A register that a log contradicts is: policies judge it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from verifiers.eventlog.claims import BootClaims
    from verifiers.eventlog.events import Algorithm, LogFormat, Register
    from verifiers.eventlog.replay import Replayed


@dataclass(frozen=True, slots=True)
class Boot:
    """Logs after replay.

    Attributes:
        formats: of the logs, in the order in which they were replayed; at least one.
        algorithm: of the registers: SHA-384 of a TD, the quoted bank of a TPM.
        replayed: by `replay.replay` of these logs against the registers that the verified evidence reports.
        claims: by `boot.boot_claims` of the same.
    """

    formats: tuple[LogFormat, ...]
    algorithm: Algorithm
    replayed: Mapping[Register, Replayed]
    claims: BootClaims
