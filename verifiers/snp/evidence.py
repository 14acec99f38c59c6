# SPDX-License-Identifier: Apache-2.0
"""One attester's evidence of SEV-SNP, parsed from its pieces and trusted by nobody yet.

Direct: a report. Azure: an HCL report that holds one, and the quote of the vTPM that it vouches for. Certificates may
come with both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_BYTES, Evidence, EvidenceKind, Provider
from verifiers.snp.certificates import Certificates, parse_certificates
from verifiers.snp.report import SnpReport, parse_report
from verifiers.vtpm.attest import TpmsAttest, parse_attest
from verifiers.vtpm.hcl import HclReport, HclReportType, parse_hcl

if TYPE_CHECKING:
    from collections.abc import Sequence

_TPM_KINDS: Final = frozenset(
    {EvidenceKind.TPM_ATTEST, EvidenceKind.TPM_SIGNATURE, EvidenceKind.TPM_PCRS}
)


@dataclass(frozen=True, slots=True)
class TpmQuote:
    """The quote of a vTPM with what is needed to check it."""

    attest: TpmsAttest
    signature: bytes
    pcrs: bytes


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
        if self.tpm is None:
            return (cpu,)
        return (
            cpu,
            Evidence(EvidenceKind.TPM_ATTEST, self.tpm.attest.raw),
            Evidence(EvidenceKind.TPM_SIGNATURE, self.tpm.signature),
            Evidence(EvidenceKind.TPM_PCRS, self.tpm.pcrs),
        )


def parse_evidence(pieces: Sequence[Evidence]) -> SnpEvidence:
    """Parse the pieces of one attester, each of another kind: a report or HCL report, and what belongs to it.

    Raises:
        VerificationError: `evidence` for pieces that do not belong together, `too-large`, `unsupported-tee` for an HCL
            report of TDX; what the parsers raise.
    """
    parts = {piece.kind: piece.data for piece in pieces}
    direct = EvidenceKind.SNP_REPORT in parts
    cpu = EvidenceKind.SNP_REPORT if direct else EvidenceKind.HCL_REPORT
    beside = parts.keys() - {cpu, EvidenceKind.SNP_CERTIFICATES}
    if beside not in ((frozenset(),) if direct else (frozenset(), _TPM_KINDS)):
        raise VerificationError(
            Reason.EVIDENCE, f"{cpu} and {', '.join(sorted(beside))} make no evidence together"
        )
    for kind in parts.keys() - {cpu}:
        if len(parts[kind]) > MAX_BYTES[kind]:
            raise VerificationError(
                Reason.TOO_LARGE, f"{kind}: {len(parts[kind])} bytes, at most {MAX_BYTES[kind]}"
            )
    hcl = None if direct else _parse_snp_hcl(parts[cpu])
    report = parse_report(parts[cpu] if hcl is None else hcl.hw_report)
    certificates = Certificates()
    if EvidenceKind.SNP_CERTIFICATES in parts:
        certificates = parse_certificates(parts[EvidenceKind.SNP_CERTIFICATES])
    return SnpEvidence(
        report=report,
        hcl=hcl,
        tpm=_parse_tpm(parts) if beside else None,
        vek=certificates.endorsement(report.signing_key),
        authorities=certificates.others,
    )


def _parse_snp_hcl(data: bytes) -> HclReport:
    hcl = parse_hcl(data)
    if hcl.report_type is not HclReportType.SNP:
        raise VerificationError(
            Reason.UNSUPPORTED_TEE,
            "the HCL report holds a TDX report: TDX on Azure is not verified yet",
        )
    return hcl


def _parse_tpm(parts: dict[EvidenceKind, bytes]) -> TpmQuote:
    return TpmQuote(
        parse_attest(parts[EvidenceKind.TPM_ATTEST]),
        parts[EvidenceKind.TPM_SIGNATURE],
        parts[EvidenceKind.TPM_PCRS],
    )
