# SPDX-License-Identifier: Apache-2.0
"""What rules look at, in one value: the claims, what the policy says about them, the instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from policies.boot_text import labels
from policies.result import RuleResult
from verifiers.nvidia.claims import DeviceKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from policies import floors, minimums
    from policies.boot_document import BootRules
    from policies.document import PolicyDocument
    from policies.nvidia_document import NvidiaRules
    from policies.snp_document import SnpRules
    from policies.tdx_document import TdxRules
    from verifiers.claims import Claims
    from verifiers.eventlog.claims import BootClaims, EventClaim
    from verifiers.eventlog.events import Register
    from verifiers.eventlog.judged import Boot
    from verifiers.nvidia.claims import NvidiaClaims
    from verifiers.snp.claims import SnpClaims
    from verifiers.tdx.claims import TdxClaims


@dataclass(frozen=True, slots=True)
class Case:
    """One appraisal, for rules over every technology. `now` is timezone-aware UTC. `boot`: None where no log came."""

    claims: Claims
    document: PolicyDocument
    now: datetime
    boot: Boot | None = None


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
    advisories: Mapping[str, floors.Advisory]
    now: datetime


@dataclass(frozen=True, slots=True)
class UnverifiedDevices:
    """Evidence of devices that nobody has looked at: the policy wants none, or refuses the CPU beside them.

    `count`: how many, at least one.
    """

    count: int


@dataclass(frozen=True, slots=True)
class NvidiaCase:
    """Devices and the section `nvidia`, for the rules over them.

    Attributes:
        devices: verified, in the order of the evidence; none if no evidence of a device came.
        advisories: of the minimums that the policy asks.
    """

    devices: tuple[NvidiaClaims, ...]
    rules: NvidiaRules
    advisories: Mapping[str, minimums.Advisory]
    now: datetime

    @property
    def placed(self) -> tuple[tuple[int, NvidiaClaims], ...]:
        """Each with its place in the evidence, by which findings name it."""
        return tuple(enumerate(self.devices))

    @property
    def gpus(self) -> tuple[tuple[int, NvidiaClaims], ...]:
        """The GPUs among them."""
        return tuple(one for one in self.placed if one[1].kind is DeviceKind.GPU)


@dataclass(frozen=True, slots=True)
class BootCase:
    """Logs and the section `boot`, for the rules over what logs prove. Made by `boot_case`.

    Attributes:
        labels: by register and place what the log calls a digest that no data explain.
        registers: the events that replay, each at its place.
    """

    boot: Boot
    rules: BootRules
    labels: Mapping[tuple[str, int], str]
    registers: Mapping[Register, tuple[EventClaim, ...]]

    @property
    def claims(self) -> BootClaims:
        """What the logs prove."""
        return self.boot.claims

    def of(self, register: Register) -> tuple[EventClaim, ...]:
        """The events of one register in their order."""
        return self.registers.get(register, ())


def boot_case(boot: Boot, rules: BootRules) -> BootCase:
    """The events of all registers, sorted into them."""
    registers: dict[Register, list[EventClaim]] = {}
    for event in boot.claims.events:
        registers.setdefault(event.origin.register, []).append(event)
    sorted_in = {register: tuple(events) for register, events in registers.items()}
    return BootCase(boot, rules, labels(boot.claims), sorted_in)


def passed(good: bool) -> RuleResult:  # noqa: FBT001  a comparison, read where it stands
    """`pass` or `fail`."""
    return RuleResult.PASS if good else RuleResult.FAIL


def names_of(values: frozenset[str] | tuple[str, ...], limit: int = 10) -> str:
    """A few names for a person, sorted; "none" if there are none."""
    shown = ", ".join(sorted(values)[:limit])
    more = f" and {len(values) - limit} more" if len(values) > limit else ""
    return (shown or "none") + more
