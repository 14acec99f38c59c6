# SPDX-License-Identifier: Apache-2.0
"""The quote of a virtual TPM as evidence carries it: three pieces, parsed and trusted by nobody yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_BYTES, Evidence, EvidenceKind
from verifiers.vtpm.attest import TpmsAttest, parse_attest

if TYPE_CHECKING:
    from collections.abc import Mapping

TPM_KINDS: Final = frozenset(
    {EvidenceKind.TPM_ATTEST, EvidenceKind.TPM_SIGNATURE, EvidenceKind.TPM_PCRS}
)


@dataclass(frozen=True, slots=True)
class TpmQuote:
    """The quote of a vTPM with what is needed to check it."""

    attest: TpmsAttest
    signature: bytes
    pcrs: bytes

    @property
    def pieces(self) -> tuple[Evidence, ...]:
        """What a record keeps; `parse_tpm` gives the same of it."""
        return (
            Evidence(EvidenceKind.TPM_ATTEST, self.attest.raw),
            Evidence(EvidenceKind.TPM_SIGNATURE, self.signature),
            Evidence(EvidenceKind.TPM_PCRS, self.pcrs),
        )


def parse_tpm(parts: Mapping[EvidenceKind, bytes]) -> TpmQuote:
    """Parse the three pieces, all of which are there.

    Raises:
        VerificationError: `too-large`; what the parser of the quote raises.
    """
    for kind in sorted(TPM_KINDS):
        demand_size(kind, parts[kind])
    return TpmQuote(
        parse_attest(parts[EvidenceKind.TPM_ATTEST]),
        parts[EvidenceKind.TPM_SIGNATURE],
        parts[EvidenceKind.TPM_PCRS],
    )


def demand_size(kind: EvidenceKind, data: bytes) -> None:
    """Demand that a piece is within the limit of its kind.

    Raises:
        VerificationError: `too-large`.
    """
    if len(data) > MAX_BYTES[kind]:
        raise VerificationError(
            Reason.TOO_LARGE, f"{kind}: {len(data)} bytes, at most {MAX_BYTES[kind]}"
        )
