# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's reference manifests (RIM): golden values of one driver or firmware, signed under the pinned RIM root.

First the signature, by the leaf of a chain of exactly four that the document brings, then the content, read by fixed
path from what was digested. What a manifest is for is what it says itself: product and version; its file name means
nothing. A VBIOS manifest does not say for which board it is: that stands in the name under which NVIDIA's RIM service
has it. Answers of the service carry that beside the document, signed by nobody, so that it can only narrow what one is
used for. No date is looked at but by whoever uses a manifest (`check_validity` of its certificates), nor revocation:
NVIDIA has signed manifests of one name that differ, and has revoked some. What was authenticated is remembered
(`lru_cache`: the exact bytes are the key, only successes are kept).

Source: TCG Reference Integrity Manifest Information Model over SWID tags (ISO/IEC 19770-2:2015), as NVIDIA writes them.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from verifiers import jsontext
from verifiers.certificate import EXTENDED_KEY_USAGE, KEY_USAGE
from verifiers.chain import verify_chain
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import MEASUREMENT_BYTES, RimKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from verifiers.anchors import Anchor
    from verifiers.certificate import Certificate
    from verifiers.nvidia.xmlsig import SignedDocument

MAX_RIM_BYTES: Final = 128 * 1024  # a real one has 25 KiB
MAX_ENVELOPE_BYTES: Final = 256 * 1024

_SWID: Final = "{http://standards.iso.org/iso/19770/-2/2015/schema.xsd}"
_HASH: Final = "{http://www.w3.org/2001/04/xmlenc#sha384}Hash"
_DIGITAL_SIGNATURE: Final = bytes.fromhex("03020780")  # KeyUsage with this bit alone

_INDEXES: Final = 64
_MAX_ALTERNATIVES: Final = 64
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,2}")
_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{96}")
_ACTIVE: Final = {"True": True, "False": False}
_VBIOS: Final = re.compile(r"[0-9A-F]{2}(\.[0-9A-F]{2}){4}")
_ATTRIBUTES: Final = {"type", "index", "active", "alternatives", "name", "size"}


@dataclass(frozen=True, slots=True)
class Rim:
    """One authentic manifest. Dates and revocation are not looked at.

    Attributes:
        certificates: signer (L4), L3, L2, root.
        rim_id: its name at the RIM service, by the service's answer that it came in; None of a bare document.
        tag_id: its own name, by which NVIDIA has issued differing ones. sha256: of the document, 32 bytes.
        product, version: what it is for, e.g. "GH100" and "550.90.07" or "96.00.9F.00.01".
        golden: index of a measurement, from 0 -> the values that it may have, 48 bytes each. Not empty.
    """

    certificates: tuple[Certificate, ...]
    kind: RimKind
    rim_id: str | None
    tag_id: str
    product: str
    version: str
    golden: Mapping[int, frozenset[bytes]]
    sha256: bytes


@lru_cache(maxsize=256)
def read_rim(document: bytes, root: Anchor) -> Rim:
    """Authenticate and read a manifest.

    Args:
        document: the XML, or the JSON in which NVIDIA's RIM service wraps it.
        root: the pinned root of signers.

    Raises:
        VerificationError: `too-large`; `malformed` for what is not of the form of a manifest, whoever has signed it;
            `rim-signature` if the signature, or the root of its signer, does not hold.
    """
    rim_id, xml = _unwrapped(document)
    if len(xml) > MAX_RIM_BYTES:
        raise VerificationError(
            Reason.TOO_LARGE, f"manifest: {len(xml)} bytes, at most {MAX_RIM_BYTES}"
        )
    signed = _signed(xml)
    certificates = _check_signature(signed, root)
    try:
        return _read(signed.tree(), certificates, rim_id, sha256(xml).digest())
    except ValueError as error:
        raise VerificationError(Reason.MALFORMED, f"manifest: {error}") from error


def check_answer(answer: bytes, rim_id: str) -> None:
    """Demand that `answer` is what the RIM service says of the manifest that it was asked for by this name.

    The name in it is the service's word, signed by nobody: it tells answers apart, `read_rim` says what they are for.

    Raises:
        VerificationError: `too-large`, `malformed`.
    """
    if not answer.startswith(b"{"):
        raise VerificationError(Reason.MALFORMED, "not an answer of the RIM service")
    if _envelope(answer).get("id") != rim_id:
        raise VerificationError(Reason.MALFORMED, f"answer of the RIM service: not about {rim_id}")


def _unwrapped(document: bytes) -> tuple[str | None, bytes]:
    """The document itself, also out of an answer of the RIM service, with the name that this gives it."""
    if not document.startswith(b"{"):
        return None, document
    try:
        return _from_envelope(_envelope(document))
    except ValueError as error:
        raise VerificationError(Reason.MALFORMED, f"answer of the RIM service: {error}") from error


def _envelope(document: bytes) -> Mapping[str, jsontext.Json]:
    """The JSON object in which the RIM service wraps a manifest. Raises VerificationError."""
    if len(document) > MAX_ENVELOPE_BYTES:
        raise VerificationError(
            Reason.TOO_LARGE,
            f"answer of the RIM service: {len(document)} bytes, at most {MAX_ENVELOPE_BYTES}",
        )
    try:
        return jsontext.parse(document)
    except ValueError as error:
        raise VerificationError(Reason.MALFORMED, f"answer of the RIM service: {error}") from error


def _from_envelope(members: Mapping[str, jsontext.Json]) -> tuple[str, bytes]:
    """`id` is the name, `rim` the document in Base64, `sha256` its digest in hexadecimal. Raises ValueError."""
    rim_id, text, digest = (members.get(name) for name in ("id", "rim", "sha256"))
    if not isinstance(rim_id, str) or not isinstance(text, str) or not isinstance(digest, str):
        raise ValueError("id, rim or sha256 is missing")  # noqa: TRY004 - one exception type for bad text
    xml = binascii.a2b_base64(text, strict_mode=True)
    if sha256(xml).hexdigest() != digest.lower():
        raise ValueError("sha256 is not that of rim")
    return rim_id, xml


def _signed(xml: bytes) -> SignedDocument:
    from verifiers.nvidia import xmlsig  # noqa: PLC0415 - lxml, which only who reads a manifest waits for

    try:
        return xmlsig.read_signed(xml)
    except xmlsig.SignatureFormError as error:
        raise VerificationError(Reason.RIM_SIGNATURE, f"manifest: {error}") from error
    except ValueError as error:
        raise VerificationError(Reason.MALFORMED, f"manifest: {error}") from error


def _check_signature(signed: SignedDocument, root: Anchor) -> tuple[Certificate, ...]:
    """The chain whose leaf has signed the document. Raises VerificationError (`rim-signature`)."""
    if signed.certificates[-1] != root.certificate.der:
        raise VerificationError(
            Reason.RIM_SIGNATURE,
            f"manifest: its chain does not end in the pinned {root.certificate.common_name}",
        )
    try:
        certificates = verify_chain(signed.certificates, None, root)
    except VerificationError as error:
        raise VerificationError(Reason.RIM_SIGNATURE, f"manifest: {error.detail}") from error
    leaf = certificates[0]
    usage = leaf.extensions.get(KEY_USAGE)
    if usage != _DIGITAL_SIGNATURE or EXTENDED_KEY_USAGE in leaf.extensions:
        raise VerificationError(
            Reason.RIM_SIGNATURE, f"manifest: {leaf.common_name} is certified for another use"
        )
    if not signed.is_signed_by(leaf.public_key):
        raise VerificationError(
            Reason.RIM_SIGNATURE, f"manifest: not signed by {leaf.common_name}, or changed since"
        )
    return certificates


def _read(
    root: Any,  # noqa: ANN401 - an lxml element
    certificates: tuple[Certificate, ...],
    rim_id: str | None,
    digest: bytes,
) -> Rim:
    """The manifest in the digested tree. Raises ValueError."""
    if root.tag != f"{_SWID}SoftwareIdentity":
        raise ValueError("not a SoftwareIdentity")
    meta, payload = _only(root, "Meta"), _only(root, "Payload")
    golden = _golden(payload)
    version = _text(meta, "colloquialVersion")
    return Rim(
        certificates=certificates,
        kind=_kind(_text(meta, "edition"), version),
        rim_id=rim_id,
        tag_id=_text(root, "tagId"),
        product=_text(meta, "product"),
        version=version,
        golden=MappingProxyType(golden),
        sha256=digest,
    )


def _only(root: Any, name: str) -> Any:  # noqa: ANN401 - lxml elements
    found = root.findall(_SWID + name)
    if len(found) != 1:
        raise ValueError(f"not exactly one {name}")
    return found[0]


def _text(element: Any, name: str) -> str:  # noqa: ANN401 - an lxml element
    value: str | None = element.get(name)
    if not value:
        raise ValueError(f"{name} is missing")
    return value


def _kind(edition: str, version: str) -> RimKind:
    """What a manifest vouches for: versions of a VBIOS have five bytes, those of a driver two to four numbers."""
    match edition, _VBIOS.fullmatch(version):
        case "GPU", None:
            return RimKind.DRIVER
        case "GPU", _:
            return RimKind.VBIOS
        case "SWITCH", _:
            return RimKind.SWITCH_BIOS
        case _:
            raise ValueError(f"edition {edition!r} is unknown")


def _golden(payload: Any) -> dict[int, frozenset[bytes]]:  # noqa: ANN401 - an lxml element
    """The golden values of the measurements that are active."""
    golden: dict[int, frozenset[bytes]] = {}
    seen: set[int] = set()
    for resource in payload:
        if resource.tag != f"{_SWID}Resource" or resource.get("type") != "Measurement":
            raise ValueError("something that is no measurement in the Payload")
        index, values = _measurement(resource.attrib)
        if index in seen:
            raise ValueError(f"measurement {index} stands twice")
        seen.add(index)
        if values:
            golden[index] = values
    if not golden:
        raise ValueError("no measurement is active")
    return golden


def _measurement(attributes: Mapping[str, str]) -> tuple[int, frozenset[bytes]]:
    """The index of one measurement and its golden values, none if it is not active."""
    index = _number(attributes, "index", _INDEXES - 1)
    size = _number(attributes, "size", MEASUREMENT_BYTES)
    active = _ACTIVE.get(attributes.get("active", ""))
    count = _number(attributes, "alternatives", _MAX_ALTERNATIVES)
    if size != MEASUREMENT_BYTES or active is None or not count:
        raise ValueError(
            f"measurement {index}: size is not {MEASUREMENT_BYTES}, active neither True nor False, "
            "or there are no alternatives"
        )
    names = [f"{_HASH}{number}" for number in range(count)]
    if set(attributes) - _ATTRIBUTES != set(names):
        raise ValueError(f"measurement {index}: not exactly Hash0 to Hash{count - 1}")
    if not all(_DIGEST.fullmatch(attributes[name]) for name in names):
        raise ValueError(f"measurement {index}: a hash is no SHA-384")
    values = frozenset(bytes.fromhex(attributes[name]) for name in names)
    return index, values if active else frozenset()


def _number(attributes: Mapping[str, str], name: str, most: int) -> int:
    text = attributes.get(name, "")
    if not _NUMBER.fullmatch(text) or int(text) > most:
        raise ValueError(f"{name} is not a number up to {most}")
    return int(text)
