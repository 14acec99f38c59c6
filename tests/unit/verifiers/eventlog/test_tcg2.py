# SPDX-License-Identifier: Apache-2.0
"""Crypto-agile logs and the ACPI table beside them: every field from its place, and all that must be refused."""

from __future__ import annotations

import hashlib
from struct import pack
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.eventlog_lab import (
    ACTION,
    NO_ACTION,
    SIZES,
    acpi_table,
    action,
    digests,
    event2,
    first,
    sha384,
    spec_id,
    tcg2,
)
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog import ccel
from verifiers.eventlog.events import (
    CCMRS,
    MAX_DIGESTS,
    MAX_EVENTS,
    MAX_LOG_BYTES,
    PCRS,
    RTMRS,
    Algorithm,
    Event,
    LogFormat,
    Register,
)
from verifiers.eventlog.tcg2 import parse

EVENT = action(1, b"x")
SHA384_BANK = [(0x0C, 48)]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def refusal(data: bytes) -> Reason:
    with pytest.raises(VerificationError) as caught:
        parse(data, LogFormat.CCEL)
    return caught.value.reason


def test_every_field() -> None:
    log = parse(tcg2(action(1, b"one"), event2(4, 6, digests(b"d"), b"tag")), LogFormat.CCEL)
    assert log.format is LogFormat.CCEL
    assert log.algorithms == (Algorithm.SHA384,)
    digest = {Algorithm.SHA384: sha384(b"one")}
    ours = Event(0, Register.RTMR0, ACTION, digest, b"one", None, LogFormat.CCEL)
    assert log.events[0] == ours
    other = log.events[1]
    assert (other.position, other.register, other.type) == (1, Register.RTMR3, 6)
    assert (other.digests, other.data) == ({Algorithm.SHA384: sha384(b"d")}, b"tag")


def test_the_index_is_that_of_the_event() -> None:
    log = parse(tcg2(*(action(index, b"") for index in range(1, 5))), LogFormat.CCEL)
    assert tuple(event.register for event in log.events) == RTMRS == CCMRS[1:]
    log = parse(tcg2(*(action(index, b"") for index in range(24))), LogFormat.TCG2)
    assert tuple(event.register for event in log.events) == PCRS
    assert {event.source for event in log.events} == {log.format} == {LogFormat.TCG2}


def test_several_banks() -> None:
    banks = tuple(SIZES)
    log = parse(tcg2(action(0, b"x", banks), algorithms=banks), LogFormat.TCG2)
    assert log.algorithms == tuple(Algorithm(name) for name, _ in SIZES.values())
    assert [len(value) for value in log.events[0].digests.values()] == [20, 32, 48, 64]


def test_digests_in_another_order_than_the_headers() -> None:
    """Each is of the algorithm that stands before it."""
    banks = (0x0B, 0x0C)
    log = parse(
        tcg2(action(0, b"x", banks), action(0, b"x", banks[::-1]), algorithms=banks),
        LogFormat.TCG2,
    )
    right, other = (event.digests for event in log.events)
    assert right == other == {Algorithm.SHA256: sha256(b"x"), Algorithm.SHA384: sha384(b"x")}


def test_a_digest_of_another_algorithm_of_the_same_size() -> None:
    of_sm3 = event2(0, ACTION, [(0x12, bytes(32))], b"x")
    with pytest.raises(VerificationError, match="not in the header") as caught:
        parse(tcg2(of_sm3, algorithms=(0x0B,)), LogFormat.TCG2)
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("byte", [b"\xff", b"\0"])
def test_padding_ends_the_log(byte: bytes) -> None:
    assert len(parse(tcg2(EVENT, end=byte * 8), LogFormat.CCEL).events) == 1
    assert len(parse(tcg2(EVENT, end=byte * 8 + EVENT), LogFormat.CCEL).events) == 1
    assert refusal(tcg2(EVENT, end=byte * 7)) is Reason.MALFORMED
    assert refusal(tcg2(EVENT, end=byte * 7 + b"\x7f" + byte * 8)) is Reason.MALFORMED


def test_an_end_without_padding() -> None:
    assert len(parse(tcg2(EVENT), LogFormat.CCEL).events) == 1
    assert parse(tcg2(), LogFormat.CCEL).events == ()


def test_vendor_information_is_passed_over() -> None:
    log = parse(first(spec_id(SHA384_BANK, b"vendor")) + EVENT, LogFormat.CCEL)
    assert len(log.events) == 1


@pytest.mark.parametrize("index", [0, 1, 5, 0xFFFFFFFF])
def test_no_action_extends_nothing_wherever_it_stands(index: int) -> None:
    log = parse(tcg2(event2(index, NO_ACTION, digests(b"x"), b"hint")), LogFormat.CCEL)
    event = log.events[0]
    assert event.register is (CCMRS[index] if index < 5 else None)
    assert not event.extends
    assert event.data == b"hint"


def test_no_action_may_lack_digests() -> None:
    log = parse(tcg2(event2(0, NO_ACTION, [], b"hint")), LogFormat.TCG2)
    assert log.events[0].digests == {}


def test_a_size_that_looks_like_an_algorithm() -> None:
    """No digests, and 12 bytes of data: the size of these is SHA-384's identifier."""
    hint = event2(0, NO_ACTION, [], b"twelve bytes")
    log = parse(tcg2(hint, EVENT, action(2, bytes(40))), LogFormat.CCEL)
    assert [event.data for event in log.events] == [b"twelve bytes", b"x", bytes(40)]
    assert log.events[0].digests == {}


@pytest.mark.parametrize("kind", [LogFormat.CCEL, LogFormat.TCG2])
def test_registers_that_nothing_extends(
    kind: Literal[LogFormat.CCEL, LogFormat.TCG2],
) -> None:
    for index in (0, 5) if kind is LogFormat.CCEL else (24, 0xFFFFFFFF):
        with pytest.raises(VerificationError) as caught:
            parse(tcg2(action(index, b"x")), kind)
        assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", Reason.MALFORMED),
        (first(spec_id(SHA384_BANK), kind=ACTION), Reason.MALFORMED),
        (first(spec_id(SHA384_BANK), digest=bytes(19) + b"\1"), Reason.MALFORMED),
        (first(b"Spec ID Event02\0"), Reason.UNSUPPORTED_FORMAT),
        (first(b"Spec ID Event03"), Reason.MALFORMED),
        (first(spec_id([])), Reason.MALFORMED),
        (first(spec_id(SHA384_BANK * 9)), Reason.MALFORMED),
        (first(spec_id(SHA384_BANK * 2)), Reason.MALFORMED),
        (first(spec_id([(0x0C, 32)])), Reason.MALFORMED),
        (first(spec_id([(0x28, 48)])), Reason.UNSUPPORTED_FORMAT),
        (first(spec_id(SHA384_BANK) + b"\0"), Reason.MALFORMED),
        (first(spec_id(SHA384_BANK)[:-1]), Reason.MALFORMED),
        (first(spec_id(SHA384_BANK)[:-1] + b"\xff"), Reason.MALFORMED),
    ],
)
def test_headers_that_are_refused(head: bytes, reason: Reason) -> None:
    assert refusal(head + EVENT) is reason


def test_how_many_algorithms_a_header_has() -> None:
    """Counted before any is looked at, and in a log without events too."""
    assert refusal(first(spec_id([]))) is Reason.MALFORMED
    unknown = [(0x28, 48)]
    assert refusal(first(spec_id(unknown * MAX_DIGESTS))) is Reason.UNSUPPORTED_FORMAT
    assert refusal(first(spec_id(unknown * (MAX_DIGESTS + 1)))) is Reason.MALFORMED


@pytest.mark.parametrize(
    "event",
    [
        EVENT[:-1],
        EVENT[:11],
        event2(1, ACTION, [], b"x"),
        event2(1, ACTION, digests(b"x") * 2, b"x"),
        event2(1, ACTION, [(0x0B, bytes(32))], b"x"),
        pack("<III", 1, ACTION, 0xFFFFFFFF),
        event2(1, ACTION, digests(b"x"), b"")[:-4] + pack("<I", 0xFFFFFFFF),
    ],
)
def test_events_that_are_refused(event: bytes) -> None:
    assert refusal(tcg2(event)) is Reason.MALFORMED


def test_a_digest_that_stands_twice() -> None:
    twice = event2(1, ACTION, digests(b"x") * 2, b"x")
    assert refusal(tcg2(twice, algorithms=(0x0B, 0x0C))) is Reason.MALFORMED
    passive = event2(1, NO_ACTION, digests(b"x") * 2, b"x")
    assert refusal(tcg2(passive, algorithms=(0x0B, 0x0C))) is Reason.MALFORMED


def test_an_event_without_one_of_the_banks() -> None:
    assert refusal(tcg2(EVENT, algorithms=(0x0B, 0x0C))) is Reason.MALFORMED


def test_limits() -> None:
    assert len(parse(tcg2(*[EVENT] * MAX_EVENTS), LogFormat.CCEL).events) == MAX_EVENTS
    assert refusal(tcg2(*[EVENT] * (MAX_EVENTS + 1))) is Reason.TOO_LARGE
    start = len(tcg2())
    assert parse(tcg2(end=b"\xff" * (MAX_LOG_BYTES - start)), LogFormat.CCEL).events == ()
    assert refusal(tcg2(end=b"\xff" * (MAX_LOG_BYTES - start + 1))) is Reason.TOO_LARGE
    assert refusal(bytes(MAX_LOG_BYTES + 1)) is Reason.TOO_LARGE


@given(st.lists(st.tuples(st.integers(1, 4), st.binary(max_size=40)), max_size=8))
def test_what_is_written_is_read(written: list[tuple[int, bytes]]) -> None:
    log = parse(tcg2(*(action(index, data) for index, data in written)), LogFormat.CCEL)
    assert [(event.register, event.data) for event in log.events] == [
        (CCMRS[index], data) for index, data in written
    ]


@given(st.integers(0, len(tcg2(EVENT, action(2, b"y"))) - 1))
def test_no_part_is_a_log_but_at_the_end_of_an_event(end: int) -> None:
    whole = tcg2(EVENT, action(2, b"y"))
    if end in {len(tcg2()), len(tcg2(EVENT))}:
        assert (
            parse(whole[:end], LogFormat.CCEL).events
            == parse(whole, LogFormat.CCEL).events[:1][: int(end > len(tcg2()))]
        )
    else:
        assert refusal(whole[:end]) is Reason.MALFORMED


# The ACPI table


def test_the_table() -> None:
    table = ccel.parse_table(acpi_table())
    assert table == ccel.CcelTable(ccel.CcType.TDX, 0, 65536, 0x7F000000)
    assert len(ccel.parse(tcg2(EVENT), acpi_table()).events) == 1
    assert len(ccel.parse(tcg2(EVENT)).events) == 1


def test_a_table_of_another_technology() -> None:
    assert ccel.parse_table(acpi_table(1)).cc_type is ccel.CcType.SEV
    with pytest.raises(VerificationError) as caught:
        ccel.parse(tcg2(EVENT), acpi_table(1))
    assert caught.value.reason is Reason.UNSUPPORTED_TEE


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (acpi_table()[:-1], Reason.MALFORMED),
        (acpi_table() + b"\0", Reason.MALFORMED),
        (acpi_table(signature=b"TPM2"), Reason.MALFORMED),
        (acpi_table(length=57), Reason.MALFORMED),
        (acpi_table(reserved=1), Reason.MALFORMED),
        (acpi_table()[:-1] + b"\1", Reason.MALFORMED),
        (acpi_table(0), Reason.UNSUPPORTED_TEE),
        (acpi_table(3), Reason.UNSUPPORTED_TEE),
    ],
)
def test_tables_that_are_refused(table: bytes, reason: Reason) -> None:
    with pytest.raises(VerificationError) as caught:
        ccel.parse_table(table)
    assert caught.value.reason is reason
