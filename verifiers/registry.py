# SPDX-License-Identifier: Apache-2.0
"""The one table of technologies: which functions parse, endorse and verify each kind of evidence.

A new technology adds its types to the unions, its kind to `identify`, and a case to each function. Nothing registers
itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, assert_never

from verifiers.errors import Reason, VerificationError
from verifiers.evidence import CPU_KINDS, DEVICE_KINDS, MAX_DEVICES, Evidence, EvidenceKind, Tee
from verifiers.nvidia.endorsements import NvidiaSource
from verifiers.nvidia.evidence import NvidiaEvidence, parse_piece
from verifiers.snp.collateral import evaluations as snp_evaluations
from verifiers.snp.endorsements import KdsSource, SnpEndorsements
from verifiers.snp.endorsements import gather as gather_snp
from verifiers.snp.endorsements import no_endorsements as no_snp_endorsements
from verifiers.snp.endorsements import parse_bundle as parse_snp_bundle
from verifiers.snp.evidence import SnpEvidence, parse_evidence
from verifiers.snp.files import certificate_pieces, kind_of, revocation_list, tpm_pieces
from verifiers.snp.verify import verify as verify_snp
from verifiers.tdx.collateral import evaluations as tdx_evaluations
from verifiers.tdx.endorsements import PcsSource, TdxEndorsements
from verifiers.tdx.endorsements import gather as gather_tdx
from verifiers.tdx.endorsements import parse_bundle as parse_tdx_bundle
from verifiers.tdx.quote import TdxQuote, names_tdx, parse_quote
from verifiers.tdx.verify import verify as verify_tdx

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from verifiers.anchors import Anchors
    from verifiers.claims import Claims
    from verifiers.endorsements import Gather
    from verifiers.evidence import Binding

ParsedEvidence: TypeAlias = TdxQuote | SnpEvidence
Endorsements: TypeAlias = TdxEndorsements | SnpEndorsements


@dataclass(frozen=True, slots=True)
class Sources:
    """Where each vendor's collateral is asked for; all of it from configuration."""

    intel: PcsSource = field(default_factory=PcsSource)
    amd: KdsSource = field(default_factory=KdsSource)
    nvidia: NvidiaSource = field(default_factory=NvidiaSource)


@dataclass(frozen=True, slots=True)
class Identified:
    """What files are: one attester's evidence, and collateral that was given beside it (revocation lists, DER)."""

    evidence: tuple[Evidence, ...]
    collateral: tuple[bytes, ...] = ()


def identify(files: Sequence[bytes]) -> Identified:
    """What files hold, by their content: a file is a TDX quote, unless it is plainly something else.

    Several files of certificates become one piece. Beside a TPM's quote, what nothing else is belongs to it; beside
    certificates of AMD's alone it is meant as their report, however damaged, unless it says that it is a TDX quote.

    Raises:
        VerificationError: `crl-invalid` for text that says it is a revocation list and is none; what the parser of the
            TPM's quote raises.
    """
    pieces: list[Evidence] = []
    certificates: list[bytes] = []
    collateral: list[bytes] = []
    unknown: list[bytes] = []
    for data in files:
        kind = kind_of(data)
        if (crl := revocation_list(data)) is not None:
            collateral.append(crl)
        elif kind is EvidenceKind.SNP_CERTIFICATES:
            certificates.append(data)
        elif kind is not None:
            pieces.append(Evidence(kind, data))
        else:
            unknown.append(data)
    attest = [piece.data for piece in pieces if piece.kind is EvidenceKind.TPM_ATTEST]
    if attest:
        pieces += tpm_pieces(attest[0], unknown)
    else:
        alone = bool(certificates) and not pieces
        pieces += [
            Evidence(_kind_of_unknown(data, beside_certificates=alone), data) for data in unknown
        ]
    return Identified((*pieces, *certificate_pieces(certificates)), tuple(collateral))


def is_of_cpu(data: bytes) -> bool:
    """Whether a file says that it is a CPU's quote or report, however damaged it is."""
    return names_tdx(data) or kind_of(data) in CPU_KINDS


def _kind_of_unknown(data: bytes, *, beside_certificates: bool) -> EvidenceKind:
    if beside_certificates and not names_tdx(data):
        return EvidenceKind.SNP_REPORT
    return EvidenceKind.TDX_QUOTE


def parse(pieces: Sequence[Evidence]) -> ParsedEvidence:
    """Parse one attester's evidence: one piece of the CPU's own, and what belongs to it.

    Raises:
        VerificationError: `evidence` for a set that is none; what the parsers raise.
    """
    kinds = [piece.kind for piece in pieces]
    cpu = [kind for kind in kinds if kind in CPU_KINDS]
    if len(cpu) != 1 or len(kinds) != len(set(kinds)):
        raise VerificationError(
            Reason.EVIDENCE,
            "exactly one CPU quote or report is wanted, and every other kind at most once: got "
            + (", ".join(kinds) or "nothing"),
        )
    if cpu[0] is not EvidenceKind.TDX_QUOTE:
        return parse_evidence(pieces)
    if len(pieces) != 1:
        raise VerificationError(
            Reason.EVIDENCE, f"a TDX quote stands alone: got {', '.join(kinds)}"
        )
    return parse_quote(pieces[0].data)


def split(pieces: Sequence[Evidence]) -> tuple[tuple[Evidence, ...], tuple[NvidiaEvidence, ...]]:
    """The CPU's own pieces, and the devices, in the order of the evidence; each device parsed to its frame.

    Raises:
        VerificationError: `evidence` for more than 16 devices; what `parse_piece` raises.
    """
    of_cpu = tuple(piece for piece in pieces if piece.kind not in DEVICE_KINDS)
    devices = [piece for piece in pieces if piece.kind in DEVICE_KINDS]
    if len(devices) > MAX_DEVICES:
        raise VerificationError(Reason.EVIDENCE, f"{len(devices)} devices, at most {MAX_DEVICES}")
    return of_cpu, tuple(parse_piece(device.data) for device in devices)


def tee_of(parsed: ParsedEvidence) -> Tee:
    """The technology of parsed evidence."""
    match parsed:
        case TdxQuote():
            return Tee.TDX
        case SnpEvidence():
            return Tee.SNP
        case _:
            assert_never(parsed)


def pieces_of(parsed: ParsedEvidence) -> tuple[Evidence, ...]:
    """What a record keeps of parsed evidence so that `parse` gives the same again; the CPU's own piece first.

    Certificates that came with it are part of the endorsements instead.
    """
    match parsed:
        case TdxQuote():
            return (Evidence(EvidenceKind.TDX_QUOTE, parsed.raw),)
        case SnpEvidence():
            return parsed.pieces
        case _:
            assert_never(parsed)


def no_endorsements(parsed: ParsedEvidence) -> Endorsements:
    """Collateral of which every part is missing but what the evidence itself brought."""
    match parsed:
        case TdxQuote():
            return TdxEndorsements()
        case SnpEvidence():
            return no_snp_endorsements(parsed)
        case _:
            assert_never(parsed)


def signer_came_along(parsed: ParsedEvidence) -> bool:
    """Whether the certificate that the evidence is signed under came with it; where it did not, it is fetched."""
    match parsed:
        case TdxQuote():
            return True
        case SnpEvidence():
            return parsed.vek is not None
        case _:
            assert_never(parsed)


def parse_bundle(parsed: ParsedEvidence, text: bytes) -> Endorsements:
    """Collateral for this evidence from an offline JSON bundle; for SEV-SNP a CRL alone will do.

    Raises VerificationError.
    """
    match parsed:
        case TdxQuote():
            return parse_tdx_bundle(text)
        case SnpEvidence():
            return parse_snp_bundle(parsed, text)
        case _:
            assert_never(parsed)


def gather(parsed: ParsedEvidence, sources: Sources, anchors: Anchors) -> Gather[Endorsements]:
    """Ask for the collateral of this evidence. Raises VerificationError."""
    match parsed:
        case TdxQuote():
            return (yield from gather_tdx(parsed, sources.intel, anchors))
        case SnpEvidence():
            return (yield from gather_snp(parsed, sources.amd, anchors))
        case _:
            assert_never(parsed)


def verify(
    parsed: ParsedEvidence,
    endorsements: Endorsements,
    anchors: Anchors,
    binding: Binding | None,
    now: datetime,
) -> Claims:
    """Verify parsed evidence; see the verify function of its technology.

    Raises:
        VerificationError: evidence that is not verified.
        TypeError: endorsements of another technology than the evidence; a fault of the caller.
    """
    match parsed, endorsements:
        case TdxQuote(), TdxEndorsements():
            report_data = None if binding is None else binding.report_data
            return verify_tdx(parsed, endorsements, anchors, report_data, now)
        case SnpEvidence(), SnpEndorsements():
            return verify_snp(parsed, endorsements, anchors, binding, now)
        case _:
            raise _foreign(parsed, endorsements)


def evaluations(
    parsed: ParsedEvidence, endorsements: Endorsements, sources: Sources, anchors: Anchors
) -> dict[str, int]:
    """How recent the vendor's judgement of this platform is: line of statements -> number, which only rises in a line.

    For collateral that `verify` has accepted as authentic. Raises VerificationError for any other, TypeError as
    `verify` does.
    """
    match parsed, endorsements:
        case TdxQuote(), TdxEndorsements():
            return tdx_evaluations(
                parsed.pck_chain_pem, endorsements, sources.intel.update, anchors
            )
        case SnpEvidence(), SnpEndorsements():
            return snp_evaluations(parsed, endorsements, anchors)
        case _:
            raise _foreign(parsed, endorsements)


def _foreign(parsed: ParsedEvidence, endorsements: Endorsements) -> TypeError:
    return TypeError(f"{type(endorsements).__name__} are not for a {type(parsed).__name__}")
