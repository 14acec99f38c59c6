# SPDX-License-Identifier: Apache-2.0
"""What AMD's bulletins ask of a platform, as data: one file with a version, advisory by advisory.

A policy names advisories; which numbers that means stands here, so that a new bulletin is a new file and no new
program. The file of the package is only the first: a newer one wins (`newest`), and versions only rise. Everything in a
file is checked as strictly as a policy. It never says more than its sources do: a CPU model that an advisory does not
name has no floor by it, and a policy that names the advisory denies it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Annotated

from pydantic import Field, model_validator

from policies.errors import PolicyError, Problem
from policies.model import Model
from policies.reading import read
from policies.scalars import Identifier, Instant, Text
from policies.snp_document import CpuName, TcbFloor
from verifiers.evidence import Product
from verifiers.snp.claims import PlatformBit


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


class FloorFile(Model):
    """One version of the file."""

    version: int = Field(ge=1, le=2**31 - 1)  # rises with every change
    date: Instant
    description: Text = ""
    advisories: dict[Identifier, Advisory] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Floors:
    """A file with the exact bytes it was read from, which a record keeps, and their SHA-256 (32 bytes)."""

    file: FloorFile
    text: bytes = field(repr=False)
    sha256: bytes


def load_floors(text: bytes) -> Floors:
    """Read YAML or JSON. Raises PolicyError with every fault, each with its place."""
    reading = read(text, FloorFile)
    reading.check()
    return Floors(reading.value, text, hashlib.sha256(text).digest())


@cache
def builtin_floors() -> Floors:
    """Those that the package brings."""
    return load_floors(resources.files("policies").joinpath("data", "amd-floors.yaml").read_bytes())


def newest(first: Floors, *others: Floors) -> Floors:
    """The one of the highest version. Raises PolicyError if two different ones have the same version."""
    best = first
    for one in others:
        if one.file.version == best.file.version and one.sha256 != best.sha256:
            message = (
                f"floors of version {one.file.version} with other content: versions only rise, so give the file that "
                "is to win a higher one"
            )
            raise PolicyError((Problem("version", 0, 0, message),))
        if one.file.version > best.file.version:
            best = one
    return best
