# SPDX-License-Identifier: Apache-2.0
"""Replayed logs as claims are drawn from them: each event with its place in its register and what its digest covers.

Rules: only events that replay hands on as proven have a place. Marks of the boot are known by their digest, which is
proven, and never by their type or data, which are not: else a log could hide the real mark behind another type and show
a later one. The order of events of two registers is the guest's word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from verifiers.eventlog.bound import TAG_AAEL, Bound, bind, digest_of
from verifiers.eventlog.claims import Origin, Rule
from verifiers.eventlog.events import RTMRS, Algorithm, Event, LogFormat, Register
from verifiers.eventlog.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from verifiers.eventlog.events import EventLog
    from verifiers.eventlog.replay import Replayed

SEPARATORS: Final = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x01\0\0\0",
)  # PFP 1.06, 10.4.1; the last: error
EXIT_BOOT_SERVICES: Final = b"Exit Boot Services Invocation"
ACTIONS: Final = (
    b"Calling EFI Application from Boot Option",
    b"Returning from EFI Application from Boot Option",
    EXIT_BOOT_SERVICES,
    b"Exit Boot Services Returned with Success",
    b"Exit Boot Services Returned with Failure",
)


_NO_FILES: Final = frozenset((Rule.SECTION_NAME, Rule.DSTACK_V1, Rule.DSTACK_V2, Rule.CEL_CONTENT))
_TEXTS: Final = frozenset((Rule.IPL_SUFFIX, Rule.IPL_SUFFIX_NUL))
_LABEL: Final = Rule.LABEL
_IMA: Final = LogFormat.IMA
_MARKS: Final = frozenset((*SEPARATORS, *ACTIONS))
_AAEL: Final = TAG_AAEL.to_bytes(4, "little")


def _may_be_file(event: Event, bound: Bound | None) -> bool:
    """Whether what was hashed may be the content of a file or table.

    Data that a digest covers do not say so by themselves: whoever has a small initial file system can call it an action
    with these data. So only what begins as no such content does: marks, entries of lists, and texts without bytes that
    no text has, which every archive and its compression have, are none.
    """
    if bound is None:
        return True
    if bound.rule in _TEXTS:
        return not _readable(bound.data)
    if bound.rule in _NO_FILES or event.source is _IMA:
        return False
    return bound.data not in _MARKS and not bound.data.startswith(_AAEL)


def _readable(data: bytes) -> bool:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    # GRUB measures blocks of its scripts as they stand
    return text.replace("\n", " ").replace("\t", " ").isprintable()


@dataclass(frozen=True, slots=True)
class Layout:
    """Which register is for what.

    Attributes:
        firmware: variables of Secure Boot. images: EFI applications. exit: the end of boot services.
        loader: texts of boot loaders; of a TD their files too. stub: what Linux' EFI stub measures. sections: of a
            unified kernel image. application: what is measured after boot.
    """

    firmware: Register
    images: Register
    exit: Register
    loader: Register
    stub: Register
    sections: Register
    application: Register


TD: Final = Layout(
    firmware=Register.RTMR0,
    images=Register.RTMR1,
    exit=Register.RTMR1,
    loader=Register.RTMR2,
    stub=Register.RTMR2,
    sections=Register.RTMR2,
    application=RTMRS[3],
)
TPM: Final = Layout(
    firmware=Register.PCR7,
    images=Register.PCR4,
    exit=Register.PCR5,
    loader=Register.PCR8,  # what is called a text in PCR 9 is a file with that content
    stub=Register.PCR9,
    sections=Register.PCR11,
    application=Register.PCR13,
)


@record
class Proven:
    """One event that replays.

    Attributes:
        origin: where it stands, and by which rule its data are tied to it: that of `bound`, else `label`.
        digest: of the register's algorithm.
        bound: what its digest covers of its data.
        may_be_file: whether what was hashed may be the content of a file or table, under whatever label.
    """

    event: Event
    origin: Origin
    digest: bytes
    bound: Bound | None
    may_be_file: bool

    @property
    def ordinal(self) -> int:
        """Its place in its register."""
        return self.origin.ordinal

    @property
    def stripped(self) -> bool:
        """Whether it is of one of dstack's short logs, which leave the data of boot events out."""
        return self.event.source is LogFormat.DSTACK and not self.event.data

    def by(self, rule: Rule) -> Origin:
        """Where something comes from that is believed by another rule."""
        return replace(self.origin, rule=rule)


@dataclass(frozen=True, slots=True)
class Logs:
    """All logs after replay.

    Attributes:
        told: every event that extends a register, log by log, whether it replays or not. Without those of a log that a
            register does not need: they extended nothing.
        proven: by the identity (`id`) of the event, those that replay.
        registers: their events in their order, at their ordinals. A register without any has no entry.
        exit: the proven first mark of the end of boot services; None where there is none.
        before: what the log of that mark has before it, whether it replays or not.
    """

    algorithm: Algorithm
    layout: Layout
    told: tuple[Event, ...]
    proven: Mapping[int, Proven]
    registers: Mapping[Register, tuple[Proven, ...]]
    exit: Proven | None
    before: Sequence[Event]

    def of(self, register: Register) -> tuple[Proven, ...]:
        """The proven events of a register."""
        return self.registers.get(register, ())

    def find(self, event: Event) -> Proven | None:
        """The event of `told` as one that replays; None where it does not."""
        return self.proven.get(id(event))

    def before_exit(self, one: Proven) -> bool:
        """Whether the log says that an event came before the end of boot services, and that end is proven."""
        place = one.event.position
        return place < len(self.before) and self.before[place] is one.event


def gather(
    logs: Sequence[EventLog],
    replayed: Mapping[Register, Replayed],
    algorithm: Algorithm,
    layout: Layout,
) -> Logs:
    """Put events and replay together. `replayed`: of these very logs, by `replay.replay` with this algorithm."""
    registers = {
        register: tuple(
            _prove(event, register, ordinal, algorithm) for ordinal, event in enumerate(one.proven)
        )
        for register, one in replayed.items()
    }
    mark = digest_of(EXIT_BOOT_SERVICES, algorithm)
    exits = (one for one in registers.get(layout.exit, ()) if one.digest == mark)
    exit_ = next(exits, None)
    proven = {id(one.event): one for found in registers.values() for one in found}
    explained = {register for register, one in replayed.items() if one.explained}
    told = tuple(
        event
        for log in logs
        for event in log.events
        if id(event) in proven or (event.extends and event.register not in explained)
    )
    before = () if exit_ is None else _before(exit_.event, logs)
    return Logs(algorithm, layout, told, proven, registers, exit_, before)


def _before(mark: Event, logs: Sequence[EventLog]) -> Sequence[Event]:
    """The events before one, in its own log."""
    place = mark.position
    own = (log.events for log in logs if any(one is mark for one in log.events[place : place + 1]))
    return next(own)[:place]


def _prove(event: Event, register: Register, ordinal: int, algorithm: Algorithm) -> Proven:
    bound = bind(event, algorithm)
    rule = _LABEL if bound is None else bound.rule
    origin = Origin(event.source, event.position, register, ordinal, rule)
    may_be_file = _may_be_file(event, bound)
    return Proven(event, origin, event.digests[algorithm], bound, may_be_file)
