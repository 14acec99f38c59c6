# SPDX-License-Identifier: Apache-2.0
"""Decoding requests: what is accepted, every limit, and that nothing but typed refusals ever comes out."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import LintFailed, RequestRefused
from ca.http import wire
from ca.http.schema import MAX_EVIDENCE, EnrollmentBody
from ca.issuance.csr import MAX_BYTES as MAX_CSR_BYTES
from ca.issuance.request import Assurance
from ca.ports import CertificateRecord, Outcome
from tests import records
from tests.authority_lab import make_lab
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import LOG_KINDS, MAX_BYTES, MAX_LOG_BYTES, Evidence, EvidenceKind

QUOTE = EvidenceKind.TDX_QUOTE
CANARY = "sensitive-words-of-a-caller"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def tree(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    body: dict[str, Any] = {
        "nonce": b64(bytes(64)),
        "profile": "default",
        "csr": b64(b"request"),
        "evidence": [{"kind": "tdx-quote", "data": b64(b"quote")}],
    }
    return body | changes


def refusal(body: bytes) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        wire.decode_enrollment(body)
    return caught.value


@given(
    nonce=st.binary(min_size=1, max_size=64),
    csr=st.binary(min_size=1, max_size=200),
    pieces=st.dictionaries(
        st.sampled_from(EvidenceKind), st.binary(min_size=1, max_size=200), min_size=1
    ),
    profile=st.from_regex("[a-z0-9-]{1,63}", fullmatch=True),
    indent=st.sampled_from([None, 1]),
)
def test_what_is_sent_is_what_is_decoded(
    nonce: bytes, csr: bytes, pieces: dict[EvidenceKind, bytes], profile: str, indent: int | None
) -> None:
    evidence = [{"kind": kind, "data": b64(data)} for kind, data in pieces.items()]
    value = tree(nonce=b64(nonce), csr=b64(csr), evidence=evidence, profile=profile)
    body = json.dumps(value, indent=indent).encode()
    decoded = wire.decode_enrollment(body)
    assert decoded.nonce == nonce
    assert decoded.csr_der == csr
    assert decoded.profile == profile
    assert decoded.evidence == tuple(Evidence(kind, data) for kind, data in pieces.items())
    assert decoded.body_sha256 == hashlib.sha256(body).digest()


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_in_our_own_words(body: bytes) -> None:
    assert refusal(body).code == "malformed"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(st.sampled_from(["nonce", "profile", "csr", "evidence", "more"]), _json)
def test_any_value_in_any_place_is_decoded_or_refused(name: str, value: object) -> None:
    body = json.dumps(tree(**{name: value})).encode()
    try:
        decoded = wire.decode_enrollment(body)
    except RequestRefused as error:
        assert error.code in {"malformed", "too-large"}  # noqa: PT017 - either outcome is right
    else:
        assert decoded.evidence


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "one JSON object"),
        (b"[]", "one JSON object"),
        (b'"text"', "one JSON object"),
        (json.dumps(tree()).encode() + b"x", "one JSON object"),
        (b'{"nonce":"AA==","nonce":"AA=="}', "each key once"),
        (json.dumps(tree()).encode("utf-16"), "one JSON object"),
        (b'{"nonce": NaN}', "one JSON object"),
        (json.dumps({k: v for k, v in tree().items() if k != "csr"}).encode(), "csr: "),
        (json.dumps(tree(nonce=5)).encode(), "nonce: "),
        (json.dumps(tree(nonce=None)).encode(), "nonce: "),
        (json.dumps(tree(profile="")).encode(), "profile: "),
        (json.dumps(tree(profile="../x")).encode(), "profile: "),
        (json.dumps(tree(evidence=[])).encode(), "evidence: "),
        (json.dumps(tree(evidence={})).encode(), "evidence: "),
        (json.dumps(tree(evidence=[{"kind": "tdx-quote"}])).encode(), "evidence[0].data: "),
    ],
)
def test_wrong_shapes(body: bytes, said: str) -> None:
    error = refusal(body)
    assert error.code == "malformed"
    assert said in error.detail


def test_unknown_members_are_refused_and_not_repeated() -> None:
    top = refusal(json.dumps(tree(**{CANARY: 1})).encode())
    inner = {"kind": "tdx-quote", "data": b64(b"q"), CANARY: CANARY}
    below = refusal(json.dumps(tree(evidence=[inner])).encode())
    assert "body: a member" in top.detail
    assert "evidence[0]: a member" in below.detail
    assert CANARY not in top.detail + below.detail


@pytest.mark.parametrize("name", ["nonce", "profile", "csr"])
def test_values_are_not_repeated(name: str) -> None:
    assert CANARY not in refusal(json.dumps(tree(**{name: f"!{CANARY}!"})).encode()).detail


def test_an_unknown_kind_of_evidence_has_its_own_code() -> None:
    pieces = [{"kind": CANARY, "data": b64(b"q")}]
    with pytest.raises(VerificationError) as caught:
        wire.decode_enrollment(json.dumps(tree(evidence=pieces)).encode())
    assert caught.value.reason is Reason.UNSUPPORTED_TEE
    assert CANARY not in caught.value.detail


@pytest.mark.parametrize(
    "text",
    ["AA", "AA=", "AB==", "A===", "AAAA\n", "AA-_", "AA==AA==", "====", " AAAA", "AA\u00e9="],
)
def test_base64_has_one_form(text: str) -> None:
    for name in ("nonce", "csr"):
        assert refusal(json.dumps(tree(**{name: text})).encode()).code == "malformed"


def test_a_full_request_is_within_the_limits() -> None:
    logs = dict.fromkeys(
        LOG_KINDS, MAX_LOG_BYTES // len(LOG_KINDS)
    )  # their limit is one of all together
    sizes = {kind: logs.get(kind, limit) for kind, limit in MAX_BYTES.items()}
    pieces = [{"kind": kind, "data": b64(bytes(size))} for kind, size in sizes.items()]
    body = json.dumps(tree(csr=b64(bytes(MAX_CSR_BYTES)), evidence=pieces), indent=4).encode()
    decoded = wire.decode_enrollment(body)
    assert [(one.kind, len(one.data)) for one in decoded.evidence] == list(sizes.items())
    assert len(pieces) <= MAX_EVIDENCE
    assert len(body) < 4 << 20


def test_a_kind_stands_once() -> None:
    pieces = [{"kind": "snp-report", "data": b64(b"r")}, {"kind": "tdx-quote", "data": b64(b"q")}]
    assert len(wire.decode_enrollment(json.dumps(tree(evidence=pieces)).encode()).evidence) == 2
    with pytest.raises(VerificationError) as caught:
        wire.decode_enrollment(json.dumps(tree(evidence=[*pieces, pieces[0]])).encode())
    assert caught.value.reason is Reason.EVIDENCE


@pytest.mark.parametrize("kind", EvidenceKind)
@pytest.mark.parametrize("more", [1, 3])
def test_each_kind_has_a_limit_of_its_own(kind: EvidenceKind, more: int) -> None:
    pieces = [{"kind": kind, "data": b64(bytes(MAX_BYTES[kind] + more))}]
    assert refusal(json.dumps(tree(evidence=pieces)).encode()).code == "too-large"


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": b64(bytes(67))},
        {"csr": b64(bytes(MAX_CSR_BYTES + 3))},
        {"evidence": [{"kind": "tdx-quote", "data": b64(b"q")}] * (MAX_EVIDENCE + 1)},
    ],
)
def test_too_much_of_one_field(changes: dict[str, Any]) -> None:
    assert refusal(json.dumps(tree(**changes)).encode()).code == "too-large"


@pytest.mark.parametrize("unit", ["[", '{"a":'])
def test_depth(unit: str) -> None:
    assert "deeper" in refusal(b'{"more":' + unit.encode() * 17).detail


def test_depth_is_counted_before_parsing() -> None:
    deep = b'{"more":' + b"[" * 16 + b"]" * 16 + b"}"
    assert "deeper" in refusal(deep).detail
    flat = b'{"more":' + b"[" * 15 + b"]" * 15 + b"}"
    assert "deeper" not in refusal(flat).detail


def test_count() -> None:
    many = json.dumps({str(number): 0 for number in range(300)}).encode()
    assert "more than" in refusal(many).detail


def test_a_long_value_is_refused_before_parsing() -> None:
    long = b'{"nonce":"' + b"A" * (3 << 20)
    assert refusal(long).code == "too-large", "although the text does not even end"


def test_the_schema_of_the_description_is_the_one_that_decodes() -> None:
    assert set(EnrollmentBody.model_json_schema()["required"]) == set(tree())


def _issued() -> CertificateRecord:
    intent = records.intent()
    return CertificateRecord(
        serial=intent.serial,
        issuer_key_id=intent.issuer_key_id,
        outcome=Outcome.ISSUED,
        der=make_lab().root.public_bytes(Encoding.DER),
        ear=None,
        not_before=intent.not_before,
        not_after=intent.not_after,
        subject_alt_names=intent.subject_alt_names,
        handles=intent.handles,
        decision=intent.decision,
    )


def test_a_record_that_is_not_whole_is_not_shown() -> None:
    """Faults of ours, which the store's own rules exclude."""
    whole = _issued()
    assert wire.certificate_answer(whole, Assurance.VERIFIED).policy.name == "cvm"
    no_policy = replace(whole, decision=replace(whole.decision, policy_name=None))
    for broken in (replace(whole, der=None), no_policy):
        with pytest.raises(LintFailed):
            wire.certificate_answer(broken, Assurance.VERIFIED)
