# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from asn1crypto import core
from cryptography.hazmat import asn1
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import RequestRefused
from ca.issuance import extension, handles
from ca.issuance.request import Assurance, BindingLevel, PolicyRef
from tests.authority_lab import digest, make_request, utc
from tests.foreign_info import ForeignInfo

REQUEST = make_request(tolerated=("tcb:SWHardeningNeeded", "unpinned:rtmr3"))
INFO = extension.info(REQUEST, handles.of_leaf(REQUEST, b"i" * 20, 1 << 126))
DER = extension.encode(INFO)

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
digests = st.binary(min_size=32, max_size=32)
infos = st.builds(
    extension.AttestationInfo,
    tee=texts,
    product=texts,
    assurance=st.sampled_from(Assurance),
    binding=st.just(BindingLevel.NONE),
    registers=st.lists(st.tuples(texts, st.binary(min_size=1, max_size=64)), max_size=5).map(tuple),
    tcb_status=texts,
    tolerated=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5).map(tuple),
    policy=st.builds(PolicyRef, texts, st.integers(1, 2**62), digests),
    devices=st.just(()),  # those: test_listed.py
    evidence_sha256=digests,
    verified_at=utc(2000, 2100).map(lambda when: when.replace(microsecond=0)),
    handles=st.lists(st.tuples(texts, digests), min_size=1, max_size=5).map(tuple),
)


def refused(der: bytes) -> None:
    with pytest.raises(RequestRefused) as error:
        extension.decode(der)
    assert error.value.code == "attestation-info"


def test_an_independent_decoder_reads_the_documented_module() -> None:
    read = ForeignInfo.load(DER, strict=True).native
    assert list(read) == [field[0] for field in ForeignInfo._fields]
    assert read["version"] == 1
    assert (read["tee"], read["product"]) == ("tdx", "fmspc:50806f000000")
    assert (read["assurance"], read["binding"]) == ("verified", "none")
    assert [(each["name"], each["value"]) for each in read["registers"]] == list(INFO.registers)
    assert read["tcbStatus"] == "UpToDate"
    assert read["tolerated"] == ["tcb:SWHardeningNeeded", "unpinned:rtmr3"]
    assert (read["policyName"], read["policyVersion"]) == ("production", 3)
    assert read["policySha256"] == digest("policy")
    assert read["evidenceSha256"] == digest("quote")
    assert read["verifiedAt"] == INFO.verified_at
    assert [(each["name"], each["value"]) for each in read["handles"]] == list(INFO.handles)


@given(infos)
def test_round_trip(value: extension.AttestationInfo) -> None:
    der = extension.encode(value)
    assert extension.decode(der) == value
    assert ForeignInfo.load(der, strict=True).native["tee"] == value.tee


def test_seconds_only() -> None:
    request = make_request()
    late = replace(
        request.platform, verified_at=request.platform.verified_at.replace(microsecond=5)
    )
    info = extension.info(replace(request, platform=late), INFO.handles)
    assert extension.decode(extension.encode(info)).verified_at == request.platform.verified_at


@pytest.mark.parametrize(
    "changes",
    [
        {"tee": ""},
        {"tee": "t" * 33},
        {"product": "p" * 129},
        {"tcb_status": ""},
        {"registers": (("mr_td", b""),)},
        {"registers": (("mr_td", bytes(65)),)},
        {"registers": (("", bytes(48)),)},
        {"registers": (("r", b"v"),) * 65},
        {"tolerated": ("t",) * 65},
        {"policy": PolicyRef("", 1, bytes(32))},
        {"policy": PolicyRef("p", 1, bytes(31))},
        {"evidence_sha256": bytes(31)},
        {"handles": ()},
        {"handles": (("key", bytes(32)),) * 129},
    ],
)
def test_sizes_hold_when_written(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"invalid|size|SIZE|Size"):
        extension.encode(replace(INFO, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"policy": PolicyRef("p", 0, bytes(32))},
        {"handles": (("key", bytes(33)),)},
    ],
)
def test_values_that_fit_the_module_and_not_the_rules(changes: dict[str, Any]) -> None:
    refused(extension.encode(replace(INFO, **changes)))


def test_another_version() -> None:
    assert DER[4:7] == b"\x02\x01\x01"
    refused(DER[:6] + b"\x02" + DER[7:])


@pytest.mark.parametrize(
    ("old", "new"), [(b"verified", b"VERIFIED"), (b"\x0c\x04none", b"\x0c\x04NONE")]
)
def test_unknown_words(old: bytes, new: bytes) -> None:
    assert old in DER
    refused(DER.replace(old, new))


def test_trailing_bytes_and_added_fields() -> None:
    refused(DER + b"\0")
    body = DER[4:] + b"\x02\x01\x01"
    refused(b"\x30\x82" + len(body).to_bytes(2, "big") + body)


@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    refused(data)


@given(st.integers(0, len(DER) - 1), st.integers(1, 255))
def test_one_changed_byte_is_refused_or_means_something_else(position: int, change: int) -> None:
    data = bytearray(DER)
    data[position] ^= change
    try:
        found = extension.decode(bytes(data))
    except RequestRefused:
        return
    assert found != INFO
    assert extension.encode(found) == bytes(data)  # one value, one encoding


# id-pe-cmw


def cmw_refused(der: bytes) -> None:
    with pytest.raises(RequestRefused) as error:
        extension.decode_cmw(der)
    assert error.value.code == "cmw"


def record(*parts: object) -> bytes:
    return asn1.encode_der(json.dumps(parts))


VALUE = base64.urlsafe_b64encode(b'{"iat":1}').decode().rstrip("=")
TYPE = 'application/eat-ucs+json; eat_profile="tag:ietf.org,2026:rats/ear#04"'


def test_cmw_is_a_json_record_in_a_utf8string() -> None:
    der = extension.encode_cmw({"iat": 1, "name": "ü"})
    text = core.UTF8String.load(der, strict=True).native
    media_type, value, indicator = json.loads(text)
    assert (media_type, indicator) == (TYPE, 8)
    assert "=" not in value
    assert json.loads(base64.urlsafe_b64decode(value + "==")) == {"iat": 1, "name": "ü"}
    assert extension.decode_cmw(der) == {"iat": 1, "name": "ü"}
    assert extension.decode_cmw(record(TYPE, VALUE, 8)) == {"iat": 1}


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x04\x02{}",  # the choice cbor
        record(TYPE, VALUE),
        record(TYPE, VALUE, 8, 8),
        record(TYPE, VALUE, 4),
        record("application/eat+jwt", VALUE, 8),
        record(TYPE, VALUE + "=", 8),
        record(TYPE, VALUE + " ", 8),
        record(TYPE, "eyJpYXQiOjF9" + "A", 8),
        record(TYPE, "MR", 8),  # "1" with trailing bits set
        record(TYPE, "W10", 8),  # []
        record(TYPE, 7, 8),
        asn1.encode_der("[" * 100_000),
        asn1.encode_der("7"),
        record(TYPE, VALUE, 8) + b"\0",
    ],
)
def test_cmw_refuses(der: bytes) -> None:
    cmw_refused(der)


@given(
    st.one_of(
        st.binary(max_size=100),
        st.text(max_size=60).map(
            lambda text: b"\x0c" + bytes([len(text.encode())]) + text.encode()
        ),
    )
)
def test_cmw_arbitrary(data: bytes) -> None:
    cmw_refused(data)
