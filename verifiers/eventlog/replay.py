# SPDX-License-Identifier: Apache-2.0
"""Replay: logs and the registers of a quote -> what each log explains, register by register.

A register starts at zero and every event makes it H(register || digest). Only this proves anything of a log: that its
digests are those that were extended, all of them, in their order. It proves no event's type, name or data.

Rules: every register is judged alone, for honest guests have registers that no log explains (Linux extends RTMR3
without writing it down, IMA extends after boot). Events of the first log come first, then those of the next; a log that
a register does not need proves nothing of that register, and none of its events are handed on as proven. A list of IMA
grows while the quote is made: the part of it that leads to the quoted value is proven, the rest is left.
Not done here: which registers a policy wants explained.

Sources: UEFI 2.11, 38.4.1; TCG TPM 2.0 Library part 1, 17.1 (extend) and 11.4 (initial values); TCG PC Client Platform
Firmware Profile 1.06, 10.4.5.3 (StartupLocality).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.events import (
    EV_NO_ACTION,
    HASHES,
    PCRS,
    Algorithm,
    Event,
    EventLog,
    LogFormat,
    Register,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_DRTM: Final = frozenset(PCRS[17:23])  # ones until a dynamic launch resets them
_STARTUP_LOCALITY: Final = b"StartupLocality\0"
_LOCALITIES: Final = (0, 3, 4)  # where a TPM can be started from


class ReplayState(StrEnum):
    """What the logs say of one register.

    replayed: the first log gives the quoted value; without any events that is the register's initial value.
    replayed-with-runtime-log: the first log and those behind it do, and it needs them.
    unexplained: the register was extended, and no log has an event for it. Nothing is contradicted, nothing is proven.
    mismatch: there are events for it, and they give another value.
    absent: there is nothing to compare with, because the quote has no value of it.
    """

    REPLAYED = "replayed"
    REPLAYED_WITH_RUNTIME_LOG = "replayed-with-runtime-log"
    UNEXPLAINED = "unexplained"
    MISMATCH = "mismatch"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One register after replay.

    Attributes:
        value: as quoted; None where the quote has none.
        computed: what all the logs give; where the register is explained, what those that it needs give.
        count: how many events lead to `computed`.
        proven: those events in their order, where the register is explained; else none. Their digests are proven, and
            nothing else of them.
    """

    state: ReplayState
    value: bytes | None
    computed: bytes
    count: int
    proven: tuple[Event, ...]

    @property
    def explained(self) -> bool:
        """Whether logs give the quoted value."""
        return self.state in _EXPLAINED


_EXPLAINED: Final = (ReplayState.REPLAYED, ReplayState.REPLAYED_WITH_RUNTIME_LOG)


def replay(
    logs: Sequence[EventLog], registers: Mapping[Register, bytes], algorithm: Algorithm
) -> dict[Register, Replayed]:
    """Replay logs against registers.

    Args:
        logs: the one of the firmware first, those of the running system behind it in the order of their writing. A
            register that needs several must not have the same event in two of them.
        registers: the values in the quote.
        algorithm: of the registers: SHA-384 for a TD, the bank for a TPM.

    Returns:
        Every register that has a quoted value or an event.

    Raises:
        VerificationError: `no-sha384-bank` where a log lacks that algorithm, `incomplete` where it lacks another;
            `malformed` where a log tells of more than one start of the TPM, or of one that no TPM makes.
        ValueError: an algorithm that cannot be computed, which no quote has.
    """
    if algorithm not in HASHES:
        raise ValueError(f"{algorithm} cannot be replayed")
    for log in logs:
        _demand_bank(log, algorithm)
    extending = [_by_register(log) for log in logs] or [{}]
    grows = [log.format is LogFormat.IMA for log in logs] or [False]
    named = dict.fromkeys([*registers, *(one for events in extending for one in events)])
    locality = _startup_locality(logs)
    return {
        register: _judge(
            registers.get(register),
            _initial(register, algorithm, locality),
            [
                (events.get(register, []), more)
                for events, more in zip(extending, grows, strict=True)
            ],
            algorithm,
        )
        for register in named
    }


def demand(replayed: Mapping[Register, Replayed], wanted: Collection[Register]) -> None:
    """Demand that logs explain the registers that are wanted.

    Raises:
        VerificationError: `register-mismatch` where a log gives another value than the quote; `incomplete` where the
            quote has no value or no log has an event.
    """
    states = {one: replayed[one].state if one in replayed else ReplayState.ABSENT for one in wanted}
    wrong = sorted(one for one, state in states.items() if state is ReplayState.MISMATCH)
    if wrong:
        raise VerificationError(
            Reason.REGISTER_MISMATCH, f"the log gives another value of {', '.join(wrong)}"
        )
    lacking = sorted(f"{one} ({state})" for one, state in states.items() if state not in _EXPLAINED)
    if lacking:
        raise VerificationError(Reason.INCOMPLETE, f"no log explains {', '.join(lacking)}")


def extend(algorithm: Algorithm, register: bytes, digest: bytes) -> bytes:
    """The register after one event."""
    return HASHES[algorithm](register + digest).digest()


def _demand_bank(log: EventLog, algorithm: Algorithm) -> None:
    if algorithm in log.algorithms:
        return
    reason = Reason.NO_SHA384_BANK if algorithm is Algorithm.SHA384 else Reason.INCOMPLETE
    raise VerificationError(
        reason, f"event log: no {algorithm} digests, only {', '.join(log.algorithms)}"
    )


def _by_register(log: EventLog) -> dict[Register, list[Event]]:
    events: defaultdict[Register, list[Event]] = defaultdict(list)
    for event in log.events:
        if event.register is not None and event.extends:
            events[event.register].append(event)
    return events


def _startup_locality(logs: Sequence[EventLog]) -> int:
    """Where the TPM was started from: the initial value of its PCR 0. An event tells it that extends nothing."""
    found = [
        event.data[len(_STARTUP_LOCALITY) :]
        for log in logs
        if log.format is LogFormat.TCG2
        for event in log.events
        if event.type == EV_NO_ACTION and event.data.startswith(_STARTUP_LOCALITY)
    ]
    if not found:
        return 0
    if len(found) > 1 or len(found[0]) != 1 or found[0][0] not in _LOCALITIES:
        raise VerificationError(
            Reason.MALFORMED, "event log: StartupLocality stands twice or names no locality"
        )
    return found[0][0]


def _initial(register: Register, algorithm: Algorithm, locality: int) -> bytes:
    if register in _DRTM:
        return b"\xff" * algorithm.size
    first = locality if register is Register.PCR0 else 0
    return first.to_bytes(algorithm.size, "big")


def _judge(
    value: bytes | None,
    initial: bytes,
    logs: Sequence[tuple[Sequence[Event], bool]],
    algorithm: Algorithm,
) -> Replayed:
    """Take one log after the other until the register has the quoted value."""
    hashed, computed = HASHES[algorithm], initial
    events: list[Event] = []
    for index, (log, grows) in enumerate(logs):
        for event in log:
            computed = hashed(computed + event.digests[algorithm]).digest()
            events.append(event)
            if grows and computed == value:
                break
        if computed == value:
            state = ReplayState.REPLAYED if index == 0 else ReplayState.REPLAYED_WITH_RUNTIME_LOG
            return Replayed(state, value, computed, len(events), tuple(events))
    return Replayed(_unexplained(value, events), value, computed, len(events), ())


def _unexplained(value: bytes | None, events: Sequence[Event]) -> ReplayState:
    if value is None:
        return ReplayState.ABSENT
    return ReplayState.MISMATCH if events else ReplayState.UNEXPLAINED
