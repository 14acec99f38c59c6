# SPDX-License-Identifier: Apache-2.0
"""Faults of a document that concern several of its values: it cannot mean what it says.

Asked by the loader once the form of every value holds. Whether a document is also wise is `policies.lint`'s question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.names import MAX_NAMES, NameKind, check_template
from policies.registers import MUST_PIN, reported_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.document import PolicyDocument
    from policies.registers import Register
    from policies.tdx_document import TdxRules
    from policies.tree import Path


def faults(document: PolicyDocument) -> Iterator[tuple[Path, str]]:
    """All of them, each with the path to point at."""
    if document.not_before and document.not_after and document.not_before >= document.not_after:
        yield ("not_after",), "not after not_before"
    match = document.match
    if match.provider is not None and (match.tee, match.provider) not in MUST_PIN:
        yield ("match", "provider"), f"evidence of {match.tee} does not come from {match.provider}"
    yield from _entries(document)
    yield from _references(document)
    if document.tdx is not None:
        yield from _tdx(document.tdx)
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
