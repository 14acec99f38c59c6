# SPDX-License-Identifier: Apache-2.0
"""R-31, at the verifiers: whatever bytes come, only VerificationError escapes (ValueError from the two text readers).

Random bytes alone are refused at the first field; so most inputs are right ones that were changed, and what is signed
is signed again after the change, so that the readers behind the signature meet it too. Warnings are errors here.
"""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import der as writer
from simulator import pki
from simulator.pki import pem
from tests.tdx_lab import Exhibit, Lab
from verifiers import der, jsontext
from verifiers.certificate import parse_certificate
from verifiers.chain import split_pem, verify_crl
from verifiers.endorsements import Response
from verifiers.errors import VerificationError
from verifiers.tdx.endorsements import PARTS, PcsSource, gather, parse_bundle
from verifiers.tdx.quote import parse_quote
from verifiers.tdx.verify import verify

LAB = Lab.create(b"fuzz")
EXHIBIT = LAB.exhibit()
QUOTE = parse_quote(EXHIBIT.quote)
CA = parse_certificate(LAB.platform.ca.der)
QUOTES = [EXHIBIT.quote, *(LAB.platform.quote(version=5, body_type=kind) for kind in (2, 3, 4))]
MODERATE = settings(max_examples=150, deadline=None)

EDGES = [0, 1, 2, 5, 6, 0x7F, 0x80, 0x81, 0xFF]
PIECES = st.binary(max_size=8) | st.sampled_from([bytes([edge]) for edge in EDGES])


@st.composite
def mutated(draw: st.DrawFn, source: bytes, most: int = 4) -> bytes:
    """Some pieces of `source` replaced, removed, inserted or repeated."""
    data = source
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        match draw(st.sampled_from(["replace", "insert", "remove", "repeat", "cut"])):
            case "replace":
                data = data[:start] + draw(PIECES) + data[end:]
            case "insert":
                data = data[:start] + draw(PIECES) + data[start:]
            case "remove":
                data = data[:start] + data[end:]
            case "repeat":
                data = data[:end] + data[start:]
            case _:
                data = data[:start] if draw(st.booleans()) else data
    return data


@MODERATE
@given(st.binary(max_size=2000))
def test_random_quotes(data: bytes) -> None:
    with suppress(VerificationError):
        parse_quote(data)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(QUOTES).flatmap(mutated))
def test_changed_quotes(data: bytes) -> None:
    with suppress(VerificationError):
        Exhibit(data, EXHIBIT.bundle, EXHIBIT.root_der, EXHIBIT.at).verify()


@MODERATE
@given(st.binary(max_size=300) | mutated(json.dumps(EXHIBIT.bundle).encode()))
def test_bundles(data: bytes) -> None:
    with suppress(VerificationError):
        parse_bundle(data)


@MODERATE
@given(st.sampled_from(PARTS), st.data())
def test_changed_collateral(part: str, data: st.DataObject) -> None:
    whole = EXHIBIT.endorsements
    changed = data.draw(st.binary(max_size=64) | mutated(getattr(whole, part)))
    with suppress(VerificationError):
        verify(QUOTE, replace(whole, **{part: changed}), EXHIBIT.anchors, None, EXHIBIT.at)


@MODERATE
@given(st.binary(max_size=200) | mutated(EXHIBIT.bundle["tcb_info"].encode()))
def test_json(data: bytes) -> None:
    for read in (jsontext.parse, jsontext.parse_signed, jsontext.member_texts, jsontext.string):
        with suppress(ValueError):
            read(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100) | mutated(LAB.platform.pck.der))
def test_der(data: bytes) -> None:
    for read in (der.elements, der.signed, der.unsigned, der.boolean):
        with suppress(ValueError):
            read(data)
    with suppress(ValueError):
        der.only(data, der.SEQUENCE)


@MODERATE
@given(st.binary(max_size=200) | mutated(LAB.platform.chain), st.integers(1, 3))
def test_pem(data: bytes, count: int) -> None:
    with suppress(VerificationError):
        assert len(split_pem(data, count, "text")) == count


def elements_changed(draw: st.DrawFn, data: bytes, depth: int = 0) -> bytes:
    """One element somewhere in the tree of DER replaced by another well-formed one: all lengths stay right."""
    items = list(der.elements(data))
    index = draw(st.integers(0, len(items) - 1))
    tag, content = items[index]
    if tag & 0x20 and content and depth < 9 and draw(st.integers(0, 4)):
        content = elements_changed(draw, content, depth + 1)
    elif tag == der.OCTET_STRING and content[:1] == b"\x30" and draw(st.integers(0, 4)):
        content = changed_or_same(draw, content, depth)
    else:
        tag, content = draw(st.sampled_from(ODD)) if draw(st.booleans()) else (tag, draw(PIECES))
    items[index] = (tag, content)
    if draw(st.integers(0, 9)) == 0:
        items.append(draw(st.sampled_from(items)))
    return b"".join(writer.tlv(*item) for item in items)


def changed_or_same(draw: st.DrawFn, content: bytes, depth: int) -> bytes:
    try:
        return elements_changed(draw, content, depth + 1)
    except ValueError:
        return content


ODD = [
    (0x05, b""),
    (0x02, b"\xff"),
    (0x02, b"\0\x80"),
    (0x02, b"\x01" * 30),
    (0x01, b"\x01"),
    (0x03, b""),
    (0x03, b"\x07\x80"),
    (0x06, b""),
    (0x06, b"\x80\x01"),
    (0x13, b"\xff\xfe"),
    (0x17, b"000101000000Z"),
    (0x17, b"991231235960Z"),
    (0x18, b"99991231235959Z"),
    (0x18, b"00000101000000Z"),
    (0x30, b""),
    (0x31, b""),
    (0xA3, b"\x30\x00"),
]


@st.composite
def signed_again(draw: st.DrawFn, tbs: bytes, key: pki.Signer, algorithm: bytes) -> bytes:
    """A certificate or list that differs in an element, with a right signature."""
    body = elements_changed(draw, tbs)
    return writer.sequence(body, algorithm, writer.bit_string(key.sign_der(body)))


PCK, CRL = LAB.platform.pck, LAB.intel.platform_crl
CERTIFICATES = signed_again(PCK.spec.tbs(), PCK.signer, pki.ECDSA_SHA256)
LISTS = signed_again(CRL.spec.tbs(), CRL.signer, pki.ECDSA_SHA256)
CRL.revoke(1, 2, -3)
LONGER_LISTS = signed_again(CRL.spec.tbs(), CRL.signer, pki.ECDSA_SHA256)


@settings(max_examples=500, deadline=None)
@given(CERTIFICATES | mutated(PCK.der))
def test_certificates(data: bytes) -> None:
    with suppress(VerificationError):
        parse_certificate(data)


@settings(max_examples=300, deadline=None)
@given(CERTIFICATES)
def test_certificates_in_a_chain(data: bytes) -> None:
    """The certificate is rightly signed, whatever it says; its SGX extension is read."""
    chain = pem(data, LAB.platform.ca.der, LAB.intel.root_der).encode()
    quote = LAB.platform.quote(certification_data=chain)
    with suppress(VerificationError):
        Exhibit(quote, EXHIBIT.bundle, EXHIBIT.root_der, EXHIBIT.at).verify()


@settings(max_examples=300, deadline=None)
@given(LISTS | LONGER_LISTS | mutated(CRL.der))
def test_lists(data: bytes) -> None:
    with suppress(VerificationError):
        verify_crl(data, CA, "list")


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 300)
    | st.text(max_size=5)
    | st.floats(allow_nan=False)
    | st.just(10**30)
    | st.sampled_from([[], {}, [[]], [{}], "2026-10-24T12:00:00Z", "00" * 48, "TDX_01"])
)


def value_changed(draw: st.DrawFn, value: Any) -> Any:  # noqa: ANN401 - JSON
    """The same JSON with another value, a member less, or an item twice, somewhere."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 5)) == 0:
            del value[key]
        else:
            value[key] = value_changed(draw, value[key])
        return value
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        index = draw(st.integers(0, len(value) - 1))
        value[index] = value_changed(draw, value[index])
        return value + value[:1] if draw(st.integers(0, 5)) == 0 else value
    return draw(LEAVES)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["tcb_info", "qe_identity"]), st.data())
def test_signed_statements(part: str, data: st.DataObject) -> None:
    statement = copy.deepcopy(getattr(LAB.intel, part))

    @st.composite
    def changed(draw: st.DrawFn) -> Any:  # noqa: ANN401 - JSON
        return value_changed(draw, statement)

    text, signature = LAB.intel.sign_tcb_info(json.dumps(data.draw(changed())))
    bundle = EXHIBIT.bundle | {part: text, f"{part}_signature": signature}
    with suppress(VerificationError):
        Exhibit(EXHIBIT.quote, bundle, EXHIBIT.root_der, EXHIBIT.at).verify()


HEADERS = st.dictionaries(
    st.sampled_from(
        ["tcb-info-issuer-chain", "sgx-pck-crl-issuer-chain", "sgx-enclave-identity-issuer-chain"]
    ),
    st.text(max_size=20) | st.just("%ff%00") | st.just("\udc80"),
)
ANSWER = b'{"tcbInfo":{"a":[1]},"enclaveIdentity":{},"signature":"00"}'
RESPONSES = st.builds(
    Response,
    st.sampled_from([200, 200, 200, 404, 410]),
    st.binary(max_size=40) | mutated(ANSWER) | st.just(ANSWER) | st.just(CRL.der),
    HEADERS,
)


@settings(max_examples=300, deadline=None)
@given(st.tuples(RESPONSES, RESPONSES, RESPONSES, RESPONSES))
def test_answers(responses: tuple[Response, ...]) -> None:
    asking = gather(QUOTE, PcsSource(), EXHIBIT.anchors)
    next(asking)
    with suppress(VerificationError):
        try:
            asking.send(responses)
        except StopIteration as stop:
            stop.value.to_bundle()  # whatever was accepted can be stored
            verify(QUOTE, stop.value, EXHIBIT.anchors, None, EXHIBIT.at)
