# SPDX-License-Identifier: Apache-2.0
"""Logs that replay and lie: what a host, and what root in the guest, would try, and what is claimed then.

Who attacks: the host chooses firmware variables, disks, what is booted, and may hold the guest's log before we do. Root
in the guest extends RTMR2 and RTMR3, and with a kernel of its own RTMR0 and RTMR1 too, after boot. Both write the log
that we get: any type, any data, any order between registers. None changes what was extended before they could.

Here it is about Secure Boot and its databases; beside this file, about images, the command line and applications.
"""

from __future__ import annotations

from dataclasses import replace

from tests import boot_lab as lab
from tests import eventlog_lab
from tests.boot_lab import CMDLINE, Step, claims, doubted, evil_firmware, grub_boot
from verifiers.eventlog import dstack
from verifiers.eventlog.claims import BootClaims, SecureBoot, Subject, TextState
from verifiers.eventlog.events import Register

ENABLED, DISABLED = lab.secure_boot(b"\1"), lab.secure_boot(b"\0")


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
