# SPDX-License-Identifier: Apache-2.0
"""A trust domain of Azure: its quote, the HCL report, and the quote of the vTPM that the paravisor keeps in the TD.

The paravisor is what the TD's firmware boots and what MRTD measures; the guest runs above it, and is measured into the
vTPM's PCRs alone: RTMR0 to RTMR3 stay zero. The paravisor asks for a TDREPORT whose report_data is the hash of its
runtime data, and leaves both in the HCL report; Azure's quoting service turns the TDREPORT into a quote.

What is believed, and why: the quote by the rules of every TD's quote; the runtime data because the quote's report_data
is their SHA-256 and 32 zero bytes; the vTPM's quote by the key in them. The TDREPORT in the HCL report is not read:
its MAC can be checked on that CPU only, so whoever sends it can write it to his liking, and all that it says stands in
the quote, signed. To compare the two would refuse no forger.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Evidence, EvidenceKind, Provider
from verifiers.tdx.quote import TdxQuote, parse_quote
from verifiers.tdx.verify import authenticate_quote, judge
from verifiers.vtpm.evidence import TPM_KINDS, TpmQuote, parse_tpm
from verifiers.vtpm.hcl import HclReport, HclReportType, parse_hcl
from verifiers.vtpm.paravisor import check_bound, vouched_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from verifiers.anchors import Anchors
    from verifiers.evidence import Binding
    from verifiers.tdx.claims import TdxClaims
    from verifiers.tdx.endorsements import TdxEndorsements

_CPU_KINDS: Final = frozenset({EvidenceKind.TDX_QUOTE, EvidenceKind.HCL_REPORT})


@dataclass(frozen=True, slots=True)
class AzureTd:
    """Parsed evidence, trusted by nobody. `tpm`: without it nothing can be bound."""

    quote: TdxQuote
    hcl: HclReport
    tpm: TpmQuote | None = None

    @property
    def pieces(self) -> tuple[Evidence, ...]:
        """What a record keeps, the CPU's own piece first."""
        return (
            Evidence(EvidenceKind.TDX_QUOTE, self.quote.raw),
            Evidence(EvidenceKind.HCL_REPORT, self.hcl.raw),
            *(self.tpm.pieces if self.tpm is not None else ()),
        )


def parse_azure_td(pieces: Sequence[Evidence]) -> AzureTd:
    """Parse the pieces of one attester, each of another kind; a quote and an HCL report are among them.

    Raises:
        VerificationError: `evidence` for pieces that do not belong together, `too-large`; what the parsers raise.
    """
    parts = {piece.kind: piece.data for piece in pieces}
    beside = parts.keys() - _CPU_KINDS
    if beside not in (frozenset(), TPM_KINDS):
        raise VerificationError(
            Reason.EVIDENCE,
            f"a TDX quote, an HCL report and {', '.join(sorted(beside))} make no evidence together",
        )
    quote = parse_quote(parts[EvidenceKind.TDX_QUOTE])
    hcl = parse_hcl(parts[EvidenceKind.HCL_REPORT])
    if hcl.report_type is not HclReportType.TDX:
        raise VerificationError(
            Reason.EVIDENCE, f"a TDX quote, and an HCL report of {hcl.report_type}"
        )
    return AzureTd(quote, hcl, parse_tpm(parts) if beside else None)


def verify_azure_td(
    evidence: AzureTd,
    endorsements: TdxEndorsements,
    anchors: Anchors,
    binding: Binding | None,
    now: datetime,
) -> TdxClaims:
    """Verify one attester's evidence; arguments as those of `verifiers.tdx.verify.verify`, but for the whole binding.

    Raises:
        VerificationError: with the first fault found.
    """
    quote = evidence.quote
    pck = authenticate_quote(quote, anchors, now)
    hcl, tpm = vouched_for(quote.td.report_data, evidence.hcl, evidence.tpm)
    if binding is not None:
        check_bound(tpm, binding.tpm_extra)
    claims = judge(quote, pck, endorsements, anchors, (now, binding is not None))
    return replace(claims, provider=Provider.AZURE, hcl=hcl, tpm=tpm)
