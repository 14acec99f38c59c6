# SPDX-License-Identifier: Apache-2.0
"""Whether the section `boot` is wise: asked by `policies.lint`.

A fact of a log is the word of the code that extended the register. Whoever chooses that code chooses the fact; so what
measured it has to be pinned, and a document that does not is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policies.boot_rules import OF_A_TD
from policies.launch_rules import init_data_register
from policies.measurements import covered
from policies.patterns import open_ended
from policies.registers import Register, boot_registers
from verifiers.eventlog import events
from verifiers.eventlog.claims import SecureBoot
from verifiers.evidence import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.boot_document import BootRules
    from policies.document import PolicyDocument
    from policies.tree import Path

_ENABLED: Final = frozenset({SecureBoot.ENABLED})
_BY_FIRMWARE: Final = frozenset({"secure_boot", "db_certificates", "images"})
_BY_THE_SYSTEM: Final = frozenset({"dstack", "coco.aael", "confidential_space", "ima"})
_OF_FIRMWARE: Final = frozenset(
    {events.Register.RTMR0, events.Register.RTMR1, *events.PCRS[:8]}
)  # whose events firmware writes, boot loaders and the system only behind them

_RESETTABLE: Final = frozenset({events.Register.PCR16, events.Register.PCR23})

_NO_FIRMWARE: Final = (
    "whoever chooses the firmware chooses what it measures: pin mr_td in every entry of a used set"
)
_NO_LOADER: Final = (
    "a boot loader that nobody named can measure anything: pin {} in every entry of a used set, or list "
    "images"
)
_NO_SYSTEM: Final = (
    "the system that measured it is not pinned: pin {}, or ask for its command line and initial file "
    "system as well"
)
_NO_HOLDER: Final = (
    "who starts the machine chooses it, with any system: pin {}, so that one runs that holds to it"
)


def errors(document: PolicyDocument, rules: BootRules) -> Iterator[tuple[Path, str]]:
    """What makes the section worth nothing."""
    pins = covered(document)
    if rules.facts and _measures_into_rtmrs(document) and Register.MR_TD not in pins:
        yield ("boot",), _NO_FIRMWARE
    if rules.images is None and _loader(document) not in pins:
        for name in sorted(_written_by_loaders(rules)):
            yield ("boot", *name.split(".")), _NO_LOADER.format(_loader(document))


def _measures_into_rtmrs(document: PolicyDocument) -> bool:
    """Of a document about every provider, whether evidence of the CPU itself does."""
    return Register.RTMR1 in boot_registers(
        document.match.tee, document.match.provider or Provider.DIRECT
    )


def _loader(document: PolicyDocument) -> Register:
    """The register that tells which boot loader and kernel ran."""
    return Register.RTMR1 if _measures_into_rtmrs(document) else Register.PCR4


def _system(document: PolicyDocument) -> tuple[Register, ...]:
    """The registers that tell what the kernel was told, and its initial file system."""
    if _measures_into_rtmrs(document):
        return (Register.RTMR2,)
    return (Register.PCR8, Register.PCR9, Register.PCR11, Register.PCR12)


def _written_by_loaders(rules: BootRules) -> frozenset[str]:
    names = rules.facts - _BY_FIRMWARE
    if all(rule.register_ in _OF_FIRMWARE for rule in rules.events):
        names -= {"events"}
    return names


def warnings(document: PolicyDocument, rules: BootRules) -> Iterator[tuple[Path, str]]:
    """What an operator should know."""
    yield from _replay(document, rules)
    yield from _secure_boot(rules)
    yield from _command_line(document, rules)
    yield from _chosen_at_launch(document, rules)
    yield from _applications(document, rules)
    for index, rule in enumerate(rules.events):
        if rule.looks_at_data and rule.at is None and rule.register_ not in _OF_FIRMWARE:
            where = ("boot", "events", index)
            yield where, "whoever runs the system can add such an event; name its place with at"
        if rule.register_ in _RESETTABLE:
            yield (
                ("boot", "events", index, "register"),
                f"any program in the guest can reset {rule.register_} and extend it anew",
            )


def _replay(document: PolicyDocument, rules: BootRules) -> Iterator[tuple[Path, str]]:
    if rules.require_replay is None or not _measures_into_rtmrs(document):
        return
    left = [one.value for one in OF_A_TD if one not in rules.require_replay]
    if left:
        yield (
            ("boot", "require_replay"),
            f"a log that contradicts {', '.join(left)} is taken all the same",
        )


def _secure_boot(rules: BootRules) -> Iterator[tuple[Path, str]]:
    accepted = rules.secure_boot
    if accepted is not None and accepted != _ENABLED:
        others = ", ".join(sorted(accepted - _ENABLED))
        yield ("boot", "secure_boot"), f"{others}: whatever is on the disk boots"
    elif accepted is not None and rules.db_certificates is None:
        yield (
            ("boot", "secure_boot"),
            "it says nothing of whose keys are trusted: list them as db_certificates",
        )
    if rules.db_certificates is not None and accepted != _ENABLED:
        yield ("boot", "db_certificates"), "without secure_boot: enabled nobody asks the database"


def _command_line(document: PolicyDocument, rules: BootRules) -> Iterator[tuple[Path, str]]:
    line = rules.kernel_cmdline
    if line is None:
        return
    if not line.files and _measures_into_rtmrs(document):
        yield (
            ("boot", "kernel_cmdline"),
            "no files: GRUB measures what it reads into the same register, and one that is not listed refuses",
        )
    for index, pattern in enumerate(line.patterns):
        if open_ended(pattern):
            path = ("boot", "kernel_cmdline", "patterns", index)
            yield path, "whoever writes the boot entry may append anything, init=/bin/sh for one"


def _chosen_at_launch(document: PolicyDocument, rules: BootRules) -> Iterator[tuple[Path, str]]:
    open_ = [one.value for one in _holders(document, rules) if one not in covered(document)]
    if open_:
        for name in sorted(rules.chosen_at_launch):
            yield ("boot", *name.split(".")), _NO_HOLDER.format(", ".join(open_))


def _holders(document: PolicyDocument, rules: BootRules) -> Iterator[Register]:
    """The registers that tell which system holds to what it was handed, but those whose events are asked for."""
    if _measures_into_rtmrs(document):
        if rules.images is None:
            yield Register.RTMR1
        if rules.initrd_digest is None or rules.cmdline_digest is None:
            yield Register.RTMR2
        return
    match = document.match
    if match.provider is None or match.provider is Provider.DIRECT:
        yield Register.MEASUREMENT
        return
    held = init_data_register(match.tee, match.provider)
    yield from (one for one in (*_system(document), Register.PCR4) if one is not held)


def _applications(document: PolicyDocument, rules: BootRules) -> Iterator[tuple[Path, str]]:
    told = rules.initrd_digest is not None and rules.cmdline_digest is not None
    open_ = [one.value for one in _system(document) if one not in covered(document)]
    if open_ and not told:
        for name in sorted(rules.facts & _BY_THE_SYSTEM):
            yield ("boot", *name.split(".")), _NO_SYSTEM.format(", ".join(open_))
    if rules.ima is not None:
        for index, one in enumerate(rules.ima.allow):
            if one.any_content is not None:
                path = ("boot", "ima", "allow", index, "any_content")
                yield path, f"files {one.path} may hold anything"
