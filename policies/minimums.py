# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA's bulletins ask of drivers and firmware, as data: one file with a version, advisory by advisory.

A policy names advisories; which versions that means stands here (see `policies.versioned`). A list never says more than
its sources do: a branch of the driver, or a family of devices, that an advisory does not name has no version that is
good enough by it, and a policy that names the advisory refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.model import Model
from policies.nvidia_versions import DriverVersions, VbiosVersions, driver_numbers, vbios_numbers
from policies.scalars import Identifier, Instant, Text
from policies.versioned import ListFile, Versioned, newest, packaged, read_list

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Advisory", "MinimumFile", "Minimums", "builtin_minimums", "load_minimums", "newest"]


class Advisory(Model):
    """One bulletin.

    Attributes:
        source: where the numbers come from. date: of the source.
        note: what is to be known about the numbers.
        driver: lowest version of each branch; others are refused by this advisory. Empty: it gives none.
        vbios: lowest version of each family of devices, for a switch that of its BIOS; likewise.
    """

    title: Annotated[str, Field(min_length=1, max_length=200)]
    source: Annotated[str, Field(min_length=1, max_length=500)]
    date: Instant
    note: Text = ""
    driver: DriverVersions = Field(default_factory=dict)
    vbios: VbiosVersions = Field(default_factory=dict)


class MinimumFile(ListFile):
    """One version of the file."""

    advisories: dict[Identifier, Advisory] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Minimums(Versioned[MinimumFile]):
    """A file of lowest versions as it was read."""

    noun: ClassVar[str] = "minimums"

    @property
    def numbers(self) -> dict[str, tuple[int, ...]]:
        """Every version that is asked for, by its place ("nvidia-5861.driver.580"), for `lowered`."""
        return dict(_numbers(self.file))


def _numbers(file: MinimumFile) -> Iterator[tuple[str, tuple[int, ...]]]:
    for name, advisory in file.advisories.items():
        for branch, version in advisory.driver.items():
            yield f"{name}.driver.{branch}", driver_numbers(version)
        for family, version in advisory.vbios.items():
            yield f"{name}.vbios.{family}", vbios_numbers(version)


def load_minimums(text: bytes) -> Minimums:
    """Read YAML or JSON. Raises PolicyError with every fault, each with its place."""
    return Minimums(*read_list(text, MinimumFile))


@cache
def builtin_minimums() -> Minimums:
    """Those that the package brings."""
    return load_minimums(packaged("nvidia-minimums.yaml"))
