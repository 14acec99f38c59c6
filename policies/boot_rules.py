# SPDX-License-Identifier: Apache-2.0
"""Rules over the logs of a measured boot: that they came, that they replay, what firmware and boot loaders did.

A log is a word of the guest that its registers can contradict: where one does, in a register that matters, the machine
is denied whether the policy speaks of logs or not. What a log does not prove is `missing`, which nothing softens; so is
what it says in a way that must not be believed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from policies.boot_text import doubt, named, several, shown
from policies.case import passed
from policies.measurements import covered
from policies.patterns import matches
from policies.registers import PCRS, boot_registers
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from verifiers.eventlog.claims import Kind, SecureBoot, Subject, TextState
from verifiers.eventlog.events import RTMRS, Register
from verifiers.eventlog.replay import ReplayState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.case import BootCase, Case
    from verifiers.eventlog.claims import CommandLine, Digest, EventClaim
    from verifiers.eventlog.judged import Boot

# Those that are written before the system runs, so that the log of the firmware and boot loaders is complete.
OF_A_TD = RTMRS[:3]
_OF_A_TPM = {Register(f"pcr{number}"): number for number in range(10)}

_WHY = {
    ReplayState.MISMATCH: "the logs give another value than the quote",
    ReplayState.UNEXPLAINED: "it was extended, and no log has an event for it",
    ReplayState.ABSENT: "the evidence has no value of it",
}


def default_replay(case: Case, boot: Boot) -> tuple[Register, ...]:
    """Which registers logs have to explain where the policy does not say it.

    Of a TD RTMR0 to RTMR2. Of a virtual TPM those of PCR 0 to 9 that the logs have an event for and that every entry of
    a used reference set pins: a running system extends others, and writes it into no log of the firmware.
    """
    if boot_registers(case.claims.tee, case.claims.provider).issuperset(OF_A_TD):
        return OF_A_TD
    pinned = {PCRS[one] for one in covered(case.document) if one in PCRS}
    return tuple(
        register
        for register, one in boot.replayed.items()
        if one.count and _OF_A_TPM.get(register) in pinned
    )


def check_log(case: Case) -> Iterator[Finding]:
    """`boot-log`: event logs came, if the policy asks for what they prove."""
    rules = case.document.boot
    if rules is None or not rules.wants_log:
        return
    came = case.boot is not None
    yield Finding(
        RuleId.BOOT_LOG,
        "boot",
        RuleResult.PASS if came else RuleResult.MISSING,
        expected="event logs of the boot",
        actual=", ".join(case.boot.formats) if case.boot else "none",
        hint=""
        if came
        else "the policy asks what was booted: send the event logs with the evidence",
    )


def check_replay(case: Case) -> Iterator[Finding]:
    """`boot-replay`: the logs explain the registers that they have to."""
    boot, rules = case.boot, case.document.boot
    if boot is None:
        return
    said = rules.require_replay if rules is not None else None
    for register in sorted(default_replay(case, boot) if said is None else said):
        one = boot.replayed.get(register)
        state = ReplayState.ABSENT if one is None else one.state
        good = state not in _WHY
        wrong = state is ReplayState.MISMATCH
        yield Finding(
            RuleId.BOOT_REPLAY,
            f"boot.replayed.{register}",
            RuleResult.PASS if good else RuleResult.FAIL if wrong else RuleResult.MISSING,
            expected="logs that give the quoted value",
            actual=state.value,
            hint="" if good else f"{register}: {_WHY[state]}",
        )


def check_secure_boot(case: BootCase) -> Iterator[Finding]:
    """`secure-boot`: in a state that the policy accepts, proven."""
    accepted = case.rules.secure_boot
    if accepted is None:
        return
    state = case.claims.secure_boot
    known = state is not None and state is not SecureBoot.UNDETERMINED
    why = doubt(case.claims, Subject.SECURE_BOOT) or "no log speaks of it"
    yield Finding(
        RuleId.SECURE_BOOT,
        "boot.secure_boot",
        passed(state in accepted) if known else RuleResult.MISSING,
        expected=" or ".join(sorted(accepted)),
        actual=str(state) if state is not None else "not said",
        hint=""
        if state in accepted
        else f"Secure Boot is {state}"
        if known
        else f"not proven: {why}",
    )


def check_db_certificates(case: BootCase) -> Iterator[Finding]:
    """`db-certificates`: whatever the database db allows is one of what the policy lists."""
    accepted = case.rules.db_certificates
    if accepted is None:
        return
    db = case.claims.db
    if db is None:
        why = doubt(case.claims, Subject.DB) or "no log speaks of it"
        yield _missing(RuleId.DB_CERTIFICATES, "boot.db", "the database db", f"not proven: {why}")
        return
    others = [f"certificate {one.hex()}" for one in db.certificate_sha256 if one not in accepted]
    others += [
        f"{kind} {value.hex()}"
        for kind, value in db.hashes
        if kind != "sha256" or value not in case.rules.db_hashes
    ]
    others += [f"{db.unknown} of a type that is not known"] if db.unknown else []
    every = len(db.certificates) + len(db.hashes) + db.unknown
    yield Finding(
        RuleId.DB_CERTIFICATES,
        "boot.db",
        passed(not others),
        expected=f"nothing but {len(accepted)} listed certificates and {len(case.rules.db_hashes)} hashes",
        actual=f"{every} entries; not listed: {several(others, str) or 'none'}",
        hint=f"db allows more than the policy: {several(others, str)}" if others else "",
    )


def check_images(case: BootCase) -> Iterator[Finding]:
    """`boot-image`: every EFI image that firmware started is one of the policy's."""
    accepted = case.rules.images
    if accepted is None:
        return
    images = case.claims.images
    if not images:
        hint = "no log proves an image: its register does not replay, or holds none"
        yield _missing(RuleId.BOOT_IMAGE, "boot.images", "images that firmware started", hint)
        return
    bad = [one for one in images if one.digest not in accepted]
    yield Finding(
        RuleId.BOOT_IMAGE,
        "boot.images",
        passed(not bad),
        expected=f"each one of {len(accepted)} listed digests",
        actual=several(bad or images, _image),
        hint=f"{len(bad)} of {len(images)} images are not allowed: {several(bad, _image)}"
        if bad
        else "",
    )


def _image(one: Digest) -> str:
    return f"{shown(one.label) or 'without a label'} {one.digest.hex()}"


def check_kernel_cmdline(case: BootCase) -> Iterator[Finding]:
    """`kernel-cmdline`: GRUB's text, and the digest of the load options or of the section .cmdline."""
    rules = case.rules
    if rules.kernel_cmdline is not None:
        yield _text_of(case, case.claims.kernel_cmdline)
    found = case.claims.cmdline_digest
    if rules.cmdline_digest is not None and found is not None and _may_be_replaced(case, found):
        hint = (
            "a unified kernel image takes a command line from outside where Secure Boot is not on"
        )
        expected = f"one of {len(rules.cmdline_digest)} listed digests, under Secure Boot"
        yield _missing(RuleId.KERNEL_CMDLINE, "boot.cmdline_digest", expected, hint)
        return
    yield from _placed(RuleId.KERNEL_CMDLINE, "cmdline_digest", found, rules.cmdline_digest)


def _may_be_replaced(case: BootCase, cmdline: Digest) -> bool:
    """Whether systemd-stub may have used load options in place of the section, as it does without Secure Boot."""
    return cmdline.kind is Kind.SECTION and case.claims.secure_boot is not SecureBoot.ENABLED


def check_initrd(case: BootCase) -> Iterator[Finding]:
    """`initrd`: the digest of the initial file system."""
    yield from _placed(
        RuleId.INITRD, "initrd_digest", case.claims.initrd_digest, case.rules.initrd_digest
    )


def _text_of(case: BootCase, line: CommandLine | None) -> Finding:
    rule, path = RuleId.KERNEL_CMDLINE, "boot.kernel_cmdline"
    wanted = case.rules.kernel_cmdline
    assert wanted is not None  # noqa: S101  the caller's condition
    if line is None or line.state is not TextState.PROVEN or line.text is None:
        why = doubt(case.claims, Subject.KERNEL_CMDLINE) or "no log has GRUB's text of it"
        return _missing(rule, path, "GRUB's text of the command line", f"not proven: {why}")
    good = matches(wanted.patterns, line.text)
    unknown = frozenset(line.unexplained) - wanted.files
    hints = [] if good else ["the command line is not allowed"]
    if unknown:
        places = several(_placed_at(case, line, unknown), partial(_place, case))
        hints.append(f"{len(unknown)} digests beside it could be another: {places}")
    return Finding(
        rule,
        path,
        passed(good and not unknown),
        expected=f"one of {len(wanted.patterns)} patterns; beside it {len(wanted.files)} listed files only",
        actual=shown(line.text, 1000),
        hint="; ".join(hints),
    )


def _placed_at(case: BootCase, line: CommandLine, digests: frozenset[bytes]) -> list[EventClaim]:
    """Events of the text's register with one of these digests."""
    assert line.origin is not None  # noqa: S101  of a text that is proven
    return [event for event in case.of(line.origin.register) if event.digest in digests]


def _place(case: BootCase, event: EventClaim) -> str:
    return f"event {event.origin.ordinal} ({named(event, case.labels)}) {event.digest.hex()}"


def _placed(
    rule: RuleId, name: str, found: Digest | None, accepted: frozenset[bytes] | None
) -> Iterator[Finding]:
    if accepted is None:
        return
    path = f"boot.{name}"
    if found is None:
        hint = "no log proves it: the kernel was started in another way, or its register does not replay"
        yield _missing(rule, path, f"one of {len(accepted)} listed digests", hint)
        return
    good = found.digest in accepted
    yield Finding(
        rule,
        path,
        passed(good),
        expected=f"one of {len(accepted)} listed digests",
        actual=found.digest.hex(),
        hint="" if good else f"{found.digest.hex()} is not allowed",
    )


def _missing(rule: RuleId, path: str, expected: str, hint: str) -> Finding:
    return Finding(
        rule, path, RuleResult.MISSING, expected=expected, actual="not proven", hint=hint
    )
