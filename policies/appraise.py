# SPDX-License-Identifier: Apache-2.0
"""Claims + policy + instant -> AttestationResult. The lists of checks are the appraisal.

Every rule runs, whatever the others say; one that denies, denies. A rule that fails is softened in one place only
(`_soften`): where the document relaxes it by name, or has it warn until a date. What is `missing` is never softened.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, assert_never

from policies import (
    boot_application_rules,
    boot_event_rules,
    boot_rules,
    google_rules,
    launch_rules,
    nvidia_rules,
    nvidia_version_rules,
    snp_guest_rules,
    snp_platform_rules,
    snp_tcb_rules,
    tcb_rules,
    td_rules,
)
from policies.boot_difference import explain
from policies.case import Case, NvidiaCase, SnpCase, TdxCase, UnverifiedDevices, boot_case, passed
from policies.floors import builtin_floors
from policies.measurements import measure
from policies.minimums import builtin_minimums
from policies.result import (
    AttestationResult,
    BootRef,
    Finding,
    FloorsRef,
    MinimumsRef,
    PolicyRef,
    RuleResult,
    instant_text,
)
from policies.rules import DEVICE_RULES, RuleId
from verifiers.nvidia.claims import NvidiaSetClaims
from verifiers.snp.claims import SnpClaims
from verifiers.tdx.claims import TdxClaims

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from policies.document import PolicyDocument
    from policies.floors import Floors
    from policies.loader import LoadedPolicy
    from policies.minimums import Minimums
    from verifiers.claims import Claims
    from verifiers.eventlog.judged import Boot


def check_match(case: Case) -> Iterator[Finding]:
    """`match`: the document is about this technology and this way of reporting."""
    good = matches(case.document, case.claims)
    wanted = case.document.match
    yield Finding(
        RuleId.MATCH,
        "match",
        passed(good),
        expected=f"{wanted.tee} from {wanted.provider or 'any provider'}",
        actual=f"{case.claims.tee} from {case.claims.provider}",
        hint="" if good else "the policy is about other evidence",
    )


def check_validity(case: Case) -> Iterator[Finding]:
    """`policy-validity`: the document is in force at `now`."""
    document, now = case.document, case.now
    started = document.not_before is None or document.not_before <= now
    good = started and (document.not_after is None or now < document.not_after)
    begin = instant_text(document.not_before) if document.not_before else "the beginning"
    end = instant_text(document.not_after) if document.not_after else "replaced"
    yield Finding(
        RuleId.POLICY_VALIDITY,
        "policy",
        passed(good),
        expected=f"from {begin} until {end}",
        actual=instant_text(now),
        hint="" if good else "the policy is not in force",
        until=document.not_after,
    )


CHECKS = (check_match, check_validity)
TDX_CHECKS = (
    td_rules.check_refused_attributes,
    td_rules.check_service_td,
    td_rules.check_sept_ve,
    td_rules.check_reserved,
    td_rules.check_attributes,
    td_rules.check_xfam,
    tcb_rules.check_usable,
    tcb_rules.check_up_to_date,
    tcb_rules.check_advisories,
    tcb_rules.check_evaluation_number,
    tcb_rules.check_minimum,
    tcb_rules.check_collateral,
    tcb_rules.check_revocation,
    tcb_rules.check_fmspc,
    tcb_rules.check_chip,
)
SNP_CHECKS = (
    snp_guest_rules.check_debug,
    snp_guest_rules.check_migration_agent,
    snp_guest_rules.check_vmpl,
    snp_guest_rules.check_guest_policy,
    snp_guest_rules.check_guest_policy_unmet,
    snp_guest_rules.check_smt,
    snp_guest_rules.check_id_block,
    snp_platform_rules.check_report_version,
    snp_platform_rules.check_vlek,
    snp_platform_rules.check_product,
    snp_platform_rules.check_alias,
    snp_platform_rules.check_platform_info,
    snp_platform_rules.check_mitigation_vectors,
    snp_tcb_rules.check_reported,
    snp_tcb_rules.check_committed,
    snp_tcb_rules.check_floor,
    snp_platform_rules.check_collateral,
    snp_platform_rules.check_revocation,
    snp_platform_rules.check_chip,
)
GOOGLE_CHECKS = (
    google_rules.check_vm,
    google_rules.check_collateral,
    google_rules.check_revocation,
)
LOG_CHECKS = (boot_rules.check_log, boot_rules.check_replay)
BOOT_CHECKS = (
    boot_rules.check_secure_boot,
    boot_rules.check_db_certificates,
    boot_rules.check_images,
    boot_rules.check_kernel_cmdline,
    boot_rules.check_initrd,
    boot_event_rules.check_events,
    boot_event_rules.check_ima,
    boot_application_rules.check_dstack,
    boot_application_rules.check_aael,
    boot_application_rules.check_confidential_space,
)
LAUNCH_CHECKS = (launch_rules.check_dstack_launch, launch_rules.check_init_data)
NVIDIA_CHECKS = (
    nvidia_rules.check_collateral,
    nvidia_rules.check_count,
    nvidia_rules.check_model,
    nvidia_rules.check_mode,
    nvidia_rules.check_appraisal,
    nvidia_version_rules.check_driver,
    nvidia_version_rules.check_vbios,
    nvidia_rules.check_coverage,
    nvidia_rules.check_fwid,
    nvidia_rules.check_revocation,
    nvidia_rules.check_device,
)

_ORDER = {rule: number for number, rule in enumerate(RuleId)}

Devices: TypeAlias = "NvidiaSetClaims | UnverifiedDevices | None"


def matches(document: PolicyDocument, claims: Claims) -> bool:
    """Whether the document is about claims of this kind."""
    wanted = document.match
    provider = wanted.provider or claims.provider
    return (wanted.tee, provider) == (claims.tee, claims.provider)


def appraise(  # noqa: PLR0913  what a verdict depends on
    claims: Claims,
    policy: LoadedPolicy,
    now: datetime,
    floors: Floors | None = None,
    *,
    devices: Devices = None,
    minimums: Minimums | None = None,
    boot: Boot | None = None,
) -> AttestationResult:
    """Judge verified claims by one policy at `now` (timezone-aware UTC).

    Args:
        claims: of the CPU.
        policy: by which to judge.
        now: when.
        floors: where a policy for SNP names advisories; those that the package brings if not given.
        devices: those beside the CPU, verified; how many were sent where nobody has looked at them, which denies; None
            if none were sent.
        minimums: where the section `nvidia` names advisories, likewise.
        boot: event logs of the same evidence after replay; None if none were sent.
    """
    document = policy.document
    case = Case(claims, document, now, boot)
    measured = measure(case)
    consulted = _consulted(document, floors)
    findings = [finding for check in CHECKS for finding in check(case)]
    findings += measured.findings
    findings += explain(case)
    findings += launch_rules.explain_launch(case)
    findings += _of_the_cpu(case, consulted)
    findings += _of_its_boot(case)
    softened = tuple(_soften(finding, document, now) for finding in findings)
    softened += appraise_devices(devices, document, now, minimums)
    ends = [finding.until for finding in softened if finding.until is not None]
    if isinstance(devices, NvidiaSetClaims):
        ends += [device.certificates_expire for device in devices.devices]
    asked = _asked_minimums(document, minimums)
    return AttestationResult(
        policy=PolicyRef(document.name, document.version, policy.sha256),
        findings=softened,
        matched=measured.matched,
        pinned=measured.pinned,
        unpinned=measured.unpinned,
        valid_until=min([claims.certificates_expire, *ends]),
        evidence_sha256=claims.evidence_sha256,
        appraised_at=now,
        floors=FloorsRef(consulted.file.version, consulted.sha256) if consulted else None,
        minimums=MinimumsRef(asked.file.version, asked.sha256) if asked else None,
        boot=_relied_on(boot) if boot is not None else None,
    )


def _relied_on(boot: Boot) -> BootRef:
    states = ((register.value, one.state.value) for register, one in boot.replayed.items())
    return BootRef(tuple(one.value for one in boot.formats), tuple(sorted(states)))


def denies_cpu(result: AttestationResult) -> bool:
    """Whether it denies whatever devices stand beside the CPU; asked of a result over unverified ones."""
    return any(finding.rule not in DEVICE_RULES for finding in result.denying)


def appraise_devices(
    devices: Devices, document: PolicyDocument, now: datetime, minimums: Minimums | None = None
) -> tuple[Finding, ...]:
    """What the section `nvidia` says of devices: a part of every appraisal, and for looking at devices without a CPU.

    Arguments as those of `appraise`. A document without the section refuses devices; of none it says nothing.
    """
    findings = list(nvidia_rules.check_unexpected(document, devices))
    if document.nvidia is not None and not isinstance(devices, UnverifiedDevices):
        asked = _asked_minimums(document, minimums)
        verified = devices.devices if isinstance(devices, NvidiaSetClaims) else ()
        advisories = asked.file.advisories if asked else {}
        case = NvidiaCase(verified, document.nvidia, advisories, now)
        findings += [finding for check in NVIDIA_CHECKS for finding in check(case)]
    findings.sort(key=lambda finding: _ORDER[finding.rule])
    return tuple(_soften(finding, document, now) for finding in findings)


def _asked_minimums(document: PolicyDocument, minimums: Minimums | None) -> Minimums | None:
    """The minimums that the document asks; None if it names no advisory."""
    if document.nvidia is None or not document.nvidia.advisories:
        return None
    return minimums or builtin_minimums()


def _consulted(document: PolicyDocument, floors: Floors | None) -> Floors | None:
    """The floors that the document asks; None if it names no advisory."""
    if document.snp is None or not document.snp.tcb.advisories:
        return None
    return floors or builtin_floors()


def _of_the_cpu(case: Case, floors: Floors | None) -> list[Finding]:
    """The rules over its technology, and over a vTPM of Google's beside it."""
    found = list(_of_its_technology(case, floors))
    found += [finding for check in GOOGLE_CHECKS for finding in check(case)]
    return sorted(found, key=lambda finding: _ORDER[finding.rule])


def _of_its_technology(case: Case, floors: Floors | None) -> Iterator[Finding]:
    """The rules over one technology; none if the document is about another, which `match` denies."""
    document = case.document
    match case.claims:
        case TdxClaims() as claims:
            if document.tdx is not None:
                tdx = TdxCase(claims, document.tdx, case.now)
                yield from (finding for check in TDX_CHECKS for finding in check(tdx))
        case SnpClaims() as claims:
            if document.snp is not None:
                advisories = floors.file.advisories if floors else {}
                snp = SnpCase(claims, document.snp, advisories, case.now)
                yield from (finding for check in SNP_CHECKS for finding in check(snp))
        case _:
            assert_never(case.claims)


def _of_its_boot(case: Case) -> Iterator[Finding]:
    """The rules over event logs and what the host handed over; none of what only logs prove if there are no logs."""
    yield from (finding for check in LOG_CHECKS for finding in check(case))
    if case.boot is not None and case.document.boot is not None:
        booted = boot_case(case.boot, case.document.boot)
        yield from (finding for check in BOOT_CHECKS for finding in check(booted))
    yield from (finding for check in LAUNCH_CHECKS for finding in check(case))


def _soften(finding: Finding, document: PolicyDocument, now: datetime) -> Finding:
    if finding.result is not RuleResult.FAIL:
        return finding
    reason = document.relax.get(finding.rule)
    if reason is not None:
        return replace(finding, result=RuleResult.WARNED, hint=f"relaxed by the policy: {reason}")
    until = document.warn.get(finding.rule)
    if until is not None and now < until:
        hint = f"{finding.hint}; only a warning until {instant_text(until)}"
        return replace(finding, result=RuleResult.WARNED, hint=hint, until=until)
    return finding
