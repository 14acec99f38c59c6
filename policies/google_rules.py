# SPDX-License-Identifier: Apache-2.0
"""Rules over Google's vTPM beside a CPU's evidence: whose VM has it, and whether its certificate still holds.

The vTPM is the host's, and what ties it to the CPU's report is the binding alone, which any VM of Google's can have
signed. So a document says whose VMs will do, or takes none of this evidence. What the verifier has refused is not here:
a key that Google does not vouch for, an authority that it revoked, a quote without the binding.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from policies.case import names_of, passed
from policies.collateral_rules import freshness, missing_part, part_of, revocation
from policies.google_document import ROOT_CRL
from policies.measurements import covered
from policies.registers import PCRS, boot_registers
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from verifiers.endorsements import Revocation
from verifiers.evidence import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.case import Case
    from verifiers.vtpm.claims import GceClaims

_NO_SECTION = (
    "its PCRs are those of any VM of Google's, whose the policy does not say: name projects in a section google,"
    " or leave the vTPM out"
)
_BY_ITS_WORD = "PCRs are Google's word, and the binding alone ties them to the CPU's report"


def check_vm(case: Case) -> Iterator[Finding]:
    """`google-vm`: the VM that Google's certificate names is of a listed project, zone, instance.

    Where PCRs count, that they are Google's word alone is tolerated by that, and the certificate says so.
    """
    if case.claims.provider is not Provider.GOOGLE:
        return
    gce, rules = case.claims.gce, case.document.google
    if gce is None or rules is None:
        yield _unknown(gce)
        return
    yield _listed("project_id", gce.project_id, rules.projects)
    if rules.zones is not None:
        yield _listed("zone", gce.zone, rules.zones)
    if rules.instances is not None:
        listed = frozenset(map(str, rules.instances))
        yield _listed("instance_id", str(gce.instance_id), listed)
    if PCRS.keys() & (boot_registers(case.claims.tee, Provider.GOOGLE) | covered(case.document)):
        yield Finding(
            RuleId.GOOGLE_VM,
            "tpm.pcrs",
            RuleResult.WARNED,
            expected="registers that the CPU signs",
            actual="those of a vTPM of Google's",
            hint=_BY_ITS_WORD,
        )


def _unknown(gce: GceClaims | None) -> Finding:
    """Nothing says whose VMs will do, or whose this is."""
    return Finding(
        RuleId.GOOGLE_VM,
        "gce",
        RuleResult.MISSING,
        expected="a certificate of the vTPM's key" if gce is None else "a section google",
        actual="none" if gce is None else f"project {gce.project_id}, instance {gce.instance_id}",
        hint="Google's certificate of the vTPM's key is missing" if gce is None else _NO_SECTION,
    )


def _listed(field: str, value: str, listed: frozenset[str]) -> Finding:
    good = value in listed
    return Finding(
        RuleId.GOOGLE_VM,
        f"gce.{field}",
        passed(good),
        expected=f"one of {names_of(listed)}",
        actual=value,
        hint="" if good else f"the vTPM is of a VM whose {field} the policy does not list",
    )


def check_collateral(case: Case) -> Iterator[Finding]:
    """`collateral-stale`: the list of Google's root is not past its next update by more than the policy's budget.

    Where no list was at hand there is none to be stale: `revocation-unknown` says so.
    """
    gce, rules = case.claims.gce, case.document.google
    if gce is None:
        return
    part = part_of(case.claims, ROOT_CRL)
    if part is not None:
        budget = timedelta() if rules is None else rules.tolerate_stale_crl
        yield freshness(part, budget, max(case.now, case.claims.verified_at))
    elif gce.revocation is not Revocation.NOT_CHECKED:
        yield missing_part(ROOT_CRL)


def check_revocation(case: Case) -> Iterator[Finding]:
    """`revocation-unknown`: the authority that certified the vTPM's key was checked against the list of its root."""
    if case.claims.gce is not None:
        yield revocation("gce.revocation", case.claims.gce.revocation)
