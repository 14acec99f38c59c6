# SPDX-License-Identifier: Apache-2.0
"""The form of a case for the policy: verified evidence, a document, and the rules that must deny."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from policies.appraise import appraise
from policies.errors import PolicyError
from policies.lint import lint
from policies.loader import load_policy
from simulator.snp import register
from tests.snp_lab import NOW, SnpLab

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy
    from tests.cases.snp.case import Alteration

MEASUREMENT = register("simulated SNP guest")
TWO_WORDS = "a test cluster"


@dataclass(frozen=True)
class Judged:
    """Verified evidence and a document: what must deny.

    Attributes:
        line, why: as of a `Case`. denied: the rules that deny, all of them; none if the evidence is accepted.
        make: alters the workbench. snp: members of the document's section. entry: registers of its reference entry.
        sections: other members of the document, such as `relax`.
    """

    line: int
    why: str
    denied: frozenset[str]
    make: Alteration
    snp: dict[str, Any] = field(default_factory=dict)
    entry: dict[str, str] = field(default_factory=dict)
    sections: dict[str, Any] = field(default_factory=dict)
    product: str = "Genoa"

    def rules(self) -> frozenset[str]:
        """The rules that deny."""
        lab = SnpLab.create(self.product)
        self.make(lab)
        exhibit = lab.exhibit()
        claims, policy = exhibit.verify(), document(self.snp, self.entry, **self.sections)
        return frozenset(one.rule for one in appraise(claims, policy, exhibit.at).denying)


@dataclass(frozen=True)
class Refused:
    """A document that cannot be saved. `path`: where the fault is named."""

    line: int
    why: str
    path: str
    snp: dict[str, Any]

    def faults(self) -> list[str]:
        """Where the loader, or else lint, finds a fault."""
        try:
            loaded = document(self.snp)
        except PolicyError as error:
            return [problem.path for problem in error.problems]
        return [remark.problem.path for remark in lint(loaded, NOW) if remark.is_error]


def text(snp: dict[str, Any], entry: dict[str, str] | None = None, **sections: Any) -> bytes:  # noqa: ANN401 - JSON
    """A document that accepts a report of the workbench as it is; a member of None is left out."""
    section = {"measurements": ["release"], "tcb": {"no_floor": TWO_WORDS}} | snp
    values = {"measurement": MEASUREMENT.hex()} | (entry or {})
    whole = {
        "name": "cases",
        "version": 1,
        "match": {"tee": "snp"},
        "reference_sets": {"release": [{"id": "r1", "values": values}]},
        "snp": {name: value for name, value in section.items() if value is not None},
        "issue": {
            "san": {"uri": ["spiffe://example.org/snp/{measurement_32}"]},
            "shared_name": TWO_WORDS,
        },
    }
    return json.dumps(whole | sections).encode()


def document(
    snp: dict[str, Any],
    entry: dict[str, str] | None = None,
    **sections: Any,  # noqa: ANN401 - JSON
) -> LoadedPolicy:
    return load_policy(text(snp, entry, **sections))


def denied(*rules: str) -> frozenset[str]:
    return frozenset(rules)


def fine(_: SnpLab) -> None:
    """Nothing is altered."""


ACCEPTED = denied()
