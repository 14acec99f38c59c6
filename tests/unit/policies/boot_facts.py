# SPDX-License-Identifier: Apache-2.0
"""Machines that booted, as policies see them: claims with the registers of a history, and its log after replay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from policies.appraise import appraise
from policies.result import RuleResult
from policies.rules import BOOT_RULES
from tests import boot_lab
from tests.unit.policies.claims_factory import GOOD, NOW
from tests.unit.policies.documents import entry, policy
from verifiers.eventlog.boot import boot_claims
from verifiers.eventlog.events import RTMRS, Algorithm, EventLog, Register
from verifiers.eventlog.judged import Boot
from verifiers.eventlog.replay import replay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from policies.loader import LoadedPolicy
    from policies.result import AttestationResult, Finding
    from policies.rules import RuleId
    from tests.boot_lab import Step
    from verifiers.tdx.claims import TdxClaims


def of_registers(values: Mapping[Register, bytes]) -> TdxClaims:
    """Claims of a TD with these RTMRs; those that are not given are zero."""
    rtmrs = {one.value: values.get(one, bytes(48)) for one in RTMRS}
    return replace(GOOD, td=replace(GOOD.td, **rtmrs))


def booted(history: Sequence[Step]) -> TdxClaims:
    """Claims of a TD whose registers these events made."""
    return of_registers(boot_lab.registers(list(history)))


def judged(claims: TdxClaims, *logs: EventLog) -> Boot:
    """These logs against the claims' registers."""
    values = {register: bytes(getattr(claims.td, register)) for register in RTMRS}
    replayed = replay(logs, values, Algorithm.SHA384)
    formats = tuple(log.format for log in logs)
    return Boot(formats, Algorithm.SHA384, replayed, boot_claims(logs, replayed))


def logged(history: Sequence[Step], told: Sequence[Step] | None = None) -> tuple[TdxClaims, Boot]:
    """A machine of this history, and what its log (`told`, or the truth) came to."""
    claims = booted(history)
    return claims, judged(claims, boot_lab.log_of(list(history if told is None else told)))


def accepting(claims: TdxClaims, boot: dict[str, Any] | None = None) -> LoadedPolicy:
    """A policy that pins what this machine booted, with a section `boot`."""
    values = {name: getattr(claims.td, name) for name in ("mr_td", "rtmr0", "rtmr1", "rtmr2")}
    sets = {"release": [entry("r1", **values)]}
    return policy(reference_sets=sets) if boot is None else policy(reference_sets=sets, boot=boot)


def judge(
    section: dict[str, Any],
    history: Sequence[Step],
    told: Sequence[Step] | None = None,
    *more: EventLog,
    claims: TdxClaims | None = None,
) -> AttestationResult:
    """The verdict on a machine whose registers are pinned: what the section `boot` says decides."""
    machine = claims or booted(history)
    log = boot_lab.log_of(list(history if told is None else told))
    return appraise(machine, accepting(machine, section), NOW, boot=judged(machine, log, *more))


def of_boot(result: AttestationResult) -> list[Finding]:
    """The findings about logs, but those of replay."""
    about = {rule for rule in BOOT_RULES if rule not in ("boot-log", "boot-replay")}
    return [one for one in result.findings if one.rule in about]


def only(result: AttestationResult, rule: RuleId) -> Finding:
    """The one finding about logs; nothing else may deny."""
    (finding,) = of_boot(result)
    assert finding.rule is rule
    assert set(result.denying) <= {finding}
    assert bool(finding.hint) is (finding.result is not RuleResult.PASS)
    assert finding.expected
    assert finding.actual
    return finding
