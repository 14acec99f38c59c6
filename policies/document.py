# SPDX-License-Identifier: Apache-2.0
"""The policy document: every key that exists, its type, and what holds when it is not said.

Frozen pydantic models that refuse unknown keys. A model knows the form of its own values; what concerns several of them
is looked at by `policies.loader`, and whether the whole is wise by `policies.lint`. Defaults are the strict choice:
what a document does not say is not allowed.

A date means the instant 00:00:00 UTC at its start; what holds `until` or `expires` at an instant holds before it only.
Keys are only ever added, and an added key's default keeps old documents meaning what they meant.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from policies.registers import Register
from policies.rules import RELAXABLE, WARNABLE, RuleId
from policies.scalars import (
    Duration,
    HardwareId,
    Hex6,
    Hex8,
    Hex32,
    Hex48,
    Identifier,
    Instant,
    Reason,
    Slug,
    Svn,
    Text,
)
from verifiers.evidence import Provider, Tee
from verifiers.tcb import TcbStatus
from verifiers.tdx.claims import TdAttribute

MAX_LIFETIME = timedelta(days=7)  # of a certificate, whatever the policy says
MAX_STALE = timedelta(
    days=30
)  # of collateral past its next update: one whole lifetime of Intel's lists

# XFAM: x87 and SSE are always on; other bits than these are not architectural yet (Intel TDX module ABI, XFAM)
XFAM_REQUIRED = bytes.fromhex("0000000000000003")
XFAM_ALLOWED = bytes.fromhex("000000000006dbe7")


class Model(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _at_most(limit: timedelta, at_least: timedelta = timedelta()) -> AfterValidator:
    def check(value: timedelta) -> timedelta:
        if not at_least <= value <= limit:
            raise ValueError(f"wants {at_least} to {limit}")
        return value

    return AfterValidator(check)


def _one_of(allowed: frozenset[RuleId], what: str) -> AfterValidator:
    def check(rule: RuleId) -> RuleId:
        if rule not in allowed:
            raise ValueError(f"this rule cannot be {what}; these can: {', '.join(sorted(allowed))}")
        return rule

    return AfterValidator(check)


def _acceptable(status: TcbStatus) -> TcbStatus:
    if status in (TcbStatus.UP_TO_DATE, TcbStatus.REVOKED, TcbStatus.UNKNOWN):
        raise ValueError("UpToDate is always accepted; Revoked and Unknown never are")
    return status


def _one_or_more(value: object) -> object:
    """A single value stands for a list of one."""
    return [value] if isinstance(value, str) else value


def _not_empty(values: tuple[bytes, ...]) -> tuple[bytes, ...]:
    if not values:
        raise ValueError("wants at least one value")
    return values


Relaxable: TypeAlias = Annotated[RuleId, _one_of(RELAXABLE, "relaxed")]
Warnable: TypeAlias = Annotated[RuleId, _one_of(WARNABLE, "made a warning")]
ToleratedStatus: TypeAlias = Annotated[TcbStatus, AfterValidator(_acceptable)]
Values: TypeAlias = Annotated[
    tuple[Hex48, ...],
    Field(strict=False),
    BeforeValidator(_one_or_more),
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
    """One release: all its registers must match together, each with one of its values."""

    id: Identifier
    values: dict[Register, Values] = Field(min_length=1)
    note: Text = ""
    added: Instant | None = None
    expires: Instant | None = None
    source: Source | None = None


class Attributes(Model):
    """Named TD attributes beyond the built-in rules."""

    required: frozenset[TdAttribute] = frozenset()
    forbidden: frozenset[TdAttribute] = frozenset()
    allowed: frozenset[TdAttribute] | None = (
        None  # None: any; else these, `required` and sept-ve-disable
    )


class Xfam(Model):
    """Masks over XFAM as a 64-bit number, 16 hexadecimal digits, most significant first."""

    required: Hex8 = XFAM_REQUIRED  # x87 and SSE are required besides
    allowed: Hex8 = XFAM_ALLOWED


class ToleratedTcb(Model):
    """A TCB status besides UpToDate that is accepted.

    It is accepted at `now` if `now < until` (or no `until` is said) and every advisory id of the platform stands in
    `advisories`; an empty list tolerates a platform without advisories only.
    """

    status: ToleratedStatus
    until: Instant | None = None
    advisories: frozenset[Identifier] = frozenset()
    note: Text = ""


class Minimum(Model):
    """Lowest security version numbers, component by component. What is not said has no minimum beyond Intel's."""

    tcb_evaluation_data_number: Svn = 0
    tee_tcb_svn: tuple[Svn, ...] = Field(
        default=(), max_length=16
    )  # from index 0 on, at launch and now
    tdx_module: dict[Svn, Svn] | None = (
        None  # by module version (tee_tcb_svn[1]); others are refused
    )
    sgx_tcb_components: tuple[Svn, ...] = Field(default=(), max_length=16)  # from index 0 on
    pcesvn: Svn = 0
    qe_isvsvn: Svn = 0


class Tcb(Model):
    """Rules over Intel's judgement of the platform."""

    accept: tuple[ToleratedTcb, ...] = ()
    refuse_advisories: frozenset[Identifier] = frozenset()  # whatever the status
    minimum: Minimum = Minimum()


class CollateralPart(StrEnum):
    """Parts of Intel's collateral with a next update."""

    TCB_INFO = "tcb_info"
    QE_IDENTITY = "qe_identity"
    PCK_CRL = "pck_crl"
    ROOT_CA_CRL = "root_ca_crl"


class Platforms(Model):
    """Machines that are allowed. None: any that Intel certified."""

    fmspc: frozenset[Hex6] | None = Field(default=None, min_length=1)
    platform_instance_id: frozenset[HardwareId] = frozenset()
    ppid: frozenset[HardwareId] = frozenset()  # a machine passes if either list names it

    @property
    def lists_chips(self) -> bool:
        """Whether single machines are listed."""
        return bool(self.platform_instance_id or self.ppid)


class TdxRules(Model):
    """The section `tdx`."""

    measurements: tuple[
        Identifier, ...
    ] = ()  # names of reference sets; every one of them must match
    unpinned: dict[Register, Reason] = {}
    attributes: Attributes = Attributes()
    xfam: Xfam = Xfam()
    tcb: Tcb = Tcb()
    tolerate_stale: dict[CollateralPart, Annotated[Duration, _at_most(MAX_STALE)]] = {}
    platforms: Platforms = Platforms()


class San(Model):
    """Name templates; see `policies.names`."""

    dns: tuple[Text, ...] = ()
    uri: tuple[Text, ...] = ()


class Issue(Model):
    """What a certificate under this policy looks like."""

    profile: Slug = "default"  # what the attester must ask for
    lifetime: Annotated[Duration, _at_most(MAX_LIFETIME, timedelta(minutes=1))] = timedelta(
        hours=24
    )
    san: San = San()
    shared_name: Reason | None = None  # why machines that nothing tells apart may share a name
    withhold_chip_handle: bool = (
        False  # leave the machine's handle out: it cannot be revoked by chip then
    )


class PolicyDocument(Model):
    """One version of one policy."""

    name: Slug
    version: int = Field(ge=1, le=2**31 - 1)  # rises with every change
    description: Text = ""
    not_before: Instant | None = None
    not_after: Instant | None = None
    match: Match
    reference_sets: dict[Identifier, tuple[ReferenceEntry, ...]] = {}
    tdx: TdxRules
    relax: dict[Relaxable, Reason] = {}
    warn: dict[Warnable, Instant] = {}
    issue: Issue = Issue()
