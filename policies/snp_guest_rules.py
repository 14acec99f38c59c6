# SPDX-License-Identifier: Apache-2.0
"""Rules over an SEV-SNP guest: its policy, its level, who signed it.

Sources: AMD publication 56860 (SEV-SNP firmware ABI), ATTESTATION_REPORT and GUEST_POLICY. The guest policy is no part
of the measurement: the right image can be started with debugging on, and only these rules see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.case import names_of, passed
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from verifiers.snp.claims import GuestPolicyBit, PlatformBit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.case import SnpCase

_POLICY = "report.policy"
_PLATFORM = "report.platform_info"
_NO_AGENT = b"\xff" * 32
_HOST_REQUEST = 0xFFFFFFFF

# What the guest policy demands of the platform and the platform reports. Single socket and AES-256-XTS are not visible.
_DEMANDS = {
    GuestPolicyBit.RAPL_DIS: PlatformBit.RAPL_DIS,
    GuestPolicyBit.CIPHERTEXT_HIDING: PlatformBit.CIPHERTEXT_HIDING,
}


def check_debug(case: SnpCase) -> Iterator[Finding]:
    """`debug`: the host may not look into the guest or change it."""
    good = GuestPolicyBit.DEBUG not in case.claims.guest_policy
    yield Finding(
        RuleId.DEBUG,
        _POLICY,
        passed(good),
        expected="without debug",
        actual=names_of(case.claims.guest_policy),
        hint="" if good else "the host can read and change the guest; start it without DEBUG",
    )


def check_migration_agent(case: SnpCase) -> Iterator[Finding]:
    """`migration-agent`: none is bound, and none may be."""
    allowed = GuestPolicyBit.MIGRATE_MA in case.claims.guest_policy
    agent = case.claims.report.report_id_ma
    bound = agent != _NO_AGENT
    hints = ["the guest policy allows a migration agent"] if allowed else []
    hints += ["a migration agent is bound to the guest"] if bound else []
    yield Finding(
        RuleId.MIGRATION_AGENT,
        "report.report_id_ma",
        passed(not hints),
        expected="none, and a guest policy without migrate-ma",
        actual=f"{agent.hex() if bound else 'none'}; guest policy {names_of(case.claims.guest_policy)}",
        hint="; ".join(hints),
    )


def check_vmpl(case: SnpCase) -> Iterator[Finding]:
    """`vmpl-not-zero`: at a level that the policy lists; any but 0, which speaks for the whole guest, is tolerated."""
    vmpl = case.claims.report.vmpl
    listed = vmpl in case.rules.vmpl
    yield Finding(
        RuleId.VMPL_NOT_ZERO,
        "report.vmpl",
        RuleResult.WARNED if listed and vmpl else passed(listed),
        expected=f"one of {', '.join(map(str, case.rules.vmpl))}",
        actual="asked for by the host" if vmpl == _HOST_REQUEST else str(vmpl),
        hint=_at_level(vmpl, listed=listed),
    )


def _at_level(vmpl: int, *, listed: bool) -> str:
    if not listed:
        return "the report was asked for at another VMPL"
    return "what runs at VMPL 0 is not what asked" if vmpl else ""


def check_guest_policy(case: SnpCase) -> Iterator[Finding]:
    """`guest-policy`: the policy's own lists."""
    wanted, present = case.rules.guest_policy, case.claims.guest_policy
    absent, excess = wanted.required - present, wanted.forbidden & present
    hints = ["the guest policy lacks a bit that is required"] if absent else []
    hints += [f"the guest policy allows {names_of(excess)}"] if excess else []
    yield Finding(
        RuleId.GUEST_POLICY,
        _POLICY,
        passed(not hints),
        expected=f"required {names_of(wanted.required)}; forbidden {names_of(wanted.forbidden)}",
        actual=names_of(present),
        hint="; ".join(hints),
    )


def check_guest_policy_unmet(case: SnpCase) -> Iterator[Finding]:
    """`guest-policy-unmet`: the platform is as the guest's own policy demands, as far as it reports."""
    policy, platform = case.claims.guest_policy, case.claims.platform
    unmet = [
        f"{bit} is not on"
        for bit, shown in _DEMANDS.items()
        if bit in policy and shown not in platform
    ]
    if PlatformBit.SMT in platform and GuestPolicyBit.SMT not in policy:
        unmet.append("smt is on")
    yield Finding(
        RuleId.GUEST_POLICY_UNMET,
        _PLATFORM,
        passed(not unmet),
        expected=f"what the guest policy demands: {names_of(policy)}",
        actual=names_of(platform),
        hint=f"against the guest policy, {', '.join(unmet)}" if unmet else "",
    )


def check_smt(case: SnpCase) -> Iterator[Finding]:
    """`smt`: where the policy forbids SMT, the guest policy does so too, and the platform has it off."""
    if case.rules.allow_smt:
        return
    places = (
        (
            _POLICY,
            case.claims.guest_policy,
            "the guest policy allows SMT; start the guest without it",
        ),
        (_PLATFORM, case.claims.platform, "SMT is on"),
    )
    for path, bits, hint in places:
        good = "smt" not in bits
        yield Finding(
            RuleId.SMT,
            path,
            passed(good),
            expected="without smt",
            actual=names_of(bits),
            hint="" if good else hint,
        )


def check_id_block(case: SnpCase) -> Iterator[Finding]:
    """`id-block`: its fields, which the loader admits only where the key that signed them is pinned."""
    wanted, report = case.rules.id_block, case.claims.report
    if wanted.guest_svn is not None:
        good = report.guest_svn >= wanted.guest_svn
        yield Finding(
            RuleId.ID_BLOCK,
            "report.guest_svn",
            passed(good),
            expected=f"at least {wanted.guest_svn}",
            actual=str(report.guest_svn),
            hint="" if good else "the guest's security version number is too low",
        )
    ids = {
        "family_id": (wanted.family_id, report.family_id),
        "image_id": (wanted.image_id, report.image_id),
    }
    for name, (want, have) in ids.items():
        if want is not None:
            yield Finding(
                RuleId.ID_BLOCK,
                f"report.{name}",
                passed(have == want),
                expected=want.hex(),
                actual=have.hex(),
                hint="" if have == want else f"another {name}",
            )
