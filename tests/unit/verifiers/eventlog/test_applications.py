# SPDX-License-Identifier: Apache-2.0
"""Applications' events that a parser would have refused: the claims do not rely on that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests import boot_lab as lab
from tests import eventlog_lab
from verifiers.eventlog import cel, dstack
from verifiers.eventlog.applications import language
from verifiers.eventlog.boot import boot_claims
from verifiers.eventlog.claims import Subject
from verifiers.eventlog.events import Algorithm, EventLog, LogFormat, Register
from verifiers.eventlog.replay import replay

SPACE = cel.parse(
    b"".join(
        eventlog_lab.record(at, eventlog_lab.tlv(kind, text))
        for at, (kind, text) in enumerate([(1, b"sha256:1"), (8, b"")])
    )
)
DSTACK = dstack.parse(
    eventlog_lab.log_text(
        *(
            eventlog_lab.Runtime(name, payload).json()
            for name, payload in (("app-id", b"a" * 20), ("system-ready", b""))
        )
    )
)
AAEL = lab.log_of([lab.aael()])


def replayed(log: EventLog) -> dict[Register, bytes]:
    values = lab.registers([])
    for event in log.events:
        digest = event.digests[Algorithm.SHA384]
        values[Register.RTMR3] = eventlog_lab.sha384(values[Register.RTMR3] + digest)
    return values


@pytest.mark.parametrize("log", [SPACE, DSTACK, AAEL], ids=["space", "dstack", "aael"])
def test_data_that_its_digest_does_not_cover(log: EventLog) -> None:
    first = log.events[0]
    forged = replace(first, hashed=None, data=b"\1\0\0\0\0" + b"LEAA\0\0\0\0" + b"e" * 11)
    if log is AAEL:
        forged = replace(first, data=lab.aael("example.org start evil").data)
    lying = EventLog(log.format, (forged, *log.events[1:]), log.algorithms)
    values = replayed(log)
    honest, found = (
        boot_claims([one], replay([one], values, Algorithm.SHA384)) for one in (log, lying)
    )
    told = (honest.dstack, honest.aael, honest.confidential_space)
    assert sum(one is not None for one in told) == 1
    assert (found.dstack, found.aael, found.confidential_space) == (None, None, None)
    assert len(found.doubts) == 1


def test_content_that_is_no_tlv() -> None:
    """Covered by its digest, and nothing that a launcher writes."""
    content = b"\1\0\0\0\7short"
    whole = eventlog_lab.tlv(0x50, content)
    digests = {Algorithm.SHA384: eventlog_lab.sha384(whole)}
    event = replace(SPACE.events[0], data=content, digests=digests, hashed=whole)
    log = EventLog(LogFormat.CEL, (event,), (Algorithm.SHA384,))
    found = boot_claims([log], replay([log], replayed(log), Algorithm.SHA384))
    assert found.confidential_space is None
    assert [one.subject for one in found.doubts] == [Subject.CONFIDENTIAL_SPACE]


def test_languages() -> None:
    assert [language(log.events[0]) for log in (SPACE, DSTACK, AAEL)] == [
        Subject.CONFIDENTIAL_SPACE,
        Subject.DSTACK,
        Subject.AAEL,
    ]
    assert language(replace(DSTACK.events[0], source=LogFormat.CCEL)) is None
    assert language(replace(DSTACK.events[0], type=4)) is None
