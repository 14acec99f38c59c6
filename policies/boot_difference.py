# SPDX-License-Identifier: Apache-2.0
"""A register that is not as its reference value, explained: the first event that differs from a good boot's log.

For the operator: what the good log has there stands in no hint. Nothing is accepted or refused here that was not
refused already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policies.boot_text import labels, named
from policies.measurements import differing, unmatched
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from verifiers.eventlog import events
from verifiers.eventlog.replay import extend

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from policies.boot_document import LoggedEvent
    from policies.case import Case
    from policies.document import ReferenceEntry
    from policies.registers import Register
    from verifiers.eventlog.claims import EventClaim
    from verifiers.eventlog.judged import Boot


_EXTENDED: Final = {one.value: one for one in (*events.RTMRS, *events.PCRS)}


def explain(case: Case) -> Iterator[Finding]:
    """`measurement`: of each used set that does not match, the differing registers of its nearest entry."""
    rules, boot = case.document.boot, case.boot
    if rules is None or boot is None or not rules.reference_logs:
        return
    for _, nearest in unmatched(case):
        for register in differing(nearest, case.claims):
            finding = _explained(register, nearest, rules.reference_logs, boot)
            if finding is not None:
                yield finding


def _explained(
    register: Register,
    entry: ReferenceEntry,
    logs: Mapping[str, Mapping[events.Register, Sequence[LoggedEvent]]],
    boot: Boot,
) -> Finding | None:
    own = _EXTENDED.get(register.value)
    if own is None or own not in boot.replayed or not boot.replayed[own].explained:
        return None
    seen = [one for one in boot.claims.events if one.origin.register == own]
    named_logs = [(name, log[own]) for name, log in logs.items() if own in log]
    different = [one for one in named_logs if _common(one[1], seen) < max(len(one[1]), len(seen))]
    if not different:
        return None
    values = entry.values[register]
    name, log = max(
        different, key=lambda one: (_end(one[1], boot) in values, _common(one[1], seen))
    )
    place = _common(log, seen)
    return Finding(
        RuleId.MEASUREMENT,
        register.path,
        RuleResult.FAIL,
        expected=f"{name}: {_wanted(log, place)}",
        actual=_actual(boot, seen, place),
        hint=f"differs in {register}: compare the event logs",
    )


def _common(log: Sequence[LoggedEvent], seen: Sequence[EventClaim]) -> int:
    """How many events from the first on are the same."""
    pairs = zip(log, seen, strict=False)
    return next(
        (place for place, (good, one) in enumerate(pairs) if good.digest != one.digest),
        min(len(log), len(seen)),
    )


def _end(log: Sequence[LoggedEvent], boot: Boot) -> bytes:
    """What the log makes of the register, if the register starts at zero."""
    value = bytes(boot.algorithm.size)
    for one in log:
        value = extend(boot.algorithm, value, one.digest)
    return value


def _wanted(log: Sequence[LoggedEvent], place: int) -> str:
    if place == len(log):
        return f"no event {place}"
    one = log[place]
    return f"event {place} {one.label} {one.digest.hex()}".replace("  ", " ")


def _actual(boot: Boot, seen: Sequence[EventClaim], place: int) -> str:
    if place == len(seen):
        return f"no event {place}"
    one = seen[place]
    return f"event {place} {named(one, labels(boot.claims))} {one.digest.hex()}"
