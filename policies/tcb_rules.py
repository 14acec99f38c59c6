# SPDX-License-Identifier: Apache-2.0
"""Rules over a TDX platform: Intel's judgement of its TCB, the collateral behind it, and which machine it is.

`UpToDate` is accepted; another status only if the policy lists it, in time and with every advisory named; `Revoked`,
`Unknown` and no status at all never. Hints of a status name what Intel says must be updated, which is public.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from policies.case import names_of, passed
from policies.collateral_rules import freshness, missing_part, part_of, revocation
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from policies.tdx_document import CollateralPart
from verifiers.tcb import TcbStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from policies.case import TdxCase
    from policies.tdx_document import ToleratedTcb
    from verifiers.tcb import Shortfall, TcbReport

_UNUSABLE = frozenset({TcbStatus.REVOKED, TcbStatus.UNKNOWN})
_COMPONENTS_OUTSIDE_BIOS = frozenset({"TDX Module", "Quoting Enclave", "PCE"})


def check_usable(case: TdxCase) -> Iterator[Finding]:
    """`tcb-unusable`: Intel's status is known, and neither it nor a part of it is Revoked or unknown to us."""
    tcb = case.claims.tcb
    parts = (tcb.status, tcb.platform_status, tcb.qe_status, tcb.module_status)
    bad = not _UNUSABLE.isdisjoint(parts)
    result = RuleResult.MISSING if tcb.status is None and not bad else passed(not bad)
    yield Finding(
        RuleId.TCB_UNUSABLE,
        "tcb.status",
        result,
        expected="a status that is neither Revoked nor Unknown",
        actual=_statuses(tcb),
        hint=""
        if result is RuleResult.PASS
        else "the platform's TCB is revoked or its status unknown",
    )


def check_up_to_date(case: TdxCase) -> Iterator[Finding]:
    """`tcb-out-of-date`: UpToDate, or a status that the policy tolerates now."""
    tcb = case.claims.tcb
    listed = [entry for entry in case.rules.tcb.accept if entry.status is tcb.status]
    good = [entry for entry in listed if _tolerates(entry, case)]
    if tcb.status is TcbStatus.UP_TO_DATE:
        result, hint, until = RuleResult.PASS, "", None
    elif good:
        ends = [entry.until for entry in good if entry.until is not None]
        until = max(ends) if len(ends) == len(good) else None
        result, hint = RuleResult.WARNED, f"{tcb.status} is tolerated by the policy"
    else:
        result = RuleResult.MISSING if tcb.status is None else RuleResult.FAIL
        hint, until = _out_of_date_hint(tcb, listed), None
    accepted = ", ".join(["UpToDate", *map(_terms, case.rules.tcb.accept)])
    yield Finding(
        RuleId.TCB_OUT_OF_DATE, "tcb.status", result, accepted, _statuses(tcb), hint, until=until
    )


def _tolerates(entry: ToleratedTcb, case: TdxCase) -> bool:
    in_time = entry.until is None or case.now < entry.until
    return in_time and entry.advisories.issuperset(case.claims.tcb.advisory_ids)


def _terms(entry: ToleratedTcb) -> str:
    until = f" until {entry.until:%Y-%m-%dT%H:%M:%SZ}" if entry.until else ""
    return f"{entry.status}{until} with advisories {names_of(entry.advisories)}"


def _statuses(tcb: TcbReport) -> str:
    parts = f"platform {tcb.platform_status}, QE {tcb.qe_status}, module {tcb.module_status}"
    return f"{tcb.status} ({parts}), advisories {names_of(tcb.advisory_ids, limit=20)}"


def _out_of_date_hint(tcb: TcbReport, listed: Sequence[ToleratedTcb]) -> str:
    why = (
        "the time or the advisories of its tolerance do not cover it" if listed else "not tolerated"
    )
    hint = f"TCB status {tcb.status}: {why}"
    if not tcb.shortfalls:
        return hint
    short = ", ".join(f"{part.component} {part.have} < {part.need}" for part in tcb.shortfalls)
    updates = names_of(frozenset(map(_update, tcb.shortfalls)))
    return f"{hint}; below Intel's newest level: {short}; update: {updates}"


def _update(part: Shortfall) -> str:
    """What must be updated, in Intel's words."""
    if part.type in _COMPONENTS_OUTSIDE_BIOS:
        return part.type
    return part.category or "platform firmware"


def check_advisories(case: TdxCase) -> Iterator[Finding]:
    """`advisory`: no advisory that the policy refuses whatever the status."""
    refused = case.rules.tcb.refuse_advisories
    found = refused.intersection(case.claims.tcb.advisory_ids)
    yield Finding(
        RuleId.ADVISORY,
        "tcb.advisory_ids",
        passed(not found),
        expected=f"none of {names_of(refused)}" if refused else "any",
        actual=names_of(case.claims.tcb.advisory_ids, limit=20),
        hint=f"the platform is open to {names_of(found)}" if found else "",
    )


def check_evaluation_number(case: TdxCase) -> Iterator[Finding]:
    """`tcb-evaluation-number`: the collateral is of the TCB recovery that the policy asks for, or of a later one."""
    number = case.claims.tcb.evaluation_data_number
    need = case.rules.tcb.minimum.tcb_evaluation_data_number
    result = RuleResult.MISSING if number is None else passed(number >= need)
    yield Finding(
        RuleId.TCB_EVALUATION_NUMBER,
        "tcb.evaluation_data_number",
        result,
        expected=f"at least {need}",
        actual=str(number),
        hint="" if result is RuleResult.PASS else "the TCB evaluation data number is too low",
    )


def check_minimum(case: TdxCase) -> Iterator[Finding]:
    """`svn-minimum`: each component at or above its own minimum; one finding for each thing that has one."""
    claims, minimum = case.claims, case.rules.tcb.minimum
    reports = {"td.tee_tcb_svn": claims.td.tee_tcb_svn}
    if claims.td15 is not None:
        reports["td15.tee_tcb_svn2"] = claims.td15.tee_tcb_svn2
    for path, svn in reports.items():
        if minimum.tdx_module is not None:
            yield _module(path, svn, minimum.tdx_module)
        yield from _components(path, tuple(svn), minimum.tee_tcb_svn)
    yield from _components(
        "pck.sgx_tcb_components", claims.pck.sgx_tcb_components, minimum.sgx_tcb_components
    )
    yield from _components("pck.pcesvn", (claims.pck.pcesvn,), (minimum.pcesvn,))
    yield from _components("qe.isvsvn", (claims.qe.isvsvn,), (minimum.qe_isvsvn,))


def _components(path: str, have: Sequence[int], need: Sequence[int]) -> Iterator[Finding]:
    if not any(need):
        return
    short = [i for i, low in enumerate(need) if i >= len(have) or have[i] < low]
    where = f" at index {', '.join(map(str, short))}" if len(need) > 1 else ""
    yield Finding(
        RuleId.SVN_MINIMUM,
        path,
        passed(not short),
        expected=f"at least {_numbers(need)}",
        actual=_numbers(have),
        hint=f"too low{where}" if short else "",
    )


def _numbers(svns: Sequence[int]) -> str:
    return " ".join(map(str, svns))


def _module(path: str, svn: bytes, lowest: Mapping[int, int]) -> Finding:
    """Version and SVN of the TDX module: bytes 1 and 0 of TEE_TCB_SVN."""
    number, version = svn[0], svn[1]
    good = version in lowest and number >= lowest[version]
    return Finding(
        RuleId.SVN_MINIMUM,
        path,
        passed(good),
        expected=" or ".join(f"TDX module {v} at SVN {n} or above" for v, n in lowest.items()),
        actual=f"TDX module {version} at SVN {number}",
        hint=""
        if good
        else "the TDX module is too old, or of a version that the policy does not name",
    )


def check_collateral(case: TdxCase) -> Iterator[Finding]:
    """`collateral-stale`: no part is past its next update by more than the policy's budget for it (none by default)."""
    instant = max(case.now, case.claims.verified_at)
    for name in CollateralPart:
        part = part_of(case.claims, name)
        budget = case.rules.tolerate_stale.get(name, timedelta())
        yield missing_part(name) if part is None else freshness(part, budget, instant)


def check_revocation(case: TdxCase) -> Iterator[Finding]:
    """`revocation-unknown`: both chains were checked against Intel's lists."""
    yield revocation("revocation.pck_chain", case.claims.pck_chain_revocation)
    yield revocation("revocation.tcb_signing_chain", case.claims.tcb_signing_chain_revocation)


def check_fmspc(case: TdxCase) -> Iterator[Finding]:
    """`fmspc`: where the policy lists platform families, this one is listed."""
    allowed = case.rules.platforms.fmspc
    if allowed is None:
        return
    good = case.claims.pck.fmspc in allowed
    yield Finding(
        RuleId.FMSPC,
        "pck.fmspc",
        passed(good),
        expected=f"one of {names_of(frozenset(value.hex() for value in allowed))}",
        actual=case.claims.pck.fmspc.hex(),
        hint="" if good else "this platform family is not listed",
    )


def check_chip(case: TdxCase) -> Iterator[Finding]:
    """`chip-list`: where the policy lists machines, this one is listed. An all-zero id is no id."""
    platforms, pck = case.rules.platforms, case.claims.pck
    if not platforms.lists_chips:
        return
    instance = pck.platform_instance_id
    good = any(pck.ppid) and pck.ppid in platforms.ppid
    good |= instance is not None and any(instance) and instance in platforms.platform_instance_id
    shown = instance.hex() if instance is not None else "not reported"
    yield Finding(
        RuleId.CHIP_LIST,
        "pck",
        passed(good),
        expected=f"one of {len(platforms.platform_instance_id | platforms.ppid)} listed machines",
        actual=f"platform_instance_id {shown}, ppid {pck.ppid.hex()}",
        hint="" if good else "this machine is not listed",
    )
