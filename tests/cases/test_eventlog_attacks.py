# SPDX-License-Identifier: Apache-2.0
"""Logs that replay and lie: what a host, and what root in the guest, would try, and what is claimed then.

Who attacks: the host chooses firmware variables, disks, what is booted, and may hold the guest's log before we do. Root
in the guest extends RTMR2 and RTMR3, and with a kernel of its own RTMR0 and RTMR1 too, after boot. Both write the log
that we get: any type, any data, any order between registers. None changes what was extended before they could.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests import boot_lab as lab
from tests import eventlog_lab
from tests.boot_lab import CMDLINE, EXIT, Step, claims, grub_boot
from tests.eventlog_lab import Runtime
from verifiers.eventlog import cel, dstack
from verifiers.eventlog.claims import BootClaims, Kind, Rule, SecureBoot, Subject, TextState
from verifiers.eventlog.events import Register

GOOD = "/vmlinuz root=/dev/vda ro module.sig_enforce=1"
EVIL = "/vmlinuz root=/dev/vda rw init=/bin/sh"
ENABLED, DISABLED = lab.secure_boot(b"\1"), lab.secure_boot(b"\0")


def doubted(found: BootClaims) -> set[Subject]:
    return {one.subject for one in found.doubts}


def evil_firmware() -> list[Step]:
    """A machine with Secure Boot off."""
    return [DISABLED if one == ENABLED else one for one in grub_boot()]


def test_honest_machine() -> None:
    found = claims(grub_boot())
    assert found.secure_boot is SecureBoot.ENABLED
    assert found.kernel_cmdline is not None
    assert (found.kernel_cmdline.state, found.kernel_cmdline.text) == (TextState.PROVEN, CMDLINE)
    assert [one.text for one in found.grub] == [f"linux {CMDLINE}", "initrd /initrd"]
    assert found.doubts == ()
    assert found.db is not None
    assert found.db.certificates == (b"0certificate",)
    assert found.dbx is not None
    assert found.dbx.hashes == (("sha256", b"h" * 32), ("sha256", b"i" * 32))
    assert [one.name for one in found.authorities] == ["db"]


# Secure Boot


def undetermined(told: list[Step], history: list[Step] | None = None) -> None:
    found = claims(told, history)
    assert found.secure_boot is SecureBoot.UNDETERMINED
    assert found.secure_boot_origin is None
    assert Subject.SECURE_BOOT in doubted(found)


def test_secure_boot_added_after_boot() -> None:
    """Root with a kernel module extends RTMR0 with the variable as it should have been."""
    undetermined([*evil_firmware(), ENABLED])
    undetermined([*(one for one in evil_firmware() if one != DISABLED), ENABLED])


def test_secure_boot_added_and_the_real_one_relabelled() -> None:
    history = [*evil_firmware(), ENABLED]
    hidden = [one.told(lab.FLAGS, b"ACPI DATA") if one == DISABLED else one for one in history]
    undetermined(hidden, history)


def test_secure_boot_added_and_the_first_separator_relabelled() -> None:
    """The second separator would be the first, the forged variable before it: but digests tell separators."""
    history = [*evil_firmware(), ENABLED, lab.separator(1)]
    told = [
        one.told(lab.FLAGS, b"ACPI DATA") if one in (DISABLED, lab.separator(1)) else one
        for one in history[:-1]
    ]
    undetermined([*told, history[-1]], history)


def test_secure_boot_twice_before_the_separator() -> None:
    boot = grub_boot()
    undetermined([*boot[:2], ENABLED, *boot[2:]])
    undetermined([*boot[:2], DISABLED, *boot[2:]])


def test_secure_boot_in_another_register() -> None:
    """RTMR2 is any root's to write."""
    boot = [one for one in grub_boot() if one != ENABLED]
    for index in (2, 3, 4):
        undetermined([lab.secure_boot(b"\1", index), *boot])


def test_secure_boot_with_the_digest_of_other_data() -> None:
    history = evil_firmware()
    undetermined([replace(one, data=ENABLED.data) if one == DISABLED else one for one in history])
    other = Step(1, lab.DRIVER_CONFIG, b"something else", ENABLED.data)
    undetermined([other if one == DISABLED else one for one in history])


def test_secure_boot_under_another_type() -> None:
    boot = grub_boot()
    undetermined([one.told(lab.ACTION, one.data) if one == ENABLED else one for one in boot])


def test_secure_boot_of_a_value_that_there_is_not() -> None:
    odd = lab.secure_boot(b"\2")
    undetermined([odd if one == ENABLED else one for one in grub_boot()])


def in_json(payload: bytes) -> BootClaims:
    """Secure Boot off in a log of dstack's, with that payload."""
    history = [DISABLED, lab.separator(1)]
    payloads = (payload, b"")
    told = [
        eventlog_lab.boot_event(
            0, event_type=step.kind, digest=step.digest.hex(), event_payload=data.hex()
        )
        for step, data in zip(history, payloads, strict=True)
    ]
    return lab.of_logs([dstack.parse(eventlog_lab.log_text(*told))], lab.registers(history))


def test_secure_boot_in_dstacks_log_with_and_without_data() -> None:
    """The digest is one of three: a short log need not repeat the data, but no log may give others."""
    assert in_json(DISABLED.data).secure_boot is SecureBoot.DISABLED
    assert in_json(b"").secure_boot is SecureBoot.DISABLED
    opaque = [one.digest for one in in_json(b"").opaque]
    assert opaque == [DISABLED.digest]  # a separator needs no data
    assert in_json(ENABLED.data).secure_boot is SecureBoot.UNDETERMINED
    told = [replace(one, data=b"") if one == ENABLED else one for one in grub_boot()]
    undetermined(told)


def test_secure_boot_without_any_separator() -> None:
    undetermined([one for one in grub_boot() if one.data != bytes(4)])


def test_secure_boot_in_a_register_that_does_not_replay() -> None:
    history = grub_boot()
    told = [ENABLED if one == DISABLED else one for one in evil_firmware()][1:]
    found = claims(told, history, mismatch=frozenset({Register.RTMR0}))
    assert found.secure_boot is SecureBoot.UNDETERMINED
    assert found.db is None
    assert doubted(found) == {
        Subject.SECURE_BOOT,
        Subject.PK,
        Subject.KEK,
        Subject.DB,
        Subject.DBX,
    }


def test_an_event_that_extends_nothing_says_nothing() -> None:
    """EV_NO_ACTION with the digest and the data of anything: not extended, not heard."""
    told = grub_boot()
    log = lab.log_of([one.told(3, one.data) if one == ENABLED else one for one in told])
    values = lab.registers([one for one in told if one != ENABLED])
    found = lab.of_logs([log], values)
    assert found.secure_boot is None


def test_second_separators_change_nothing() -> None:
    """Firmware that writes the separator of RTMR1 to RTMR0, as Google's did."""
    found = claims([*grub_boot(), lab.separator(1)])
    assert found.secure_boot is SecureBoot.ENABLED
    assert found.doubts == ()


# The databases of Secure Boot


def test_database_added_after_boot() -> None:
    own = lab.variable("db", lab.signature_list(lab.X509, b"evil"), lab.SECURITY)
    boot = grub_boot()
    without = [
        one for one in boot if one.data[32:36] != "db".encode("utf-16-le") or one.kind != 0x80000001
    ]
    for told in ([*boot, own], [*without, own]):
        found = claims(told)
        assert found.db is None
        assert Subject.DB in doubted(found)
        assert found.pk is not None


def test_database_that_its_digest_does_not_cover() -> None:
    boot = grub_boot()
    wanted = "dbx".encode("utf-16-le")
    told = [
        replace(one, data=one.data[:-1] + b"!") if one.data[32:38] == wanted else one
        for one in boot
    ]
    assert told != boot
    found = claims(told)
    assert found.dbx is None
    assert doubted(found) == {Subject.DBX}


def test_database_that_is_none() -> None:
    boot = grub_boot()
    junk = lab.variable("PK", b"junk")
    told = [junk if one.data[32:36] == "PK".encode("utf-16-le") else one for one in boot]
    found = claims(told)
    assert found.pk is None
    assert doubted(found) == {Subject.PK}


def test_authority_that_its_digest_does_not_cover_or_that_is_no_variable() -> None:
    forged = Step(1, lab.AUTHORITY, b"other", lab.variable_data("db", b"good", lab.SECURITY))
    junk = lab.whole(1, lab.AUTHORITY, b"junk")
    boot = grub_boot()
    found = claims([*boot[:8], forged, junk, *boot[8:]])
    assert [one.value for one in found.authorities] == [b"entry"]


def test_good_database_as_the_value_of_a_boot_variable() -> None:
    """Firmware measures the value of Boot0007, which the host wrote; the log calls it db, and the real db a table."""
    boot = grub_boot()
    good = next(one for one in boot if one.data[32:36] == "db".encode("utf-16-le"))
    evil = lab.variable("db", lab.signature_list(lab.X509, b"evil"), lab.SECURITY)
    option = Step(1, lab.VARIABLE_BOOT, good.data, lab.variable_data("Boot0007", good.data))
    end = boot.index(lab.separator(1))
    before = [evil if one == good else one for one in boot[:end]]
    history = [*before, option, *boot[end:]]
    hidden = [one.told(lab.FLAGS, b"ACPI DATA") if one == evil else one for one in before]
    found = claims([*hidden, good, *boot[end:]], history)
    assert found.secure_boot is SecureBoot.ENABLED
    assert found.db is None
    assert doubted(found) == {Subject.DB}


def test_databases_behind_no_state_of_secure_boot() -> None:
    found = claims([one for one in grub_boot() if one != ENABLED])
    assert (found.pk, found.kek, found.db, found.dbx) == (None, None, None, None)
    assert doubted(found) == {Subject.PK, Subject.KEK, Subject.DB, Subject.DBX}


def test_one_database_needs_no_other() -> None:
    """Another may be one that its digest does not cover, or that no label names."""
    boot = grub_boot()
    others = ("PK", "KEK", "dbx")
    named = tuple(lab.variable_data(one, b"")[32:] for one in others)
    told = [one.told(lab.FLAGS, b"x") if one.data[32:].startswith(named) else one for one in boot]
    found = claims(told, boot)
    assert (found.pk, found.kek, found.dbx) == (None, None, None)
    assert found.db is not None
    assert found.doubts == ()


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


# The command line


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


# Applications


APP = (
    Runtime("system-preparing"),
    Runtime("app-id", b"a" * 20),
    Runtime("compose-hash", b"c" * 32),
    Runtime("instance-id", b"i" * 20),
    Runtime("boot-mr-done"),
    Runtime("os-image-hash", b"o" * 32),
    Runtime("key-provider", b"{}"),
    Runtime("system-ready"),
)


def dstack_claims(*events: Runtime, told: list[dict[str, object]] | None = None) -> BootClaims:
    """A direct boot, and dstack's log behind it."""
    boot = lab.direct_boot()
    log = dstack.parse(eventlog_lab.log_text(*(told or [one.json() for one in events])))
    values = lab.runtime_registers(boot, *(one.preimage for one in events))
    return lab.of_logs([lab.log_of(boot), log], values)


def no_identity(found: BootClaims) -> None:
    assert found.dstack is None
    assert Subject.DSTACK in doubted(found)


@pytest.mark.parametrize("version", [1, 2])
def test_dstack_identity(version: int) -> None:
    found = dstack_claims(*(replace(one, version=version) for one in APP))
    assert found.dstack is not None
    assert found.dstack.app_id is not None
    assert found.dstack.app_id.value == b"a" * 20
    rule = Rule.DSTACK_V1 if version == 1 else Rule.DSTACK_V2
    assert found.dstack.app_id.origin.rule is rule
    assert [name for name, _ in found.dstack.others] == [
        "system-preparing",
        "boot-mr-done",
        "system-ready",
    ]
    assert found.doubts == ()


def test_events_behind_system_ready_are_no_identity() -> None:
    found = dstack_claims(
        *APP, Runtime("anything", b"x"), Runtime("with:colon"), Runtime("system-ready")
    )
    assert found.dstack == dstack_claims(*APP).dstack
    only = dstack_claims(Runtime("system-ready"), Runtime("app-id", b"a" * 20))
    assert only.dstack is not None
    assert only.dstack.app_id is None


@pytest.mark.parametrize(
    "name", ["app-id", "compose-hash", "instance-id", "os-image-hash", "key-provider"]
)
def test_second_identity(name: str) -> None:
    """Before system-ready or after: another reader may take the last."""
    second = next(one for one in APP if one.name == name)
    evil = replace(second, payload=b"e" * len(second.payload))
    no_identity(dstack_claims(*APP, evil))
    no_identity(dstack_claims(*APP[:1], evil, *APP[1:]))
    no_identity(dstack_claims(*APP, second))


def test_identity_before_anything_else_is_in_its_order() -> None:
    """An app-id in front of system-preparing is dstack's own as well: nothing runs before it."""
    found = dstack_claims(APP[1], APP[0], *APP[2:])
    assert found.dstack is not None
    assert found.dstack.app_id is not None


def test_identity_without_system_ready() -> None:
    no_identity(dstack_claims(*APP[:-1]))


def test_identity_with_a_colon_in_a_name() -> None:
    """Version 1: `app-id:evil` with payload x and `app-id` with payload `evil:x` have one digest."""
    no_identity(dstack_claims(*APP[:1], Runtime("a:b", b"c"), *APP[1:]))
    split = Runtime("app-id:aaaa", b"a" * 15)
    no_identity(dstack_claims(*APP[:1], split, *APP[2:]))


def with_payload(at: int, payload: bytes) -> BootClaims:
    return dstack_claims(*APP[:at], replace(APP[at], payload=payload), *APP[at + 1 :])


def test_identity_of_a_wrong_length() -> None:
    for at, payload in ((1, b"a" * 19), (2, b"c" * 31), (3, b"i" * 19), (5, b"o" * 33)):
        no_identity(with_payload(at, payload))
    assert with_payload(3, b"").dstack is not None  # an instance without an id


def test_evil_identity_called_a_boot_event() -> None:
    """The log calls the real identity something that no digest has to cover, and the application adds a good one."""
    evil = (Runtime("app-id", b"e" * 20), Runtime("system-ready"))
    hidden = [
        eventlog_lab.boot_event(3, digest=eventlog_lab.sha384(one.preimage).hex()) for one in evil
    ]
    no_identity(dstack_claims(*evil, *APP, told=[*hidden, *(one.json() for one in APP)]))


def test_identity_in_a_register_that_does_not_replay() -> None:
    boot = lab.direct_boot()
    log = dstack.parse(eventlog_lab.log_text(*(one.json() for one in APP)))
    values = lab.runtime_registers(boot, b"something else")
    found = lab.of_logs([lab.log_of(boot), log], values, frozenset({Register.RTMR3}))
    no_identity(found)
    assert found.secure_boot is SecureBoot.ENABLED


def test_agents_entries() -> None:
    texts = ("a.org pull x", 'a.org pull {"image": "x y", "n": [1, 2]}', "a.org stop ")
    found = claims([*lab.direct_boot(), *(lab.aael(text) for text in texts)])
    assert found.aael is not None
    assert [(one.domain, one.operation, one.content) for one in found.aael] == [
        ("a.org", "pull", "x"),
        ("a.org", "pull", '{"image": "x y", "n": [1, 2]}'),
        ("a.org", "stop", ""),
    ]


def no_entries(*steps: Step) -> None:
    found = claims([*lab.direct_boot(), *steps])
    assert found.aael is None
    assert doubted(found) == {Subject.AAEL}


def test_agents_entry_hidden_under_another_label() -> None:
    evil = lab.aael("a.org pull evil")
    for hidden in (
        evil.told(lab.ACTION, evil.data),
        evil.told(lab.IPL, b"/file\0"),
        evil.told(lab.TAG, b"\0\0\0\0\0\0\0\0"),
    ):
        no_entries(hidden, lab.aael())


def test_agents_entry_whose_digest_is_of_another_text() -> None:
    no_entries(replace(lab.aael(), data=lab.aael("a.org pull good").data))


def test_agents_entry_that_is_none() -> None:
    no_entries(lab.aael("nospace"))


def test_agents_entries_in_another_register_are_not_heard() -> None:
    found = claims([*lab.direct_boot(), lab.aael(index=3), lab.aael(index=2)])
    assert found.aael is None


def test_agents_entries_beside_dstacks() -> None:
    """Two languages in one register: neither knows what the other's events hide."""
    boot = [*lab.direct_boot(), lab.aael()]
    log = dstack.parse(eventlog_lab.log_text(*(one.json() for one in APP)))
    values = lab.runtime_registers(boot, *(one.preimage for one in APP))
    found = lab.of_logs([lab.log_of(boot), log], values)
    assert (found.aael, found.dstack) == (None, None)
    assert doubted(found) == {Subject.AAEL, Subject.DSTACK}


REFERENCE, DIGEST, ARG, SEPARATOR, MONITOR, BINDING = 0, 1, 4, 8, 9, 11


def space_claims(*contents: tuple[int, bytes]) -> BootClaims:
    inner = [eventlog_lab.tlv(kind, value) for kind, value in contents]
    log = cel.parse(b"".join(eventlog_lab.record(at, one) for at, one in enumerate(inner)))
    boot = lab.direct_boot()
    values = lab.runtime_registers(boot, *(eventlog_lab.tlv(0x50, one) for one in inner))
    return lab.of_logs([lab.log_of(boot), log], values)


def no_space(*contents: tuple[int, bytes]) -> None:
    found = space_claims(*contents)
    assert found.confidential_space is None
    assert doubted(found) == {Subject.CONFIDENTIAL_SPACE}


def test_confidential_space() -> None:
    found = space_claims(
        (REFERENCE, b"image"), (DIGEST, b"sha256:1"), (ARG, b"a"), (ARG, b"b"),
        (MONITOR, b"\1"), (BINDING, b"\xff"), (SEPARATOR, b""), (ARG, b"late"), (200, b"new"),
    ).confidential_space  # fmt: skip
    assert found is not None
    assert [one.text for one in found.args] == ["a", "b"]
    assert found.image_digest is not None
    assert found.image_digest.text == "sha256:1"
    assert found.image_id is None
    assert [one.value for one in found.gpu_bindings] == [b"\xff"]


def test_confidential_space_second_image() -> None:
    no_space((DIGEST, b"sha256:1"), (SEPARATOR, b""), (DIGEST, b"sha256:2"))
    no_space((DIGEST, b"sha256:1"), (DIGEST, b"sha256:1"), (SEPARATOR, b""))


def test_confidential_space_before_its_launch() -> None:
    no_space((DIGEST, b"sha256:1"))


def test_confidential_space_with_an_unknown_content() -> None:
    no_space((DIGEST, b"sha256:1"), (200, b"override"), (SEPARATOR, b""))


def test_confidential_space_with_a_text_that_is_none() -> None:
    no_space((DIGEST, b"\xff"), (SEPARATOR, b""))
