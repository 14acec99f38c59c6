# SPDX-License-Identifier: Apache-2.0
"""Real event logs, and some that lie: each gives the verdict, the code and the registers that are stated beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.eventlog_vectors import EventLogCase, load, names
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.eventlog import ccel
from verifiers.eventlog.events import EV_NO_ACTION, RTMRS, Algorithm, Register
from verifiers.eventlog.replay import Replayed, ReplayState, demand, replay

if TYPE_CHECKING:
    from collections.abc import Mapping

REFUSALS = {
    Reason.MALFORMED,
    Reason.UNSUPPORTED_FORMAT,
    Reason.NO_SHA384_BANK,
    Reason.REGISTER_MISMATCH,
}
WANTED = RTMRS[:3]  # the firmware and the kernel; what extends RTMR3 need not write it down


def judge(case: EventLogCase) -> tuple[Verdict, str | None, Mapping[Register, Replayed]]:
    """Verdict, code and registers of a case."""
    replayed: Mapping[Register, Replayed] = {}
    try:
        replayed = replay(case.logs, case.registers, Algorithm.SHA384)
        demand(replayed, WANTED)
    except VerificationError as error:
        return error.reason.verdict, error.reason.value, replayed
    return Verdict.VERIFIED, None, replayed


@pytest.mark.parametrize("name", names())
def test_registers(name: str) -> None:
    case = load(name)
    verdict, code, replayed = judge(case)
    states = {one: replayed[one].state if one in replayed else ReplayState.ABSENT for one in RTMRS}
    assert (verdict, code) == (case.expect["verdict"], case.expect["code"])
    assert states == case.expect["registers"]


@pytest.mark.parametrize("name", names())
def test_computed_values(name: str) -> None:
    """As somebody else computed them from the same log; where IMA's list stands beside it, without the list."""
    case = load(name)
    if Algorithm.SHA384 not in case.logs[0].algorithms:
        assert case.expect["code"] == "no-sha384-bank"
        return
    replayed = replay(case.logs[:1], case.registers, Algorithm.SHA384)
    stated = {one: case.expected[one] for one in RTMRS if one in case.expected}
    assert {one: replayed[one].computed.hex() for one in stated} == stated
    assert stated


@pytest.mark.parametrize("name", names())
def test_what_is_read_of_the_log(name: str) -> None:
    case = load(name)
    log, said = case.logs[0], case.expected.get("log", {})
    passive = [event.position for event in log.events if event.type == EV_NO_ACTION]
    assert len(log.events) == said.get("events", said.get("records", len(log.events)))
    assert len(passive) == said.get("events_not_extended", 0)
    assert list(log.algorithms) == said.get("digest_algorithms", [Algorithm.SHA384])
    assert [event.position for event in log.events] == list(range(len(log.events)))


@pytest.mark.parametrize("name", names())
def test_events_are_proven_with_their_register_only(name: str) -> None:
    case = load(name)
    _, _, replayed = judge(case)
    for register, found in replayed.items():
        assert bool(found.proven) == (found.explained and found.count > 0)
        assert all(event.register is register and event.extends for event in found.proven)
        assert found.explained == (found.computed == found.value)


def test_no_changed_byte_is_proven() -> None:
    """Of a real log: whatever byte changes, it is refused, or the same digests stand in the same registers."""
    case = load("qemu-direct-boot-tdreport")
    data = (case.folder / "ccel.bin").read_bytes()
    ours = outcome(data, case.registers)
    outcomes = []
    for position in range(case.expected["log"]["log_bytes"]):
        changed = bytearray(data)
        changed[position] ^= 0x01 if position % 2 else 0x80
        outcomes.append(outcome(bytes(changed), case.registers))
    assert all(one == ours or one in REFUSALS for one in outcomes)
    assert outcomes.count(Reason.REGISTER_MISMATCH) >= 48 * len(case.logs[0].events)
    assert outcomes.count(Reason.MALFORMED) > 0
    assert ours in outcomes  # types and data


def outcome(data: bytes, registers: Mapping[Register, bytes]) -> Reason | list[list[bytes]]:
    """Why a log is refused, or the digests that it proves, by register."""
    try:
        found = replay([ccel.parse(data)], registers, Algorithm.SHA384)
        demand(found, RTMRS)
    except VerificationError as error:
        return error.reason
    return [
        [event.digests[Algorithm.SHA384] for event in found[register].proven] for register in RTMRS
    ]
