# SPDX-License-Identifier: Apache-2.0
"""The one table of technologies: which functions parse, endorse and verify each kind of evidence.

A new technology adds its types to the unions, its kind to `identify`, and a case to each function. Nothing registers
itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from verifiers.errors import Reason, VerificationError
from verifiers.evidence import CPU_KINDS, Evidence, EvidenceKind, Tee
from verifiers.tdx.collateral import evaluations as tdx_evaluations
from verifiers.tdx.endorsements import PcsSource, TdxEndorsements
from verifiers.tdx.endorsements import gather as gather_tdx
from verifiers.tdx.endorsements import parse_bundle as parse_tdx_bundle
from verifiers.tdx.quote import TdxQuote, parse_quote
from verifiers.tdx.verify import verify as verify_tdx

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from verifiers.anchors import Anchors
    from verifiers.claims import Claims
    from verifiers.endorsements import Gather
    from verifiers.evidence import Binding

ParsedEvidence: TypeAlias = TdxQuote
Endorsements: TypeAlias = TdxEndorsements


_SNP_REPORT_SIZE: Final = 1184  # AMD SEV-SNP firmware ABI 56860, ATTESTATION_REPORT
_SNP_VERSIONS: Final = range(1, 10)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where each vendor's collateral is asked for; all of it from configuration."""

    intel: PcsSource = field(default_factory=PcsSource)


@dataclass(frozen=True, slots=True)
class Identified:
    """What files are: one attester's evidence, and collateral that was given beside it (revocation lists, DER)."""

    evidence: tuple[Evidence, ...]
    collateral: tuple[bytes, ...] = ()


def identify(files: Sequence[bytes]) -> Identified:
    """What files hold, by their content: a file is a TDX quote, unless it is plainly something else.

    Raises:
        VerificationError: `unsupported-tee` for an AMD SEV-SNP report, whose version would be taken for a quote's.
    """
    return Identified(tuple(_identify(data) for data in files))


def _identify(data: bytes) -> Evidence:
    if len(data) == _SNP_REPORT_SIZE and int.from_bytes(data[:4], "little") in _SNP_VERSIONS:
        raise VerificationError(
            Reason.UNSUPPORTED_TEE,
            "an AMD SEV-SNP attestation report; only TDX quotes are accepted",
        )
    return Evidence(EvidenceKind.TDX_QUOTE, data)


def parse(pieces: Sequence[Evidence]) -> ParsedEvidence:
    """Parse one attester's evidence: one piece of the CPU's own, and what belongs to it.

    Raises:
        VerificationError: `evidence` for a set that is none; what the parsers raise.
    """
    kinds = [piece.kind for piece in pieces]
    if len([kind for kind in kinds if kind in CPU_KINDS]) != 1 or len(kinds) != len(set(kinds)):
        raise VerificationError(
            Reason.EVIDENCE,
            "exactly one CPU quote or report is wanted, and every other kind at most once: got "
            + (", ".join(kinds) or "nothing"),
        )
    (piece,) = pieces
    if piece.kind is EvidenceKind.TDX_QUOTE:
        return parse_quote(piece.data)
    raise VerificationError(Reason.UNSUPPORTED_TEE, f"{piece.kind} is not supported")


def tee_of(_parsed: ParsedEvidence) -> Tee:
    """The technology of parsed evidence."""
    return Tee.TDX


def pieces_of(parsed: ParsedEvidence) -> tuple[Evidence, ...]:
    """What a record keeps of parsed evidence so that `parse` gives the same again; the CPU's own piece first.

    Certificates that came with it are part of the endorsements instead.
    """
    return (Evidence(EvidenceKind.TDX_QUOTE, parsed.raw),)


def no_endorsements(_parsed: ParsedEvidence) -> Endorsements:
    """Collateral of which every part is missing but what the evidence itself brought."""
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
    binding: Binding | None,
    now: datetime,
) -> Claims:
    """Verify parsed evidence; see the verify function of its technology. Raises VerificationError."""
    report_data = None if binding is None else binding.report_data
    return verify_tdx(parsed, endorsements, anchors, report_data, now)


def evaluations(
    parsed: ParsedEvidence, endorsements: Endorsements, sources: Sources, anchors: Anchors
) -> dict[str, int]:
    """How recent the vendor's judgement of this platform is: line of statements -> number, which only rises in a line.

    For collateral that `verify` has accepted as authentic. Raises VerificationError for any other.
    """
    return tdx_evaluations(parsed.pck_chain_pem, endorsements, sources.intel.update, anchors)
