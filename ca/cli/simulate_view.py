# SPDX-License-Identifier: Apache-2.0
"""What `attestca policy simulate` found, for people and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ca.cli import output
from policies.result import instant_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ca.recomputation import Cause
    from ca.simulation import Change, Draft, Scope, Side, Simulation
    from policies.loader import LoadedPolicy


def what(draft: Draft) -> str:
    """The draft, and what it would replace, in words."""
    return (
        f"{_ref(draft.policy)} in the place of {_ref(draft.replaces) if draft.replaces else 'none'}"
    )


def show(draft: Draft, found: Simulation, scope: Scope) -> None:
    """Facts, then a table for each side that has anything on it."""
    output.print_facts(
        {
            "draft": f"{_ref(draft.policy)} ({draft.policy.sha256.hex()[:16]}…)",
            "in the place of": _ref(draft.replaces) if draft.replaces else "none",
            "looked at": f"{_number(found.certificates, 'live certificate')},"
            f" {_number(found.refusals, 'refusal')} since {instant_text(scope.since)}",
            "newly refused": _count(found.refused),
            "newly admitted": _count(found.admitted),
            "cannot be known": _count(found.unknown),
            **dict(_notes(found)),
        }
    )
    for title, side in (
        ("Would newly be refused, by rule", found.refused),
        ("Would newly be admitted, by the rule that refuses today", found.admitted),
        ("Cannot be known from the record", found.unknown),
    ):
        if side.count:
            output.say_blank()
            output.print_table(("rule", "machines", "example", "why"), _rows(side), title)


def as_json(draft: Draft, found: Simulation, scope: Scope) -> dict[str, Any]:
    """Everything; keys are only added."""
    return {
        "draft": _ref_json(draft.policy),
        "replaces": None if draft.replaces is None else _ref_json(draft.replaces),
        "at": instant_text(scope.now),
        "since": instant_text(scope.since),
        "looked_at": {
            "certificates": found.certificates,
            "refusals": found.refusals,
            "forgotten_refusals": found.forgotten,
        },
        "newly_refused": _side_json(found.refused),
        "newly_admitted": _side_json(found.admitted),
        "unknown": _side_json(found.unknown),
        "changed_already": {
            "refused": found.refused_already,
            "admitted": found.admitted_already,
        },
    }


def _notes(found: Simulation) -> Iterator[tuple[str, str]]:
    """What a reader should know before believing the numbers."""
    if found.refused_already or found.admitted_already:
        yield (
            "without the draft",
            (
                f"the policies in force refuse {_number(found.refused_already, 'certificate')} of these already,"
                f" and lift {_number(found.admitted_already, 'refusal')}"
            ),
        )
    if found.forgotten:
        deleted = _number(found.forgotten, "refusal")
        yield "not looked at", f"{deleted} of that time, whose evidence retention has deleted"


def _rows(side: Side) -> Iterator[tuple[str, str, str, str]]:
    """One row for each example, the rule in the first."""
    for rule, group in side.by_size():
        if not group.examples:
            yield rule, str(group.count), "", ""
        for place, change in enumerate(group.examples):
            cause = _cause_of(change, rule)
            first = place == 0
            yield (
                rule if first else "",
                str(group.count) if first else "",
                " ".join((f"{change.kind} {change.id}", *change.names[:1])),
                ": ".join(filter(None, (cause.path, cause.detail))),
            )


def _cause_of(change: Change, rule: str) -> Cause:
    return next(cause for cause in change.causes if cause.rule == rule)


def _count(side: Side) -> str:
    if not side.count:
        return "none"
    kinds = ((side.certificates, "certificate"), (side.refusals, "refusal"))
    parts = ", ".join(_number(count, kind) for count, kind in kinds if count)
    return f"{side.count:,} ({parts})"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _ref(policy: LoadedPolicy) -> str:
    return f"{policy.document.name}@{policy.document.version}"


def _ref_json(policy: LoadedPolicy) -> dict[str, object]:
    document = policy.document
    return {"name": document.name, "version": document.version, "sha256": policy.sha256.hex()}


def _side_json(side: Side) -> dict[str, Any]:
    return {
        "certificates": side.certificates,
        "refusals": side.refusals,
        "by_rule": [
            {
                "rule": rule,
                "count": group.count,
                "examples": [_change_json(change) for change in group.examples],
            }
            for rule, group in side.by_size()
        ],
    }


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind.value,
        "id": change.id,
        "names": list(change.names),
        "decided_at": instant_text(change.decided_at),
        "tee": change.tee,
        "profile": change.profile,
        "before": change.before.value,
        "after": change.after.value,
        "causes": [
            {
                "rule": cause.rule,
                "path": cause.path,
                "detail": cause.detail,
                "expected": cause.expected,
                "actual": cause.actual,
            }
            for cause in change.causes
        ],
    }
