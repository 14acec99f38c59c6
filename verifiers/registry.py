# SPDX-License-Identifier: Apache-2.0
"""The one table of technologies: which functions parse, endorse and verify each kind of evidence.

A new technology adds its types to the unions, its kind to `identify`, and a case to each function. Nothing registers
itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Evidence, EvidenceKind, Tee
from verifiers.tdx.collateral import evaluations as tdx_evaluations
from verifiers.tdx.endorsements import PcsSource, TdxEndorsements
from verifiers.tdx.endorsements import gather as gather_tdx
from verifiers.tdx.endorsements import parse_bundle as parse_tdx_bundle
from verifiers.tdx.quote import TdxQuote, parse_quote
from verifiers.tdx.verify import verify as verify_tdx

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.anchors import Anchors
    from verifiers.claims import Claims
    from verifiers.endorsements import Gather

ParsedEvidence: TypeAlias = TdxQuote
Endorsements: TypeAlias = TdxEndorsements


_SNP_REPORT_SIZE: Final = 1184  # AMD SEV-SNP firmware ABI 56860, ATTESTATION_REPORT
_SNP_VERSIONS: Final = range(1, 10)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where each vendor's collateral is asked for; all of it from configuration."""

    intel: PcsSource = field(default_factory=PcsSource)


def tee_of(kind: EvidenceKind) -> Tee:
    """The technology that a kind of evidence belongs to."""
    match kind:
        case EvidenceKind.TDX_QUOTE:
            return Tee.TDX
        case _:
            assert_never(kind)


def identify(data: bytes) -> Evidence:
    """The kind of evidence that a file holds: a TDX quote, unless it is plainly something else.

    Raises:
        VerificationError: `unsupported-tee` for an AMD SEV-SNP report, whose version would be taken for a quote's.
    """
    if len(data) == _SNP_REPORT_SIZE and int.from_bytes(data[:4], "little") in _SNP_VERSIONS:
        raise VerificationError(
            Reason.UNSUPPORTED_TEE,
            "an AMD SEV-SNP attestation report; only TDX quotes are accepted",
        )
    return Evidence(EvidenceKind.TDX_QUOTE, data)


def parse(evidence: Evidence) -> ParsedEvidence:
    """Parse one piece of evidence. Raises VerificationError."""
    match evidence.kind:
        case EvidenceKind.TDX_QUOTE:
            return parse_quote(evidence.data)
        case _:
            assert_never(evidence.kind)


def no_endorsements(_parsed: ParsedEvidence) -> Endorsements:
    """Collateral of which every part is missing."""
    return TdxEndorsements()


def parse_bundle(_parsed: ParsedEvidence, text: bytes) -> Endorsements:
    """Collateral for this evidence from an offline JSON bundle. Raises VerificationError."""
    return parse_tdx_bundle(text)


def gather(parsed: ParsedEvidence, sources: Sources, anchors: Anchors) -> Gather[Endorsements]:
    """Ask for the collateral of this evidence. Raises VerificationError."""
    return gather_tdx(parsed, sources.intel, anchors)


def verify(
    parsed: ParsedEvidence,
    endorsements: Endorsements,
    anchors: Anchors,
    binding: bytes | None,
    now: datetime,
) -> Claims:
    """Verify parsed evidence; see the verify function of its technology. Raises VerificationError."""
    return verify_tdx(parsed, endorsements, anchors, binding, now)


def evaluations(
    parsed: ParsedEvidence, endorsements: Endorsements, sources: Sources, anchors: Anchors
) -> dict[str, int]:
    """How recent the vendor's judgement of this platform is: line of statements -> number, which only rises in a line.

    For collateral that `verify` has accepted as authentic. Raises VerificationError for any other.
    """
    return tdx_evaluations(parsed.pck_chain_pem, endorsements, sources.intel.update, anchors)
