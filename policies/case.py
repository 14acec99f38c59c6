# SPDX-License-Identifier: Apache-2.0
"""What rules look at, in one value: the claims, what the policy says about them, the instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from policies.result import RuleResult

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from policies.document import PolicyDocument
    from policies.floors import Advisory
    from policies.snp_document import SnpRules
    from policies.tdx_document import TdxRules
    from verifiers.claims import Claims
    from verifiers.snp.claims import SnpClaims
    from verifiers.tdx.claims import TdxClaims


@dataclass(frozen=True, slots=True)
class Case:
    """One appraisal, for rules over every technology. `now` is timezone-aware UTC."""

    claims: Claims
    document: PolicyDocument
    now: datetime


@dataclass(frozen=True, slots=True)
class TdxCase:
    """TDX claims and the section `tdx`, for the rules over TDX."""

    claims: TdxClaims
    rules: TdxRules
    now: datetime


@dataclass(frozen=True, slots=True)
class SnpCase:
    """SNP claims and the section `snp`, for the rules over SNP. `advisories`: of the floors that the policy asks."""

    claims: SnpClaims
    rules: SnpRules
    advisories: Mapping[str, Advisory]
    now: datetime


def passed(good: bool) -> RuleResult:  # noqa: FBT001  a comparison, read where it stands
    """`pass` or `fail`."""
    return RuleResult.PASS if good else RuleResult.FAIL


def names_of(values: frozenset[str] | tuple[str, ...], limit: int = 10) -> str:
    """A few names for a person, sorted; "none" if there are none."""
    shown = ", ".join(sorted(values)[:limit])
    more = f" and {len(values) - limit} more" if len(values) > limit else ""
    return (shown or "none") + more
