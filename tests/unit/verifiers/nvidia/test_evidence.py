# SPDX-License-Identifier: Apache-2.0
"""Evidence as JSON: two forms, strict Base64, bounded; nothing that stands beside report and chain is read."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_DEVICES
from verifiers.nvidia.chain import MAX_CHAIN_BYTES
from verifiers.nvidia.evidence import (
    MAX_JSON_BYTES,
    NvidiaEvidence,
    parse_evidence_json,
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
