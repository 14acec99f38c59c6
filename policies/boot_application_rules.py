# SPDX-License-Identifier: Apache-2.0
"""Rules over what runs in the booted machine: dstack's application, CoCo's entries, the one container.

The system that booted measured them, so they are worth what is known of that system: pin it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from policies.boot_text import doubt, several, shown
from policies.case import passed
from policies.patterns import matches
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from verifiers.eventlog.claims import Subject

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from policies.boot_application_document import (
        AaelRule,
        ConfidentialSpaceRules,
        DstackRules,
        KeyProvider,
    )
    from policies.case import BootCase
    from verifiers.eventlog.claims import (
        AaelClaim,
        BootClaims,
        ConfidentialSpace,
        DstackIdentity,
        Text,
        Value,
    )

_OF_DSTACK: Final = ("app_id", "compose_hash", "instance_id", "os_image_hash")
_WORDS: Final = ("image_digest", "image_id", "restart_policy", "gpu_cc_mode")


def check_dstack(case: BootCase) -> Iterator[Finding]:
    """`dstack`: each part of the application's identity that the policy lists values of."""
    rules, found = case.rules.dstack, case.claims.dstack
    if rules is None or not rules.wants_log:
        return
    if found is None:
        yield _nothing(
            RuleId.DSTACK, "boot.dstack", "dstack's identity", case.claims, Subject.DSTACK
        )
        return
    for name in _OF_DSTACK:
        accepted = getattr(rules, name)
        if accepted is not None:
            yield _of_dstack(name, getattr(found, name), accepted)
    if rules.key_provider is not None:
        yield _key_provider(found.key_provider, rules.key_provider)
    yield from _dstack_events(rules, found)


def _dstack_events(rules: DstackRules, found: DstackIdentity) -> Iterator[Finding]:
    for name, accepted in rules.events.items():
        values = [value for other, value in found.others if other == name]
        bad = [value for value in values if value.value not in accepted]
        yield _of_dstack(f"events.{name}", next(iter(bad or values), None), accepted)


def _of_dstack(name: str, found: Value | None, accepted: Collection[bytes]) -> Finding:
    path, expected = f"boot.dstack.{name}", f"one of {len(accepted)} listed values"
    if found is None:
        hint = f"dstack has measured no {name}"
        return Finding(RuleId.DSTACK, path, RuleResult.MISSING, expected, "not measured", hint)
    good, actual = found.value in accepted, shown(found.value.hex())
    hint = "" if good else f"{actual} is not allowed"
    return Finding(RuleId.DSTACK, path, passed(good), expected, actual, hint)


def _key_provider(found: Value | None, accepted: Sequence[KeyProvider]) -> Finding:
    path, expected = "boot.dstack.key_provider", f"one of {len(accepted)} listed providers"
    if found is None:
        hint = "dstack has measured no key provider"
        return Finding(RuleId.DSTACK, path, RuleResult.MISSING, expected, "not measured", hint)
    name, identity = _provider_of(found.value)
    good = any(one.name == name and one.id in (None, identity) for one in accepted)
    actual = shown(found.value.decode("latin-1"), 1200)
    hint = "" if good else f"the key provider {actual} is not allowed"
    return Finding(RuleId.DSTACK, path, passed(good), expected, actual, hint)


def _provider_of(text: bytes) -> tuple[object, object]:
    """(name, id); both None where it is no JSON object, or one that says something twice."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise ValueError("twice")
        return members

    try:
        members = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(members, dict):
        return None, None
    return members.get("name"), members.get("id")


def check_aael(case: BootCase) -> Iterator[Finding]:
    """`aael`: every entry of the attestation agent fits a rule, and what is required is there."""
    rules = case.rules.coco.aael if case.rules.coco is not None else None
    if rules is None:
        return
    entries = case.claims.aael
    if entries is None:
        yield _nothing(RuleId.AAEL, "boot.aael", "entries of the agent", case.claims, Subject.AAEL)
        return
    bad = [one for one in entries if not any(_fits(rule, one) for rule in rules)]
    yield Finding(
        RuleId.AAEL,
        "boot.aael",
        passed(not bad),
        expected=f"entries of {len(rules)} kinds",
        actual=several(bad or entries, _entry),
        hint=f"{len(bad)} entries are not allowed: {several(bad, _entry)}" if bad else "",
    )
    for rule in rules:
        if rule.required and not any(_fits(rule, one) for one in entries):
            what = f"{rule.domain} {rule.operation}"
            hint = "an entry that the policy requires is not there"
            yield Finding(RuleId.AAEL, "boot.aael", RuleResult.MISSING, what, "none", hint)


def _fits(rule: AaelRule, entry: AaelClaim) -> bool:
    if (rule.domain, rule.operation) != (entry.domain, entry.operation):
        return False
    return rule.contents is None or matches(rule.contents, entry.content)


def _entry(entry: AaelClaim) -> str:
    return shown(f"{entry.domain} {entry.operation} {entry.content}")


def check_confidential_space(case: BootCase) -> Iterator[Finding]:
    """`confidential-space`: image, arguments and environment of the container."""
    rules, found = case.rules.confidential_space, case.claims.confidential_space
    if rules is None:
        return
    if found is None:
        subject = Subject.CONFIDENTIAL_SPACE
        path = "boot.confidential_space"
        yield _nothing(RuleId.CONFIDENTIAL_SPACE, path, "the container", case.claims, subject)
        return
    for name in _WORDS:
        accepted = getattr(rules, name)
        if accepted is not None:
            text = getattr(found, name)
            yield _one_text(name, text, good=text is not None and text.text in accepted)
    if rules.image_reference is not None:
        text = found.image_reference
        good = text is not None and matches(rules.image_reference, text.text)
        yield _one_text("image_reference", text, good=good)
    yield from _lists(rules, found)


def _lists(rules: ConfidentialSpaceRules, found: ConfidentialSpace) -> Iterator[Finding]:
    for name in ("args", "env", "override_args", "override_env"):
        patterns, texts = getattr(rules, name), getattr(found, name)
        if patterns is not None:
            yield _every_text(name, texts, patterns)


def _one_text(name: str, text: Text | None, *, good: bool) -> Finding:
    path = f"boot.confidential_space.{name}"
    actual = "not measured" if text is None else shown(text.text)
    missing = f"the launcher has measured no {name}"
    hint = "" if good else missing if text is None else f"{actual} is not allowed"
    result = passed(good) if text is not None else RuleResult.MISSING
    return Finding(RuleId.CONFIDENTIAL_SPACE, path, result, "a listed value", actual, hint)


def _every_text(name: str, texts: Sequence[Text], patterns: Sequence[str]) -> Finding:
    bad = [one.text for one in texts if not matches(patterns, one.text)]
    return Finding(
        RuleId.CONFIDENTIAL_SPACE,
        f"boot.confidential_space.{name}",
        passed(not bad),
        expected=f"each by one of {len(patterns)} patterns" if patterns else "none",
        actual=f"{len(texts)}; not allowed: {several(bad, shown) or 'none'}",
        hint=f"{len(bad)} of {name} are not allowed: {several(bad, shown)}" if bad else "",
    )


def _nothing(
    rule: RuleId, path: str, expected: str, claims: BootClaims, subject: Subject
) -> Finding:
    why = doubt(claims, subject) or "no log speaks of it"
    return Finding(rule, path, RuleResult.MISSING, expected, "not proven", f"not proven: {why}")
