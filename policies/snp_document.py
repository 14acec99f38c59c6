# SPDX-License-Identifier: Apache-2.0
"""The section `snp` of a policy document: every key, its type, and what holds when it is not said.

Bits of the guest policy and of the platform are protections, which a policy can require, or permissions, which it can
forbid; never the other way round. Sources: AMD publication 56860 (SEV-SNP firmware ABI), GUEST_POLICY, PLATFORM_INFO,
TCB_VERSION.
"""

from __future__ import annotations

import string
from enum import StrEnum
from typing import Annotated, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from policies.model import Model, Rules, StaleBudget
from policies.scalars import ChipId, Hex8, Hex16, Identifier, Reason, Spl
from verifiers.evidence import Product
from verifiers.snp.claims import CpuModel, GuestPolicyBit, PlatformBit

_Bit = TypeVar("_Bit", GuestPolicyBit, PlatformBit)
_HEX = frozenset(string.digits + "abcdef")

_PROTECTIONS = frozenset(
    {
        "single-socket",
        "mem-aes-256-xts",
        "rapl-dis",
        "ciphertext-hiding",
        "page-swap-disable",
        "ecc",
    }
)
_PERMISSIONS = frozenset({"smt", "cxl", "tsme", "tio"})
_NEITHER = {  # bits with a rule of their own, which holds whatever the lists say
    "debug": "the rule debug refuses it already",
    "migrate-ma": "the rule migration-agent refuses it already",
    "alias-check-complete": "the rule alias-check-missing requires it already",
    "bit-6": "its meaning is not known",
}


def _protection(bit: _Bit) -> _Bit:
    if bit not in _PROTECTIONS:
        raise ValueError(_NEITHER.get(bit, f"{bit} is a permission: it can only be forbidden"))
    return bit


def _permission(bit: _Bit) -> _Bit:
    if bit not in _PERMISSIONS:
        raise ValueError(_NEITHER.get(bit, f"{bit} is a protection: it can only be required"))
    return bit


def is_cpu_model(text: str) -> bool:
    """Whether `text` names a CPU model as `CpuModel` is printed, e.g. "19-01-1"."""
    parts = text.split("-")
    if len(parts) != 3 or not all(
        part and len(part) <= 2 and _HEX.issuperset(part) for part in parts
    ):
        return False
    family, model, stepping = (int(part, 16) for part in parts)
    return str(CpuModel(family, model, stepping)) == text


def _cpu_model(text: str) -> str:
    if not is_cpu_model(text):
        raise ValueError('wants family, model and stepping in hexadecimal digits: "19-01-1"')
    return text


def _target(text: str) -> str:
    if text not in set(Product) and not is_cpu_model(text):
        raise ValueError('wants a CPU model such as "19-01-1", or Milan, Genoa or Turin')
    return text


def _one_or_more(said: object) -> object:
    """A single level stands for a list of one."""
    return [said] if isinstance(said, int) else said


def _not_empty(levels: tuple[int, ...]) -> tuple[int, ...]:
    if not levels:
        raise ValueError("wants at least one level")
    return levels


CpuName: TypeAlias = Annotated[str, AfterValidator(_cpu_model)]
FloorTarget: TypeAlias = Annotated[str, AfterValidator(_target)]
Vmpl: TypeAlias = Annotated[int, Field(ge=0, le=3)]


class GuestPolicy(Model):
    """Named bits of the guest policy beyond the built-in rules."""

    required: frozenset[Annotated[GuestPolicyBit, AfterValidator(_protection)]] = frozenset()
    forbidden: frozenset[Annotated[GuestPolicyBit, AfterValidator(_permission)]] = frozenset()


class PlatformInfo(Model):
    """Named bits of PLATFORM_INFO beyond the built-in rules."""

    required: frozenset[Annotated[PlatformBit, AfterValidator(_protection)]] = frozenset()
    forbidden: frozenset[Annotated[PlatformBit, AfterValidator(_permission)]] = frozenset()


class Products(Model):
    """Product lines that are allowed and denied, and CPU models that are denied ("19-01-1")."""

    allow: frozenset[Product] = Field(default=frozenset(Product), min_length=1)
    deny: frozenset[Product] = frozenset()
    deny_cpus: frozenset[CpuName] = frozenset()


class MitigationVectors(Model):
    """Masks over the vectors as 64-bit numbers, 16 hexadecimal digits, most significant first: bits that are set."""

    launch: Hex8 = bytes(8)
    current: Hex8 = bytes(8)


class Vlek(Model):
    """Reports signed by a VLEK: a key of a cloud provider and a TCB, not of one chip.

    Attributes:
        csp_ids: the CSP_ID of the VLEK, compared whole; a provider has one for each region.
    """

    csp_ids: frozenset[Annotated[str, Field(min_length=1, max_length=255)]] = Field(min_length=1)


class IdBlock(Model):
    """Fields of the ID block. They are the launching host's word unless the key that signed the block is pinned."""

    guest_svn: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None  # at least
    family_id: Hex16 | None = None
    image_id: Hex16 | None = None


class Components(Model):
    """Lowest numbers of one TCB, part by part; a part that is not said has no floor."""

    fmc: Spl | None = None  # Turin
    bootloader: Spl | None = None
    tee: Spl | None = None
    snp: Spl | None = None
    microcode: Spl | None = None  # comparable within one CPU model only

    @model_validator(mode="after")
    def _says_something(self) -> Components:
        if all(said is None for _, said in self):
            raise ValueError("wants at least one part")
        return self


class TcbFloor(Model):
    """Lowest numbers of the four TCBs of a report. Only the reported one is proven by the signing key."""

    reported: Components | None = None
    committed: Components | None = None
    current: Components | None = None
    launch: Components | None = None

    @model_validator(mode="after")
    def _says_something(self) -> TcbFloor:
        if all(said is None for _, said in self):
            raise ValueError("wants at least one of reported, committed, current, launch")
        return self


class SnpTcb(Model):
    """How low a TCB may be: floors, or the reason why there are none. A document says one of the two.

    Attributes:
        advisories: floors out of `policies.floors`, by the name that they have there.
        minimum: own floors, by CPU model ("19-01-1") or by product line.
    """

    advisories: tuple[Identifier, ...] = ()
    minimum: dict[FloorTarget, TcbFloor] = Field(default_factory=dict)
    no_floor: Reason | None = None

    @model_validator(mode="after")
    def _floors_or_a_reason(self) -> SnpTcb:
        floors = bool(self.advisories or self.minimum)
        if floors and self.no_floor is not None:
            raise ValueError("no_floor contradicts advisories and minimum")
        if not floors and self.no_floor is None:
            raise ValueError("wants advisories or minimum, or the reason for none as no_floor")
        return self


class SnpPart(StrEnum):
    """Parts of AMD's collateral with a next update."""

    CRL = "crl"


class SnpRules(Rules):
    """The section `snp`.

    Attributes:
        allow_smt: whether the guest policy may allow SMT and the platform have it on.
        chips: CHIP_IDs, 64 bytes; any chip if not said.
        vlek: None refuses reports signed by a VLEK.
    """

    guest_policy: GuestPolicy = GuestPolicy()
    allow_smt: bool = True
    vmpl: Annotated[
        tuple[Vmpl, ...],
        Field(strict=False),
        BeforeValidator(_one_or_more),
        AfterValidator(_not_empty),
    ] = (0,)
    id_block: IdBlock = IdBlock()
    products: Products = Products()
    platform_info: PlatformInfo = PlatformInfo()
    mitigation_vectors: MitigationVectors = MitigationVectors()
    vlek: Vlek | None = None
    tcb: SnpTcb
    tolerate_stale: dict[SnpPart, StaleBudget] = Field(default_factory=dict)
    chips: frozenset[ChipId] | None = Field(default=None, min_length=1)

    @property
    def lists_chips(self) -> bool:
        """Whether single machines are listed."""
        return self.chips is not None
