# SPDX-License-Identifier: Apache-2.0
"""What a TDX quote says, and Intel of its platform, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.cli import output, vtpm_view

if TYPE_CHECKING:
    from verifiers.tcb import TcbReport
    from verifiers.tdx.claims import TdxClaims


def show_tcb(tcb: TcbReport) -> None:
    """Statuses, advisories, and what the platform lacks."""
    output.print_facts(_tcb_facts(tcb), "TCB")
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


def show_claims(claims: TdxClaims) -> None:
    """The TD's registers, attributes and platform; on Azure the paravisor and its vTPM."""
    output.print_facts(_claims_facts(claims), "Claims")
    vtpm_view.show_vtpm(claims.hcl, claims.tpm, claims.gce, claims.td.report_data)


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


def _claims_facts(claims: TdxClaims) -> dict[str, str]:
    td = claims.td
    facts = {
        "quote": f"version {claims.header.version}, body type {claims.body_type}, provider {claims.provider}",
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
