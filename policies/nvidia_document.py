# SPDX-License-Identifier: Apache-2.0
"""The section `nvidia` of a policy document: which GPUs and switches a machine must have beside its CPU.

A document with it wants devices, one without takes none; the section of the CPU stands beside it whatever it says here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from policies.model import Model, StaleBudget
from policies.nvidia_versions import DriverVersions, VbiosVersions
from policies.scalars import Identifier, Reason, hex_of
from verifiers.evidence import MAX_DEVICES
from verifiers.nvidia.claims import AppraisedBy, DeviceKind, Family, Mode

MEASUREMENTS = {DeviceKind.GPU: 64, DeviceKind.SWITCH: 31}  # that a report has


def _serial(value: bytes) -> str:
    """Behind the first byte, which tells kinds of engines apart, stands what is fused into the board."""
    if not any(value[1:]):
        raise ValueError("an all-zero id names no hardware")
    return value.hex().upper()


def _exactly(said: object) -> object:
    """A single number stands for a range of one."""
    if type(said) is not int:
        return said
    if not 0 <= said <= MAX_DEVICES:
        raise ValueError(f"wants a number from 0 to {MAX_DEVICES}")
    return {"min": said, "max": said}


class Count(Model):
    """How many devices of a kind there may be, ends included."""

    min: Annotated[int, Field(ge=0, le=MAX_DEVICES)]
    max: Annotated[int, Field(ge=0, le=MAX_DEVICES)]

    @model_validator(mode="after")
    def _in_order(self) -> Count:
        if self.min > self.max:
            raise ValueError("min is above max")
        return self

    def has(self, number: int) -> bool:
        """Whether there may be so many."""
        return self.min <= number <= self.max

    def __str__(self) -> str:
        return str(self.min) if self.min == self.max else f"{self.min} to {self.max}"


DeviceSerial: TypeAlias = Annotated[str, PlainValidator(hex_of(9)), AfterValidator(_serial)]
Counted: TypeAlias = Annotated[Count, BeforeValidator(_exactly)]


def _check_numbers(rules: DriverRules | VbiosRules) -> None:
    numbers = bool(rules.advisories or rules.minimum)
    if numbers and rules.no_minimum is not None:
        raise ValueError("no_minimum contradicts advisories and minimum")
    if not numbers and rules.no_minimum is None:
        raise ValueError("wants advisories or minimum, or the reason for none as no_minimum")


class DriverRules(Model):
    """How old a GPU's driver may be: lowest versions, or the reason why there are none. One of the two is said.

    Attributes:
        advisories: of `policies.minimums`, by the name that they have there.
        minimum: own lowest versions, by branch; other branches are refused.
    """

    advisories: tuple[Identifier, ...] = ()
    minimum: DriverVersions = Field(default_factory=dict)
    no_minimum: Reason | None = None

    @model_validator(mode="after")
    def _numbers_or_a_reason(self) -> DriverRules:
        _check_numbers(self)
        return self


class VbiosRules(Model):
    """How old a device's firmware may be, likewise; of a switch its BIOS.

    Attributes:
        minimum: own lowest versions, by family; other families are refused.
    """

    advisories: tuple[Identifier, ...] = ()
    minimum: VbiosVersions = Field(default_factory=dict)
    no_minimum: Reason | None = None

    @model_validator(mode="after")
    def _numbers_or_a_reason(self) -> VbiosRules:
        _check_numbers(self)
        return self


class NvidiaPart(StrEnum):
    """Parts of NVIDIA's word on a device that can be past their time and still be taken.

    A reference manifest is none: one whose signer is out of date is refused by the verifier.
    """

    OCSP = "ocsp"  # answers about certificates of devices and of signers of manifests
    NRAS = "nras"  # tokens of NVIDIA's service, which are good for an hour


class NvidiaRules(Model):
    """The section `nvidia`.

    Attributes:
        appraisal: whose comparison with the reference manifests counts.
        gpus, switches: how many of each.
        models: families that are allowed, switches too. modes: of GPUs.
        coverage: least number of measurements of each device that were compared with a golden value, of a switch all
            where it has fewer; None: any.
        devices: serial numbers of allowed devices (L4, 18 hexadecimal digits), switches too; any device if not said.
    """

    appraisal: AppraisedBy = AppraisedBy.LOCAL
    gpus: Counted
    switches: Counted = Count(min=0, max=0)
    models: frozenset[Family] = Field(min_length=1)
    modes: frozenset[Mode] = Field(min_length=1)
    driver: DriverRules
    vbios: VbiosRules
    coverage: Annotated[int, Field(ge=1, le=max(MEASUREMENTS.values()))] | None = None
    devices: frozenset[DeviceSerial] | None = Field(default=None, min_length=1)
    tolerate_stale: dict[NvidiaPart, StaleBudget] = Field(default_factory=dict)

    @property
    def advisories(self) -> tuple[str, ...]:
        """All that are named."""
        return (*self.driver.advisories, *self.vbios.advisories)
