# SPDX-License-Identifier: Apache-2.0
"""What an attester may send: kinds of evidence, technologies, and the one table of their limits.

Limits hold before any parsing or cryptography. A new kind gets its line here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tee(StrEnum):
    """Technologies, as policies and certificates name them."""

    TDX = "tdx"


class Provider(StrEnum):
    """How the evidence reached us, as far as verified claims prove it.

    `direct`: the CPU's own report carries the binding in report_data, no paravisor or cloud vTPM between.
    """

    DIRECT = "direct"


class EvidenceKind(StrEnum):
    """The `kind` of one piece of evidence in an enrollment request."""

    TDX_QUOTE = "tdx-quote"


MAX_BYTES: dict[EvidenceKind, int] = {
    EvidenceKind.TDX_QUOTE: 64 * 1024,
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence as received: trusted by nobody."""

    kind: EvidenceKind
    data: bytes
