# SPDX-License-Identifier: Apache-2.0
"""Rules over an SEV-SNP platform: what signs its reports, which product and chip it is, what it has switched on.

Sources: AMD publication 56860 (SEV-SNP firmware ABI), PLATFORM_INFO; 57230 and 58369 (VCEK and VLEK). The TCB stands in
`policies.snp_tcb_rules`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from policies.case import names_of, passed
from policies.collateral_rules import freshness, missing_part, part_of, revocation
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from policies.snp_document import SnpPart
from verifiers.endorsements import Revocation
from verifiers.snp.claims import PlatformBit, SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.case import SnpCase

_PLATFORM = "report.platform_info"
_WITH_CPUID = 3  # report version


def check_report_version(case: SnpCase) -> Iterator[Finding]:
    """`report-version-below-3`: older reports name no CPU model and can show no alias check."""
    version = case.claims.report.version
    good = version >= _WITH_CPUID
    yield Finding(
        RuleId.REPORT_VERSION_BELOW_3,
        "report.version",
        passed(good),
        expected=f"at least {_WITH_CPUID}",
        actual=str(version),
        hint="" if good else "update the SEV-SNP firmware of the host",
    )


def check_vlek(case: SnpCase) -> Iterator[Finding]:
    """`vlek`: signed by the key of one chip; by that of a provider whose CSP_ID the policy lists is tolerated."""
    vek, accepted = case.claims.vek, case.rules.vlek
    listed = accepted.csp_ids if accepted is not None else frozenset[str]()
    good = vek.kind is SigningKey.VCEK
    tolerated = not good and vek.csp_id in listed
    yield Finding(
        RuleId.VLEK,
        "vek.kind",
        RuleResult.WARNED if tolerated else passed(good),
        expected=f"a VCEK, or a VLEK of {names_of(listed)}",
        actual=vek.kind.value if vek.csp_id is None else f"{vek.kind} of {vek.csp_id}",
        hint="" if good else "signed by a key that a provider's machines share, not by its chip",
    )


def check_product(case: SnpCase) -> Iterator[Finding]:
    """`product`: the product line is allowed, and neither it nor the CPU model is denied."""
    products, claims = case.rules.products, case.claims
    good = (
        claims.product in products.allow - products.deny
        and str(claims.cpu) not in products.deny_cpus
    )
    unknown = good and bool(products.deny_cpus) and claims.cpu is None
    hint = "" if good else "this product or CPU model is not allowed"
    yield Finding(
        RuleId.PRODUCT,
        "product",
        RuleResult.MISSING if unknown else passed(good),
        expected=f"{names_of(products.allow - products.deny)}, no CPU model of {names_of(products.deny_cpus)}",
        actual=f"{claims.product}, CPU model {claims.cpu or 'not reported before version 3'}",
        hint="the report does not name its CPU model" if unknown else hint,
    )


def check_alias(case: SnpCase) -> Iterator[Finding]:
    """`alias-check-missing`: the firmware looked for memory that appears twice (AMD-SB-3015)."""
    good = PlatformBit.ALIAS_CHECK_COMPLETE in case.claims.platform
    yield Finding(
        RuleId.ALIAS_CHECK_MISSING,
        _PLATFORM,
        passed(good),
        expected="with alias-check-complete",
        actual=names_of(case.claims.platform),
        hint="" if good else "the platform reports no completed check for memory aliases",
    )


def check_platform_info(case: SnpCase) -> Iterator[Finding]:
    """`platform-info`: the policy's own lists."""
    wanted, present = case.rules.platform_info, case.claims.platform
    absent, excess = wanted.required - present, wanted.forbidden & present
    hints = ["the platform lacks a protection that is required"] if absent else []
    hints += [f"the platform has {names_of(excess)} on"] if excess else []
    yield Finding(
        RuleId.PLATFORM_INFO,
        _PLATFORM,
        passed(not hints),
        expected=f"required {names_of(wanted.required)}; forbidden {names_of(wanted.forbidden)}",
        actual=names_of(present),
        hint="; ".join(hints),
    )


def check_mitigation_vectors(case: SnpCase) -> Iterator[Finding]:
    """`mitigation-vectors`: the bits that the policy's masks name are set, at launch and now."""
    masks, report = case.rules.mitigation_vectors, case.claims.report
    vectors = (
        ("launch_mit_vector", masks.launch, report.launch_mit_vector),
        ("current_mit_vector", masks.current, report.current_mit_vector),
    )
    for name, mask, vector in vectors:
        if not any(mask):
            continue
        need = int.from_bytes(mask, "big")
        good = vector is not None and need & ~vector == 0
        yield Finding(
            RuleId.MITIGATION_VECTORS,
            f"report.{name}",
            RuleResult.MISSING if vector is None else passed(good),
            expected=f"all of {need:016x}",
            actual="not reported before version 5" if vector is None else f"{vector:016x}",
            hint="" if good else "mitigations that are required are not reported",
        )


def check_collateral(case: SnpCase) -> Iterator[Finding]:
    """`collateral-stale`: the CRL is not past its next update by more than the policy's budget (none by default).

    Where no CRL was at hand there is none to be stale: `revocation-unknown` says so.
    """
    part = part_of(case.claims, SnpPart.CRL)
    if part is None:
        if case.claims.revocation is not Revocation.NOT_CHECKED:
            yield missing_part(SnpPart.CRL)
        return
    budget = case.rules.tolerate_stale.get(SnpPart.CRL, timedelta())
    yield freshness(part, budget, max(case.now, case.claims.verified_at))


def check_revocation(case: SnpCase) -> Iterator[Finding]:
    """`revocation-unknown`: the authority that signed the VCEK or VLEK was checked against AMD's list."""
    yield revocation("revocation", case.claims.revocation)


def check_chip(case: SnpCase) -> Iterator[Finding]:
    """`chip-list`: where the policy lists chips, this one is listed. An all-zero id is no id, a VLEK is no chip's."""
    chips, chip_id = case.rules.chips, case.claims.report.chip_id
    if chips is None:
        return
    good = any(chip_id) and chip_id in chips and case.claims.vek.kind is SigningKey.VCEK
    yield Finding(
        RuleId.CHIP_LIST,
        "report.chip_id",
        passed(good),
        expected=f"one of {len(chips)} listed chips, signed by its VCEK",
        actual=f"{chip_id.hex()}, signed by a {case.claims.vek.kind}",
        hint="" if good else "this machine is not listed",
    )
