# SPDX-License-Identifier: Apache-2.0
"""How `verify` and `appraise` show themselves to people; what is special to a technology is in its own view."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from ca.cli import output, snp_view, tdx_view, vtpm_view
from verifiers.snp.claims import SnpClaims
from verifiers.tdx.claims import TdxClaims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ca.cli.inspect import Inspection
    from verifiers.endorsements import PartValidity


def show(found: Inspection, title: str = "") -> None:
    """Verdict and reason, TCB, claims."""
    output.print_facts({"verdict": str(found.verdict), **_reason_facts(found)}, title)
    output.say_blank()
    show_evidence(found)


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
            vtpm_view.show_vtpm(None, found.tpm)
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
