# SPDX-License-Identifier: Apache-2.0
"""The authority's JSON: what is taken, what is refused, and that nothing but the typed errors comes out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from attestca_client import wire
from attestca_client.errors import BadAnswer, Finding, Refused, Unavailable
from tests.unit.client.fake_authority import FakeAuthority, Pki, of_no_version, pem

AUTHORITY = FakeAuthority(Pki())
LEAF = AUTHORITY.pki.leaf(ec.generate_private_key(ec.SECP256R1()).public_key())
ISSUED: dict[str, Any] = json.loads(AUTHORITY.certificate(LEAF).body)
NONCE: dict[str, Any] = json.loads(AUTHORITY.nonce().body)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def test_the_request() -> None:
    body = json.loads(
        wire.enrollment_request(
            nonce=b"\xff" * 32,
            profile="default",
            csr_der=b"\x30\x00",
            evidence=[wire.Evidence("tdx-quote", b"\x00\x01")],
        )
    )
    assert body == {
        "nonce": base64.b64encode(b"\xff" * 32).decode(),
        "profile": "default",
        "csr": "MAA=",
        "evidence": [{"kind": "tdx-quote", "data": "AAE="}],
    }


def test_a_nonce() -> None:
    nonce = wire.parse_nonce(encoded(NONCE))
    assert nonce.value == base64.b64decode(NONCE["nonce"])
    assert nonce.ca_id == AUTHORITY.ca_id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nonce", None),
        ("nonce", 7),
        ("nonce", ""),
        ("nonce", base64.b64encode(b"x" * 15).decode()),
        ("nonce", base64.b64encode(b"x" * 1025).decode()),
        ("nonce", base64.b64encode(b"x" * 32).decode().rstrip("=")),
        ("nonce", base64.b64encode(b"x" * 32).decode() + "\n"),
        ("nonce", base64.b64encode(b"\xff" * 33).decode().replace("/", "_")),
        ("nonce", base64.b64encode(b"x" * 31).decode()[:-2] + "B="),  # stray bits in the last digit
        ("nonce", "é" * 44),
        ("ca_id", None),
        ("ca_id", "00" * 31),
        ("ca_id", "00" * 33),
        ("ca_id", "AB" * 32),
        ("ca_id", "zz" * 32),
        ("ca_id", "00" * 32 + "\n"),
    ],
)
def test_a_nonce_of_another_form(field: str, value: object) -> None:
    with pytest.raises(BadAnswer):
        wire.parse_nonce(encoded(NONCE | {field: value}))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 200_000, b'{"nonce": "' + b"x"]
)
def test_no_json_object(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        wire.parse_nonce(body)
    with pytest.raises(BadAnswer):
        wire.parse_issued(body)


def test_unknown_fields_are_ignored() -> None:
    assert wire.parse_nonce(encoded(NONCE | {"later": 1})).ca_id == AUTHORITY.ca_id


def test_an_issued_certificate() -> None:
    issued = wire.parse_issued(encoded(ISSUED))
    assert issued.certificate == LEAF
    assert issued.chain == (AUTHORITY.pki.issuer, AUTHORITY.pki.root)
    assert issued.policy == "demo@3"
    assert issued.assurance == "simulated"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("certificate", None),
        ("certificate", "x"),
        ("certificate", pem(LEAF) * 2),
        ("certificate", "é" + pem(LEAF)),
        ("certificate", pem(LEAF).replace("A", "B")),
        ("certificate", of_no_version(LEAF)),
        pytest.param("serial", f"{LEAF.serial_number + 1:x}", id="serial-another"),
        pytest.param("serial", LEAF.serial_number, id="serial-as-number"),
        ("chain", None),
        ("chain", []),
        ("chain", [pem(LEAF)] * 5),
        ("chain", [7]),
        ("chain", ["x"]),
        ("policy", "demo"),
        ("policy", {}),
        ("policy", {"name": "demo", "version": "3"}),
        ("policy", {"name": "demo", "version": True}),
        ("assurance", "certain"),
        ("assurance", None),
    ],
)
def test_an_issued_answer_of_another_form(field: str, value: object) -> None:
    with pytest.raises(BadAnswer):
        wire.parse_issued(encoded(ISSUED | {field: value}))


def test_a_denial_with_its_findings() -> None:
    finding = {"rule": "measurements", "path": "mr_td", "result": "fail", "hint": "unknown image"}
    body = encoded({"code": "denied", "detail": "two rules failed", "findings": [finding, 7, {}]})
    error = wire.parse_problem(403, body, None)
    assert isinstance(error, Refused)
    assert (error.status, error.code, error.exit_code) == (403, "denied", 1)
    assert error.detail == "two rules failed"
    assert error.findings == (
        Finding("measurements", "mr_td", "fail", "unknown image"),
        Finding("", "", "", ""),
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
def test_4xx_is_a_definite_no(status: int) -> None:
    error = wire.parse_problem(status, encoded({"code": "some-code"}), None)
    assert isinstance(error, Refused)
    assert error.code == "some-code"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_the_rest_is_for_later(status: int) -> None:
    error = wire.parse_problem(status, encoded({"code": "unavailable", "detail": "d"}), 7.0)
    assert isinstance(error, Unavailable)
    assert (error.answered, error.retry_after, error.exit_code) == (True, 7.0, 69)
    assert str(status) in error.detail


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"code": 5, "findings": {}}'])
def test_an_error_without_a_problem_document(body: bytes) -> None:
    error = wire.parse_problem(403, body, None)
    assert isinstance(error, Refused)
    assert error.code == "http-403"
    assert error.detail == "no detail given"


def test_text_of_the_authority_is_fit_for_a_terminal() -> None:
    body = encoded({"code": "denied", "detail": "\x1b[2Jgone\r\nroot#", "title": "t"})
    detail = wire.parse_problem(403, body, None).detail
    assert detail.isprintable()
    assert "gone" in detail
    assert len(wire.plain("x" * 10_000)) == 500


@given(st.binary(max_size=200) | JSON.map(encoded), st.integers(min_value=400, max_value=599))
def test_any_bytes_give_a_typed_error(body: bytes, status: int) -> None:
    error = wire.parse_problem(status, body, None)
    assert error.detail
    for parse in (wire.parse_nonce, wire.parse_issued):
        with pytest.raises(BadAnswer):
            parse(body)


@given(st.sampled_from(sorted(ISSUED)), JSON)
def test_any_value_in_a_field_of_an_issued_answer(field: str, value: object) -> None:
    try:
        issued = wire.parse_issued(encoded(ISSUED | {field: value}))
    except BadAnswer:
        return
    assert issued.certificate == LEAF  # a field that is not read, or the same value


@given(st.text())
def test_plain_is_printable_and_bounded(text: str) -> None:
    assert wire.plain(text).isprintable()
    assert len(wire.plain(text)) <= 500
