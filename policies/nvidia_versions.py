# SPDX-License-Identifier: Apache-2.0
"""Versions of NVIDIA's drivers and firmware: read whole, compared number by number from the left.

A driver's is decimal ("580.178.04": 4 is less than 10), and its first number is the branch. Firmware's is hexadecimal
("96.00.9F.00.01"). What is not of that form is no version and compares with nothing.
"""

from __future__ import annotations

import string
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from verifiers.nvidia.claims import Family

_DIGITS = frozenset(string.digits)
_HEX = frozenset(string.hexdigits)
_DRIVER_PARTS = 4
_VBIOS_PARTS = 5


def driver_numbers(version: str) -> tuple[int, int, int, int]:
    """Two to four decimal numbers, zeros for those that are not said. Raises ValueError."""
    parts = version.split(".")
    good = all(part and len(part) <= 5 and _DIGITS.issuperset(part) for part in parts)
    if not good or not 2 <= len(parts) <= _DRIVER_PARTS:
        raise ValueError('wants the version of a driver in quotes, such as "580.178.04"')
    first, second, third, fourth = (int(part) for part in [*parts, "0", "0"][:_DRIVER_PARTS])
    return first, second, third, fourth


def vbios_numbers(version: str) -> tuple[int, ...]:
    """Five hexadecimal numbers of two digits. Raises ValueError."""
    parts = version.split(".")
    if len(parts) != _VBIOS_PARTS or not all(
        len(part) == 2 and _HEX.issuperset(part) for part in parts
    ):
        raise ValueError('wants the version of firmware in quotes, such as "96.00.9F.00.01"')
    return tuple(int(part, 16) for part in parts)


def branch(version: str) -> str:
    """The branch that a driver's version is of, e.g. "580"."""
    return version.partition(".")[0]


def _driver(version: str) -> str:
    driver_numbers(version)
    return version


def _vbios(version: str) -> str:
    vbios_numbers(version)
    return version


def _of_their_branches(versions: dict[str, str]) -> dict[str, str]:
    for name, version in versions.items():
        if branch(version) != name:
            raise ValueError(f'{version} is not of the branch "{name}"')
    return versions


DriverVersions: TypeAlias = Annotated[
    dict[str, Annotated[str, AfterValidator(_driver)]], AfterValidator(_of_their_branches)
]
VbiosVersions: TypeAlias = dict[Family, Annotated[str, AfterValidator(_vbios)]]
