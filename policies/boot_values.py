# SPDX-License-Identifier: Apache-2.0
"""Single values of the section `boot` as pydantic types: digests, data of events, registers, patterns, words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from policies.patterns import Pattern
from policies.scalars import hex_of
from verifiers.eventlog import events

if TYPE_CHECKING:
    from policies.model import Model

MAX_DATA = 4096  # bytes of an event's data that a policy can name
_DIGEST_SIZES = (32, 48)  # of a TPM's register, and of a TD's


def _digest(said: object) -> bytes:
    """Of SHA-256 or SHA-384; which one the register has is for `policies.consistency` to ask."""
    for size in _DIGEST_SIZES:
        if isinstance(said, str) and len(said) == 2 * size:
            return hex_of(size)(said)
    raise ValueError("wants 64 or 96 hexadecimal digits in quotes, no 0x, no spaces")


def _data(said: object) -> bytes:
    if isinstance(said, str) and not len(said) % 2 and len(said) <= 2 * MAX_DATA:
        return hex_of(len(said) // 2)(said)
    raise ValueError(f"wants at most {MAX_DATA} bytes as hexadecimal digits in quotes")


def one_or_several(said: object) -> object:
    """A single value stands for a list of one."""
    return [said] if isinstance(said, str) else said


def _extended(register: events.Register) -> events.Register:
    if register is events.Register.MRTD:
        raise ValueError("no event extends it: pin mr_td")
    return register


Digest: TypeAlias = Annotated[bytes, PlainValidator(_digest)]
Digests: TypeAlias = Annotated[
    frozenset[Digest], Field(strict=False), BeforeValidator(one_or_several)
]
SomeDigests: TypeAlias = Annotated[Digests, Field(min_length=1)]
Hex20: TypeAlias = Annotated[bytes, PlainValidator(hex_of(20))]
Data: TypeAlias = Annotated[bytes, PlainValidator(_data)]
Extended: TypeAlias = Annotated[events.Register, Field(strict=False), AfterValidator(_extended)]
Words: TypeAlias = Annotated[
    frozenset[Annotated[str, Field(min_length=1, max_length=500)]],
    Field(strict=False, min_length=1),
    BeforeValidator(one_or_several),
]
Patterns: TypeAlias = Annotated[tuple[Pattern, ...], Field(strict=False, min_length=1)]


def demand_any(rules: Model) -> None:
    """Demand that a section says something; raises ValueError."""
    if all(value in (None, {}) for _, value in rules):
        raise ValueError("asks for nothing: leave it out, or say what is accepted")
