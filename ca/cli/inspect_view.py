# SPDX-License-Identifier: Apache-2.0
"""How `verify` and `appraise` show themselves to people; what is special to a technology is in its own view."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from ca.cli import output, snp_view, tdx_view
from policies.result import RuleResult
from verifiers.snp.claims import SnpClaims
from verifiers.tdx.claims import TdxClaims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ca.cli.inspect import Inspection
    from policies.result import AttestationResult, Finding
    from verifiers.endorsements import PartValidity


def show(found: Inspection, title: str = "") -> None:
    """Verdict and reason, TCB, claims."""
    output.print_facts({"verdict": str(found.verdict), **_reason_facts(found)}, title)
    output.say_blank()
    show_evidence(found)


def show_appraisal(
    found: Inspection, verdict: str, policy: str, result: AttestationResult | None
) -> None:
    """Verdict and policy, the findings that deny first, then what the evidence says."""
    output.print_facts({"verdict": verdict, "policy": policy, **_reason_facts(found)})
    output.say_blank()
    if result is not None:
        _show_findings("What denies", result.denying)
        _show_findings("Tolerated by the policy", result.tolerated)
        held = tuple(one for one in result.findings if one.result is RuleResult.PASS)
        _show_findings("Held", held, hints=False)
    show_evidence(found)


def _show_findings(title: str, findings: Sequence[Finding], *, hints: bool = True) -> None:
    if not findings:
        return
    columns = ("rule", "of", "wanted", "seen") + (("hint",) if hints else ())
    rows = (
        (str(one.rule), one.path, one.expected, one.actual) + ((one.hint,) if hints else ())
        for one in findings
    )
    output.print_table(columns, rows, title)
    output.say_blank()


def _reason_facts(found: Inspection) -> dict[str, str]:
    facts = {} if found.reason is None else {"reason": f"{found.reason}: {found.detail}"}
    return {**facts, "judged at": found.checked_at.isoformat()}


def show_evidence(found: Inspection) -> None:
    """TCB, claims, collateral, as far as verification came."""
    if found.tcb is not None:
        tdx_view.show_tcb(found.tcb)
        if found.claims is not None:
            output.say_blank()
    match found.claims:
        case None:
            return
        case TdxClaims() as claims:
            tdx_view.show_claims(claims)
        case SnpClaims() as claims:
            snp_view.show_claims(claims)
        case _:
            assert_never(found.claims)
    _show_collateral(found.claims.collateral)


def _show_collateral(parts: Sequence[PartValidity]) -> None:
    output.say_blank()
    output.print_table(
        ("part", "issued", "next update", ""),
        (
            (
                part.part,
                part.issued.isoformat(),
                part.next_update.isoformat(),
                "EXPIRED" if part.expired_since else "",
            )
            for part in parts
        ),
        "Collateral",
    )
