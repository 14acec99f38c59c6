# SPDX-License-Identifier: Apache-2.0
"""One attester's evidence of SEV-SNP, parsed from its pieces and trusted by nobody yet.

Direct: a report. Azure: an HCL report that holds one, and the quote of the vTPM that it vouches for. Certificates may
come with both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Evidence, EvidenceKind, Provider
from verifiers.snp.certificates import Certificates, parse_certificates
from verifiers.snp.report import SnpReport, parse_report
from verifiers.vtpm.evidence import TPM_KINDS, TpmQuote, demand_size, parse_tpm
from verifiers.vtpm.hcl import HclReport, HclReportType, parse_hcl

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class SnpEvidence:
    """Parsed evidence, trusted by nobody.

    Attributes:
        hcl, tpm: Azure only; without `tpm` nothing can be bound.
        vek: DER certificate that came along as the report's endorsement, if one did.
        authorities: all other DER certificates that came along.
    """

    report: SnpReport
    hcl: HclReport | None = None
    tpm: TpmQuote | None = None
    vek: bytes | None = None
    authorities: tuple[bytes, ...] = ()

    @property
    def provider(self) -> Provider:
        """Who carried the report."""
        return Provider.DIRECT if self.hcl is None else Provider.AZURE

    @property
    def raw(self) -> bytes:
        """The CPU's own piece, as received but for zero bytes that filled up a vTPM's index."""
        return self.report.raw if self.hcl is None else self.hcl.raw

    @property
    def pieces(self) -> tuple[Evidence, ...]:
        """What a record keeps; certificates are part of the endorsements instead."""
        kind = EvidenceKind.SNP_REPORT if self.hcl is None else EvidenceKind.HCL_REPORT
        cpu = Evidence(kind, self.raw)
        return (cpu, *(self.tpm.pieces if self.tpm is not None else ()))


def parse_evidence(pieces: Sequence[Evidence]) -> SnpEvidence:
    """Parse the pieces of one attester, each of another kind: a report or HCL report, and what belongs to it.

    Raises:
        VerificationError: `evidence` for pieces that do not belong together, `too-large`, `incomplete` for an HCL
            report of TDX, beside which a quote must stand; what the parsers raise.
    """
    parts = {piece.kind: piece.data for piece in pieces}
    direct = EvidenceKind.SNP_REPORT in parts
    cpu = EvidenceKind.SNP_REPORT if direct else EvidenceKind.HCL_REPORT
    beside = parts.keys() - {cpu, EvidenceKind.SNP_CERTIFICATES}
    if beside not in ((frozenset(),) if direct else (frozenset(), TPM_KINDS)):
        raise VerificationError(
            Reason.EVIDENCE, f"{cpu} and {', '.join(sorted(beside))} make no evidence together"
        )
    for kind in parts.keys() - {cpu}:
        demand_size(kind, parts[kind])
    hcl = None if direct else _parse_snp_hcl(parts[cpu])
    report = parse_report(parts[cpu] if hcl is None else hcl.hw_report)
    certificates = Certificates()
    if EvidenceKind.SNP_CERTIFICATES in parts:
        certificates = parse_certificates(parts[EvidenceKind.SNP_CERTIFICATES])
    return SnpEvidence(
        report=report,
        hcl=hcl,
        tpm=parse_tpm(parts) if beside else None,
        vek=certificates.endorsement(report.signing_key),
        authorities=certificates.others,
    )


def _parse_snp_hcl(data: bytes) -> HclReport:
    hcl = parse_hcl(data)
    if hcl.report_type is not HclReportType.SNP:
        raise VerificationError(
            Reason.INCOMPLETE, "the HCL report is that of a TD: its quote is missing (tdx-quote)"
        )
    return hcl
