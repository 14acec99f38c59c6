# SPDX-License-Identifier: Apache-2.0
"""Event lists of good machines, captured: what is printed loads, accepts the machine, and explains another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policies.appraise import appraise
from policies.capture import capture_entries, capture_logs, capture_policy
from policies.errors import PolicyError
from policies.lint import lint
from policies.loader import load_policy
from policies.registers import Register
from policies.result import Decision
from policies.tree import parse
from tests import boot_lab as lab
from tests.unit.policies.boot_facts import booted, logged
from tests.unit.policies.claims_factory import GOOD, NOW
from verifiers.eventlog import events

BOOT = lab.grub_boot()
OTHER = [lab.file(b"evil") if one.hashed == b"kernel" else one for one in BOOT]


def read(text: str) -> Any:  # noqa: ANN401  YAML values
    return parse(text.encode()).value


def test_a_whole_policy_with_the_log() -> None:
    claims, boot = logged(BOOT)
    text = capture_policy([claims], name="web", entry_id="r1", added=NOW, boots=[boot])
    loaded = load_policy(text.encode())
    assert not [one for one in lint(loaded, NOW) if one.is_error]
    assert loaded.document.boot is not None
    (log,) = loaded.document.boot.reference_logs.values()
    assert set(log) == set(events.RTMRS[:3])
    for number, register in enumerate(events.RTMRS[:3], start=1):
        steps = [one for one in BOOT if one.index == number]
        assert [one.digest for one in log[register]] == [one.digest for one in steps]
    assert log[events.Register.RTMR2][3].label == "EV_IPL /vmlinuz"
    assert appraise(claims, loaded, NOW, boot=boot).decision is Decision.ACCEPTED
    assert appraise(claims, loaded, NOW).decision is Decision.ACCEPTED
    evil, its = logged(OTHER)
    found = appraise(evil, loaded, NOW, boot=its)
    assert [one.path for one in found.denying] == ["reference_sets.release", "td.rtmr2"]


def test_without_a_log_the_policy_is_as_ever() -> None:
    claims = booted(BOOT)
    plain = capture_policy([claims], name="web", entry_id="r1", added=NOW)
    assert capture_policy([claims], name="web", entry_id="r1", added=NOW, boots=[None]) == plain
    assert "boot:" not in plain


def test_each_distinct_machine_has_its_log_under_the_id_of_its_entry() -> None:
    machines = [logged(BOOT), logged(BOOT), logged(OTHER)]
    claims = [one for one, _ in machines]
    boots = [boot for _, boot in machines]
    entries = read(f"x:\n{capture_entries(claims, entry_id='r', added=NOW)}")["x"]
    logs = read(capture_logs(claims, boots, entry_id="r"))["reference_logs"]
    assert list(logs) == [one["id"] for one in entries] == ["r", "r-2"]
    assert logs["r"] != logs["r-2"]
    some = read(capture_logs(claims, [None, *boots[1:]], entry_id="r"))
    assert list(some["reference_logs"]) == ["r-2"]


def test_only_registers_that_logs_explain() -> None:
    claims, boot = logged(BOOT, [*BOOT, lab.separator(2)])
    logs = read(capture_logs([claims], [boot], entry_id="r"))["reference_logs"]
    assert set(logs["r"]) == {"rtmr0", "rtmr2"}
    one = capture_logs([claims], [boot], entry_id="r", registers=[Register.MR_TD, Register.RTMR0])
    assert set(read(one)["reference_logs"]["r"]) == {"rtmr0"}


def test_nothing_to_capture() -> None:
    claims, boot = logged(BOOT)
    with pytest.raises(ValueError, match="no event log explains"):
        capture_logs([claims], [None], entry_id="r")
    with pytest.raises(ValueError, match="no event log explains"):
        capture_logs([claims], [boot], entry_id="r", registers=[Register.MR_TD])
    with pytest.raises(ValueError, match="nothing to capture from"):
        capture_logs([], [], entry_id="r")
    with pytest.raises(PolicyError):
        capture_logs([claims], [boot], entry_id="no id")


def test_labels_of_a_guest_are_quoted_and_short() -> None:
    evil = lab.file(b"x", '/a"\n  b: c' + "x" * 500)
    claims, boot = logged([*BOOT, evil])
    text = capture_logs([claims], [boot], entry_id="r")
    label = read(text)["reference_logs"]["r"]["rtmr2"][-1]["label"]
    assert label.startswith('EV_IPL /a".  b: cxxx')
    assert len(label) <= 200


def test_the_machines_own_values_are_what_the_log_makes() -> None:
    claims, boot = logged(BOOT)
    changed = replace(claims, td=replace(GOOD.td, rtmr0=claims.td.rtmr0))
    assert changed.td.rtmr0 == boot.replayed[events.Register.RTMR0].computed
