# SPDX-License-Identifier: Apache-2.0
"""Entries of Confidential Containers' attestation agent."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.eventlog_lab import ACTION, digests, event2, tcg2
from tests.eventlog_vectors import load
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog import ccel
from verifiers.eventlog.aael import AAEL_TAG, EV_EVENT_TAG, AaelEntry, is_aael, parse_entry


def tagged(text: bytes, tag: int = AAEL_TAG) -> bytes:
    return pack("<II", tag, len(text)) + text


def test_real_entries() -> None:
    case = load("alibaba-aael-rtmr3")
    found = {event.position: event for event in case.logs[0].events if is_aael(event)}
    stated = {one["event"]: one for one in case.expected["aael"]}
    assert found.keys() == stated.keys()
    for position, event in found.items():
        words = [stated[position][name] for name in ("domain", "operation", "content")]
        assert parse_entry(event.data) == AaelEntry(*words)


@pytest.mark.parametrize(
    ("kind", "data", "is_one"),
    [
        (EV_EVENT_TAG, tagged(b"a b c"), True),
        (EV_EVENT_TAG, tagged(b"a b c", 0x8F3B22ED), False),
        (EV_EVENT_TAG, b"LEA", False),
        (ACTION, tagged(b"a b c"), False),
    ],
)
def test_what_is_an_entry(kind: int, data: bytes, is_one: bool) -> None:  # noqa: FBT001 - expected
    log = ccel.parse(tcg2(event2(4, kind, digests(data), data)))
    assert is_aael(log.events[0]) is is_one


def test_a_content_with_spaces() -> None:
    assert parse_entry(tagged(b"github.com/x pull {} a  b ")) == AaelEntry(
        "github.com/x", "pull", "{} a  b "
    )
    assert parse_entry(tagged(b"d o ")) == AaelEntry("d", "o", "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        tagged(b"a b c")[:-1],
        tagged(b"a b c") + b"\0",
        tagged(b"a b c", 1),
        tagged(b""),
        tagged(b"a b"),
        tagged(b" b c"),
        tagged(b"a  c"),
        tagged(b"a b \xff"),
    ],
)
def test_entries_that_are_refused(data: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_entry(data)
    assert caught.value.reason is Reason.MALFORMED


WORD = st.text(st.characters(exclude_characters=" ", exclude_categories=["Cs"]), min_size=1)


@given(WORD, WORD, st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_written_is_read(domain: str, operation: str, content: str) -> None:
    text = f"{domain} {operation} {content}".encode()
    assert parse_entry(tagged(text)) == AaelEntry(domain, operation, content)
