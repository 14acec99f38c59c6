# SPDX-License-Identifier: Apache-2.0
"""Measurements against reference sets: whole releases, never a mix of them.

An entry of a set is a group: it matches if it is in force and every register it names has one of its values. A set
matches if one entry does; every set that the policy uses must match. So firmware of one release with the kernel of
another passes only if some entry says so.

Of the registers that `MUST_PIN` names for evidence of this technology and provider, each one must be named by every
entry of one of the used sets, or stand in `unpinned` with a reason; what is neither is `missing`, which denies. Behind
a paravisor no reason will do for its measurement, unless who signed it is pinned: PCRs are the paravisor's word.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from policies.case import names_of
from policies.registers import MUST_PIN, PARAVISOR, SIGNERS, Register, read
from policies.result import Finding, MatchedEntry, RuleResult
from policies.rules import RuleId
from verifiers.evidence import Provider

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from policies.case import Case
    from policies.document import PolicyDocument, ReferenceEntry
    from verifiers.claims import Claims

GROUP_LABEL = b"attestca/1 group"


@dataclass(frozen=True, slots=True)
class Measured:
    """Findings of rule `measurement`, the entries that matched, and the registers they pin."""

    findings: tuple[Finding, ...]
    matched: tuple[MatchedEntry, ...]
    pinned: tuple[tuple[Register, bytes], ...]
    unpinned: tuple[tuple[Register, str], ...]


def group_digest(entry: ReferenceEntry) -> bytes:
    """SHA-256 (32 bytes) that stands for one group in revocations.

    Over length-framed fields (u32 big-endian length, then the bytes): the label, then per register, by name, one field
    that is itself framed: the name and its values in bytewise order. Id, notes and dates take no part.
    """
    registers = (
        _frame(register.encode(), *sorted(set(values)))
        for register, values in sorted(entry.values.items())
    )
    return hashlib.sha256(_frame(GROUP_LABEL, *registers)).digest()


def _frame(*fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def covered(document: PolicyDocument) -> frozenset[Register]:
    """Registers named by every entry of at least one used set: whatever matches, they were compared."""
    found: set[Register] = set()
    for name in document.rules.measurements:
        entries = document.reference_sets[name]
        if entries:
            found.update(set.intersection(*(set(entry.values) for entry in entries)))
    return frozenset(found)


def tells_apart(document: PolicyDocument, registers: Collection[Register]) -> bool:
    """Whether every entry of some used set pins one same register of these to values that are not all zero."""
    sets = [document.reference_sets.get(name, ()) for name in document.rules.measurements]
    return any(_pinned_firmly(entries, one) for entries in sets for one in registers)


def names_paravisor(document: PolicyDocument) -> bool:
    """Whether what matches was compared with the paravisor's measurement or, of SEV-SNP, with who signed that.

    Otherwise anybody's guest can pose as one, and vouch for a virtual TPM and PCRs of its own making.
    """
    return PARAVISOR[document.match.tee] in covered(document) or tells_apart(document, SIGNERS)


def _pinned_firmly(entries: tuple[ReferenceEntry, ...], register: Register) -> bool:
    values = [entry.values.get(register, (b"",)) for entry in entries]
    return bool(values) and all(any(value) for alternatives in values for value in alternatives)


def in_force(entry: ReferenceEntry, now: datetime) -> bool:
    """Whether the entry has not expired."""
    return entry.expires is None or now < entry.expires


def measure(case: Case) -> Measured:
    """Compare the claims with every used set."""
    findings: list[Finding] = []
    matched: list[MatchedEntry] = []
    pinned: dict[Register, bytes] = {}
    for name in case.document.rules.measurements:
        entries = case.document.reference_sets[name]
        live = [entry for entry in entries if in_force(entry, case.now)]
        good = next((entry for entry in live if not differing(entry, case.claims)), None)
        if good is None:
            findings.append(_no_match(name, entries, live, case.claims))
            continue
        matched.append(MatchedEntry(name, good.id, group_digest(good)))
        seen = ((register, read(case.claims, register)) for register in good.values)
        pinned |= {register: value for register, value in seen if value is not None}
        findings.append(
            Finding(
                RuleId.MEASUREMENT,
                _path(name),
                RuleResult.PASS,
                _ids(live),
                good.id,
                until=good.expires,
            )
        )
    exempt = _exempt(case)
    must = MUST_PIN[case.claims.tee, case.claims.provider]
    pins = covered(case.document) | exempt.keys()
    findings += (_unpinned(case, register) for register in must if register not in pins)
    return Measured(
        findings=tuple(findings),
        matched=tuple(matched),
        pinned=tuple(sorted(pinned.items())),
        unpinned=tuple((r, exempt[r]) for r in must if r in exempt and r not in pinned),
    )


def _exempt(case: Case) -> dict[Register, str]:
    """Registers that the policy leaves open, each with its reason."""
    exempt = dict(case.document.rules.unpinned)
    if case.claims.provider is Provider.AZURE and not names_paravisor(case.document):
        exempt.pop(PARAVISOR[case.claims.tee], None)
    return exempt


def differing(entry: ReferenceEntry, claims: Claims) -> tuple[Register, ...]:
    """Registers of the entry whose value in the claims is none of its values, or is not reported."""
    return tuple(
        register
        for register, values in entry.values.items()
        if read(claims, register) not in values
    )


def unmatched(case: Case) -> Iterator[tuple[Sequence[ReferenceEntry], ReferenceEntry]]:
    """Of each used set that does not match and has entries in force: these, and the nearest of them."""
    for name in case.document.rules.measurements:
        live = [one for one in case.document.reference_sets[name] if in_force(one, case.now)]
        if live and all(differing(entry, case.claims) for entry in live):
            yield live, min(live, key=lambda entry: len(differing(entry, case.claims)))


def _path(set_name: str) -> str:
    return f"reference_sets.{set_name}"


def _ids(entries: list[ReferenceEntry]) -> str:
    return f"one of {names_of(tuple(entry.id for entry in entries))}"


def _unpinned(case: Case, register: Register) -> Finding:
    rules, section = case.document.rules, case.document.match.tee
    signers = [one for one in SIGNERS if one.is_of(case.claims.tee)]
    otherwise = f", or a reason under {section}.unpinned"
    if register in rules.unpinned:  # which will not do for a paravisor
        otherwise = f", or one of {' or '.join(signers)}" if signers else ""
    return Finding(
        RuleId.MEASUREMENT,
        register.path,
        RuleResult.MISSING,
        expected=f"a reference value in every entry of a used set{otherwise}",
        hint=f"the policy pins no {register}",
    )


def _no_match(
    name: str, entries: tuple[ReferenceEntry, ...], live: list[ReferenceEntry], claims: Claims
) -> Finding:
    if not entries:
        return Finding(
            RuleId.MEASUREMENT,
            _path(name),
            RuleResult.MISSING,
            expected="at least one reference entry",
            hint="the reference set is empty",
        )
    return Finding(
        RuleId.MEASUREMENT,
        _path(name),
        RuleResult.FAIL,
        expected=_ids(live),
        actual=", ".join(_values(entries, claims)),
        hint=_nearest(entries, live, claims),
    )


def _values(entries: tuple[ReferenceEntry, ...], claims: Claims) -> Iterator[str]:
    for register in sorted({register for entry in entries for register in entry.values}):
        value = read(claims, register)
        yield f"{register}={value.hex() if value is not None else 'not reported'}"


def _nearest(
    entries: tuple[ReferenceEntry, ...], live: list[ReferenceEntry], claims: Claims
) -> str:
    expired = next((entry for entry in entries if not differing(entry, claims)), None)
    if expired is not None:
        return f"matches {expired.id}, which has expired"
    if not live:
        return "every entry has expired"
    best = min(live, key=lambda entry: len(differing(entry, claims)))
    return f"nearest is {best.id}; differs in {', '.join(differing(best, claims))}"
