# SPDX-License-Identifier: Apache-2.0
"""dstack's attestation: its three encodings say the same, and whatever is not exactly that is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.eventlog_lab import (
    Attestation,
    Runtime,
    boot_event,
    cbor,
    compact,
    log_text,
    msgpack,
    scale_bytes,
    sha384,
)
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog import dstack
from verifiers.eventlog.dstack_attestation import parse
from verifiers.eventlog.events import MAX_APPLICATION_EVENTS, MAX_LOG_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from verifiers.eventlog.dstack import DstackEvidence

MADE = Attestation()
SCALE = MADE.scale()
PACKED = [msgpack, cbor]


def refusal(data: bytes) -> Reason:
    with pytest.raises(VerificationError) as caught:
        parse(data)
    return caught.value.reason


def expected(made: Attestation) -> DstackEvidence:
    log = dstack.parse(log_text(*made.events))
    return dstack.DstackEvidence(made.quote, log, made.config)


def test_every_encoding_says_the_same() -> None:
    for data in (SCALE, msgpack(MADE.members()), cbor(MADE.members())):
        assert parse(data) == expected(MADE)


def test_a_pod() -> None:
    made = Attestation(kinds=("tdx", "dstack-pod"))
    made_members = made.members()
    made_members["stack"]["data"]["report_data_payload"] = "{}"
    assert parse(msgpack(made_members)) == expected(made)


def test_lengths_of_every_size() -> None:
    for size in (0, 63, 64, 16383, 16384, 70000):
        made = Attestation(quote=bytes(size), config="c" * size)
        assert parse(made.scale()) == expected(made)


@pytest.mark.parametrize("pack", PACKED)
def test_version_2_of_the_log(pack: Callable[[Any], bytes]) -> None:
    event = Runtime("app-id", b"\1", version=2)
    members = Attestation(runtime=[]).members()
    logged = event.json(digest=bytes.fromhex(event.json()["digest"]), event_payload=event.payload)
    members["platform"]["data"]["event_log"] = [logged]
    members["stack"]["data"]["runtime_events"] = [
        {"event": "app-id", "payload": b"\1", "version": 2}
    ]
    assert parse(pack(members)).log == dstack.parse(log_text(event.json()))
    logged["preimage"] = None
    assert parse(pack(members)).log == dstack.parse(log_text(event.json()))
    for wrong in ("0g", 1):
        logged["preimage"] = wrong
        assert refusal(pack(members)) is Reason.MALFORMED


def test_other_encodings_and_platforms() -> None:
    for data in (b"", b"\1" + SCALE[1:], b"\x90", b"{}", b"\xc0"):
        assert refusal(data) is Reason.UNSUPPORTED_FORMAT
    for platform in (1, 2, 255):
        assert refusal(MADE.scale(platform)) is Reason.UNSUPPORTED_FORMAT
    for made in (
        Attestation(kinds=("gcp-tdx", "dstack")),
        Attestation(kinds=("tdx", "other")),
        Attestation(version=2),
    ):
        assert refusal(msgpack(made.members())) is Reason.UNSUPPORTED_FORMAT


def test_the_two_lists_of_runtime_events_agree() -> None:
    first, second = MADE.runtime
    for listed in ([first], [second, first], [first, Runtime("other")], []):
        members = MADE.members()
        members["stack"]["data"]["runtime_events"] = [
            {"event": one.name, "payload": one.payload} for one in listed
        ]
        assert refusal(msgpack(members)) is Reason.MALFORMED


def test_the_digests_are_checked_as_in_json() -> None:
    made = Attestation(boot=[boot_event(4)])
    assert refusal(made.scale()) is Reason.MALFORMED
    forged = SCALE.replace(sha384(MADE.runtime[0].preimage), bytes(48))
    assert refusal(forged) is Reason.MALFORMED


@given(st.integers(0, len(SCALE) - 1))
def test_no_part_of_it_is_one(end: int) -> None:
    assert refusal(SCALE[:end]) in {Reason.MALFORMED, Reason.UNSUPPORTED_FORMAT}


def test_bytes_behind_it() -> None:
    for data in (SCALE, msgpack(MADE.members()), cbor(MADE.members())):
        assert refusal(data + b"\0") is Reason.MALFORMED


@pytest.mark.parametrize(("size", "mode"), [(0, 1), (63, 1), (0, 2), (64, 2), (16383, 2)])
def test_lengths_that_are_not_the_shortest(size: int, mode: int) -> None:
    """Of attestations that are whole but for the form of one length."""
    made = Attestation(quote=bytes(size)).scale()
    head = b"\0\0" + compact(size)
    assert made.startswith(head)
    longer = (size << 2 | mode).to_bytes(2 * mode, "little")
    assert refusal(b"\0\0" + longer + made[len(head) :]) is Reason.MALFORMED


def test_lengths_that_no_attestation_has() -> None:
    empty = b"\0\0" + scale_bytes(b"q")
    assert refusal(b"\0\0\xff\xff") is Reason.MALFORMED
    assert refusal(empty + b"\3") is Reason.MALFORMED


def test_text_that_is_not_utf_8() -> None:
    data = b"\0\0" + scale_bytes(b"q") + compact(0) + compact(0) + bytes(64) + scale_bytes(b"\xff")
    assert refusal(data) is Reason.MALFORMED


def test_limits() -> None:
    assert refusal(bytes(MAX_LOG_BYTES + 1)) is Reason.TOO_LARGE
    data = b"\0\0" + scale_bytes(b"q") + compact(MAX_APPLICATION_EVENTS + 1)
    assert refusal(data) is Reason.TOO_LARGE


def _without(name: str, *path: str) -> dict[str, Any]:
    members = MADE.members()
    part = members
    for step in path:
        part = part[step]
    del part[name]
    return members


@pytest.mark.parametrize("pack", PACKED)
@pytest.mark.parametrize(
    ("name", "path", "reason"),
    [
        ("version", (), Reason.UNSUPPORTED_FORMAT),
        ("platform", (), Reason.MALFORMED),
        ("stack", (), Reason.MALFORMED),
        ("kind", ("platform",), Reason.UNSUPPORTED_FORMAT),
        ("data", ("stack",), Reason.MALFORMED),
        ("quote", ("platform", "data"), Reason.MALFORMED),
        ("event_log", ("platform", "data"), Reason.MALFORMED),
        ("runtime_events", ("stack", "data"), Reason.MALFORMED),
        ("config", ("stack", "data"), Reason.MALFORMED),
    ],
)
def test_members_that_are_needed(
    pack: Callable[[Any], bytes], name: str, path: tuple[str, ...], reason: Reason
) -> None:
    assert refusal(pack(_without(name, *path))) is reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("imr", "0"),
        ("imr", 1 << 32),
        ("event_type", None),
        ("event_type", 1 << 32),
        ("digest", "00"),
        ("digest", [256]),
        ("digest", [b"0"]),
        ("event", 1),
        ("event_payload", None),
    ],
)
def test_members_of_another_type(name: str, value: object) -> None:
    members = MADE.members()
    members["platform"]["data"]["event_log"][0][name] = value
    assert refusal(msgpack(members)) is Reason.MALFORMED


def test_the_largest_type() -> None:
    made = Attestation(boot=[boot_event(event_type=(1 << 32) - 1)])
    assert parse(msgpack(made.members())) == expected(made)


def test_events_that_are_no_maps() -> None:
    members = MADE.members()
    members["platform"]["data"]["event_log"][0] = []
    assert refusal(cbor(members)) is Reason.MALFORMED
