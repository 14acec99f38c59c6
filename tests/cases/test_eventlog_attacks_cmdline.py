# SPDX-License-Identifier: Apache-2.0
"""Logs that replay and lie about the kernel's command line, and about GRUB's commands.

Who attacks, and what they can write: `test_eventlog_attacks`.
"""

from __future__ import annotations

from dataclasses import replace

from tests import boot_lab as lab
from tests.boot_lab import EXIT, Step, claims, doubted, evil_firmware, grub_boot
from verifiers.eventlog.claims import BootClaims, Subject, TextState

GOOD = "/vmlinuz root=/dev/vda ro module.sig_enforce=1"
EVIL = "/vmlinuz root=/dev/vda rw init=/bin/sh"


def no_cmdline(told: list[Step], history: list[Step] | None = None) -> BootClaims:
    found = claims(told, history)
    assert found.kernel_cmdline is not None
    assert found.kernel_cmdline.state is TextState.UNDETERMINED
    assert found.kernel_cmdline.text is None
    assert found.kernel_cmdline.origin is None
    assert doubted(found) == {Subject.KERNEL_CMDLINE}
    return found


def test_command_line_added_after_boot() -> None:
    """Root appends what GRUB should have said, behind what it said, and behind the end of boot services."""
    no_cmdline([*grub_boot(EVIL), lab.cmdline(GOOD)])
    no_cmdline([*(one for one in grub_boot(EVIL) if one != lab.cmdline(EVIL)), lab.cmdline(GOOD)])


def test_command_line_added_after_boot_and_told_before_the_end_of_boot_services() -> None:
    """The order between registers is free, but then there are two."""
    history = [*grub_boot(EVIL), lab.cmdline(GOOD)]
    end = history.index(EXIT)
    no_cmdline([*history[:end], history[-1], *history[end:-1]], history)


def test_command_line_added_and_the_real_one_called_a_file() -> None:
    """What replay cannot tell from the truth: so the digest that was the real one is handed on beside the text."""
    history = [*grub_boot(EVIL), lab.cmdline(GOOD)]
    hidden = [one.as_file if EVIL.encode() in one.hashed else one for one in history[:-1]]
    end = hidden.index(EXIT)
    found = claims([*hidden[:end], history[-1], *hidden[end:]], history)
    assert found.kernel_cmdline is not None
    assert found.kernel_cmdline.text == GOOD
    assert lab.cmdline(EVIL).digest in found.kernel_cmdline.unexplained
    honest = claims(grub_boot(GOOD)).kernel_cmdline
    assert honest is not None
    files = (b"mok", b"cfg", b"kernel", b"initrd")
    assert honest.unexplained == tuple(lab.file(one).digest for one in files)


def test_file_with_the_content_of_a_good_command_line() -> None:
    """A host puts it where GRUB reads it, before the evil command line: GRUB hashes both alike. The same remedy."""
    boot = grub_boot(EVIL)
    at = boot.index(lab.file(b"cfg", "/grub.cfg"))
    history = [*boot[:at], lab.file(GOOD.encode(), "/boot/x"), *boot[at:]]
    told = [one.as_file if EVIL.encode() in one.hashed else one for one in history]
    told[at] = lab.cmdline(GOOD)
    found = claims(told, history).kernel_cmdline
    assert found is not None
    assert found.text == GOOD
    assert lab.cmdline(EVIL).digest in found.unexplained


def test_command_line_in_another_register_or_under_another_type() -> None:
    text = lab.cmdline()
    boot = grub_boot()
    for index in (1, 2, 4):
        moved = [replace(one, index=index) if one == text else one for one in boot]
        found = claims(moved)
        assert found.kernel_cmdline is not None
        assert found.kernel_cmdline.state is TextState.UNDETERMINED
    for kind in (lab.ACTION, lab.SEPARATOR, lab.DRIVER_CONFIG):
        no_cmdline([one.told(kind, one.data) if one == text else one for one in boot])


def test_command_line_whose_digest_covers_another_text() -> None:
    real, good = lab.cmdline(EVIL), lab.cmdline(GOOD)
    no_cmdline([replace(one, data=good.data) if one == real else one for one in grub_boot(EVIL)])


def test_command_line_with_something_behind_its_end() -> None:
    real = lab.cmdline(GOOD)
    told = [
        replace(one, data=one.data + b"init=/bin/sh\0") if one == real else one
        for one in grub_boot(GOOD)
    ]
    no_cmdline(told)


def test_command_line_without_the_end_of_boot_services() -> None:
    no_cmdline([one for one in grub_boot() if one != EXIT])


def test_end_of_boot_services_that_only_its_label_says() -> None:
    """The label of a later event, with another digest: the real end is missing."""
    fake = Step(2, lab.ACTION, b"other", EXIT.data)
    no_cmdline([fake if one == EXIT else one for one in grub_boot()])


def test_end_of_boot_services_relabelled_is_still_the_end() -> None:
    history = [one for one in grub_boot(EVIL) if one != lab.cmdline(EVIL)]
    history += [lab.cmdline(GOOD), EXIT]
    first = history.index(EXIT)
    told = [
        one.told(lab.FLAGS, b"ACPI DATA") if at == first else one for at, one in enumerate(history)
    ]
    no_cmdline(told, history)


def test_command_line_that_is_not_text() -> None:
    odd = Step(3, lab.IPL, b"\xff\xfe", b"kernel_cmdline: \xff\xfe\0")
    no_cmdline([odd if one == lab.cmdline() else one for one in grub_boot()])


def test_command_line_of_grub_beside_a_unified_kernel_image() -> None:
    boot = lab.uki_boot()
    end = boot.index(EXIT)
    history = [*boot, lab.cmdline(GOOD)]
    found = no_cmdline([*boot[:end], history[-1], *boot[end:]], history)
    assert found.cmdline_digest is not None


def test_command_line_in_a_runtime_log_is_no_boot_loaders() -> None:
    """A second log behind the first has no end of boot services of its own."""
    boot = [one for one in grub_boot() if one != lab.cmdline()]
    later = lab.log_of([lab.cmdline(GOOD)])
    found = claims(boot, [*boot, lab.cmdline(GOOD)], later)
    assert found.kernel_cmdline is not None
    assert found.kernel_cmdline.state is TextState.UNDETERMINED


def test_a_log_that_no_register_needs_is_not_heard() -> None:
    """dstack's log repeats the events of the CCEL; a copy that lies neither helps nor harms."""
    boot = grub_boot()
    copy = lab.log_of([one for one in evil_firmware() if one.index == 1])
    assert claims(boot, None, copy) == claims(boot)


def test_grub_commands_after_boot_services() -> None:
    late = lab.grub("linux /good")
    found = claims([*grub_boot(), late])
    assert late.hashed.decode() not in [one.text for one in found.grub]


def test_grub_commands_under_another_type_or_with_another_digest() -> None:
    """An action whose digest is of all its data, prefix and all, is none of GRUB's."""
    boot = grub_boot()
    end = boot.index(EXIT)
    action = lab.whole(3, lab.ACTION, b"grub_cmd: linux /good")
    forged = replace(lab.grub("linux /evil"), data=lab.grub("linux /good").data)
    found = claims([*boot[:end], action, forged, *boot[end:]])
    assert found.grub == claims(boot).grub
