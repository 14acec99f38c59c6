# SPDX-License-Identifier: Apache-2.0
"""The one table of technologies: which functions parse, endorse and verify each kind of evidence.

A new technology adds its types to the unions, its kind to `verifiers.files`, and a case to each function. Nothing
registers itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, assert_never

from verifiers import google
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import (
    CPU_KINDS,
    DEVICE_KINDS,
    LOG_KINDS,
    MAX_DEVICES,
    MAX_LOG_BYTES,
    Evidence,
    EvidenceKind,
    Tee,
)
from verifiers.google import GoogleCvm, GoogleEndorsements, GoogleSource
from verifiers.nvidia.endorsements import NvidiaSource
from verifiers.nvidia.evidence import NvidiaEvidence, parse_piece
from verifiers.snp.collateral import evaluations as snp_evaluations
from verifiers.snp.endorsements import KdsSource, SnpEndorsements
from verifiers.snp.endorsements import gather as gather_snp
from verifiers.snp.endorsements import no_endorsements as no_snp_endorsements
from verifiers.snp.endorsements import parse_bundle as parse_snp_bundle
from verifiers.snp.evidence import SnpEvidence, parse_evidence
from verifiers.snp.verify import verify as verify_snp
from verifiers.tdx.azure import AzureTd, parse_azure_td, verify_azure_td
from verifiers.tdx.collateral import evaluations as tdx_evaluations
from verifiers.tdx.endorsements import PcsSource, TdxEndorsements
from verifiers.tdx.endorsements import gather as gather_tdx
from verifiers.tdx.endorsements import parse_bundle as parse_tdx_bundle
from verifiers.tdx.quote import TdxQuote, parse_quote
from verifiers.tdx.verify import verify as verify_tdx
from verifiers.vtpm.evidence import TPM_KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from verifiers.anchors import Anchors
    from verifiers.claims import Claims
    from verifiers.endorsements import Gather
    from verifiers.evidence import Binding

ParsedEvidence: TypeAlias = TdxQuote | AzureTd | SnpEvidence | GoogleCvm
Endorsements: TypeAlias = TdxEndorsements | SnpEndorsements | GoogleEndorsements


@dataclass(frozen=True, slots=True)
class Sources:
    """Where each vendor's collateral is asked for; all of it from configuration."""

    intel: PcsSource = field(default_factory=PcsSource)
    amd: KdsSource = field(default_factory=KdsSource)
    nvidia: NvidiaSource = field(default_factory=NvidiaSource)
    google: GoogleSource = field(default_factory=GoogleSource)


def parse(pieces: Sequence[Evidence]) -> ParsedEvidence:
    """Parse one attester's evidence: one piece of the CPU's own, or of a TD of Azure two, and what belongs to it.

    Raises:
        VerificationError: `evidence` for a set that is none, `ak-not-bound` for a TPM's quote alone; what the parsers
            raise.
    """
    kinds = [piece.kind for piece in pieces]
    if set(kinds) in (TPM_KINDS, google.KINDS):
        raise VerificationError(
            Reason.AK_NOT_BOUND, "a TPM's quote alone: nothing ties its key to a platform"
        )
    cpu = {kind for kind in kinds if kind in CPU_KINDS}
    azure_td = cpu == {EvidenceKind.TDX_QUOTE, EvidenceKind.HCL_REPORT}
    if (len(cpu) != 1 and not azure_td) or len(kinds) != len(set(kinds)):
        raise VerificationError(
            Reason.EVIDENCE,
            "exactly one CPU quote or report is wanted, and every other kind at most once: got "
            + (", ".join(kinds) or "nothing"),
        )
    if azure_td:
        return parse_azure_td(pieces)
    if EvidenceKind.HCL_REPORT in cpu or not google.KINDS & set(kinds):
        return _parse_cpu(pieces)
    beside = {piece.kind: piece.data for piece in pieces if piece.kind in google.KINDS}
    tpm, certificate = google.parse_beside(beside)
    of_cpu = [piece for piece in pieces if piece.kind not in google.KINDS]
    return GoogleCvm(_parse_cpu(of_cpu), tpm, certificate)


def _parse_cpu(pieces: Sequence[Evidence]) -> TdxQuote | SnpEvidence:
    """A TDX quote alone, or a report of SEV-SNP with what belongs to it. Raises VerificationError."""
    kinds = [piece.kind for piece in pieces]
    if EvidenceKind.TDX_QUOTE not in kinds:
        return parse_evidence(pieces)
    if len(pieces) != 1:
        raise VerificationError(
            Reason.EVIDENCE,
            f"a TDX quote stands alone, or with an HCL report: got {', '.join(kinds)}",
        )
    return parse_quote(pieces[0].data)


def split(
    pieces: Sequence[Evidence],
) -> tuple[tuple[Evidence, ...], tuple[NvidiaEvidence, ...], tuple[Evidence, ...]]:
    """The CPU's own pieces, the devices, the event logs, in the order of the evidence.

    Each device is parsed to its frame. Nothing is read of logs: see `verifiers.logs`.

    Raises:
        VerificationError: `evidence` for more than 16 devices or two logs of one kind, `too-large` for logs of more
            than 1 MiB; what `parse_piece` raises.
    """
    logs = tuple(piece for piece in pieces if piece.kind in LOG_KINDS)
    of_cpu = tuple(piece for piece in pieces if piece.kind not in DEVICE_KINDS | LOG_KINDS)
    devices = [piece for piece in pieces if piece.kind in DEVICE_KINDS]
    if len(devices) > MAX_DEVICES:
        raise VerificationError(Reason.EVIDENCE, f"{len(devices)} devices, at most {MAX_DEVICES}")
    if len({log.kind for log in logs}) != len(logs):
        raise VerificationError(Reason.EVIDENCE, "event logs: every kind at most once")
    if sum(len(log.data) for log in logs) > MAX_LOG_BYTES:
        raise VerificationError(
            Reason.TOO_LARGE, f"event logs: at most {MAX_LOG_BYTES} bytes together"
        )
    return of_cpu, tuple(parse_piece(device.data) for device in devices), logs


def tee_of(parsed: ParsedEvidence) -> Tee:
    """The technology of parsed evidence."""
    match parsed:
        case TdxQuote() | AzureTd():
            return Tee.TDX
        case SnpEvidence():
            return Tee.SNP
        case GoogleCvm():
            return tee_of(parsed.cpu)
        case _:
            assert_never(parsed)


def pieces_of(parsed: ParsedEvidence) -> tuple[Evidence, ...]:
    """What a record keeps of parsed evidence so that `parse` gives the same again; the CPU's own piece first.

    Certificates that came with it are part of the endorsements instead.
    """
    match parsed:
        case TdxQuote():
            return (Evidence(EvidenceKind.TDX_QUOTE, parsed.raw),)
        case AzureTd() | SnpEvidence():
            return parsed.pieces
        case GoogleCvm():
            return (*pieces_of(parsed.cpu), *parsed.pieces)
        case _:
            assert_never(parsed)


def no_endorsements(parsed: ParsedEvidence) -> Endorsements:
    """Collateral of which every part is missing but what the evidence itself brought."""
    match parsed:
        case TdxQuote() | AzureTd():
            return TdxEndorsements()
        case SnpEvidence():
            return no_snp_endorsements(parsed)
        case GoogleCvm():
            return GoogleEndorsements(_of_cpu(no_endorsements(parsed.cpu)))
        case _:
            assert_never(parsed)


def signer_came_along(parsed: ParsedEvidence) -> bool:
    """Whether the certificate that the evidence is signed under came with it; where it did not, it is fetched."""
    match parsed:
        case TdxQuote() | AzureTd():
            return True
        case SnpEvidence():
            return parsed.vek is not None
        case GoogleCvm():
            return signer_came_along(parsed.cpu)
        case _:
            assert_never(parsed)


def parse_bundle(parsed: ParsedEvidence, text: bytes) -> Endorsements:
    """Collateral for this evidence from an offline JSON bundle; for SEV-SNP a CRL alone will do.

    Raises VerificationError.
    """
    match parsed:
        case TdxQuote() | AzureTd():
            return parse_tdx_bundle(text)
        case SnpEvidence():
            return parse_snp_bundle(parsed, text)
        case GoogleCvm():
            crl, rest = google.split_bundle(text)
            return GoogleEndorsements(_of_cpu(parse_bundle(parsed.cpu, rest)), crl)
        case _:
            assert_never(parsed)


def gather(parsed: ParsedEvidence, sources: Sources, anchors: Anchors) -> Gather[Endorsements]:
    """Ask for the collateral of this evidence. Raises VerificationError."""
    match parsed:
        case TdxQuote():
            return (yield from gather_tdx(parsed, sources.intel, anchors))
        case AzureTd():
            return (yield from gather_tdx(parsed.quote, sources.intel, anchors))
        case SnpEvidence():
            return (yield from gather_snp(parsed, sources.amd, anchors))
        case GoogleCvm():
            of_cpu = gather(parsed.cpu, sources, anchors)
            cpu, crl = yield from google.gather(of_cpu, parsed, sources.google, anchors)
            return GoogleEndorsements(_of_cpu(cpu), crl)
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
        case AzureTd(), TdxEndorsements():
            return verify_azure_td(parsed, endorsements, anchors, binding, now)
        case SnpEvidence(), SnpEndorsements():
            return verify_snp(parsed, endorsements, anchors, binding, now)
        case GoogleCvm(), GoogleEndorsements():
            beside = google.verify_beside(parsed, anchors, binding, now)
            claims = verify(parsed.cpu, endorsements.cpu, anchors, binding, now)
            return google.join(claims, beside, endorsements, anchors, now)
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
        case AzureTd(), TdxEndorsements():
            return evaluations(parsed.quote, endorsements, sources, anchors)
        case SnpEvidence(), SnpEndorsements():
            return snp_evaluations(parsed, endorsements, anchors)
        case GoogleCvm(), GoogleEndorsements():
            of_cpu = evaluations(parsed.cpu, endorsements.cpu, sources, anchors)
            return of_cpu | google.evaluations(endorsements, anchors)
        case _:
            raise _foreign(parsed, endorsements)


def _of_cpu(endorsements: Endorsements) -> TdxEndorsements | SnpEndorsements:
    """Collateral of a CPU's own evidence, which is never that of a whole machine."""
    assert not isinstance(endorsements, GoogleEndorsements)  # noqa: S101  what `GoogleCvm.cpu` is
    return endorsements


def _foreign(parsed: ParsedEvidence, endorsements: Endorsements) -> TypeError:
    return TypeError(f"{type(endorsements).__name__} are not for a {type(parsed).__name__}")
