# SPDX-License-Identifier: Apache-2.0
"""Canonical event logs of Confidential Space."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.eventlog_lab import digests, record, sha384, tlv
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.cel import COS_CONTENT, CosType, parse, parse_cos
from verifiers.eventlog.events import (
    MAX_APPLICATION_EVENTS,
    MAX_LOG_BYTES,
    PCRS,
    RTMRS,
    Algorithm,
    Event,
    LogFormat,
    Register,
)

IMAGE = tlv(CosType.IMAGE_DIGEST, b"sha256:00")
RECORD = record(0, IMAGE)


def refusal(data: bytes) -> Reason:
    with pytest.raises(VerificationError) as caught:
        parse(data)
    return caught.value.reason


def with_digests(listed: list[tuple[int, bytes]], content: bytes = IMAGE, number: int = 0) -> bytes:
    values = b"".join(tlv(one, digest) for one, digest in listed)
    head = tlv(0, pack(">Q", number)) + tlv(0x6C, b"\4")
    return head + tlv(3, values) + tlv(0x50, content)


def test_every_field() -> None:
    log = parse(RECORD + record(1, tlv(CosType.LAUNCH_SEPARATOR, b"")))
    assert (log.format, log.algorithms) == (LogFormat.CEL, (Algorithm.SHA384,))
    digest = {Algorithm.SHA384: sha384(tlv(0x50, IMAGE))}
    whole = tlv(0x50, IMAGE)
    event = Event(0, Register.RTMR3, COS_CONTENT, digest, IMAGE, None, LogFormat.CEL, whole)
    assert log.events[0] == event
    assert parse_cos(event.data) == (CosType.IMAGE_DIGEST, b"sha256:00")
    assert parse_cos(log.events[1].data) == (CosType.LAUNCH_SEPARATOR, b"")
    assert log.events[1].position == 1


def test_registers() -> None:
    for index, register in enumerate(RTMRS, 1):
        assert parse(record(0, IMAGE, index=(0x6C, bytes([index])))).events[0].register is register
    for index, register in enumerate(PCRS):
        assert parse(record(0, IMAGE, index=(0x01, bytes([index])))).events[0].register is register


def test_several_algorithms() -> None:
    banks = (0x04, 0x0B, 0x0C, 0x0D)
    log = parse(with_digests(digests(tlv(0x50, IMAGE), banks)))
    assert [len(value) for value in log.events[0].digests.values()] == [20, 32, 48, 64]


def test_a_newer_content_is_read() -> None:
    assert parse_cos(parse(record(0, tlv(200, b"x"))).events[0].data) == (200, b"x")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.MALFORMED),
        (RECORD[:-1], Reason.MALFORMED),
        (RECORD + b"\0", Reason.MALFORMED),
        (record(1, IMAGE), Reason.MALFORMED),
        (RECORD * 2, Reason.MALFORMED),
        (RECORD + record(2, IMAGE), Reason.MALFORMED),
        (tlv(1, bytes(8)) + RECORD[13:], Reason.MALFORMED),
        (tlv(0, bytes(4)) + RECORD[13:], Reason.MALFORMED),
        (record(0, IMAGE, index=(0x02, b"\4")), Reason.UNSUPPORTED_FORMAT),
        (record(0, IMAGE, index=(0x6C, b"\0")), Reason.MALFORMED),
        (record(0, IMAGE, index=(0x6C, b"\5")), Reason.MALFORMED),
        (record(0, IMAGE, index=(0x6C, b"\0\4")), Reason.MALFORMED),
        (record(0, IMAGE, index=(0x6C, b"")), Reason.MALFORMED),
        (record(0, IMAGE, index=(0x01, b"\x18")), Reason.MALFORMED),
        (record(0, IMAGE, kind=0x05), Reason.UNSUPPORTED_FORMAT),
        (record(0, b""), Reason.MALFORMED),
        (record(0, IMAGE + b"\0"), Reason.MALFORMED),
        (RECORD.replace(b"\3\0\0\0\x35", b"\4\0\0\0\x35"), Reason.MALFORMED),
        (RECORD.replace(b"sha256:00", b"sha256:01"), Reason.MALFORMED),
        (with_digests([]), Reason.MALFORMED),
        (with_digests([(0x0C, bytes(32))]), Reason.MALFORMED),
        (with_digests(digests(tlv(0x50, IMAGE)) * 2), Reason.MALFORMED),
        (with_digests([(0x12, bytes(32))]), Reason.UNSUPPORTED_FORMAT),
        (with_digests([(0x27, bytes(32))]), Reason.UNSUPPORTED_FORMAT),
    ],
)
def test_logs_that_are_refused(data: bytes, reason: Reason) -> None:
    assert refusal(data) is reason


def test_records_of_differing_algorithms() -> None:
    other = with_digests(digests(tlv(0x50, IMAGE), (0x0B,)), number=1)
    assert refusal(RECORD + other) is Reason.MALFORMED


def test_limits() -> None:
    every = [record(number, IMAGE) for number in range(MAX_APPLICATION_EVENTS + 1)]
    assert len(parse(b"".join(every[:-1])).events) == MAX_APPLICATION_EVENTS
    assert refusal(b"".join(every)) is Reason.TOO_LARGE
    assert refusal(bytes(MAX_LOG_BYTES + 1)) is Reason.TOO_LARGE


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=60)), min_size=1, max_size=6))
def test_what_is_written_is_read(contents: list[tuple[int, bytes]]) -> None:
    log = parse(b"".join(record(number, tlv(*one)) for number, one in enumerate(contents)))
    assert [parse_cos(event.data) for event in log.events] == contents
