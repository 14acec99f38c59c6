# SPDX-License-Identifier: Apache-2.0
"""What the vendor's own verification says of a CPU's evidence, offline and without a policy, for several commands.

Nothing here is weaker than the service: the same verifier, the built-in anchors. Only the binding is not compared, for
no nonce was given out; for SEV-SNP a revocation list may be absent, which is then said. Collateral past its next update
is a refusal where no policy is asked (`judge_dates`). Which file is what is found by content, never by an option.
Devices of NVIDIA are verified by themselves (`ca.cli.devices`), all else here is of CPUs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 - a dataclass field
from typing import TYPE_CHECKING, Annotated, Final, assert_never

import typer

from ca.cli.inputs import read_input, text_hint
from verifiers import registry
from verifiers.anchors import builtin
from verifiers.claims import to_json
from verifiers.endorsements import Revocation
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.eventlog.files import log_pieces
from verifiers.evidence import LOG_KINDS, EvidenceKind, Tee
from verifiers.files import identify as told_apart
from verifiers.files import is_of_cpu
from verifiers.nvidia.files import are_of_devices
from verifiers.snp.claims import SnpClaims
from verifiers.tdx.claims import TdxClaims
from verifiers.vtpm.bare import NOT_BOUND, sort_quote, verify_bare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verifiers.claims import Claims, JsonValue
    from verifiers.files import Identified
    from verifiers.registry import ParsedEvidence
    from verifiers.tcb import TcbReport
    from verifiers.vtpm.bare import BareQuote
    from verifiers.vtpm.claims import TpmClaims

_FILES: Final = typer.Argument(
    metavar="FILE…",
    help="One machine's evidence, raw bytes: a TDX quote; or an SEV-SNP report with its certificates and AMD's"
    " revocation list; on Azure the HCL report and the TPM's quote beside the one, in place of the other. In any order."
    " Event logs of its boot (CCEL, TPM, dstack, canonical, IMA). NVIDIA devices, beside it or alone: reports with"
    " their PEM chains, or the JSON of NVIDIA's tools, and reference manifests. Or all of it as other tools keep it:"
    " JSON of Confidential Containers or Azure's, an enrollment, go-tpm-tools' message.",
)
FilesArgument = Annotated[list[str], _FILES]
OptionalFilesArgument = Annotated[list[str] | None, _FILES]
CollateralOption = Annotated[
    str | None,
    typer.Option(
        "--collateral",
        metavar="FILE",
        help="The vendor's collateral: the JSON bundle of `attestca collateral`, or AMD's revocation list.",
    ),
]
AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="RFC3339", help="Judge at this instant instead of now."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@dataclass(frozen=True, slots=True)
class Inspection:
    """One verification, whatever came of it. Claims beside a reason: only dates of the collateral failed."""

    verdict: Verdict
    tee: Tee | None  # None where the evidence could not even be parsed
    reason: Reason | None
    detail: str
    claims: Claims | None
    tcb: TcbReport | None
    checked_at: datetime
    tpm: TpmClaims | None = None  # of a TPM's quote that no CPU's evidence stands beside


def verify_bytes(data: Sequence[bytes], bundle: bytes | None, now: datetime) -> Inspection:
    """Verify what files hold; collateral past its next update is left to whoever asks a policy.

    Raises BadParameter for a set that is no one machine's evidence.
    """
    tee: Tee | None = None
    try:
        if (quote := bare_quote(data)) is not None:
            tpm, reason = verify_bare(quote), Reason.AK_NOT_BOUND
            return Inspection(reason.verdict, None, reason, NOT_BOUND, None, None, now, tpm)
        identified = identify(data)
        tee = _tee_by_kind(identified)
        parsed = parse(identified)
        tee = registry.tee_of(parsed)
        endorsements = _endorsements(parsed, identified, bundle)
        claims = registry.verify(parsed, endorsements, builtin(), None, now)
    except VerificationError as error:
        return refused(error, data, tee, now)
    tcb = claims.tcb if isinstance(claims, TdxClaims) else None
    return Inspection(Verdict.VERIFIED, tee, None, "", claims, tcb, now)


def refused(
    error: VerificationError, data: Sequence[bytes], tee: Tee | None, now: datetime
) -> Inspection:
    """What it is to have stopped at an error; `tee`: as far as it is known."""
    detail = error.detail + text_hint(data, error.reason)
    return Inspection(error.reason.verdict, tee, error.reason, detail, None, error.tcb, now)


def one_bundle(named: str | None, beside: Sequence[bytes]) -> bytes | None:
    """The collateral that --collateral names, or that stood among the files. Raises BadParameter for several."""
    given = [*beside, *([] if named is None else [read_input(named)])]
    if len(given) > 1:
        raise typer.BadParameter("one bundle or one revocation list is wanted")
    return given[0] if given else None


def bare_quote(data: Sequence[bytes]) -> BareQuote | None:
    """The quote of a TPM in files that hold no CPU's evidence; event logs may stand beside it.

    Raises VerificationError.
    """
    files = [one for one in data if not log_pieces(one)]
    return None if any(map(is_of_cpu, files)) else sort_quote(files)


def identify(data: Sequence[bytes]) -> Identified:
    """What files of a CPU's evidence hold. Raises VerificationError; BadParameter for evidence of devices."""
    if are_of_devices(data):
        raise typer.BadParameter(
            "evidence of NVIDIA devices: reference values are a CPU's; `attestca verify` and `appraise` take devices"
        )
    return told_apart(data)


def parse(identified: Identified) -> ParsedEvidence:
    """Parse what files hold. Raises VerificationError; BadParameter for files that make no one machine's evidence."""
    try:
        return registry.parse([one for one in identified.evidence if one.kind not in LOG_KINDS])
    except VerificationError as error:
        if error.reason is Reason.EVIDENCE:
            raise typer.BadParameter(error.detail) from error
        raise


def _endorsements(
    parsed: ParsedEvidence, identified: Identified, bundle: bytes | None
) -> registry.Endorsements:
    """From --collateral, or from a revocation list among the files. Raises VerificationError."""
    given = [*identified.collateral, *([] if bundle is None else [bundle])]
    if not given:
        return registry.no_endorsements(parsed)
    if len(given) > 1:
        raise typer.BadParameter("one bundle or one revocation list is wanted")
    return registry.parse_bundle(parsed, given[0])


def _tee_by_kind(identified: Identified) -> Tee | None:
    """What is known before anything is parsed: bytes that nothing else is may or may not be a TDX quote."""
    kinds = {piece.kind for piece in identified.evidence}
    return Tee.SNP if EvidenceKind.SNP_REPORT in kinds else None


def judge_dates(found: Inspection) -> Inspection:
    """No policy is asked here, so nobody tolerates collateral past its next update."""
    if found.claims is None or not found.claims.expired_parts:
        return found
    detail = "expired: " + ", ".join(
        f"{part.part} since {part.next_update.isoformat()}" for part in found.claims.expired_parts
    )
    reason = Reason.COLLATERAL_EXPIRED
    return replace(found, verdict=reason.verdict, reason=reason, detail=detail)


def inspection_json(found: Inspection) -> dict[str, JsonValue]:
    """The object that `--json` prints. Names and shapes are stable."""
    reason: JsonValue = None
    if found.reason is not None:
        reason = {"code": str(found.reason), "detail": found.detail}
    return {
        "verdict": str(found.verdict),
        "reason": reason,
        "tee": str(found.tee) if found.tee else None,
        "tcb": tcb_json(found.tcb),
        "revocation": revocation_json(found),
        "claims": None if found.claims is None else claims_json(found.claims),
        **({} if found.tpm is None else {"tpm": to_json(found.tpm)}),
        "checked_at": to_json(found.checked_at),
    }


def tcb_json(tcb: TcbReport | None) -> JsonValue:
    """TCB statuses in the vendor's words; null where the evaluation was not reached."""
    return None if tcb is None else to_json(tcb)


def revocation_json(found: Inspection) -> dict[str, JsonValue]:
    """State of each chain: good, revoked, or not-checked where no list was at hand or verification ended before."""
    match found.claims:
        case TdxClaims() as claims:
            return {
                "pck_chain": str(claims.pck_chain_revocation),
                "tcb_signing_chain": str(claims.tcb_signing_chain_revocation),
                **_of_google(claims),
            }
        case SnpClaims() as claims:
            return {"vek_chain": str(claims.revocation), **_of_google(claims)}
        case None:
            revoked = found.reason is Reason.CERTIFICATE_REVOKED
            state = str(Revocation.REVOKED if revoked else Revocation.NOT_CHECKED)
            if found.tee is Tee.SNP:
                return {"vek_chain": state}
            return {"pck_chain": state, "tcb_signing_chain": state}
        case _:
            assert_never(found.claims)


def _of_google(claims: Claims) -> dict[str, JsonValue]:
    """State of the chain of the vTPM's key, where Google's stands beside the CPU's evidence."""
    return {} if claims.gce is None else {"ak_chain": str(claims.gce.revocation)}


def claims_json(claims: Claims) -> dict[str, JsonValue]:
    """The claims, with what the CPU itself signed as one `body`: the layers of the TD report, or the SNP report."""
    projected = to_json(claims)
    if not isinstance(projected, dict):
        raise TypeError("claims are an object")
    layers = ("report",) if isinstance(claims, SnpClaims) else ("td", "td15", "td15_ex")
    body: dict[str, JsonValue] = {}
    for layer in layers:
        part = projected.pop(layer)
        if isinstance(part, dict):
            body |= part
    projected.pop("tcb", None)  # beside the claims
    return {"tee": str(claims.tee), "provider": str(claims.provider), "body": body, **projected}
