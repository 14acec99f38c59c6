# SPDX-License-Identifier: Apache-2.0
"""Evidence as an enrollment carries it, to the last byte; and as JSON, of which report and chain alone are read."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_BYTES, MAX_DEVICES, EvidenceKind
from verifiers.nvidia.chain import MAX_CHAIN_BYTES
from verifiers.nvidia.evidence import (
    MAX_JSON_BYTES,
    NvidiaEvidence,
    parse_evidence_json,
    parse_piece,
    piece,
)
from verifiers.nvidia.report import MAX_REPORT_BYTES

NO_BASE64: list[Any] = [
    *(None, 7, []),
    *("", "YQ", "YQ=", "YR==", "YQ==\n", " YQ==", "Y-_=", "\xe9", "YQ==YQ=="),
]


def device(report: bytes = b"report", chain: bytes = b"chain") -> dict[str, Any]:
    return {
        "evidence": base64.b64encode(report).decode(),
        "certificate": base64.b64encode(chain).decode(),
        "arch": "LS10",
        "nonce": "00" * 32,
        "driver_version": "999",
    }


def refusal(value: object) -> Reason:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pytest.raises(VerificationError) as caught:
        parse_evidence_json(text)
    return caught.value.reason


def test_both_forms() -> None:
    devices = [device(b"one"), device(b"two", b"other")]
    expected = (NvidiaEvidence(b"one", b"chain"), NvidiaEvidence(b"two", b"other"))
    assert parse_evidence_json(json.dumps(devices).encode()) == expected
    request = {"nonce": "00" * 32, "arch": "HOPPER", "evidence_list": devices}
    assert parse_evidence_json(json.dumps(request).encode()) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[",
        b"\xff",
        b"[" * 100_000,
        b'{"evidence_list": [], "evidence_list": []}',
        [],
        {},
        None,
        "text",
        {"evidence_list": {}},
        {"evidence_list": None},
        [None],
        [[]],
        ["text"],
        [{}],
        [{"evidence": "YQ=="}],
        [{"certificate": "YQ=="}],
        *([device() | {name: bad}] for name in ("evidence", "certificate") for bad in NO_BASE64),
    ],
    ids=lambda value: str(value)[:50],
)
def test_malformed(value: object) -> None:
    assert refusal(value) is Reason.MALFORMED


def test_bounds() -> None:
    assert len(parse_evidence_json(json.dumps([device()] * MAX_DEVICES).encode())) == MAX_DEVICES
    assert refusal([device()] * (MAX_DEVICES + 1)) is Reason.TOO_LARGE
    assert refusal(b" " * (MAX_JSON_BYTES + 1)) is Reason.TOO_LARGE
    report, chain = bytes(MAX_REPORT_BYTES), bytes(MAX_CHAIN_BYTES)
    assert parse_evidence_json(json.dumps([device(report, chain)]).encode()) == (
        NvidiaEvidence(report, chain),
    )
    assert refusal([device(report + b"\0")]) is Reason.TOO_LARGE
    assert refusal([device(chain=chain + b"\0")]) is Reason.TOO_LARGE


def test_the_most_that_is_allowed_fits() -> None:
    whole = [device(bytes(MAX_REPORT_BYTES), bytes(MAX_CHAIN_BYTES))] * MAX_DEVICES
    assert len(json.dumps(whole).encode()) <= MAX_JSON_BYTES


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_what_was_encoded_comes_back(report: bytes, chain: bytes) -> None:
    text = json.dumps([device(report, chain)]).encode()
    if report and chain:
        assert parse_evidence_json(text) == (NvidiaEvidence(report, chain),)
    else:
        assert refusal(text) is Reason.MALFORMED


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_a_piece_and_back(report: bytes, chain: bytes) -> None:
    data = piece(NvidiaEvidence(report, chain))
    assert data == len(report).to_bytes(4, "big") + report + len(chain).to_bytes(4, "big") + chain
    assert parse_piece(data) == NvidiaEvidence(report, chain)


@given(st.binary(max_size=64))
def test_any_bytes_for_a_piece(data: bytes) -> None:
    """What is read is all there is, and written again the same."""
    try:
        read = parse_piece(data)
    except VerificationError as error:
        assert error.reason in {Reason.MALFORMED, Reason.TRAILING_BYTES}  # noqa: PT017 - or nothing is raised
    else:
        assert piece(read) == data


LONG_REPORT, LONG_CHAIN = b"r" * (MAX_REPORT_BYTES + 1), b"c" * (MAX_CHAIN_BYTES + 1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"\0\0\0", Reason.MALFORMED),
        (b"\0\0\0\1", Reason.MALFORMED),
        (b"\0\0\0\1r", Reason.MALFORMED),
        (b"\0\0\0\1r\0\0\0\2c", Reason.MALFORMED),
        (b"\xff\xff\xff\xffr\0\0\0\1c", Reason.MALFORMED),
        (b"\0\0\0\1r\0\0\0\1c\0", Reason.TRAILING_BYTES),
        (len(LONG_REPORT).to_bytes(4, "big") + LONG_REPORT + bytes(4), Reason.TOO_LARGE),
        (bytes(4) + len(LONG_CHAIN).to_bytes(4, "big") + LONG_CHAIN, Reason.TOO_LARGE),
    ],
)
def test_pieces_that_are_none(data: bytes, reason: Reason) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_piece(data)
    assert caught.value.reason is reason


def test_the_largest_piece_is_what_is_allowed_in_a_request() -> None:
    largest = NvidiaEvidence(LONG_REPORT[1:], LONG_CHAIN[1:])
    assert len(piece(largest)) == MAX_BYTES[EvidenceKind.NVIDIA_DEVICE]
