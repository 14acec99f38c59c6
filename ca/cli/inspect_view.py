# SPDX-License-Identifier: Apache-2.0
"""How `verify` and `appraise` show themselves to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.cli import output
from policies.result import RuleResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ca.cli.inspect import Inspection
    from policies.result import AttestationResult, Finding
    from verifiers.claims import Claims
    from verifiers.tcb import TcbReport


def show(found: Inspection) -> None:
    """Verdict and reason, TCB, claims."""
    output.print_facts({"verdict": str(found.verdict), **_reason_facts(found)})
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
        output.print_facts(_tcb_facts(found.tcb), "TCB")
        _show_shortfalls(found.tcb)
    if found.claims is not None:
        output.say_blank()
        output.print_facts(_claims_facts(found.claims), "Claims")
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
                for part in found.claims.collateral
            ),
            "Collateral",
        )


def _tcb_facts(tcb: TcbReport) -> dict[str, str]:
    facts = {
        "status": str(tcb.status or "no level matches"),
        "platform": str(tcb.platform_status or "no level matches"),
        "quoting enclave": str(tcb.qe_status or "no level matches"),
        "TDX module": str(tcb.module_status or "-"),
        "advisories": ", ".join(tcb.advisory_ids) or "none",
        "TCB date": tcb.tcb_date.date().isoformat() if tcb.tcb_date else "-",
        "evaluation number": str(tcb.evaluation_data_number),
    }
    return {name: value for name, value in facts.items() if value != "-"}


def _show_shortfalls(tcb: TcbReport) -> None:
    if tcb.shortfalls:
        output.say_blank()
        output.print_table(
            ("component", "has", "needs", "update", "part"),
            (
                (one.component, str(one.have), str(one.need), one.category, one.type)
                for one in tcb.shortfalls
            ),
            "Below Intel's newest level",
        )


def _claims_facts(claims: Claims) -> dict[str, str]:
    td = claims.td
    facts = {
        "quote": f"version {claims.header.version}, body type {claims.body_type}",
        "td_attributes": f"{td.td_attributes.hex()} ({', '.join(sorted(claims.attributes)) or 'none'})",
        "xfam": td.xfam.hex(),
        "mr_td": td.mr_td.hex(),
        "rtmr0": td.rtmr0.hex(),
        "rtmr1": td.rtmr1.hex(),
        "rtmr2": td.rtmr2.hex(),
        "rtmr3": td.rtmr3.hex(),
        "mr_config_id": td.mr_config_id.hex(),
        "mr_owner": td.mr_owner.hex(),
        "mr_owner_config": td.mr_owner_config.hex(),
        "mr_seam": td.mr_seam.hex(),
        "tee_tcb_svn": td.tee_tcb_svn.hex(),
        "report_data": td.report_data.hex(),
        "fmspc": claims.pck.fmspc.hex(),
        "PCK CA": claims.pck.ca,
        "revocation": f"PCK chain {claims.pck_chain_revocation}, "
        f"TCB signing chain {claims.tcb_signing_chain_revocation}",
        "expires": claims.expires.isoformat(),
    }
    if claims.td15 is not None:
        facts["tee_tcb_svn2"] = claims.td15.tee_tcb_svn2.hex()
        facts["mr_service_td"] = claims.td15.mr_service_td.hex()
    return facts
