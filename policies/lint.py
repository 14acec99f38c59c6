# SPDX-License-Identifier: Apache-2.0
"""Whether a document that loads is also wise: asked when a policy is saved or activated, and by `attestca policy lint`.

An *error* refuses the document: it would accept code that nobody named, or let anyone take a name. A *warning* is
shown. Neither changes what `policies.appraise` does with the document.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from policies import boot_lint, google_lint, nvidia_lint
from policies.errors import Problem
from policies.floors import builtin_floors
from policies.measurements import covered, in_force, names_paravisor, tells_apart
from policies.names import INSTANCE_VARIABLES, variables_of
from policies.registers import INSTANCE, MAY_BE_ZERO, MUST_PIN, PARAVISOR, SIGNERS, Register
from policies.rules import RuleId
from policies.tree import locate, show
from verifiers.evidence import Product, Provider, Tee

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from policies.document import PolicyDocument
    from policies.loader import LoadedPolicy
    from policies.snp_document import SnpRules, SnpTcb
    from policies.tdx_document import TdxRules
    from policies.tree import Path

LONG_LIFETIME = timedelta(hours=24)

_FIXED_NAME = (
    "a fixed name: anyone can boot a public image and get it. Pin {} (not all zero) in every entry of a used set, list "
    "the machines, or give the reason as shared_name"
)

_NO_PARAVISOR = (
    "nothing names the paravisor, and the virtual TPM and its PCRs are its word alone: anyone's {} guest could "
    "vouch for a TPM of its own. Pin {} in every entry of a used set, or say match.provider: direct"
)
_PARAVISOR_BY = {
    Tee.TDX: ("TDX", "mr_td"),
    Tee.SNP: (
        "SEV-SNP",
        f"measurement, or who signed it ({' or '.join(SIGNERS)}, not all zero),",
    ),
}

_MILAN = (
    "Milan is allowed: whoever runs such a machine can forge its reports, whatever its TCB (arXiv 2605.12990); deny "
    "it, or list the chips of an operator that you trust"
)


class Severity(StrEnum):
    """`error` refuses the document, `warning` is shown."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Lint:
    """One remark, with its place in the text where that is known."""

    severity: Severity
    problem: Problem

    @property
    def is_error(self) -> bool:
        """Whether the remark refuses the document."""
        return self.severity is Severity.ERROR

    def __str__(self) -> str:
        return f"{self.severity}: {self.problem}"


def lint(policy: LoadedPolicy, now: datetime) -> tuple[Lint, ...]:
    """All remarks on the document as of `now`, in the order of the text."""
    document = policy.document
    remarks = [
        *((Severity.ERROR, path, text) for path, text in _errors(document, now)),
        *((Severity.WARNING, path, text) for path, text in _warnings(document, now)),
    ]
    found = [
        Lint(severity, Problem(show(path), *locate(policy.marks, path), text))
        for severity, path, text in remarks
    ]
    return tuple(sorted(found, key=lambda remark: (remark.problem.line, remark.problem.column)))


def _errors(document: PolicyDocument, now: datetime) -> Iterator[tuple[Path, str]]:
    pins = covered(document)
    section, rules = document.match.tee.value, document.rules
    for register in _must_pin(document):
        if register not in pins and register not in rules.unpinned:
            yield (
                (section, "measurements"),
                f"{register} is not pinned by every entry of a used set; pin it, or give the reason under unpinned",
            )
    paravisor = PARAVISOR[document.match.tee]
    if paravisor in rules.unpinned and _believes_anyones_tpm(document):
        text = _NO_PARAVISOR.format(*_PARAVISOR_BY[document.match.tee])
        yield (section, "unpinned", paravisor.value), text
    for index, name in enumerate(rules.measurements):
        if not any(in_force(entry, now) for entry in document.reference_sets[name]):
            yield (
                (section, "measurements", index),
                f"the reference set {name} has no entry in force",
            )
    if document.nvidia is not None:
        yield from nvidia_lint.errors(document.nvidia)
    if document.boot is not None:
        yield from boot_lint.errors(document, document.boot)
    yield from google_lint.errors(document)
    yield from _names(document)


def _must_pin(document: PolicyDocument) -> tuple[Register, ...]:
    """What must be pinned; of a document about every provider, what evidence of the CPU itself must be pinned by."""
    return MUST_PIN[document.match.tee, document.match.provider or Provider.DIRECT]


def _believes_anyones_tpm(document: PolicyDocument) -> bool:
    """Whether evidence of Azure's kind can pass without its paravisor being pinned, itself or by who signed it."""
    provider, named = document.match.provider, covered(document) | document.rules.unpinned.keys()
    passes = provider is Provider.AZURE or (
        provider is None and named.issuperset(MUST_PIN[document.match.tee, Provider.AZURE])
    )
    return passes and not names_paravisor(document)


def _names(document: PolicyDocument) -> Iterator[tuple[Path, str]]:
    san = document.issue.san
    if not san.dns and not san.uri:
        yield ("issue", "san"), "grants no name; a certificate needs at least one"
    if document.issue.shared_name is not None or _pins_instance(document):
        return
    for kind, templates in (("dns", san.dns), ("uri", san.uri)):
        for index, template in enumerate(templates):
            if not variables_of(template, document.match.tee) & INSTANCE_VARIABLES:
                yield ("issue", "san", kind, index), _FIXED_NAME.format(_instance(document))


def _instance(document: PolicyDocument) -> str:
    return " or ".join(sorted(one for one in INSTANCE if one.is_of(document.match.tee)))


def _pins_instance(document: PolicyDocument) -> bool:
    """Whether whatever matches was compared with a value that only this deployment has, or runs on a listed machine."""
    listed = document.rules.lists_chips and RuleId.CHIP_LIST not in document.warn
    return listed or tells_apart(document, INSTANCE)


def _warnings(document: PolicyDocument, now: datetime) -> Iterator[tuple[Path, str]]:
    if document.not_after is not None and document.not_after <= now:
        yield ("not_after",), "the policy has expired: it denies everything"
    yield from _set_warnings(document, now)
    pins = covered(document)
    for register in document.rules.unpinned:
        what = "pinned all the same" if register in pins else "left open"
        yield (document.match.tee.value, "unpinned", register.value), f"{register} is {what}"
    if document.tdx is not None:
        yield from _tdx_warnings(document.tdx, now)
    if document.snp is not None:
        yield from _snp_warnings(document.snp)
    if document.nvidia is not None:
        yield from nvidia_lint.warnings(document.nvidia)
    if document.boot is not None:
        yield from boot_lint.warnings(document, document.boot)
    yield from google_lint.warnings(document)
    yield from _softened(document, now)
    if document.issue.lifetime > LONG_LIFETIME:
        yield (
            ("issue", "lifetime"),
            f"longer than {LONG_LIFETIME}: what is revoked lives on in caches",
        )
    if document.issue.withhold_chip_handle:
        yield (
            ("issue", "withhold_chip_handle"),
            "a revoked chip gets no certificate, but keeps those that it has to their end",
        )


def _softened(document: PolicyDocument, now: datetime) -> Iterator[tuple[Path, str]]:
    for rule in document.relax:
        yield ("relax", rule.value), f"the rule {rule} is off"
    for rule, until in document.warn.items():
        state = "has ended" if until <= now else "only warns"
        yield ("warn", rule.value), f"the rule {rule} {state}"


def _tdx_warnings(rules: TdxRules, now: datetime) -> Iterator[tuple[Path, str]]:
    for index, entry in enumerate(rules.tcb.accept):
        if entry.until is not None and entry.until <= now:
            yield ("tdx", "tcb", "accept", index), f"tolerating {entry.status} has ended"


def _snp_warnings(rules: SnpRules) -> Iterator[tuple[Path, str]]:
    yield from _floor_warnings(rules.tcb)
    if rules.vlek is not None:
        yield ("snp", "vlek"), "a VLEK is no chip's: one machine of its provider can speak for all"
    if rules.vmpl != (0,):
        yield ("snp", "vmpl"), "another level than 0 does not speak for the whole guest"
    if Product.MILAN in rules.products.allow - rules.products.deny and not rules.lists_chips:
        yield ("snp", "products"), _MILAN


def _floor_warnings(tcb: SnpTcb) -> Iterator[tuple[Path, str]]:
    known = builtin_floors().file.advisories
    if tcb.no_floor is not None:
        yield ("snp", "tcb", "no_floor"), "no floor: machines with known holes are accepted"
    for index, name in enumerate(tcb.advisories):
        if name not in known:
            yield (
                ("snp", "tcb", "advisories", index),
                f"{name} is not in the list of this program: only a newer list knows it",
            )
    no_tcb = all(name in known and not known[name].floors for name in tcb.advisories)
    if tcb.advisories and not tcb.minimum and no_tcb:
        yield ("snp", "tcb", "advisories"), "none of these asks for a TCB: there is no floor"


def _set_warnings(document: PolicyDocument, now: datetime) -> Iterator[tuple[Path, str]]:
    must = frozenset(_must_pin(document))
    for name, entries in document.reference_sets.items():
        if name not in document.rules.measurements:
            yield ("reference_sets", name), f"the reference set {name} is not used"
        for index, entry in enumerate(entries):
            if not in_force(entry, now):
                yield ("reference_sets", name, index), f"{entry.id} has expired"
            for register, values in entry.values.items():
                if register in must - MAY_BE_ZERO and not all(any(value) for value in values):
                    path = ("reference_sets", name, index, "values", register.value)
                    yield path, f"{register} all zero: nothing was measured into it"
