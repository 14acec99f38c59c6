# SPDX-License-Identifier: Apache-2.0
"""`@record`: data classes of which a log makes thousands.

Type checkers hold them to be frozen, as all our data classes are. At run time they are not: a frozen one takes almost
five times as long to make, which would be most of the time in which a long log is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """A data class with slots, to be changed by nobody."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
