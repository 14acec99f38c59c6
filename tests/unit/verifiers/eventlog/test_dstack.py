# SPDX-License-Identifier: Apache-2.0
"""dstack's log in JSON: both digests, what may be left out, and names that nobody may rely on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.eventlog_lab import ACTION, RUNTIME, Runtime, boot_event, log_text, reply, sha384
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.dstack import Entry, log_of, parse, parse_reply, preimage_of
from verifiers.eventlog.events import (
    MAX_APPLICATION_EVENTS,
    MAX_LOG_BYTES,
    RTMRS,
    Algorithm,
    Event,
    EventLog,
    LogFormat,
    Register,
)

APP_ID = Runtime("app-id", b"\1\2\3")
APP_ID_2 = Runtime("app-id", b"\1\2\3", version=2)
V2_TEXT = b'{"name":"app-id","payload":"010203","type":134217729}'


def refusal(data: bytes) -> Reason:
    with pytest.raises(VerificationError) as caught:
        parse(data)
    return caught.value.reason


def one(event: dict[str, Any]) -> Event:
    return parse(log_text(event)).events[0]


def test_every_field() -> None:
    log = parse(log_text(boot_event(1), APP_ID.json()))
    assert (log.format, log.algorithms) == (LogFormat.DSTACK, (Algorithm.SHA384,))
    boot, runtime = log.events
    assert boot == Event(
        0, Register.RTMR1, ACTION, {Algorithm.SHA384: sha384(b"boot")}, b"", None, LogFormat.DSTACK
    )
    hashed = b"\1\0\0\x08:app-id:\1\2\3"
    digest = {Algorithm.SHA384: sha384(hashed)}
    assert runtime == Event(
        1, Register.RTMR3, RUNTIME, digest, b"\1\2\3", "app-id", LogFormat.DSTACK, hashed
    )


def test_registers_count_from_zero() -> None:
    log = parse(log_text(*(boot_event(imr) for imr in range(4))))
    assert tuple(event.register for event in log.events) == RTMRS


def test_version_2() -> None:
    event = one(APP_ID_2.json())
    assert event.digests == {Algorithm.SHA384: sha384(V2_TEXT)}
    assert (event.name, event.data) == ("app-id", b"\1\2\3")


def test_the_preimage_of_version_2_is_canonical_json() -> None:
    """Short escapes where RFC 8785 has them, lower-case hex, everything else as it is."""
    entry = Entry(3, RUNTIME, b"", '"\\/\b\f\n\r\t\x01\x7f\u00e9\U0001f980', b"\xab", version=2)
    name = '"\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f\u00e9\U0001f980"'
    assert preimage_of(entry).decode() == f'{{"name":{name},"payload":"ab","type":134217729}}'


@pytest.mark.parametrize("event", [APP_ID, APP_ID_2])
def test_what_may_be_left_out(event: Runtime) -> None:
    whole = one(event.json())
    assert one(event.json(digest="")) == whole
    for name in ("digest", "preimage"):
        rest = event.json()
        rest.pop(name, None)
        assert one(rest) == whole


def test_a_stripped_event_of_the_firmware_keeps_its_digest() -> None:
    assert refusal(log_text(boot_event(digest=""))) is Reason.MALFORMED
    assert refusal(log_text(boot_event(digest="00" * 47))) is Reason.MALFORMED
    assert refusal(log_text(boot_event(event_type=3, digest=""))) is Reason.MALFORMED


@pytest.mark.parametrize("event", [APP_ID, APP_ID_2])
@pytest.mark.parametrize("changes", [{"event": "app-ie"}, {"event_payload": "010204"}])
def test_a_lie_about_a_runtime_event(event: Runtime, changes: dict[str, str]) -> None:
    assert refusal(log_text(event.json(**changes))) is Reason.MALFORMED


def test_a_preimage_that_is_not_canonical() -> None:
    text = b'{"type":134217729,"name":"app-id","payload":"010203"}'
    event = APP_ID_2.json(preimage=text.hex(), digest=sha384(text).hex())
    assert refusal(log_text(event)) is Reason.MALFORMED
    assert refusal(log_text(APP_ID_2.json(preimage=text.hex()))) is Reason.MALFORMED


def test_one_version_does_not_pass_for_the_other() -> None:
    assert refusal(log_text(APP_ID.json(version=2))) is Reason.MALFORMED
    assert refusal(log_text(APP_ID_2.json(version=1))) is Reason.MALFORMED
    assert refusal(log_text(APP_ID.json(version=3))) is Reason.UNSUPPORTED_FORMAT
    assert refusal(log_text(APP_ID.json(version=0))) is Reason.UNSUPPORTED_FORMAT


def test_names_that_could_end_elsewhere() -> None:
    """The same bytes, cut in two ways: both read the same, and neither gives a name."""
    first = one(Runtime("a:b", b"c").json())
    again = one(Runtime("a:b:", b"c").json())
    assert (first.name, first.data) == (None, b"a:b:c")
    assert (again.name, again.data) == (None, b"a:b::c")
    cut = one(Runtime("a::b", b"c").json())
    other = one(Runtime("a:", b"b:c").json())
    assert cut == other
    assert one(Runtime("a", b"b:c").json()).name == "a"
    assert one(Runtime("a:b", b"c", version=2).json()).name == "a:b"


def test_labels_of_the_firmware_are_nobodys_name() -> None:
    assert one(boot_event(event="app-id")).name is None


def test_no_action_names_no_register() -> None:
    event = one(boot_event(4294967295, event_type=3))
    assert (event.register, event.extends) == (None, False)


@pytest.mark.parametrize(
    "event",
    [
        boot_event(4),
        boot_event(-1),
        boot_event(imr=True),
        boot_event(imr=1.0),
        boot_event(imr="1"),
        boot_event(event_type=1 << 32),
        boot_event(event_type=None),
        boot_event(event=None),
        boot_event(event_payload="0"),
        boot_event(event_payload="0g"),
        boot_event(event_payload="00 00"),
        boot_event(event_payload="\u0660\u0660"),
        boot_event(unknown=1),
        APP_ID.json(imr=2),
        APP_ID.json(event="\ud800", digest=""),
        {},
        [],
        1,
    ],
)
def test_events_that_are_refused(event: object) -> None:
    assert refusal(log_text(event)) is Reason.MALFORMED


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1",
        b"[",
        b"\xff",
        b"[" * 100_000,
        b'[{"imr":0,"imr":0}]',
        b"[NaN]",
        b"[" + b"1" * 5000 + b"]",
    ],
)
def test_texts_that_are_refused(data: bytes) -> None:
    assert refusal(data) is Reason.MALFORMED


def test_limits() -> None:
    assert refusal(b" " * (MAX_LOG_BYTES + 1)) is Reason.TOO_LARGE
    commas = b"," * 16 * (MAX_APPLICATION_EVENTS + 1)
    assert refusal(commas) is Reason.TOO_LARGE
    assert refusal(commas[1:]) is Reason.MALFORMED
    assert refusal(b"{" * MAX_LOG_BYTES) is Reason.MALFORMED
    entry = Entry(0, ACTION, bytes(48), "", b"")
    assert len(log_of([entry] * MAX_APPLICATION_EVENTS).events) == MAX_APPLICATION_EVENTS
    with pytest.raises(VerificationError) as caught:
        log_of([entry] * (MAX_APPLICATION_EVENTS + 1))
    assert caught.value.reason is Reason.TOO_LARGE


# The guest agent's reply


def test_what_is_wrong_with_the_json_is_said() -> None:
    for read in (parse, parse_reply):
        with pytest.raises(VerificationError, match="dstack log: a key stands twice"):
            read(b'{"quote": "", "quote": ""}')


def test_a_reply() -> None:
    evidence = parse_reply(reply())
    assert (evidence.quote, evidence.config) == (b"quote", "{}")
    assert (
        evidence.log
        == parse(reply())
        == parse(log_text(boot_event(), Runtime("app-id", b"\1").json()))
    )


def test_a_reply_may_lack_the_configuration_and_have_more() -> None:
    members = json.loads(reply(hash_algorithm="raw"))
    del members["vm_config"]
    assert parse_reply(json.dumps(members).encode()).config == ""


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"{}",
        reply(quote="0"),
        reply(quote=None),
        reply(event_log=[]),
        reply(event_log="{}"),
        reply(event_log="["),
        reply(event_log="\ud800"),
        reply(vm_config={}),
    ],
)
def test_replies_that_are_refused(data: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_reply(data)
    assert caught.value.reason is Reason.MALFORMED


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(max_size=40),
    st.sampled_from([1, 2]),
)
def test_what_is_written_is_read(name: str, payload: bytes, version: int) -> None:
    written = Runtime(name, payload, version)
    log: EventLog = parse(log_text(written.json()))
    event = log.events[0]
    assert event.digests == {Algorithm.SHA384: sha384(written.preimage)}
    if version == 1 and ":" in name:
        assert (event.name, event.data) == (None, written.preimage[5:])
    else:
        assert (event.name, event.data) == (name, payload)
