# SPDX-License-Identifier: Apache-2.0
"""Logs that replay and lie about what was booted: images, and what is found by its place in a direct boot.

Who attacks, and what they can write: `test_eventlog_attacks`.
"""

from __future__ import annotations

import pytest

from tests import boot_lab as lab
from tests import eventlog_lab
from tests.boot_lab import EXIT, Step, claims, grub_boot
from verifiers.eventlog import dstack
from verifiers.eventlog.claims import BootClaims, Kind

# Images


def evil_image_hidden_as(step: Step) -> BootClaims:
    evil = lab.image(b"MZ evil")
    boot = grub_boot()
    history = [*boot[:10], evil, *boot[10:]]
    told = [*boot[:10], step, *boot[10:]]
    return claims(told, history)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (lab.GPT, b"EFI PART"),
        (lab.FLAGS, b"ACPI DATA"),
        (lab.ACTION, b"Calling EFI Application from Boot Option"),
        (lab.SEPARATOR, bytes(4)),
        (lab.ACTION, b"MZ evil"),  # its whole content as data, which the digest covers
        (lab.VARIABLE_BOOT, lab.variable_data("Boot0001", b"MZ evil")),
        (lab.TAG, b""),
    ],
    ids=["gpt", "acpi", "action", "separator", "whole", "variable", "tag"],
)
def test_evil_image_under_another_label_is_an_image(kind: int, data: bytes) -> None:
    evil = lab.image(b"MZ evil")
    found = evil_image_hidden_as(evil.told(kind, data))
    assert evil.digest in {one.digest for one in found.images}
    assert len(found.images) == 3
    hidden = next(one for one in found.images if one.digest == evil.digest)
    assert hidden.kind is Kind.OTHER
    assert hidden.origin.position == 10


def test_good_image_added_after_boot_does_not_take_the_place_of_the_evil_one() -> None:
    good = lab.image(b"MZ good")
    found = claims([*grub_boot(), good])
    assert [one.digest for one in found.images][-1] == good.digest
    assert len(found.images) == 3


def test_boot_variables_in_the_register_of_images_are_none() -> None:
    """Alibaba's firmware measures them there."""
    value = b"\1\0\0\0"
    order = Step(2, lab.VARIABLE_BOOT, value, lab.variable_data("BootOrder", value))
    boot = grub_boot()
    found = claims([*boot[:8], order, *boot[8:]])
    assert [one.digest for one in found.images] == [one.digest for one in claims(boot).images]
    assert order.digest not in {one.digest for one in found.opaque}


# Direct boot and unified kernel images: by place


def test_direct_boot() -> None:
    found = claims(lab.direct_boot())
    assert found.cmdline_digest is not None
    assert found.cmdline_digest.digest == lab.options().digest
    assert found.initrd_digest is not None
    assert found.initrd_digest.digest == lab.initrd().digest
    assert found.kernel_cmdline is None


def test_good_initrd_added_behind_the_evil_one() -> None:
    boot = lab.direct_boot()
    history = [lab.initrd(b"evil") if one == lab.initrd() else one for one in boot]
    history.append(lab.initrd(b"good"))
    told = [one.as_file if one == lab.initrd(b"evil") else one for one in history]
    found = claims(told, history)
    assert found.initrd_digest is None
    honest = claims(history)
    assert honest.initrd_digest is not None
    assert honest.initrd_digest.digest == lab.initrd(b"evil").digest


def test_load_options_are_believed_in_the_first_place_only() -> None:
    boot = lab.direct_boot()
    at = boot.index(lab.options())
    found = claims([*boot[:at], lab.file(b"x"), *boot[at:]])
    assert (found.cmdline_digest, found.initrd_digest) == (None, None)
    alone = claims([one for one in boot if one != lab.initrd()])
    assert alone.cmdline_digest is not None
    assert alone.initrd_digest is None


def test_load_options_behind_a_boot_loader_are_not_believed() -> None:
    """A boot loader runs before the kernel and can extend the register first."""
    boot = lab.direct_boot()
    found = claims([*boot[:10], lab.image(b"MZ loader"), *boot[10:]])
    assert (found.cmdline_digest, found.initrd_digest) == (None, None)


def test_load_options_whose_text_is_in_the_log_are_no_load_options() -> None:
    """A tag whose digest is of its label: nobody's EFI stub."""
    boot = lab.direct_boot()
    fake = lab.aael("domain operation content", index=3)
    told = [fake if one == lab.options() else one for one in boot]
    assert claims(told).cmdline_digest is None


@pytest.mark.parametrize(("kind", "believed"), [(lab.TAG, True), (lab.IPL, False)])
def test_dstacks_short_log_has_no_labels_but_types(kind: int, *, believed: bool) -> None:
    history = [lab.image(b"MZ kernel"), lab.options()]
    told = [
        eventlog_lab.boot_event(imr, event_type=one, digest=step.digest.hex())
        for imr, one, step in zip((1, 2), (lab.APPLICATION, kind), history, strict=True)
    ]
    log = dstack.parse(eventlog_lab.log_text(*told))
    found = lab.of_logs([log], lab.registers(history)).cmdline_digest
    assert (found is not None) is believed


def test_sections_end_where_another_event_stands_or_a_name_comes_again() -> None:
    boot = lab.uki_boot()
    end = boot.index(EXIT)
    good = lab.section(".cmdline", b"good")
    again = claims([*boot[:end], *good, *lab.section(".sbat", b"x"), *boot[end:]])
    assert [one.label for one in again.sections] == [".linux", ".cmdline", ".initrd"]
    assert again.cmdline_digest is not None
    assert again.cmdline_digest.digest == lab.section(".cmdline", b"console=hvc0")[1].digest
    for files in (1, 2):
        late = claims([*boot, *[lab.file(b"x")] * files, *lab.section(".late", b"late")])
        assert [one.label for one in late.sections] == [".linux", ".cmdline", ".initrd"]
    assert claims([*grub_boot(), *good]).sections == ()
