# SPDX-License-Identifier: Apache-2.0
"""Faults of the section `boot` that concern several of its values, or the evidence that the document is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.launch_rules import init_data_register
from policies.registers import Register, boot_registers, reported_by
from verifiers.evidence import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.boot_document import BootRules
    from policies.document import Match
    from policies.tree import Path
    from verifiers.eventlog import events


def faults(rules: BootRules, match: Match) -> Iterator[tuple[Path, str]]:
    """All of them, each with the path to point at."""
    places = _places(match)
    if not places and rules.wants_log:
        yield ("boot",), "a report of snp from direct has no register that a log could explain"
    for path, register in _registers(rules):
        named = Register(register.value)
        if not reported_by(named, match.tee, match.provider):
            yield path, f"evidence of {match.tee} has no {register}"
        elif named not in places:
            yield path, f"logs of {match.tee} from {match.provider} do not speak of {register}"
    yield from _events(rules)
    sizes = _sizes(match)
    for path, digests in _digests(rules):
        if sizes and any(len(one) not in sizes for one in digests):
            wanted = " or ".join(str(2 * size) for size in sorted(sizes))
            yield path, f"wants {wanted} hexadecimal digits: registers are extended with no other"
    yield from _init_data(rules, match)
    said, field = rules.chosen_at_launch, Register.MR_CONFIG_ID
    if "dstack.launch_compose_hash" in said and not field.is_of(match.tee):
        yield ("boot", "dstack", "launch_compose_hash"), f"evidence of {match.tee} has no {field}"


def _providers(match: Match) -> tuple[Provider, ...]:
    return (match.provider,) if match.provider is not None else tuple(Provider)


def _places(match: Match) -> frozenset[Register]:
    """The registers that logs of some evidence which the document is about are replayed against."""
    return frozenset().union(*(boot_registers(match.tee, one) for one in _providers(match)))


def _sizes(match: Match) -> frozenset[int]:
    """Bytes of digests that registers of this evidence are extended with."""
    return frozenset(register.length for register in _places(match))


def _registers(rules: BootRules) -> Iterator[tuple[Path, events.Register]]:
    for register in sorted(rules.require_replay or ()):
        yield ("boot", "require_replay"), register
    for index, rule in enumerate(rules.events):
        yield ("boot", "events", index, "register"), rule.register_
    for name, log in rules.reference_logs.items():
        for register in log:
            yield ("boot", "reference_logs", name, register.value), register


def _events(rules: BootRules) -> Iterator[tuple[Path, str]]:
    ids = [rule.id for rule in rules.events]
    for index, name in enumerate(ids):
        if name in ids[:index]:
            yield ("boot", "events", index, "id"), f"{name} is the id of another rule"


def _digests(rules: BootRules) -> Iterator[tuple[Path, frozenset[bytes]]]:
    for name in ("images", "cmdline_digest", "initrd_digest"):
        yield ("boot", name), getattr(rules, name) or frozenset()
    if rules.kernel_cmdline is not None:
        yield ("boot", "kernel_cmdline", "files"), rules.kernel_cmdline.files
    if rules.ima is not None:
        yield ("boot", "ima", "files"), rules.ima.files
    for index, rule in enumerate(rules.events):
        yield ("boot", "events", index, "digests"), rule.digests
    for name, log in rules.reference_logs.items():
        for register, logged in log.items():
            yield (
                ("boot", "reference_logs", name, register.value),
                frozenset(one.digest for one in logged),
            )


def _init_data(rules: BootRules, match: Match) -> Iterator[tuple[Path, str]]:
    if rules.coco is None or rules.coco.init_data is None:
        return
    sizes = {init_data_register(match.tee, one).length for one in _providers(match)}
    if any(len(one) not in sizes for one in rules.coco.init_data):
        wanted = " or ".join(str(2 * size) for size in sorted(sizes))
        yield ("boot", "coco", "init_data"), f"wants {wanted} hexadecimal digits"
