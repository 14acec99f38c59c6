# SPDX-License-Identifier: Apache-2.0
"""What files hold, told by their content: one attester's evidence, its event logs, and revocation lists.

Names of files mean nothing, nor does their order. Nothing is believed: every reader looks again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from verifiers.eventlog.files import acpi_table, log_pieces
from verifiers.evidence import CPU_KINDS, Evidence, EvidenceKind
from verifiers.snp.files import certificate_pieces, kind_of, revocation_list, tpm_pieces
from verifiers.tdx.quote import names_tdx
from verifiers.vtpm.certified import names_google

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Identified:
    """What files are: one attester's evidence, its event logs with it, and collateral (revocation lists, DER)."""

    evidence: tuple[Evidence, ...]
    collateral: tuple[bytes, ...] = ()


def identify(files: Sequence[bytes]) -> Identified:
    """What files hold, by their content: a file is a TDX quote, unless it is plainly something else.

    Event logs have marks of their own; a file that holds a quote and its log is both. The ACPI table CCEL is looked at
    and left. Several files of certificates become one piece; those of Google's for keys of virtual TPMs another. Beside
    a TPM's quote, what nothing else is belongs to it; beside certificates of AMD's alone it is meant as their report,
    however damaged, unless it says that it is a TDX quote.

    Raises:
        VerificationError: `crl-invalid` for text that says it is a revocation list and is none; `unsupported-tee` for
            an ACPI table of another technology; what the parsers of the table and of the TPM's quote raise.
    """
    sorted_out = _Sorted()
    for data in files:
        if not acpi_table(data):
            sorted_out.add(data)
    pieces = (
        *sorted_out.pieces,
        *sorted_out.guessed(),
        *certificate_pieces(sorted_out.certificates),
        *certificate_pieces(sorted_out.of_google, EvidenceKind.TPM_AK_CERTIFICATE),
    )
    return Identified(pieces, tuple(sorted_out.collateral))


def is_of_cpu(data: bytes) -> bool:
    """Whether a file says that it is a CPU's quote or report, however damaged it is, or a log of its machine."""
    return names_tdx(data) or kind_of(data) in CPU_KINDS or bool(log_pieces(data))


@dataclass(slots=True)
class _Sorted:
    """Files by what they say that they are; `unknown`: those that say nothing."""

    pieces: list[Evidence] = field(default_factory=list)
    certificates: list[bytes] = field(default_factory=list)
    of_google: list[bytes] = field(default_factory=list)
    collateral: list[bytes] = field(default_factory=list)
    unknown: list[bytes] = field(default_factory=list)

    def add(self, data: bytes) -> None:
        """Put one file where it belongs. Raises VerificationError."""
        if logs := log_pieces(data):
            self.pieces += logs
            return
        kind = kind_of(data)
        if (crl := revocation_list(data)) is not None:
            self.collateral.append(crl)
        elif kind is EvidenceKind.SNP_CERTIFICATES:
            (self.of_google if names_google(data) else self.certificates).append(data)
        elif kind is not None:
            self.pieces.append(Evidence(kind, data))
        elif names_tdx(data):
            self.pieces.append(Evidence(EvidenceKind.TDX_QUOTE, data))
        else:
            self.unknown.append(data)

    def guessed(self) -> tuple[Evidence, ...]:
        """What the unknown files are by what stands beside them. Raises VerificationError."""
        for piece in self.pieces:
            if piece.kind is EvidenceKind.TPM_ATTEST:
                return tpm_pieces(piece.data, self.unknown)
        of_cpu = any(piece.kind in CPU_KINDS for piece in self.pieces)
        alone = bool(self.certificates) and not of_cpu
        kind = EvidenceKind.SNP_REPORT if alone else EvidenceKind.TDX_QUOTE
        return tuple(Evidence(kind, data) for data in self.unknown)
