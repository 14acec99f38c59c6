# SPDX-License-Identifier: Apache-2.0
"""How `appraise` shows itself to people: the verdict, the findings that deny first, then what the evidence says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ca.cli import boot_view, inspect_view, launch_fields, machine, nvidia_view, output
from policies.result import TOLERABLE, RuleResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ca.cli.appraise import Appraisal
    from policies.result import Finding

NOTE: Final = "devices alone are judged by the policy's section nvidia, and get no certificate"


def show(done: Appraisal) -> None:
    """All of it."""
    found = done.verified
    output.print_facts(_facts(done))
    output.say_blank()
    if done.judged is not None:
        _show_all_findings(done.judged.findings)
    if found.cpu is not None:
        inspect_view.show_evidence(found.cpu)
    if found.cpu is not None and found.launch is not None:
        launch_fields.show(found.launch, first=found.cpu.claims is None and found.cpu.tcb is None)
    if found.boot is not None:
        output.say_blank()
        boot_view.show(found.boot)
    if found.devices is not None:
        if found.cpu is not None:
            output.say_blank()
        nvidia_view.show_evidence(found.devices)


def _facts(done: Appraisal) -> dict[str, str]:
    found, document = done.verified, done.policy.document
    facts = {"verdict": done.verdict, "policy": f"{document.name}@{document.version}"}
    if found.cpu is None:
        facts["note"] = NOTE
    elif found.devices is not None:
        facts["binding"] = machine.WHY_NOT_COMPARED
    several = found.cpu is not None and found.devices is not None
    several = several or found.boot is not None
    for what, one in (("CPU", found.cpu), ("devices", found.devices), ("logs", found.boot)):
        if one is not None and one.reason is not None:
            facts[f"reason ({what})" if several else "reason"] = f"{one.reason}: {one.detail}"
    return {**facts, "judged at": found.checked_at.isoformat()}


def _show_all_findings(findings: Sequence[Finding]) -> None:
    denying = [one for one in findings if one.result not in TOLERABLE]
    tolerated = [one for one in findings if one.result is RuleResult.WARNED]
    held = [one for one in findings if one.result is RuleResult.PASS]
    _show_findings("What denies", denying)
    _show_findings("Tolerated by the policy", tolerated)
    _show_findings("Held", held, hints=False)


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
