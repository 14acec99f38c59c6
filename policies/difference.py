# SPDX-License-Identifier: Apache-2.0
"""One difference between two policies, and how single values are compared: what is more, and what that does.

A comparison is told a path and the two values that differ there. None stands for what is not said; what that means is
the comparison's to know. Which comparison is whose stands in `policies.diff`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from policies.result import instant_text
from verifiers.nvidia.claims import AppraisedBy

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class Effect(StrEnum):
    """What a difference can do; see `policies.diff`."""

    STRICTER = "stricter"
    LOOSER = "looser"
    OTHER = "other"
    NONE = "none"


OPPOSITE: Final = {Effect.STRICTER: Effect.LOOSER, Effect.LOOSER: Effect.STRICTER}


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. `before`, `after`: what is there on one side and not on the other, as text; empty for nothing."""

    path: str
    effect: Effect
    before: str
    after: str


Found: TypeAlias = Iterator[Difference]
# Compares two values at a path. None: not said.
Comparison: TypeAlias = Callable[[str, Any, Any], Found]


def always(effect: Effect) -> Comparison:
    """Of that effect, whatever the values."""

    def compare(path: str, old: object, new: object) -> Found:
        yield Difference(path, effect, text_of(old), text_of(new))

    return compare


def members(added: Effect) -> Comparison:
    """A set; more members are of effect `added`. None is every member there could be."""

    def compare(path: str, old: Collection[object] | None, new: Collection[object] | None) -> Found:
        if old is None or new is None:
            if old or new:  # beside a list of another kind an empty one says nothing
                effect = added if new is None else OPPOSITE[added]
                yield Difference(path, effect, _any(old), _any(new))
            return
        gone = frozenset(old) - frozenset(new)
        come = frozenset(new) - frozenset(old)
        if gone:
            yield Difference(path, OPPOSITE[added], text_of(gone), "")
        if come:
            yield Difference(path, added, "", text_of(come))

    return compare


def mask(added: Effect) -> Comparison:
    """Bits of a mask, likewise."""

    def compare(path: str, old: bytes, new: bytes) -> Found:
        before, after = (int.from_bytes(mask, "big") for mask in (old, new))
        effects = [OPPOSITE[added]] if before & ~after else []
        effects += [added] if after & ~before else []
        effect = effects[0] if len(effects) == 1 else Effect.OTHER
        yield Difference(path, effect, text_of(old), text_of(new))

    return compare


def ordered(higher: Effect, none: object = None) -> Comparison:
    """Something with an order; what is not said stands for `none`, or for less than everything."""

    def compare(path: str, old: Any, new: Any) -> Found:  # noqa: ANN401 - what can be compared
        before: Any = none if old is None else old
        after: Any = none if new is None else new
        if before == after:
            return
        rises = before is None or (after is not None and before < after)
        yield Difference(path, higher if rises else OPPOSITE[higher], text_of(old), text_of(new))

    return compare


def until(path: str, old: datetime | None, new: datetime | None) -> Found:
    """An end, from which on something denies; None: never."""
    later = new is None or (old is not None and old < new)
    yield Difference(path, Effect.LOOSER if later else Effect.STRICTER, _end(old), _end(new))


def components(path: str, old: Sequence[int], new: Sequence[int]) -> Found:
    """Minimums by index; what is not said is 0."""
    length = max(len(old), len(new))
    before, after = ([*one, *[0] * (length - len(one))] for one in (old, new))
    for index, (was, now) in enumerate(zip(before, after, strict=True)):
        if was != now:
            effect = Effect.STRICTER if was < now else Effect.LOOSER
            yield Difference(f"{path}[{index}]", effect, str(was), str(now))


def fixed(path: str, old: object, new: object) -> Found:
    """One value that must be met, if it is said."""
    effect = Effect.STRICTER if old is None else Effect.LOOSER if new is None else Effect.OTHER
    yield Difference(path, effect, text_of(old), text_of(new))


def version(numbers: Callable[[str], tuple[int, ...]]) -> Comparison:
    """A lowest version; those of two lines, which differ in their first number, do not compare."""

    def compare(path: str, old: str, new: str) -> Found:
        before, after = numbers(old), numbers(new)
        if before == after:
            return
        effect = Effect.STRICTER if before < after else Effect.LOOSER
        if before[0] != after[0]:
            effect = Effect.OTHER
        yield Difference(path, effect, old, new)

    return compare


def appraisal(path: str, old: AppraisedBy, new: AppraisedBy) -> Found:
    """Two words are stricter than either of them."""
    effect = Effect.OTHER
    if AppraisedBy.BOTH in {old, new}:
        effect = Effect.STRICTER if new is AppraisedBy.BOTH else Effect.LOOSER
    yield Difference(path, effect, str(old), str(new))


# as text


def text_of(value: object) -> str:
    """A value for people; empty for what is not said."""
    return next((text(value) for kind, text in _TEXTS if isinstance(value, kind)), str(value))


def _mapping(value: Mapping[str, object]) -> str:
    parts = ((key, text_of(one)) for key, one in value.items())
    return ", ".join(f"{key}: {text}" for key, text in parts if text)


def _any(value: Collection[object] | None) -> str:
    return "any" if value is None else text_of(value)


def _end(value: datetime | None) -> str:
    return "never" if value is None else instant_text(value)


_TEXTS: Final[tuple[tuple[type, Callable[[Any], str]], ...]] = (
    (type(None), lambda _: ""),
    (bool, lambda value: str(value).lower()),
    (bytes, bytes.hex),
    (datetime, instant_text),
    (Mapping, _mapping),
    (tuple, lambda value: ", ".join(map(text_of, value))),
    (list, lambda value: ", ".join(map(text_of, value))),
    (frozenset, lambda value: ", ".join(sorted(map(text_of, value)))),
)
