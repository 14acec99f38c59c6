# SPDX-License-Identifier: Apache-2.0
"""Lists that policies refer to by name: numbers out of vendors' bulletins, each list one file with a version.

A new bulletin is a new file and no new program. The file of the package is only the first: a newer one wins (`newest`),
and versions only rise. Everything in a file is checked as strictly as a policy. What a list is about stands in its own
module (`policies.floors`, `policies.minimums`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

from pydantic import Field

from policies.errors import PolicyError, Problem
from policies.model import Model
from policies.reading import read
from policies.scalars import Instant, Text

if TYPE_CHECKING:
    from collections.abc import Mapping


class ListFile(Model):
    """One version of a file, whatever is listed."""

    version: int = Field(ge=1, le=2**31 - 1)  # rises with every change
    date: Instant
    description: Text = ""


F = TypeVar("F", bound=ListFile)


@dataclass(frozen=True, slots=True)
class Versioned(Generic[F]):
    """A file with the exact bytes it was read from, which a record keeps, and their SHA-256 (32 bytes)."""

    noun: ClassVar[str]  # what is listed, for people
    file: F
    text: bytes = field(repr=False)
    sha256: bytes


Numbers: TypeAlias = "Mapping[str, tuple[int, ...]]"  # place in a file -> what is asked for there

V = TypeVar("V", bound=Versioned[Any])


def read_list(text: bytes, form: type[F]) -> tuple[F, bytes, bytes]:
    """The file, its text and digest, out of YAML or JSON. Raises PolicyError with every fault, each with its place."""
    reading = read(text, form)
    reading.check()
    return reading.value, text, hashlib.sha256(text).digest()


def packaged(name: str) -> bytes:
    """The text of the list that the package brings under this name."""
    return resources.files("policies").joinpath("data", name).read_bytes()


def newest(first: V, *others: V) -> V:
    """The one of the highest version. Raises PolicyError if two different ones have the same version."""
    best = first
    for one in others:
        if one.file.version == best.file.version and one.sha256 != best.sha256:
            message = (
                f"{one.noun} of version {one.file.version} with other content: versions only rise, so give the file "
                "that is to win a higher one"
            )
            raise PolicyError((Problem("version", 0, 0, message),))
        if one.file.version > best.file.version:
            best = one
    return best


def lowered(before: Numbers, after: Numbers) -> tuple[str, ...]:
    """Where a newer file asks for less than the one before, or for nothing more; in the order of the one before."""
    return tuple(place for place, number in before.items() if after.get(place, ()) < number)
