# SPDX-License-Identifier: Apache-2.0
"""Logs that replay and lie, judged by a policy: what a host, and what root in the guest, would send to be accepted.

The history is what happened: it made the registers. The log is told to suit the policy. Registers are pinned to what
the evil machine has, so that nothing but the section `boot` stands in its way.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.result import Decision, RuleResult
from policies.rules import RuleId
from tests import boot_lab as lab
from tests.boot_lab import EXIT, Step, grub_boot
from tests.unit.policies.boot_facts import judge

GOOD, EVIL = "/vmlinuz root=/dev/vda ro", "/vmlinuz root=/dev/vda rw init=/bin/sh"


def sha384(data: bytes) -> str:
    return hashlib.sha384(data).hexdigest()


FILES = [sha384(one) for one in (b"mok", b"cfg", b"kernel", b"initrd")]
IMAGES = [sha384(b"MZ shim"), sha384(b"MZ grub")]
POLICY: dict[str, Any] = {
    "secure_boot": "enabled",
    "db_certificates": [hashlib.sha256(b"0certificate").hexdigest()],
    "images": IMAGES,
    "kernel_cmdline": {"patterns": [GOOD], "files": FILES},
}


def denied_by(section: dict[str, Any], history: list[Step], told: list[Step]) -> set[RuleId]:
    result = judge(section, history, told)
    assert result.decision is Decision.DENIED
    return {one.rule for one in result.denying}


def before_exit(told: list[Step], *more: Step) -> list[Step]:
    """The same with events in front of the end of boot services; within each register the order must stay."""
    at = told.index(EXIT)
    return [*told[:at], *more, *told[at:]]


def test_the_good_machine_is_accepted() -> None:
    assert judge(POLICY, grub_boot(GOOD)).decision is Decision.ACCEPTED


def test_the_evil_machine_that_tells_the_truth_is_not() -> None:
    assert denied_by(POLICY, grub_boot(EVIL), grub_boot(EVIL)) == {RuleId.KERNEL_CMDLINE}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (lab.IPL, b"/boot/file\0"),  # a file
        (lab.IPL, f"grub_cmd: {EVIL}\0".encode()),  # a command, which the digest covers
        (lab.IPL, f"grub_cmd {EVIL}\0".encode()),  # of an older GRUB
        (lab.IPL, f"module_cmdline: {EVIL}\0".encode()),  # of another kind of kernel
        (lab.ACTION, EVIL.encode()),  # an action: all of its data
        (lab.GPT, EVIL.encode()),
        (lab.TAG, b"x"),
        (lab.SEPARATOR, b"\0\0\0\0"),
    ],
)
def test_the_real_command_line_hides_behind_no_label(kind: int, data: bytes) -> None:
    """Root adds the digest of the good text after boot, tells it as the boot loader's, and the real one as anything."""
    history = [*grub_boot(EVIL), lab.cmdline(GOOD)]
    real = lab.cmdline(EVIL)
    told = [one.told(kind, data) if one == real else one for one in history[:-1]]
    assert denied_by(POLICY, history, before_exit(told, history[-1])) == {RuleId.KERNEL_CMDLINE}


def test_a_file_with_the_content_of_the_good_command_line() -> None:
    """A host puts it where GRUB reads it; then what was really used is what does not fit."""
    boot = grub_boot(EVIL)
    at = boot.index(lab.file(b"cfg", "/grub.cfg"))
    history = [*boot[:at], lab.file(GOOD.encode(), "/boot/x"), *boot[at:]]
    told = [one.as_file if one == lab.cmdline(EVIL) else one for one in history]
    told[at] = lab.cmdline(GOOD)
    assert denied_by(POLICY, history, told) == {RuleId.KERNEL_CMDLINE}


def test_an_evil_image_beside_good_ones() -> None:
    evil = lab.image(b"MZ evil")
    boot = grub_boot(GOOD)
    at = boot.index(lab.image())
    for place in (at, len(boot)):
        history = [*boot[:place], evil, *boot[place:]]
        for disguise in (evil, evil.told(lab.GPT, b"disk"), evil.told(lab.ACTION, evil.hashed)):
            told = [disguise if one == evil else one for one in history]
            assert denied_by(POLICY, history, told) == {RuleId.BOOT_IMAGE}


def test_secure_boot_off_and_the_good_variable_added() -> None:
    off = [lab.secure_boot(b"\0") if one == lab.secure_boot() else one for one in grub_boot(GOOD)]
    history = [*off, lab.secure_boot()]
    hidden = [
        lab.HOB.told(lab.FLAGS, b"x") if one == lab.secure_boot(b"\0") else one for one in off
    ]
    doubted = {RuleId.SECURE_BOOT, RuleId.DB_CERTIFICATES}  # whose place is behind it
    assert denied_by(POLICY, history, history) == doubted
    # the digest of the real one is known whatever it is called
    relabelled = [
        lab.secure_boot(b"\0").told(lab.FLAGS, b"x") if one == lab.secure_boot(b"\0") else one
        for one in off
    ]
    assert denied_by(POLICY, history, [*relabelled, lab.secure_boot()]) == doubted
    # and a log that gives another digest does not replay
    found = denied_by(POLICY, history, [*hidden, lab.secure_boot()])
    assert found >= {RuleId.BOOT_REPLAY, RuleId.SECURE_BOOT, RuleId.DB_CERTIFICATES}


def test_certificates_added_to_db() -> None:
    certificates = lab.signature_list(lab.X509, b"0certificate")
    real = lab.variable("db", certificates + lab.signature_list(lab.X509, b"evil"), lab.SECURITY)
    good = lab.variable("db", certificates, lab.SECURITY)
    history = [real if one == good else one for one in grub_boot(GOOD)]
    assert denied_by(POLICY, history, history) == {RuleId.DB_CERTIFICATES}
    told = [good if one == real else one.as_file for one in history if one.index == 1]
    rest = [one for one in history if one.index != 1]
    assert RuleId.BOOT_REPLAY in denied_by(POLICY, history, [*told, *rest])
    added = [*history, good]
    relabelled = [one.told(lab.ACTION, one.data) if one == real else one for one in history]
    assert denied_by(POLICY, added, [*relabelled, good]) == {RuleId.DB_CERTIFICATES}


def test_a_register_is_left_out_of_the_log() -> None:
    history = grub_boot(EVIL)
    told = [one for one in history if one.index != 3]
    found = denied_by(POLICY, history, told)
    assert found == {RuleId.BOOT_REPLAY, RuleId.KERNEL_CMDLINE}


def test_what_is_missing_is_not_softened() -> None:
    """A machine that sends nothing does no better than one that tells the truth."""
    history = grub_boot(GOOD)
    told = [one for one in history if one.index != 1]
    result = judge({"secure_boot": "enabled", "require_replay": []}, history, told)
    assert [one.result for one in result.denying] == [RuleResult.MISSING]


LABELS = st.sampled_from(
    [lab.IPL, lab.ACTION, lab.TAG, lab.GPT, lab.SEPARATOR, lab.DRIVER_CONFIG, lab.APPLICATION]
)
DATA = st.sampled_from(
    [
        b"",
        b"/boot/file\0",
        EVIL.encode(),
        f"grub_cmd: {EVIL}\0".encode(),
        f"kernel_cmdline: {GOOD}\0".encode(),
    ]
) | st.binary(max_size=24)


@given(st.data())
def test_no_labels_make_an_evil_command_line_good(data: st.DataObject) -> None:
    """Root may append what it likes to RTMR2, label every event as it likes, and mix the registers as it likes."""
    added = data.draw(
        st.lists(
            st.sampled_from([lab.cmdline(GOOD), lab.grub(GOOD), lab.file(b"kernel")]), max_size=3
        )
    )
    history = [*grub_boot(EVIL), *added]
    told = [
        one.told(data.draw(LABELS), data.draw(DATA)) if data.draw(st.booleans()) else one
        for one in history
    ]
    by_register = [[one for one in told if one.index == index] for index in (1, 2, 3)]
    mixed: list[Step] = []
    while any(by_register):
        mixed.append(data.draw(st.sampled_from([one for one in by_register if one])).pop(0))
    assert judge(POLICY, history, mixed).decision is Decision.DENIED


@pytest.mark.parametrize(
    "kind", [lab.ACTION, lab.GPT, lab.SEPARATOR, lab.DRIVER_CONFIG, lab.AUTHORITY]
)
def test_a_small_evil_file_hides_behind_no_data(kind: int) -> None:
    """The log has room for an initial file system: told as an action, its digest covers its data."""
    evil, good = lab.file(b"070701 evil\0", "/initrd"), lab.file(b"initrd", "/initrd")
    history = [evil if one == good else one for one in grub_boot(GOOD)]
    told = [evil.told(kind, evil.hashed) if one == evil else one for one in history]
    assert denied_by(POLICY, history, told) == {RuleId.KERNEL_CMDLINE}
    listed = {"events": [{"id": "files", "register": "rtmr2", "digests": FILES}]}
    assert judge(listed, grub_boot(GOOD)).decision is Decision.ACCEPTED
    assert denied_by(listed, history, told) == {RuleId.BOOT_EVENT}


@pytest.mark.parametrize("content", [b"BZh\x01\x02evil", b"\x1f\x8bevil"])
def test_a_small_evil_file_is_no_text(content: bytes) -> None:
    """Nor as a command, where it has no NUL: what is compressed is not printable."""
    evil, good = lab.file(content, "/initrd"), lab.file(b"initrd", "/initrd")
    history = [evil if one == good else one for one in grub_boot(GOOD)]
    told = [
        evil.told(lab.IPL, b"grub_cmd: " + content + b"\0") if one == evil else one
        for one in history
    ]
    assert denied_by(POLICY, history, told) == {RuleId.KERNEL_CMDLINE}


@pytest.mark.parametrize("command", ["linux", "linux16", "linuxefi", "legacy_kernel"])
def test_a_command_line_with_a_relative_path_hides_behind_no_command(command: str) -> None:
    """GRUB's shell is the host's; on btrfs or over HTTP it takes a kernel by such a path."""
    evil = "vmlinuz rw init=/bin/sh"
    history = [
        lab.grub(f"{command} {evil}") if one == lab.grub(f"linux {EVIL}") else one
        for one in [*grub_boot(EVIL), lab.cmdline(GOOD)]
    ]
    history = [lab.cmdline(evil) if one == lab.cmdline(EVIL) else one for one in history]
    told = [lab.grub(evil) if one == lab.cmdline(evil) else one for one in history[:-1]]
    assert denied_by(POLICY, history, before_exit(told, lab.cmdline(GOOD))) == {
        RuleId.KERNEL_CMDLINE
    }
