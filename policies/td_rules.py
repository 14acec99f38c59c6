# SPDX-License-Identifier: Apache-2.0
"""Rules over the TD itself: its attributes, features and service TDs.

Sources: Intel TDX module ABI 348551-008US, table 3.23 (ATTRIBUTES) and XFAM. The bits refused here open the TD to
whoever runs the host, or move it to another machine; a policy relaxes them by the rule's name only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.case import names_of, passed
from policies.result import Finding
from policies.rules import RuleId
from policies.tdx_document import XFAM_REQUIRED
from verifiers.tdx.claims import TdAttribute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.case import TdxCase

_ATTRIBUTES = "td.attributes"

_REFUSED: tuple[tuple[RuleId, frozenset[TdAttribute], str], ...] = (
    (
        RuleId.DEBUG,
        frozenset({TdAttribute.DEBUG}),
        "the host can read and change a debug TD; start it without DEBUG",
    ),
    (
        RuleId.PROFILING,
        frozenset({TdAttribute.PROFILING_4, TdAttribute.PROFILING_5, TdAttribute.PROFILING_6}),
        "the host can profile the TD; start it without attribute bits 4 to 6",
    ),
    (
        RuleId.MIGRATABLE,
        frozenset({TdAttribute.MIGRATABLE}),
        "the TD can be moved to another machine; start it without MIGRATABLE",
    ),
    (
        RuleId.SERVTD_EXT,
        frozenset({TdAttribute.SERVTD_EXT}),
        "service TDs may be bound later; start it without SERVTD_EXT",
    ),
)


def check_refused_attributes(case: TdxCase) -> Iterator[Finding]:
    """`debug`, `profiling`, `migratable`, `servtd-ext`: none of these bits is set."""
    for rule, bits, hint in _REFUSED:
        found = bits & case.claims.attributes
        yield Finding(
            rule,
            _ATTRIBUTES,
            passed(not found),
            expected=f"without {names_of(bits)}",
            actual=names_of(found),
            hint=hint if found else "",
        )


def check_service_td(case: TdxCase) -> Iterator[Finding]:
    """`service-td-bound`: no service TD (such as a migration TD) is bound, as far as the report says."""
    claims = case.claims
    hashes = [claims.td15.mr_service_td] if claims.td15 is not None else []
    if claims.td15_ex is not None:
        hashes += [claims.td15_ex.init_service_td_hash, claims.td15_ex.cur_service_td_hash]
    bound = [value.hex() for value in hashes if any(value)]
    yield Finding(
        RuleId.SERVICE_TD_BOUND,
        "td15.mr_service_td",
        passed(not bound),
        expected="all zero",
        actual=", ".join(bound) or ("all zero" if hashes else "not reported before TD report 1.5"),
        hint="a service TD is bound to the TD" if bound else "",
    )


def check_sept_ve(case: TdxCase) -> Iterator[Finding]:
    """`sept-ve-disable-clear`: the host cannot inject #VE by taking pages away."""
    good = TdAttribute.SEPT_VE_DISABLE in case.claims.attributes
    yield Finding(
        RuleId.SEPT_VE_DISABLE_CLEAR,
        _ATTRIBUTES,
        passed(good),
        expected="with sept-ve-disable",
        actual=names_of(case.claims.attributes),
        hint="" if good else "start the TD with SEPT_VE_DISABLE",
    )


def check_reserved(case: TdxCase) -> Iterator[Finding]:
    """`reserved-attribute`: no bit is set whose meaning is not known."""
    mask = case.claims.reserved_attributes
    yield Finding(
        RuleId.RESERVED_ATTRIBUTE,
        _ATTRIBUTES,
        passed(not mask),
        expected="reserved bits zero",
        actual=f"{mask:016x}",
        hint="attribute bits are set whose meaning is not known" if mask else "",
    )


def check_attributes(case: TdxCase) -> Iterator[Finding]:
    """`attributes`: the policy's own lists."""
    wanted, present = case.rules.attributes, case.claims.attributes
    absent = wanted.required - present
    excess = present & wanted.forbidden
    if wanted.allowed is not None:
        excess |= present - wanted.allowed - wanted.required - {TdAttribute.SEPT_VE_DISABLE}
    allowed = "any" if wanted.allowed is None else names_of(wanted.allowed)
    hints = ["a required attribute is not set"] if absent else []
    hints += [f"not allowed: {names_of(excess)}"] if excess else []
    yield Finding(
        RuleId.ATTRIBUTES,
        _ATTRIBUTES,
        passed(not absent and not excess),
        expected=f"required {names_of(wanted.required)}; forbidden {names_of(wanted.forbidden)}; allowed {allowed}",
        actual=names_of(present),
        hint="; ".join(hints),
    )


def check_xfam(case: TdxCase) -> Iterator[Finding]:
    """`xfam`: x87 and SSE on whatever the policy says, and no feature beyond its allowed mask."""
    masks = case.rules.xfam
    required = int.from_bytes(masks.required, "big") | int.from_bytes(XFAM_REQUIRED, "big")
    allowed = int.from_bytes(masks.allowed, "big")
    xfam = int.from_bytes(case.claims.td.xfam, "little")
    absent, excess = required & ~xfam, xfam & ~allowed
    hints = ["required features are off"] if absent else []
    hints += [f"features that are not allowed are on: {excess:x}"] if excess else []
    yield Finding(
        RuleId.XFAM,
        "td.xfam",
        passed(not absent and not excess),
        expected=f"all of {required:x}, none outside {allowed:x}",
        actual=f"{xfam:x}",
        hint="; ".join(hints),
    )
