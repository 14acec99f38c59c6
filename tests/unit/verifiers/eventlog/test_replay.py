# SPDX-License-Identifier: Apache-2.0
"""Replay, register by register: states, initial values, several logs, and what is proven by it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.eventlog_lab import (
    NO_ACTION,
    Runtime,
    action,
    boot_event,
    digests,
    event2,
    ima_line,
    log_text,
    sha384,
    tcg2,
)
from tests.tdx_vectors import NOTICE, ROOT
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog import ccel, dstack, ima
from verifiers.eventlog.events import PCRS, RTMRS, Algorithm, EventLog, LogFormat, Register
from verifiers.eventlog.replay import ReplayState, demand, extend, replay
from verifiers.eventlog.tcg2 import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

ZERO = bytes(48)
BANKS = (0x04, 0x0B, 0x0C, 0x0D)


def value(*texts: bytes, start: bytes = ZERO, algorithm: str = "sha384") -> bytes:
    """A register after events whose digests are those of the texts."""
    for text in texts:
        start = hashlib.new(algorithm, start + hashlib.new(algorithm, text).digest()).digest()
    return start


def quoted(**registers: bytes) -> dict[Register, bytes]:
    return dict.fromkeys(RTMRS, ZERO) | {Register(name): one for name, one in registers.items()}


def state(logs: Sequence[EventLog], register: Register, registers: dict[Register, bytes]) -> str:
    return replay(logs, registers, Algorithm.SHA384)[register].state


LOG = ccel.parse(tcg2(action(1, b"a"), action(3, b"b"), action(1, b"c")))


def test_replayed() -> None:
    found = replay([LOG], quoted(rtmr0=value(b"a", b"c"), rtmr2=value(b"b")), Algorithm.SHA384)
    assert [found[one].state for one in RTMRS] == [ReplayState.REPLAYED] * 4
    assert found[Register.RTMR0].value == found[Register.RTMR0].computed == value(b"a", b"c")
    assert found[Register.RTMR0].proven == (LOG.events[0], LOG.events[2])
    assert (found[Register.RTMR0].count, found[Register.RTMR1].count) == (2, 0)
    assert found[Register.RTMR1].proven == ()
    assert all(one.explained for one in found.values())


def test_mismatch_proves_nothing() -> None:
    for wrong in (value(b"c", b"a"), value(b"a"), value(b"a", b"c", b"d"), ZERO):
        found = replay([LOG], quoted(rtmr0=wrong), Algorithm.SHA384)[Register.RTMR0]
        assert found.state is ReplayState.MISMATCH
        assert (found.value, found.computed) == (wrong, value(b"a", b"c"))
        assert (found.count, found.proven, found.explained) == (2, (), False)


def test_unexplained() -> None:
    found = replay([LOG], quoted(rtmr3=value(b"by hand")), Algorithm.SHA384)[Register.RTMR3]
    assert found.state is ReplayState.UNEXPLAINED
    assert (found.computed, found.count, found.explained) == (ZERO, 0, False)


def test_absent() -> None:
    found = replay([LOG], {Register.RTMR1: ZERO}, Algorithm.SHA384)
    assert found[Register.RTMR0].state is ReplayState.ABSENT
    assert (found[Register.RTMR0].value, found[Register.RTMR0].proven) == (None, ())
    assert Register.RTMR3 not in found


def test_no_log_at_all() -> None:
    found = replay([], quoted(rtmr1=value(b"x")), Algorithm.SHA384)
    assert found[Register.RTMR0].state is ReplayState.REPLAYED
    assert found[Register.RTMR1].state is ReplayState.UNEXPLAINED


def test_no_action_is_not_extended() -> None:
    log = ccel.parse(tcg2(event2(1, NO_ACTION, digests(b"x"), b""), action(1, b"a")))
    found = replay([log], quoted(rtmr0=value(b"a")), Algorithm.SHA384)[Register.RTMR0]
    assert (found.state, found.count) == (ReplayState.REPLAYED, 1)


@given(st.permutations([b"a", b"b", b"c", b"d"]))
def test_the_order_matters(order: list[bytes]) -> None:
    log = ccel.parse(tcg2(*(action(2, text) for text in order)))
    same = order == [b"a", b"b", b"c", b"d"]
    expected = ReplayState.REPLAYED if same else ReplayState.MISMATCH
    registers = quoted(rtmr1=value(b"a", b"b", b"c", b"d"))
    assert state([log], Register.RTMR1, registers) is expected


# Several logs


def runtime_log(*names: str) -> EventLog:
    return dstack.parse(log_text(*(Runtime(name).json() for name in names)))


def test_a_runtime_log_behind_the_first() -> None:
    runtime = runtime_log("app-id")
    rtmr3 = value(Runtime("app-id").preimage)
    found = replay([LOG, runtime], quoted(rtmr2=value(b"b"), rtmr3=rtmr3), Algorithm.SHA384)
    assert found[Register.RTMR2].state is ReplayState.REPLAYED
    assert found[Register.RTMR3].state is ReplayState.REPLAYED_WITH_RUNTIME_LOG
    assert found[Register.RTMR3].proven == runtime.events


def test_a_log_that_is_not_needed_proves_nothing() -> None:
    """A second log that tells of RTMR0 too: nothing shows that any of it happened."""
    other = dstack.parse(log_text(boot_event(0, digest=sha384(b"forged").hex())))
    found = replay([LOG, other], quoted(rtmr0=value(b"a", b"c")), Algorithm.SHA384)
    assert found[Register.RTMR0].proven == (LOG.events[0], LOG.events[2])
    assert found[Register.RTMR0].count == 2


def test_both_logs_of_one_register() -> None:
    line = ima_line("/bin/sh")
    hashed = bytes.fromhex(line.split()[1].decode())
    listed = ima.parse(line, Register.RTMR2, Algorithm.SHA384)
    rtmr2 = extend(Algorithm.SHA384, value(b"b"), hashed)
    found = replay([LOG, listed], quoted(rtmr2=rtmr2), Algorithm.SHA384)[Register.RTMR2]
    assert found.state is ReplayState.REPLAYED_WITH_RUNTIME_LOG
    assert found.proven == (LOG.events[1], listed.events[0])
    assert state([LOG], Register.RTMR2, quoted(rtmr2=rtmr2)) is ReplayState.MISMATCH
    assert state([listed, LOG], Register.RTMR2, quoted(rtmr2=rtmr2)) is ReplayState.MISMATCH


def test_an_ima_list_may_be_ahead_of_the_quote() -> None:
    lines = [ima_line(path) for path in ("/a", "/b", "/c")]
    listed = ima.parse(b"".join(lines), Register.RTMR2, Algorithm.SHA384)
    rtmr2 = value(b"b")
    for line in lines[:2]:
        rtmr2 = extend(Algorithm.SHA384, rtmr2, bytes.fromhex(line.split()[1].decode()))
    found = replay([LOG, listed], quoted(rtmr2=rtmr2), Algorithm.SHA384)[Register.RTMR2]
    assert found.state is ReplayState.REPLAYED_WITH_RUNTIME_LOG
    assert [event.name for event in found.proven[1:]] == ["/a", "/b"]
    assert (found.count, found.computed) == (3, rtmr2)


def test_a_log_of_the_firmware_may_not_be_ahead_of_the_quote() -> None:
    assert state([LOG], Register.RTMR0, quoted(rtmr0=value(b"a"))) is ReplayState.MISMATCH


# Banks and PCRs


@pytest.mark.parametrize("name", ["sha1", "sha256", "sha384", "sha512"])
def test_every_bank(name: str) -> None:
    algorithm = Algorithm(name)
    log = parse(tcg2(action(4, b"x", BANKS), algorithms=BANKS), LogFormat.TCG2)
    start = bytes(algorithm.size)
    pcr = value(b"x", start=start, algorithm=name)
    found = replay([log], {PCRS[4]: pcr, PCRS[16]: start}, algorithm)
    assert {one.state for one in found.values()} == {ReplayState.REPLAYED}


def test_a_log_without_the_bank() -> None:
    sm3 = tcg2(algorithms=(0x0C,)).replace(b"\x0c\x00\x30\x00", b"\x12\x00\x20\x00")
    for log, algorithm, reason in (
        (parse(sm3, LogFormat.CCEL), Algorithm.SHA384, Reason.NO_SHA384_BANK),
        (LOG, Algorithm.SHA256, Reason.INCOMPLETE),
    ):
        with pytest.raises(VerificationError) as caught:
            replay([log], {}, algorithm)
        assert caught.value.reason is reason


def test_an_algorithm_that_cannot_be_computed() -> None:
    with pytest.raises(ValueError, match="sm3"):
        replay([LOG], {}, Algorithm.SM3)


def startup(*localities: bytes) -> EventLog:
    events = [
        event2(0, NO_ACTION, digests(b"", (0x0B,)), b"StartupLocality\0" + one)
        for one in localities
    ]
    return parse(tcg2(*events, action(0, b"x", (0x0B,)), algorithms=(0x0B,)), LogFormat.TCG2)


@pytest.mark.parametrize("locality", [0, 3, 4])
def test_where_the_tpm_was_started_from(locality: int) -> None:
    start = bytes(31) + bytes([locality])
    registers = {
        PCRS[0]: value(b"x", start=start, algorithm="sha256"),
        PCRS[1]: bytes(32),
    }
    found = replay([startup(bytes([locality]))], registers, Algorithm.SHA256)
    assert {one.state for one in found.values()} == {ReplayState.REPLAYED}


@pytest.mark.parametrize("localities", [(b"\0", b"\0"), (b"",), (b"\3\0",), (b"\1",), (b"\5",)])
def test_starts_that_no_tpm_makes(localities: tuple[bytes, ...]) -> None:
    with pytest.raises(VerificationError) as caught:
        replay([startup(*localities)], {}, Algorithm.SHA256)
    assert caught.value.reason is Reason.MALFORMED


def test_only_what_extends_nothing_tells_of_the_start() -> None:
    text = b"StartupLocality\0\3"
    log = parse(tcg2(action(0, text, (0x0B,)), algorithms=(0x0B,)), LogFormat.TCG2)
    pcr = value(text, start=bytes(32), algorithm="sha256")
    assert replay([log], {PCRS[0]: pcr}, Algorithm.SHA256)[PCRS[0]].explained


def test_what_else_extends_nothing_tells_of_no_start() -> None:
    hints = [event2(0, NO_ACTION, [], text) for text in (b"SP800-155 Event\0\3", b"\4", b"")]
    log = parse(tcg2(*hints, action(0, b"x", (0x0B,)), algorithms=(0x0B,)), LogFormat.TCG2)
    pcr = value(b"x", start=bytes(32), algorithm="sha256")
    assert replay([log], {PCRS[0]: pcr}, Algorithm.SHA256)[PCRS[0]].explained


def test_a_td_has_no_startup_locality() -> None:
    hints = [event2(1, NO_ACTION, [], b"StartupLocality\0" + one) for one in (b"\3", b"\3", b"\5")]
    log = ccel.parse(tcg2(*hints, action(1, b"a")))
    assert state([log], Register.RTMR0, quoted(rtmr0=value(b"a"))) is ReplayState.REPLAYED


def test_registers_of_a_dynamic_launch_begin_with_ones() -> None:
    log = startup(b"\0")
    ones = dict.fromkeys(PCRS[16:24], b"\xff" * 32)
    found = replay([log], ones, Algorithm.SHA256)
    states = {one: found[one].state for one in PCRS[16:24]}
    replayed = dict.fromkeys(PCRS[17:23], ReplayState.REPLAYED)
    unexplained = dict.fromkeys((PCRS[16], PCRS[23]), ReplayState.UNEXPLAINED)
    assert states == replayed | unexplained


# What a caller demands


def reason(registers: dict[Register, bytes], *wanted: Register) -> Reason:
    with pytest.raises(VerificationError) as caught:
        demand(replay([LOG], registers, Algorithm.SHA384), wanted)
    return caught.value.reason


def test_demand() -> None:
    right = quoted(rtmr0=value(b"a", b"c"), rtmr2=value(b"b"))
    demand(replay([LOG], right, Algorithm.SHA384), RTMRS)
    demand(replay([LOG], right | {Register.RTMR3: value(b"x")}, Algorithm.SHA384), RTMRS[:3])
    wrong = right | {Register.RTMR0: value(b"a")}
    assert reason(wrong, *RTMRS) is Reason.REGISTER_MISMATCH
    unknown = right | {Register.RTMR3: value(b"x")}
    assert reason(unknown, *RTMRS) is Reason.INCOMPLETE
    assert reason(wrong | unknown, Register.RTMR3) is Reason.INCOMPLETE
    assert reason({}, Register.RTMR0) is Reason.INCOMPLETE
    assert reason({}, PCRS[7]) is Reason.INCOMPLETE
    assert reason({Register.RTMR2: ZERO}, *RTMRS) is Reason.REGISTER_MISMATCH


# Real logs of TPMs


def tpm_case(name: str) -> tuple[EventLog, dict[str, Any]]:
    folder = ROOT / "vtpm" / name
    if not folder.is_dir():
        pytest.skip(NOTICE)
    log = parse((folder / "event_log.bin").read_bytes(), LogFormat.TCG2)
    expected: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    return log, expected


def pcrs(stated: dict[str, str]) -> dict[Register, bytes]:
    return {PCRS[int(index)]: bytes.fromhex(one) for index, one in stated.items()}


@pytest.mark.parametrize("name", ["gce-ubuntu-2404-sevsnp-log", "gke-sp800155-log"])
def test_real_logs_of_tpms(name: str) -> None:
    log, expected = tpm_case(name)
    found = replay([log], pcrs(expected["pcrs_sha256"]), Algorithm.SHA256)
    assert {one.state for one in found.values()} == {ReplayState.REPLAYED}
    assert len(found) == len(expected["pcrs_sha256"])


@pytest.mark.parametrize("bank", ["sha1", "sha256", "sha384"])
def test_a_real_log_and_quote_of_a_tpm(bank: str) -> None:
    """PCR 10 is IMA's, and 17 to 22 were never reset: of those the log says nothing, and they explain themselves."""
    log, expected = tpm_case("gce-cos-85-nonce9009")
    quote = next(one for one in expected["quotes"] if one["bank"] == bank)
    found = replay([log], pcrs(quote["pcrs"]), Algorithm(bank))
    states = {one: found[one].state for one in PCRS}
    assert states == dict.fromkeys(PCRS, ReplayState.REPLAYED) | {PCRS[10]: ReplayState.UNEXPLAINED}
