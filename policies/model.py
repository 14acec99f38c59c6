# SPDX-License-Identifier: Apache-2.0
"""What the sections of a policy document are made of: the strict base of all models, and forms that several use.

A model knows the form of its own values. It refuses unknown keys and does not change.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from policies.registers import Register
from policies.scalars import Duration, Identifier, Reason

MAX_STALE = timedelta(
    days=30
)  # of collateral past its next update: one whole lifetime of Intel's lists


class Model(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def at_most(limit: timedelta, at_least: timedelta = timedelta()) -> AfterValidator:
    """A duration between the two, ends included."""

    def check(value: timedelta) -> timedelta:
        if not at_least <= value <= limit:
            raise ValueError(f"wants {at_least} to {limit}")
        return value

    return AfterValidator(check)


StaleBudget: TypeAlias = Annotated[Duration, at_most(MAX_STALE)]


class Rules(Model):
    """What the section of every technology says about registers.

    Attributes:
        measurements: names of reference sets; every one of them must match.
        unpinned: registers that would have to be pinned, each with the reason why they are not.
    """

    measurements: tuple[Identifier, ...] = ()
    unpinned: dict[Register, Reason] = Field(default_factory=dict)
