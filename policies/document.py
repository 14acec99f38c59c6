# SPDX-License-Identifier: Apache-2.0
"""The policy document: every key that exists, its type, and what holds when it is not said.

Frozen pydantic models that refuse unknown keys; the sections of the technologies stand in `policies.tdx_document` and
`policies.snp_document`, that of devices in `policies.nvidia_document`, that of event logs in `policies.boot_document`,
that of Google's vTPM in `policies.google_document`.
A model knows the form of its own values; what
concerns several of them is looked at by `policies.consistency`, and whether the whole is wise by `policies.lint`.
Defaults are the strict choice: what a document does not say is not allowed.

A date means the instant 00:00:00 UTC at its start; what holds `until` or `expires` at an instant holds before it only.
Keys are only ever added, and an added key's default keeps old documents meaning what they meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
)

from policies.boot_document import BootRules
from policies.google_document import GoogleRules
from policies.model import Model, at_most
from policies.nvidia_document import NvidiaRules
from policies.registers import Register
from policies.rules import RELAXABLE, WARNABLE, RuleId
from policies.scalars import (
    Duration,
    Hex32,
    Identifier,
    Instant,
    Reason,
    Slug,
    Text,
    hex_of,
)
from policies.snp_document import SnpRules
from policies.tdx_document import TdxRules
from verifiers.evidence import Provider, Tee

MAX_LIFETIME = timedelta(days=7)  # of a certificate, whatever the policy says


def _one_of(allowed: frozenset[RuleId], what: str) -> AfterValidator:
    def check(rule: RuleId) -> RuleId:
        if rule not in allowed:
            raise ValueError(f"this rule cannot be {what}; these can: {', '.join(sorted(allowed))}")
        return rule

    return AfterValidator(check)


@dataclass(frozen=True, slots=True)
class _Sized:
    """A value on its way into its register, which says how long it is."""

    length: int
    said: object


_LENGTHS = {register.value: register.length for register in Register}


def _sized(values: object) -> object:
    """Every value told the length of its register; the reader of one value does not see the key."""
    if not isinstance(values, dict):
        return values
    return {name: _sized_of(_LENGTHS.get(name), said) for name, said in values.items()}


def _sized_of(length: int | None, said: object) -> object:
    """A single value stands for a list of one."""
    several = [said] if isinstance(said, str) else said
    if length is None or not isinstance(several, list):
        return several
    return [_Sized(length, one) for one in several]


def _value(sized: object) -> bytes:
    if not isinstance(sized, _Sized):
        raise ValueError("a value of no register")  # noqa: TRY004  pydantic reports ValueErrors only
    return hex_of(sized.length)(sized.said)


def _not_empty(values: tuple[bytes, ...]) -> tuple[bytes, ...]:
    if not values:
        raise ValueError("wants at least one value")
    return values


_Rules = TypeVar("_Rules", TdxRules, SnpRules)
Relaxable: TypeAlias = Annotated[RuleId, _one_of(RELAXABLE, "relaxed")]
Warnable: TypeAlias = Annotated[RuleId, _one_of(WARNABLE, "made a warning")]
Values: TypeAlias = Annotated[
    tuple[Annotated[bytes, PlainValidator(_value)], ...],
    Field(strict=False),
    AfterValidator(_not_empty),
]


class Match(Model):
    """Whose claims this policy judges. Together with `issue.profile` it selects the policy."""

    tee: Tee
    provider: Provider | None = None  # None: any


class SourceKind(StrEnum):
    """Where reference values come from."""

    CAPTURE = "capture"  # read off a machine that was trusted at that moment
    COMPUTED = "computed"  # calculated from the image
    PUBLISHED = "published"  # stated by whoever released the image


class Source(Model):
    """Origin of one reference entry, for people and audits."""

    kind: SourceKind
    sha256: Hex32 | None = None  # of the evidence, image or statement
    note: Text = ""


class ReferenceEntry(Model):
    """One release: all its registers must match together, each with one of its values.

    Attributes:
        values: by register, of that register's length.
    """

    id: Identifier
    values: Annotated[
        dict[Annotated[Register, Field(strict=False)], Values],
        Field(min_length=1),
        BeforeValidator(_sized),
    ]
    note: Text = ""
    added: Instant | None = None
    expires: Instant | None = None
    source: Source | None = None


class San(Model):
    """Name templates; see `policies.names`."""

    dns: tuple[Text, ...] = ()
    uri: tuple[Text, ...] = ()


class Issue(Model):
    """What a certificate under this policy looks like."""

    profile: Slug = "default"  # what the attester must ask for
    lifetime: Annotated[Duration, at_most(MAX_LIFETIME, timedelta(minutes=1))] = timedelta(hours=24)
    san: San = San()
    shared_name: Reason | None = None  # why machines that nothing tells apart may share a name
    # Leave handles of chips out: a revoked chip gets no certificate, but keeps what it has.
    withhold_chip_handle: bool = False


class PolicyDocument(Model):
    """One version of one policy. Of the sections of technologies, exactly that of `match.tee` is there.

    Attributes:
        nvidia: the devices that a machine must have beside its CPU; evidence of devices is refused if not said.
        boot: what its event logs have to prove; if not said, logs that come must not contradict the registers.
        google: whose VMs will do, where Google's vTPM stands beside the CPU; such evidence is refused if not said.
    """

    name: Slug
    version: int = Field(ge=1, le=2**31 - 1)  # rises with every change
    description: Text = ""
    not_before: Instant | None = None
    not_after: Instant | None = None
    match: Match
    reference_sets: dict[Identifier, tuple[ReferenceEntry, ...]] = Field(default_factory=dict)
    tdx: TdxRules | None = Field(default=None, validate_default=True)
    snp: SnpRules | None = Field(default=None, validate_default=True)
    nvidia: NvidiaRules | None = None
    boot: BootRules | None = None
    google: GoogleRules | None = None
    relax: dict[Relaxable, Reason] = Field(default_factory=dict)
    warn: dict[Warnable, Instant] = Field(default_factory=dict)
    issue: Issue = Issue()

    @field_validator("tdx", "snp")
    @classmethod
    def _of_its_technology(cls, rules: _Rules | None, info: ValidationInfo) -> _Rules | None:
        match = info.data.get("match")  # not there if it is at fault itself
        if isinstance(match, Match):
            if rules is None and info.field_name == match.tee:
                raise ValueError("required, but not said")
            if rules is not None and info.field_name != match.tee:
                raise ValueError(f"the policy is about {match.tee} (match.tee)")
        return rules

    @property
    def rules(self) -> TdxRules | SnpRules:
        """The section of `match.tee`."""
        rules = self.tdx if self.match.tee is Tee.TDX else self.snp
        if rules is None:
            raise ValueError("a document without the section of its technology")
        return rules
