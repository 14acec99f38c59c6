# SPDX-License-Identifier: Apache-2.0
"""Manifests: all real ones field by field, and two implementations of XML signatures beside ours."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidInput, InvalidSignature
from signxml.verifier import SignatureConfiguration, XMLVerifier

from simulator.nvidia.rims import (
    CHAIN,
    RIM_ROOT,
    SIGNER,
    SWID,
    Manifest,
    canonical,
    envelope,
    resource,
)
from tests import nvidia_vectors as vectors
from tests.nvidia_devices import ANCHOR
from tests.tdx_vectors import NOTICE
from verifiers.anchors import builtin
from verifiers.chain import check_validity
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import RimKind
from verifiers.nvidia.device import nvidia_roots
from verifiers.nvidia.rim import Rim, read_rim
from verifiers.nvidia.xmlsig import MAX_NAMESPACES, MAX_PREFIX_BYTES, SignedDocument, read_signed

if TYPE_CHECKING:
    from pathlib import Path

ROOT = nvidia_roots(builtin()).rim
GENUINE = Manifest()


@lru_cache(maxsize=1)
def described() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(path, what is said of it, what is said of its folder) of every real manifest."""
    found = []
    for file in sorted(vectors.NVIDIA.rglob("expected.json")):
        folder = file.parent.relative_to(vectors.NVIDIA)
        expected = json.loads(file.read_text())
        rims = expected.get("rims", [])
        said = rims if isinstance(rims, list) else list(rims.values())
        found += [(f"{folder}/{one['file']}", one, expected) for one in said]
        found += [
            (f"{folder}/{path}", one, expected)
            for path, one in expected.get("negatives", {}).items()
            if path.endswith(".xml")
        ]
    return found


def each(folder: str = "") -> list[Any]:
    found = [pytest.param(*one, id=one[0]) for one in described() if one[0].startswith(folder)]
    return found or [
        pytest.param("absent", {}, {}, id="absent", marks=pytest.mark.skip(reason=NOTICE))
    ]


def documents() -> list[Any]:
    """Every file that is, or pretends to be, a manifest."""
    found = [*vectors.NVIDIA.rglob("*.xml"), *vectors.NVIDIA.rglob("*.swidtag")]
    return [pytest.param(path, id=f"{path.parent.name}-{path.name}") for path in sorted(found)] or [
        pytest.param(None, id="absent", marks=pytest.mark.skip(reason=NOTICE))
    ]


@pytest.mark.parametrize(("path", "said", "_folder"), each())
def test_every_field(path: str, said: dict[str, Any], _folder: dict[str, Any]) -> None:
    document = vectors.document(path)
    if said["signature"] != "ok" or said["chain_at_leaf_start"] != "ok":
        assert refused(document) is Reason.RIM_SIGNATURE
        return
    rim = read_rim(document, ROOT)
    assert (rim.tag_id, rim.product, rim.version, rim.sha256.hex()) == (
        said["tag_id"],
        said["product"],
        said["colloquial_version"],
        said["sha256"],
    )
    assert sorted(rim.golden) == said["active_indexes"]
    hashes = {int(one.get("index", "")): digests(one) for one in active(document)}
    assert rim.golden == {index: set(values) for index, values in hashes.items()}
    several = {str(index): len(values) for index, values in hashes.items() if len(values) > 1}
    assert several == said["alternatives"]  # of a switch's some are equal
    leaf = rim.certificates[0]
    assert leaf.not_before.isoformat() == said["leaf_not_before"]
    assert leaf.not_after.isoformat() == said["leaf_not_after"]


def active(document: bytes) -> list[ET.Element]:
    """The measurements that count, by another reader."""
    root = ET.fromstring(document)  # noqa: S314 - a file of the vectors
    return [
        one
        for one in root.iterfind(f"{{{SWID}}}Payload/{{{SWID}}}Resource")
        if one.get("active") == "True"
    ]


def digests(measurement: ET.Element) -> list[bytes]:
    return [bytes.fromhex(text) for name, text in measurement.items() if "}Hash" in name]


@pytest.mark.parametrize(("path", "said", "folder"), each("rims/"))
def test_the_expected_verdict(path: str, said: dict[str, Any], folder: dict[str, Any]) -> None:
    code = folder["expect"]["code"]
    if code == Reason.INCOMPLETE:  # several that differ: each is genuine for itself
        assert read_rim(vectors.document(path), ROOT).tag_id == said["tag_id"]
        return
    assert refused(vectors.document(path), folder.get("at")) == code


@pytest.mark.parametrize("path", documents())
def test_malformed_ones(path: Path) -> None:
    if path.parent.name == "malformed":
        assert refused(path.read_bytes()) is Reason.MALFORMED


def refused(document: bytes, at: str | None = None) -> Reason | None:
    """Why a manifest is refused, at an instant if there is one; None if it is not."""
    try:
        rim = read_rim(document, ROOT)
        if at is not None:
            check_validity(rim.certificates, datetime.fromisoformat(at))
    except VerificationError as error:
        return error.reason
    return None


def second_opinion(document: bytes, leaf: x509.Certificate) -> bytes | None:
    """What signxml says was signed by the leaf, canonical; None if nothing was."""
    configuration = SignatureConfiguration(
        location="./",
        expect_references=1,
        signature_methods=frozenset({SignatureMethod.ECDSA_SHA384}),
        digest_algorithms=frozenset({DigestAlgorithm.SHA384}),
        verification_time=leaf.not_valid_before_utc,
    )
    try:
        result = XMLVerifier().verify(document, x509_cert=leaf, expect_config=configuration)
    except (InvalidInput, InvalidSignature, etree.LxmlError, ValueError):
        return None
    assert not isinstance(result, list)
    return canonical(etree.tostring(result.signed_xml).decode())


def ours(document: bytes, leaf: x509.Certificate) -> bytes | None:
    """The same of ours."""
    try:
        signed = read_signed(document)
    except ValueError:
        return None
    key = leaf.public_key()
    return signed.digested if signed.is_signed_by(key) else None  # type: ignore[arg-type]  # all are P-384


@pytest.mark.parametrize("path", documents())
def test_signxml_agrees(path: Path) -> None:
    document = path.read_bytes()
    try:
        leaf = x509.load_der_x509_certificate(read_signed(document).certificates[0])
    except ValueError:
        leaf = SIGNER.certificate
    assert ours(document, leaf) == second_opinion(document, leaf)


def test_signxml_agrees_on_the_fake() -> None:
    document = GENUINE.xml
    assert ours(document, SIGNER.certificate) == second_opinion(document, SIGNER.certificate)
    assert ours(document, SIGNER.certificate) is not None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_we_accept_signxml_accepts(data: st.DataObject) -> None:
    document = GENUINE.xml
    start = data.draw(st.integers(0, len(document)))
    end = data.draw(st.integers(start, min(len(document), start + 3)))
    piece = data.draw(
        st.binary(max_size=2)
        | st.sampled_from([b" ", b"\n", b"&#32;", b"&amp;", b"'", b"<x/>", b" x='y'"])
    )
    changed = document[:start] + piece + document[end:]
    accepted = ours(changed, SIGNER.certificate)
    if accepted is not None:
        assert accepted == second_opinion(changed, SIGNER.certificate)
        assert accepted == ours(document, SIGNER.certificate)


def test_spelling_that_canonicalisation_levels() -> None:
    """White space inside tags, quotes and the order of attributes are nobody's statement."""
    text = GENUINE.xml.decode()
    spelled = text.replace('type="Measurement" index="7"', "index='7'\n  type='Measurement'")
    assert spelled != text
    rim = read_rim(spelled.encode(), ANCHOR)
    assert rim.golden == read_rim(text.encode(), ANCHOR).golden
    assert rim.sha256 != read_rim(text.encode(), ANCHOR).sha256


@pytest.mark.parametrize(
    ("edition", "version", "kind"),
    [
        ("GPU", "550.90.07", RimKind.DRIVER),
        ("GPU", "96.00.9F.00.01", RimKind.VBIOS),
        ("SWITCH", "96.10.55.00.01", RimKind.SWITCH_BIOS),
    ],
)
def test_kinds(edition: str, version: str, kind: RimKind) -> None:
    rim = read(replace(GENUINE, edition=edition, version=version))
    assert (rim.kind, rim.version) == (kind, version)


def read(manifest: Manifest) -> Rim:
    return read_rim(manifest.xml, ANCHOR)


def test_the_fields_of_a_manifest() -> None:
    rim = read(GENUINE)
    assert [one.der for one in rim.certificates] == [one.der for one in CHAIN]
    assert rim.golden == {7: {b"\x11" * 48, b"\x22" * 48}}
    with pytest.raises(TypeError):
        rim.golden[8] = frozenset()  # type: ignore[index]  # the point
    upper = replace(GENUINE, resources=(resource(7, "AB" * 48), resource(63, "ab" * 48)))
    assert read(upper).golden == {7: {b"\xab" * 48}, 63: {b"\xab" * 48}}


def test_only_authentic_manifests_are_remembered() -> None:
    document, forged = GENUINE.xml, GENUINE.xml.replace(b"11" * 48, b"44" * 48)
    read_rim.cache_clear()
    first = read_rim(document, ANCHOR)
    with pytest.raises(VerificationError, match="changed since"):
        read_rim(forged, ANCHOR)
    assert read_rim.cache_info().currsize == 1
    assert read_rim(bytes(bytearray(document)), ANCHOR) is first
    assert read_rim(envelope(document, id="a name"), ANCHOR) == replace(first, rim_id="a name")


def test_the_name_of_a_manifest_is_that_of_its_answer() -> None:
    assert read_rim(GENUINE.xml, ANCHOR).rim_id is None
    for rim_id in (None, 1, ["x"]):
        with pytest.raises(VerificationError, match="id, rim or sha256 is missing") as caught:
            read_rim(envelope(GENUINE.xml, id=rim_id), ANCHOR)
        assert caught.value.reason is Reason.MALFORMED


def test_another_anchor_is_another_question() -> None:
    read_rim(GENUINE.xml, ANCHOR)
    with pytest.raises(VerificationError, match="does not end in the pinned NVIDIA CoRIM"):
        read_rim(GENUINE.xml, ROOT)


def test_base64_has_one_spelling() -> None:
    text = GENUINE.xml.decode()
    digest = text.partition("<ds:DigestValue>")[2].partition("<")[0]
    lines = text.replace(digest, f"\n{digest[:10]}\n {digest[10:]}\n")
    with pytest.raises(VerificationError, match="not signed by"):  # white space is signed here
        read_rim(lines.encode(), ANCHOR)
    certificate = text.partition("<ds:X509Certificate>")[2].partition("<")[0]
    wrapped = text.replace(certificate, f"\n{certificate[:64]}\n{certificate[64:]}\n")
    assert (
        read_rim(wrapped.encode(), ANCHOR).certificates
        == read_rim(text.encode(), ANCHOR).certificates
    )
    padded = re.search("<ds:X509Certificate>([^<]*[^=<])(=+)<", text)
    if padded is None:  # one time in eighty all four lengths are multiples of three
        pytest.skip("no certificate of this run has spare bits in its Base64")
    body, padding = padded.groups()
    other = body[:-1] + chr(ord(body[-1]) + 1)  # a spare bit is set
    with pytest.raises(VerificationError) as caught:
        read_rim(text.replace(body + padding, other + padding).encode(), ANCHOR)
    assert caught.value.reason in (Reason.MALFORMED, Reason.RIM_SIGNATURE)


def signed(text: str) -> SignedDocument:
    """A document with the Signature of the genuine manifest in it."""
    document = GENUINE.xml.decode()
    signature = document[document.index("<ds:Signature ") : document.rindex("</SoftwareIdentity>")]
    return read_signed(text.replace("@", signature).encode())


@pytest.mark.parametrize("more", [0, 1])
def test_namespaces_are_counted(more: int) -> None:
    """As many as may be are canonicalised; one more is refused before that."""
    xml = GENUINE.xml
    declared = "".join(
        f' xmlns:n{number}="urn:n"' for number in range(MAX_NAMESPACES - xml.count(b"xmlns") + more)
    ).encode()
    document = xml.replace(b"<SoftwareIdentity", b"<SoftwareIdentity" + declared, 1)
    assert document != xml
    assert refused(document) is (Reason.MALFORMED if more else Reason.RIM_SIGNATURE)


@pytest.mark.parametrize("more", [0, 1])
def test_prefixes_are_short(more: int) -> None:
    xml = GENUINE.xml
    declared = f' xmlns:{"n" * (MAX_PREFIX_BYTES + more)}="urn:n"'.encode()
    document = xml.replace(b"<SoftwareIdentity", b"<SoftwareIdentity" + declared, 1)
    assert document != xml
    assert refused(document) is (Reason.MALFORMED if more else Reason.RIM_SIGNATURE)


def test_what_is_digested_is_the_document_without_its_signature() -> None:
    assert signed("<a>one @two</a>").digested == b"<a>one two</a>"
    assert signed("<a>@</a>").digested == b"<a></a>"
    assert signed("<a><b/>one @two</a>").digested == b"<a><b></b>one two</a>"
    assert signed("<a><b/>@two</a>").digested == b"<a><b></b>two</a>"
    assert signed("<a><b/>@</a>").tree()[0].tag == "b"


def test_lxml_waits_for_a_manifest() -> None:
    code = "import sys, verifiers.nvidia.system; sys.exit('lxml' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own words


def test_root_is_the_very_certificate() -> None:
    assert ANCHOR.certificate.der == RIM_ROOT.der
