# SPDX-License-Identifier: Apache-2.0
"""Rules over single events and over the files that IMA measured.

What replay proves of an event is its digest and its place. So an event is asked for by its place; or all digests that
may be of a file or table are asked for together, whatever the log calls them and gives as their data; or events are
counted whose data their digest covers. A type tells apart only what is counted.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from policies.boot_text import named, several, shown
from policies.patterns import matches
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from verifiers.eventlog.claims import Rule
from verifiers.eventlog.events import LogFormat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from policies.boot_application_document import ImaRules
    from policies.boot_document import EventRule
    from policies.case import BootCase
    from verifiers.eventlog.claims import EventClaim

_TEXTS: Final = (Rule.IPL_SUFFIX, Rule.IPL_SUFFIX_NUL, Rule.SECTION_NAME)


def check_events(case: BootCase) -> Iterator[Finding]:
    """`boot-event`: each demand of `boot.events`."""
    for rule in case.rules.events:
        path = f"boot.events.{rule.id}"
        state = case.boot.replayed.get(rule.register_)
        if state is None or not state.explained:
            hint = f"no log explains {rule.register_}"
            yield _finding(path, RuleResult.MISSING, rule, "no proven event", hint)
            continue
        events = case.of(rule.register_)
        if rule.at is None:
            result, actual, hint = _of_a_register(case, rule, events)
        else:
            result, actual, hint = _at(case, rule, rule.at, events)
        yield _finding(path, result, rule, actual, hint)


def _finding(path: str, result: RuleResult, rule: EventRule, actual: str, hint: str) -> Finding:
    where = f"event {rule.at} of" if rule.at is not None else "the events of"
    said = f"{len(rule.digests)} listed digests" if rule.digests else ""
    kinds = len(rule.data) + len(rule.patterns)
    data = f"at least {rule.at_least} of {kinds} data or patterns" if rule.looks_at_data else ""
    expected = f"{where} {rule.register_}: {' and '.join(filter(None, (said, data)))}"
    return Finding(RuleId.BOOT_EVENT, path, result, expected, actual, hint)


def _at(
    case: BootCase, rule: EventRule, place: int, events: Sequence[EventClaim]
) -> tuple[RuleResult, str, str]:
    if place >= len(events):
        return RuleResult.MISSING, f"{len(events)} events", f"{rule.register_} has no event {place}"
    event = events[place]
    actual = _shown(case, event)
    if event.digest in rule.digests or _has_data(rule, event):
        return RuleResult.PASS, actual, ""
    return RuleResult.FAIL, actual, f"event {place} of {rule.register_} is another: {actual}"


def _of_a_register(
    case: BootCase, rule: EventRule, events: Sequence[EventClaim]
) -> tuple[RuleResult, str, str]:
    text = partial(_shown, case)
    others = [one for one in events if one.may_be_file and one.digest not in rule.digests]
    if rule.digests and others:
        hint = f"{len(others)} digests in {rule.register_} are not allowed: {several(others, text)}"
        return RuleResult.FAIL, several(others, text), hint
    found = [one for one in events if _has_data(rule, one)]
    if rule.looks_at_data and len(found) < rule.at_least:
        hint = f"{rule.register_} has {len(found)} such events, which are too few"
        return RuleResult.MISSING, several(found, text) or "none", hint
    return RuleResult.PASS, several(found, text) or f"{len(events)} events", ""


def _has_data(rule: EventRule, event: EventClaim) -> bool:
    if event.data is None:
        return False
    if rule.type not in (None, event.type) or rule.name not in (None, event.name):
        return False
    return event.data in rule.data or _text_matches(rule.patterns, event.data)


def _text_matches(patterns: tuple[str, ...], data: bytes) -> bool:
    try:
        return matches(patterns, data.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _shown(case: BootCase, event: EventClaim) -> str:
    return f"{named(event, case.labels)} {event.digest.hex()}"


def check_ima(case: BootCase) -> Iterator[Finding]:
    """`ima`: every file in the list fits a line of `boot.ima.allow`, and nothing beside the list can be one."""
    rules = case.rules.ima
    if rules is None:
        return
    files = [one for one in case.claims.events if one.origin.format is LogFormat.IMA]
    if not files:
        hint = "no list of IMA's explains a register: send it, or see that the kernel extends the register with it"
        yield Finding(
            RuleId.IMA, "boot.ima", RuleResult.MISSING, "files that IMA measured", "none", hint
        )
        return
    allowed = _Allowed(rules)
    bad = [one for one in files if not allowed.has(one)]
    hidden = list(_beside(case, files[0], rules))
    hints = (
        [f"{len(bad)} of {len(files)} files are not allowed: {several(bad, _file)}"] if bad else []
    )
    hints += (
        [
            f"{len(hidden)} digests beside the list could be files: {several(hidden, partial(_shown, case))}"
        ]
        if hidden
        else []
    )
    yield Finding(
        RuleId.IMA,
        "boot.ima",
        RuleResult.FAIL if hints else RuleResult.PASS,
        expected=f"files of {len(rules.allow)} lines; beside them {len(rules.files)} listed digests only",
        actual=f"{len(files)} files; not allowed: {several(bad, _file) or 'none'}",
        hint="; ".join(hints),
    )


class _Allowed:
    """The list by digest, so that a long one of many files is looked through once."""

    def __init__(self, rules: ImaRules) -> None:
        self._paths: dict[bytes, list[str]] = {}
        self._any = [one.path for one in rules.allow if not one.digests]
        for one in rules.allow:
            for digest in one.digests:
                self._paths.setdefault(digest, []).append(one.path)

    def has(self, event: EventClaim) -> bool:
        """Whether a file of this path may have this content. A violation has neither, and may not."""
        if event.name is None or event.data is None:
            return False
        return matches((*self._paths.get(file_digest(event.data), ()), *self._any), event.name)


def file_digest(template: bytes) -> bytes:
    """Of IMA's template data the digest of the file, behind the name of its algorithm."""
    size = int.from_bytes(template[:4], "little")
    return template[4 : 4 + size].partition(b":\0")[2]


def _file(event: EventClaim) -> str:
    if event.name is None or event.data is None:
        return "a violation, or a path that is no text"
    return shown(f"{event.name} {file_digest(event.data).hex()}", 400)


def _beside(case: BootCase, first: EventClaim, rules: ImaRules) -> Iterator[EventClaim]:
    """Events of the same register from other logs that could be files under another label.

    Texts of GRUB and names of sections are none: a template has zeros in its lengths, and those have no zero.
    """
    for event in case.of(first.origin.register):
        other = event.origin.format is not LogFormat.IMA
        if other and event.origin.rule not in _TEXTS and event.digest not in rules.files:
            yield event
