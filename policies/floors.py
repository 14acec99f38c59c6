# SPDX-License-Identifier: Apache-2.0
"""What AMD's bulletins ask of a platform, as data: one file with a version, advisory by advisory.

A policy names advisories; which numbers that means stands here (see `policies.versioned`). A list never says more than
its sources do: a CPU model that an advisory does not name has no floor by it, and a policy that names the advisory
denies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, model_validator

from policies.model import Model
from policies.scalars import Identifier, Instant, Text
from policies.snp_document import CpuName, TcbFloor
from policies.versioned import ListFile, Versioned, newest, packaged, read_list
from verifiers.evidence import Product
from verifiers.snp.claims import PlatformBit

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Advisory", "FloorFile", "Floors", "builtin_floors", "load_floors", "newest"]


class Advisory(Model):
    """One bulletin, or one set of floors that somebody has published.

    Attributes:
        cves: CVE numbers that it is about. source: where the numbers come from.
        date: of the source. note: what is to be known about the numbers, such as who has confirmed them.
        report_version: lowest version of the report that can show the mitigation.
        platform: bits of PLATFORM_INFO that must be set.
        floors: lowest TCBs, by CPU model; other models have none by this advisory. Empty: it asks for no TCB.
        not_affected: product lines of which the advisory asks nothing.
    """

    title: Annotated[str, Field(min_length=1, max_length=200)]
    cves: tuple[Identifier, ...] = ()
    source: Annotated[str, Field(min_length=1, max_length=500)]
    date: Instant
    note: Text = ""
    report_version: int = Field(default=2, ge=2, le=5)
    platform: frozenset[PlatformBit] = frozenset()
    floors: dict[CpuName, TcbFloor] = Field(default_factory=dict)
    not_affected: frozenset[Product] = frozenset()

    @model_validator(mode="after")
    def _asks_for_something(self) -> Advisory:
        if not self.floors and not self.platform:
            raise ValueError("wants floors or bits of the platform")
        return self


class FloorFile(ListFile):
    """One version of the file."""

    advisories: dict[Identifier, Advisory] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Floors(Versioned[FloorFile]):
    """A file of floors as it was read."""

    noun: ClassVar[str] = "floors"

    @property
    def numbers(self) -> dict[str, tuple[int, ...]]:
        """What is asked for, by its place ("AMD-SB-3019.floors.19-01-1.reported.microcode"), for `lowered`.

        A bit that must be set, and a product line that is affected, is the number 1.
        """
        return {
            f"{name}.{place}": (number,)
            for name, advisory in self.file.advisories.items()
            for place, number in _numbers(advisory)
        }


def _numbers(advisory: Advisory) -> Iterator[tuple[str, int]]:
    yield "report_version", advisory.report_version
    for bit in sorted(advisory.platform):
        yield f"platform.{bit}", 1
    for product in Product:
        if product not in advisory.not_affected:
            yield f"affected.{product}", 1
    for cpu, floor in advisory.floors.items():
        for tcb, parts in floor:
            for part, number in parts or ():
                if number is not None:
                    yield f"floors.{cpu}.{tcb}.{part}", number


def load_floors(text: bytes) -> Floors:
    """Read YAML or JSON. Raises PolicyError with every fault, each with its place."""
    return Floors(*read_list(text, FloorFile))


@cache
def builtin_floors() -> Floors:
    """Those that the package brings."""
    return load_floors(packaged("amd-floors.yaml"))
