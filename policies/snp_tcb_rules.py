# SPDX-License-Identifier: Apache-2.0
"""Rules over the four TCBs of an SEV-SNP report: reported, committed, current, launch.

The signing key is derived from the reported TCB, so that one is proven; the others are the word of whoever holds the
key. They are compared part by part: as one number, microcode would outweigh all else. AMD publishes no status; floors
out of bulletins (`policies.floors`) or of the policy itself do that work, or the policy says why there are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.case import passed
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from policies.snp_document import Components, is_cpu_model
from verifiers.snp.claims import TCB_COMPONENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.case import SnpCase
    from policies.floors import Advisory
    from policies.snp_document import TcbFloor
    from verifiers.snp.claims import SnpClaims, TcbVersion

_FIELDS = ("reported", "committed", "current", "launch")
_NO_MODEL = "the report does not name its CPU model: update the SEV-SNP firmware of the host"


def check_reported(case: SnpCase) -> Iterator[Finding]:
    """`reported-below-committed`: the host does not report less than it cannot go back from."""
    claims = case.claims
    good = claims.reported_tcb.covers(claims.committed_tcb)
    yield Finding(
        RuleId.REPORTED_BELOW_COMMITTED,
        "reported_tcb",
        passed(good),
        expected=f"the committed TCB: {_text(claims.committed_tcb)}",
        actual=_text(claims.reported_tcb),
        hint="" if good else "the host reports an older TCB than it has committed to",
    )


def check_committed(case: SnpCase) -> Iterator[Finding]:
    """`committed-below-current`: the firmware that runs is committed, not provisional."""
    claims = case.claims
    good = claims.committed_tcb.covers(claims.current_tcb)
    yield Finding(
        RuleId.COMMITTED_BELOW_CURRENT,
        "committed_tcb",
        passed(good),
        expected=f"the current TCB: {_text(claims.current_tcb)}",
        actual=_text(claims.committed_tcb),
        hint="" if good else "the host can still go back to older firmware: it has not committed",
    )


def check_floor(case: SnpCase) -> Iterator[Finding]:
    """`tcb-floor`: the policy's own floors and those of each advisory that it names; or its reason for none."""
    tcb = case.rules.tcb
    if tcb.no_floor is not None:
        yield Finding(
            RuleId.TCB_FLOOR,
            "reported_tcb",
            RuleResult.WARNED,
            expected="a floor",
            actual=_text(case.claims.reported_tcb),
            hint=f"the policy has no floor: {tcb.no_floor}",
        )
    if tcb.minimum:
        yield from _minimum(case)
    for name in tcb.advisories:
        yield _advisory(name, case)


def _minimum(case: SnpCase) -> Iterator[Finding]:
    """One finding for each TCB with a floor. A product's floor does not stand in for a model that is not known."""
    claims, minimum = case.claims, case.rules.tcb.minimum
    targets = [name for name in (claims.product.value, str(claims.cpu)) if name in minimum]
    by_model = any(map(is_cpu_model, minimum))
    if not targets or (claims.cpu is None and by_model):
        yield Finding(
            RuleId.TCB_FLOOR,
            "cpu",
            RuleResult.MISSING,
            expected=f"a floor for it; there are some for {', '.join(minimum)}",
            actual=_machine(claims),
            hint=_NO_MODEL if claims.cpu is None and by_model else "no floor for this CPU model",
        )
        return
    for field in _FIELDS:
        floors = [floor for name in targets if (floor := _of(minimum[name], field)) is not None]
        if floors:
            have = _tcb(claims, field)
            short = sorted({part for floor in floors for part in _short(have, floor)})
            yield Finding(
                RuleId.TCB_FLOOR,
                f"{field}_tcb",
                passed(not short),
                expected=f"at least {' and '.join(map(_floor_text, floors))}",
                actual=_text(have),
                hint=f"too low: {', '.join(short)}" if short else "",
            )


def _advisory(name: str, case: SnpCase) -> Finding:
    """Everything that one advisory asks, in one finding."""
    advisory, claims = case.advisories.get(name), case.claims
    if advisory is None:
        return _of_advisory(
            name, claims, RuleResult.MISSING, "an advisory of the list", "not in the list of floors"
        )
    if claims.product in advisory.not_affected:
        return _of_advisory(name, claims, RuleResult.PASS, "nothing of this product line")
    floor = advisory.floors.get(str(claims.cpu))
    expected = _asked(advisory, floor)
    if advisory.floors and floor is None:
        hint = _NO_MODEL if claims.cpu is None else "it gives no floor for this CPU model"
        return _of_advisory(name, claims, RuleResult.MISSING, expected, hint)
    short = list(_shortfalls(advisory, floor, claims))
    return _of_advisory(name, claims, passed(not short), expected, "; ".join(short))


def _of_advisory(
    name: str, claims: SnpClaims, result: RuleResult, expected: str, hint: str = ""
) -> Finding:
    tcbs = "; ".join(f"{field} {_text(_tcb(claims, field))}" for field in _FIELDS)
    return Finding(
        RuleId.TCB_FLOOR,
        f"advisories.{name}",
        result,
        expected=expected,
        actual=f"{_machine(claims)}; {tcbs}",
        hint=f"{name}: {hint}" if hint else "",
    )


def _shortfalls(advisory: Advisory, floor: TcbFloor | None, claims: SnpClaims) -> Iterator[str]:
    if claims.report.version < advisory.report_version:
        yield "the report is of a version that cannot show the mitigation"
    if absent := advisory.platform - claims.platform:
        yield f"the platform lacks {', '.join(sorted(absent))}"
    for field in _FIELDS:
        if floor is not None and (parts := _of(floor, field)) is not None:
            short = _short(_tcb(claims, field), parts)
            if short:
                yield f"{field} TCB too low: {', '.join(short)}"


def _asked(advisory: Advisory, floor: TcbFloor | None) -> str:
    asked = [f"report version {advisory.report_version} or above"]
    asked += [f"platform with {', '.join(sorted(advisory.platform))}"] if advisory.platform else []
    for field in _FIELDS:
        if floor is not None and (parts := _of(floor, field)) is not None:
            asked.append(f"{field} TCB at least {_floor_text(parts)}")
    return "; ".join(asked)


def _machine(claims: SnpClaims) -> str:
    return f"{claims.product}, CPU model {claims.cpu or 'not reported'}"


def _of(floor: TcbFloor, field: str) -> Components | None:
    parts: Components | None = getattr(floor, field)
    return parts


def _tcb(claims: SnpClaims, field: str) -> TcbVersion:
    version: TcbVersion = getattr(claims, f"{field}_tcb")
    return version


def _short(have: TcbVersion, floor: Components) -> list[str]:
    """Parts below their floor. A part that the product does not have is below any."""
    wanted = {part: getattr(floor, part) for part in TCB_COMPONENTS}
    return [
        part
        for part, low in wanted.items()
        if low is not None and ((number := getattr(have, part)) is None or number < low)
    ]


def _text(tcb: TcbVersion) -> str:
    parts = ((part, getattr(tcb, part)) for part in TCB_COMPONENTS)
    return " ".join(f"{part} {number}" for part, number in parts if number is not None)


def _floor_text(floor: Components) -> str:
    return " ".join(f"{part} {number}" for part, number in floor if number is not None)
