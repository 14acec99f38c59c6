# SPDX-License-Identifier: Apache-2.0
"""Faults of a document that concern several of its values: it cannot mean what it says.

Asked by the loader once the form of every value holds. Whether a document is also wise is `policies.lint`'s question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies import boot_consistency
from policies.measurements import tells_apart
from policies.names import MAX_NAMES, NameKind, check_template
from policies.registers import MUST_PIN, SIGNERS, reported_by
from policies.rules import BOOT_RULES, DEVICE_RULES, RULES
from policies.snp_document import Components, IdBlock
from verifiers.evidence import MAX_DEVICES, Product, Provider

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from policies.document import PolicyDocument
    from policies.nvidia_document import NvidiaRules
    from policies.registers import Register
    from policies.snp_document import SnpRules
    from policies.tdx_document import TdxRules
    from policies.tree import Path

_NOT_SIGNED = (
    "anyone can write an ID block: pin id_key_digest or author_key_digest (not all zero) in every entry of a used "
    "set"
)


def faults(document: PolicyDocument) -> Iterator[tuple[Path, str]]:
    """All of them, each with the path to point at."""
    if document.not_before and document.not_after and document.not_before >= document.not_after:
        yield ("not_after",), "not after not_before"
    yield from _entries(document)
    yield from _references(document)
    yield from _softened(document)
    if document.tdx is not None:
        yield from _tdx(document.tdx)
    if document.snp is not None:
        yield from _snp(document, document.snp)
    if document.nvidia is not None:
        yield from _nvidia(document.nvidia)
    if document.boot is not None:
        yield from boot_consistency.faults(document.boot, document.match)
    if document.google is not None and document.match.provider not in (None, Provider.GOOGLE):
        yield ("google",), f"the policy is about {document.match.provider} (match.provider)"
    yield from _names(document)


def _entries(document: PolicyDocument) -> Iterator[tuple[Path, str]]:
    seen: set[str] = set()
    for name, entries in document.reference_sets.items():
        for index, entry in enumerate(entries):
            path = ("reference_sets", name, index)
            if entry.id in seen:
                yield (*path, "id"), f"{entry.id} is the id of another entry"
            seen.add(entry.id)
            for register in entry.values:
                if not reported_by(register, document.match.tee, document.match.provider):
                    yield (*path, "values", register.value), _not_reported(document, register)


def _not_reported(document: PolicyDocument, register: Register) -> str:
    provider = f" from {document.match.provider}" if document.match.provider else ""
    return f"evidence of {document.match.tee}{provider} has no {register}"


def _references(document: PolicyDocument) -> Iterator[tuple[Path, str]]:
    section, rules = document.match.tee.value, document.rules
    for index, name in enumerate(rules.measurements):
        if name not in document.reference_sets:
            yield (section, "measurements", index), f"no reference set is named {name}"
        if name in rules.measurements[:index]:
            yield (section, "measurements", index), f"{name} is listed twice"
    must = pinned_by(document)
    for register in rules.unpinned:
        if register not in must:
            yield (
                (section, "unpinned", register.value),
                f"only {_and(must)} must be pinned",
            )


def pinned_by(document: PolicyDocument) -> tuple[Register, ...]:
    """The registers that some evidence which the document is about must be pinned by."""
    match = document.match
    return tuple(
        dict.fromkeys(
            register
            for (tee, provider), registers in MUST_PIN.items()
            if tee is match.tee and match.provider in (None, provider)
            for register in registers
        )
    )


def _and(registers: tuple[Register, ...]) -> str:
    *most, last = registers
    return f"{', '.join(most)} and {last}" if most else str(last)


def _tdx(rules: TdxRules) -> Iterator[tuple[Path, str]]:
    attributes = rules.attributes
    if both := attributes.required & attributes.forbidden:
        yield ("tdx", "attributes", "forbidden"), f"required as well: {', '.join(sorted(both))}"


def _softened(document: PolicyDocument) -> Iterator[tuple[Path, str]]:
    tee = document.match.tee
    for key, rules in (("relax", document.relax), ("warn", document.warn)):
        for rule in rules:
            if rule not in RULES[tee]:
                yield (key, rule.value), f"{tee} has no such rule"
            if rule in DEVICE_RULES and document.nvidia is None:
                yield (key, rule.value), "the policy is about no devices: it has no section nvidia"
            if rule in BOOT_RULES and document.boot is None:
                yield (
                    (key, rule.value),
                    "the policy asks nothing of event logs: it has no section boot",
                )


def _snp(document: PolicyDocument, rules: SnpRules) -> Iterator[tuple[Path, str]]:
    if rules.id_block != IdBlock() and not tells_apart(document, SIGNERS):
        yield ("snp", "id_block"), _NOT_SIGNED
    yield from _twice(("snp", "tcb", "advisories"), rules.tcb.advisories)
    for target, floor in rules.tcb.minimum.items():
        for name, parts in floor:
            if isinstance(parts, Components):
                for part, message in _incomparable(target, parts):
                    yield ("snp", "tcb", "minimum", target, name, part), message


def _nvidia(rules: NvidiaRules) -> Iterator[tuple[Path, str]]:
    if not rules.gpus.max and not rules.switches.max:
        yield ("nvidia", "gpus"), "no device at all: leave the section out, which takes none"
    if rules.gpus.min + rules.switches.min > MAX_DEVICES:
        yield ("nvidia", "gpus"), f"more than {MAX_DEVICES} devices with the switches"
    yield from _twice(("nvidia", "driver", "advisories"), rules.driver.advisories)
    yield from _twice(("nvidia", "vbios", "advisories"), rules.vbios.advisories)


def _twice(path: Path, names: Sequence[str]) -> Iterator[tuple[Path, str]]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield (*path, index), f"{name} is listed twice"


def _incomparable(target: str, parts: Components) -> Iterator[tuple[str, str]]:
    if parts.microcode is not None and target in set(Product):
        yield "microcode", "compares within one CPU model only: write the floor for each model"
    without_fmc = target in (Product.MILAN, Product.GENOA) or target.startswith("19-")
    if parts.fmc is not None and without_fmc:
        yield "fmc", f"{target} has no FMC"


def _names(document: PolicyDocument) -> Iterator[tuple[Path, str]]:
    san = document.issue.san
    if len(san.dns) + len(san.uri) > MAX_NAMES:
        yield ("issue", "san"), f"more than {MAX_NAMES} names"
    if len(san.uri) > 1:  # an X509-SVID has exactly one SPIFFE id
        yield ("issue", "san", "uri"), "more than one SPIFFE id"
    for kind, templates in (("dns", san.dns), ("uri", san.uri)):
        for index, template in enumerate(templates):
            try:
                check_template(NameKind(kind), template, document.name, document.match.tee)
            except ValueError as error:
                yield ("issue", "san", kind, index), str(error)
