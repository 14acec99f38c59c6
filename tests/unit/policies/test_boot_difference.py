# SPDX-License-Identifier: Apache-2.0
"""A register that differs is explained by the first event that does, for the operator alone."""

from __future__ import annotations

from typing import Any

import pytest

from policies.appraise import appraise
from policies.capture import capture_logs
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from policies.tree import parse
from tests import boot_lab as lab
from tests.unit.policies.boot_facts import booted, logged
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import entry, policy

GOOD = lab.grub_boot()


def reference(history: list[lab.Step], name: str = "good") -> dict[str, Any]:
    claims, boot = logged(history)
    text = capture_logs([claims], [boot], entry_id=name)
    value: Any = parse(text.encode()).value
    found: dict[str, Any] = value["reference_logs"]
    return found


def release(history: list[lab.Step], name: str = "good") -> dict[str, Any]:
    td = booted(history).td
    return entry(name, rtmr0=td.rtmr0, rtmr1=td.rtmr1, rtmr2=td.rtmr2, mr_td=td.mr_td)


def explained(
    history: list[lab.Step],
    *entries: dict[str, Any],
    logs: dict[str, Any] | None = None,
    told: list[lab.Step] | None = None,
) -> list[Finding]:
    claims, boot = logged(history, told)
    loaded = policy(
        reference_sets={"release": list(entries or [release(GOOD)])},
        boot={"reference_logs": reference(GOOD) if logs is None else logs, "require_replay": []},
    )
    result = appraise(claims, loaded, NOW, boot=boot)
    found = [one for one in result.findings if one.rule is RuleId.MEASUREMENT]
    return [one for one in found if one.path.startswith("td.")]


def test_a_machine_that_is_as_it_should_be_needs_no_explanation() -> None:
    assert explained(GOOD) == []


def test_the_first_event_that_differs() -> None:
    kernel = lab.file(b"kernel")
    evil = [lab.file(b"evil") if one == kernel else one for one in GOOD]
    (finding,) = explained(evil)
    assert (finding.path, finding.result) == ("td.rtmr2", RuleResult.FAIL)
    assert finding.expected == f"good: event 3 EV_IPL /vmlinuz {kernel.digest.hex()}"
    assert finding.actual == f"event 3 EV_IPL /vmlinuz {lab.file(b'evil').digest.hex()}"
    public = finding.as_public_json()
    assert kernel.digest.hex() not in str(public)
    assert public["hint"] == "differs in rtmr2: compare the event logs"


def test_an_event_too_many_and_one_that_is_not_there() -> None:
    more = lab.grub("evil")
    (finding,) = explained([*GOOD, more])
    assert (finding.expected, finding.actual) == (
        "good: no event 7",
        f"event 7 EV_IPL evil {more.digest.hex()}",
    )
    short = [one for one in GOOD if one.hashed != b"initrd"]
    (finding,) = explained(short)
    assert finding.actual == "no event 6"
    assert finding.expected.startswith("good: event 6 EV_IPL /initrd ")


def test_each_register_that_differs() -> None:
    evil = [lab.secure_boot(b"\0") if one == lab.secure_boot() else one for one in GOOD]
    found = explained([lab.image(b"MZ evil") if one == lab.image() else one for one in evil])
    assert [one.path for one in found] == ["td.rtmr0", "td.rtmr1"]
    assert found[0].expected.startswith("good: event 1 EV_EFI_VARIABLE_DRIVER_CONFIG SecureBoot ")


def test_the_log_of_the_nearest_release_explains() -> None:
    """Others may have more events in common with the machine; a register that has none of theirs is no reason."""
    newer = [lab.file(b"newer") if one.hashed == b"kernel" else one for one in GOOD]
    logs = reference(newer, "newer") | reference(GOOD)
    evil = [lab.grub("evil") if one.hashed == b"mok" else one for one in GOOD]
    (finding,) = explained(evil, release(GOOD), logs=logs)
    assert finding.expected.startswith("good: ")
    (finding,) = explained(evil, release(newer, "n"), logs=logs)
    assert finding.expected.startswith("newer: ")


def test_without_the_log_of_a_release_the_one_with_most_in_common() -> None:
    newer = [lab.file(b"newer") if one.hashed == b"initrd" else one for one in GOOD]
    other = [lab.file(b"other") if one.hashed == b"mok" else one for one in GOOD]
    logs = reference(other, "a-other") | reference(newer, "newer")
    evil = [lab.file(b"evil") if one.hashed == b"initrd" else one for one in GOOD]
    (finding,) = explained(evil, release(GOOD), logs=logs)
    assert finding.expected.startswith("newer: event 6 ")


def test_a_log_that_the_register_equals_explains_nothing() -> None:
    newer = [lab.file(b"newer") if one.hashed == b"kernel" else one for one in GOOD]
    assert explained(newer, release(GOOD), logs=reference(newer)) == []
    one_register = {"good": {"rtmr0": reference(GOOD)["good"]["rtmr0"]}}
    assert explained(newer, release(GOOD), logs=one_register) == []


def test_registers_that_no_log_of_the_machine_explains() -> None:
    evil = [lab.file(b"evil") if one.hashed == b"kernel" else one for one in GOOD]
    assert explained(evil, told=GOOD) == []
    claims, _ = logged(evil)
    loaded = policy(
        reference_sets={"release": [release(GOOD)]}, boot={"reference_logs": reference(GOOD)}
    )
    without = appraise(claims, loaded, NOW)
    assert [one.path for one in without.denying] == ["reference_sets.release"]


def test_registers_that_no_event_extends_are_not_explained() -> None:
    td = booted(GOOD).td
    other = entry("x", mr_td=bytes(48), rtmr0=td.rtmr0, rtmr1=td.rtmr1, rtmr2=td.rtmr2)
    assert explained(GOOD, other) == []


@pytest.mark.parametrize("entries", [[], [release(GOOD) | {"expires": "2020-01-01"}]])
def test_a_set_without_an_entry_in_force(entries: list[dict[str, Any]]) -> None:
    claims, boot = logged(GOOD)
    loaded = policy(reference_sets={"release": entries}, boot={"reference_logs": reference(GOOD)})
    result = appraise(claims, loaded, NOW, boot=boot)
    assert not [
        one for one in result.findings if one.path == "td.rtmr2" and one.result is RuleResult.FAIL
    ]
