# SPDX-License-Identifier: Apache-2.0
"""R-31, at NVIDIA's collateral: whatever comes as manifest, envelope or OCSP answer, only VerificationError escapes.

Random bytes are refused at once; so most inputs are right ones that were changed, and what is signed is signed again
after the change, so that the readers behind the signature meet it too. Warnings are errors here.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from simulator import der as writer
from simulator.nvidia.answers import answers
from simulator.nvidia.certificates import NOW
from simulator.nvidia.rims import CHAIN, Manifest, envelope, resource
from tests.nvidia_devices import ANCHOR, parsed
from verifiers import der
from verifiers.errors import VerificationError
from verifiers.nvidia.ocsp import check_status, read_answers
from verifiers.nvidia.rim import read_rim

GENUINE = Manifest()
PARSED = [parsed(one) for one in CHAIN]
FIRST = answers(CHAIN)[0]
MODERATE = settings(max_examples=150, deadline=None)

PIECES = st.binary(max_size=6) | st.sampled_from(
    [
        b"<",
        b">",
        b"&",
        b'"',
        b"<!--",
        b"<![CDATA[",
        b"<?x?>",
        b"&#0;",
        b"&lt;",
        b"\xff",
        b"<a/>",
        b"]]>",
        b"xmlns='x'",
    ]
)
TEXTS = st.text(max_size=8) | st.sampled_from(
    ["", "True", "48", "0", "-1", "1e3", "00" * 48, "\u0661"]
)


@st.composite
def mutated(draw: st.DrawFn, source: bytes, most: int = 3) -> bytes:
    """Some pieces of `source` replaced, removed or inserted."""
    data = source
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        data = data[:start] + draw(PIECES) + data[end if draw(st.booleans()) else start :]
    return data


def judge(document: bytes) -> None:
    with suppress(VerificationError):
        rim = read_rim(document, ANCHOR)
        assert rim.golden
        assert rim.certificates[0].der == CHAIN[0].der


@MODERATE
@given(st.binary(max_size=300) | PIECES | mutated(b"<a><b c='d'>e</b></a>"))
def test_random_documents(document: bytes) -> None:
    judge(document)


@settings(max_examples=300, deadline=None)
@given(mutated(GENUINE.xml))
def test_changed_manifests(document: bytes) -> None:
    judge(document)


@MODERATE
@given(mutated(GENUINE.content.encode()))
def test_changed_content_signed_again(content: bytes) -> None:
    """What lies behind the signature, where the change is still XML."""
    with suppress(UnicodeDecodeError, etree.LxmlError):
        judge(replace(GENUINE, body=content.decode()).xml)


NAMES = (
    "type",
    "index",
    "active",
    "alternatives",
    "size",
    "name",
    "ns2:Hash0",
    "ns2:Hash1",
    "Hash0",
    "other",
)


@MODERATE
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), TEXTS | st.none(), max_size=4), max_size=3))
def test_changed_measurements_signed_again(changes: list[dict[str, str | None]]) -> None:
    resources = [resource(index, **escaped(change)) for index, change in enumerate(changes)]
    with suppress(UnicodeEncodeError, etree.LxmlError):
        judge(replace(GENUINE, resources=tuple(resources)).xml)


def escaped(change: dict[str, str | None]) -> dict[str, str | None]:
    return {
        name: None
        if text is None
        else text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        for name, text in change.items()
    }


@MODERATE
@given(mutated(envelope(GENUINE.xml)) | mutated(b'{"rim": "", "sha256": ""}'))
def test_changed_envelopes(document: bytes) -> None:
    judge(document)


@MODERATE
@given(
    st.dictionaries(
        st.sampled_from(["rim", "sha256", "id"]),
        st.recursive(st.none() | TEXTS | st.integers() | st.booleans(), st.lists, max_leaves=3),
    )
)
def test_other_envelopes(members: dict[str, Any]) -> None:
    judge(json.dumps(members).encode())


def answered(data: bytes) -> None:
    """Nothing that was changed takes the place of the first answer."""
    with suppress(VerificationError):
        check_status("ocsp", PARSED, read_answers((data,)), NOW)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100) | mutated(FIRST.der))
def test_changed_answers(data: bytes) -> None:
    answered(data)


def elements_changed(draw: st.DrawFn, data: bytes, depth: int = 0) -> bytes:
    """One element somewhere in a tree of DER replaced by another well-formed one: all lengths stay right."""
    items = list(der.elements(data))
    index = draw(st.integers(0, len(items) - 1))
    tag, content = items[index]
    if tag & 0x20 and content and depth < 9 and draw(st.integers(0, 4)):
        content = elements_changed(draw, content, depth + 1)
    else:
        tag = draw(
            st.sampled_from([tag, 0x02, 0x04, 0x05, 0x06, 0x0A, 0x18, 0x30, 0x80, 0xA0, 0xA1])
        )
        content = draw(st.binary(max_size=16) | st.just(content))
    items[index] = (tag, content)
    if draw(st.integers(0, 9)) == 0:
        items.append(draw(st.sampled_from(items)))
    return b"".join(writer.tlv(*item) for item in items)


def signed_part() -> bytes:
    """ResponseData of the first answer, content."""
    _, (_, wrapped) = der.elements(der.only(FIRST.der, der.SEQUENCE))
    _, (_, basic) = der.elements(der.only(wrapped, der.SEQUENCE))
    return der.elements(der.only(basic, der.SEQUENCE))[0][1]


@st.composite
def response_data(draw: st.DrawFn) -> bytes:
    return elements_changed(draw, signed_part())


@settings(max_examples=300, deadline=None)
@given(response_data())
def test_changed_answers_signed_again(changed: bytes) -> None:
    """ResponseData changed as DER, under a signature of the right responder."""
    outer = der.only(FIRST.der, der.SEQUENCE)
    (status, (tag, given_bytes)) = der.elements(outer)
    kind, (_, response) = der.elements(der.only(given_bytes, der.SEQUENCE))
    parts = der.elements(der.only(response, der.SEQUENCE))
    tbs = writer.sequence(changed)
    signature = FIRST.by.key.sign(tbs, ec.ECDSA(SHA384()))
    basic = writer.sequence(
        tbs,
        writer.tlv(*parts[1]),
        writer.bit_string(signature),
        *(writer.tlv(*one) for one in parts[3:]),
    )
    wrapped = writer.sequence(writer.tlv(*kind), writer.octet_string(basic))
    answered(writer.sequence(writer.tlv(*status), writer.tlv(tag, wrapped)))
