# SPDX-License-Identifier: Apache-2.0
"""The one form of XML signature that NVIDIA's reference manifests have. Nothing else is understood.

The document is UTF-8 without markup declarations, comments, CDATA and processing instructions, which is decided on its
text before any parser sees it: no entity, no DTD, nothing that canonicalisation and a reader could see differently. Nor
has it many namespaces, nor long prefixes: at each element canonicalisation compares those in force with one another.

Its last element is its only Signature, and that is to the element and attribute the one below: C14N 1.1, ECDSA with
SHA-384, one reference to the whole document, four certificates. Those certificates are the only keys there are; whoever
asks decides which of them counts.

What was digested is handed out as a tree made anew from the very bytes that went into the digest. lxml writes C14N 1.0;
for a whole document, and for a part of one without attributes of the namespace `xml`, 1.1 gives the same bytes.
Sources: W3C XML Signature 1.1, RFC 9231 (algorithms), W3C Canonical XML 1.1.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha384
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from lxml import etree

from verifiers.signatures import p384_verifies

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

Element: TypeAlias = Any  # lxml has no types
Shape: TypeAlias = "tuple[str, dict[str, str], tuple[Shape, ...]]"

CERTIFICATES: Final = 4
MAX_NAMESPACES: Final = 16  # real ones declare six, with prefixes of three letters at most
MAX_PREFIX_BYTES: Final = 16

_DS: Final = "{http://www.w3.org/2000/09/xmldsig#}"
_C14N_11: Final = "http://www.w3.org/2006/12/xml-c14n11"
_ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_SHA384: Final = "http://www.w3.org/2001/04/xmldsig-more#sha384"
_ECDSA_SHA384: Final = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
_DECLARATION: Final = re.compile(
    rb"""\A<\?xml version=["']1\.0["'](?: encoding=["'][Uu][Tt][Ff]-8["'])?\s*\?>"""
)
_LONG_PREFIX: Final = re.compile(rb"xmlns:[^\s=]{%d}" % (MAX_PREFIX_BYTES + 1))
_NUMBER_BYTES: Final = 48  # r and s of P-384


def _shape(name: str, *children: Shape, **attributes: str) -> Shape:
    return _DS + name, attributes, children


_SIGNATURE: Final = _shape(
    "Signature",
    _shape(
        "SignedInfo",
        _shape("CanonicalizationMethod", Algorithm=_C14N_11),
        _shape("SignatureMethod", Algorithm=_ECDSA_SHA384),
        _shape(
            "Reference",
            _shape(
                "Transforms",
                _shape("Transform", Algorithm=_ENVELOPED),
                _shape("Transform", Algorithm=_C14N_11),
            ),
            _shape("DigestMethod", Algorithm=_SHA384),
            _shape("DigestValue"),
            URI="",
        ),
    ),
    _shape("SignatureValue"),
    _shape("KeyInfo", _shape("X509Data", *[_shape("X509Certificate")] * CERTIFICATES)),
)


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A document whose signature has the right form. Nothing is authentic before `is_signed_by`.

    Attributes:
        digested: canonical bytes of the document without its Signature. digest: what the signature says of them.
        signed_info: canonical bytes that the signature value is over. signature: r || s, of any length.
        certificates: DER, in their order.
    """

    digested: bytes
    digest: bytes
    signed_info: bytes
    signature: bytes
    certificates: tuple[bytes, ...]

    def is_signed_by(self, key: ec.EllipticCurvePublicKey) -> bool:
        """Whether the signature value is one of `key`, and the digest that of the document."""
        r, s = self.signature[:_NUMBER_BYTES], self.signature[_NUMBER_BYTES:]
        return (
            len(s) == _NUMBER_BYTES
            and p384_verifies(
                key, int.from_bytes(r, "big"), int.from_bytes(s, "big"), self.signed_info
            )
            and compare_digest(sha384(self.digested).digest(), self.digest)
        )

    def tree(self) -> Element:
        """The root of what the digest is of. Signatures are not in it."""
        return _parse(self.digested)


class SignatureFormError(ValueError):
    """A signature of another form than the one that is understood."""


def read_signed(document: bytes) -> SignedDocument:
    """Take a document with an enveloped signature apart.

    Raises:
        SignatureFormError: the Signature has another form.
        ValueError: it is no such XML, or has not exactly one Signature, last in its root.
    """
    marks = _DECLARATION.sub(b"", document, count=1)
    if b"<!" in marks or b"<?" in marks:
        raise ValueError("markup declarations, comments, CDATA or processing instructions")
    # "xmlns" is counted in text as well, where no manifest has it
    if document.count(b"xmlns") > MAX_NAMESPACES or _LONG_PREFIX.search(document):
        raise ValueError(
            f"more than {MAX_NAMESPACES} namespaces, or a prefix of more than {MAX_PREFIX_BYTES} bytes"
        )
    root = _parse(document)
    signature: Element = root[-1] if len(root) else None
    if list(root.iter(f"{_DS}Signature")) != [signature]:
        raise ValueError("not exactly one Signature, last in the document")
    if not _has_shape(signature, _SIGNATURE):
        raise SignatureFormError(
            "not exactly C14N 1.1, ECDSA with SHA-384, one reference to the whole document and "
            f"{CERTIFICATES} certificates"
        )
    signed_info, value, key_info = signature
    canonical = _canonical(signed_info)  # while it has its ancestors, whose namespaces are in it
    _take_out(signature)
    return SignedDocument(
        digested=_canonical(root),
        digest=_base64(signed_info[2][2]),
        signed_info=canonical,
        signature=_base64(value),
        certificates=tuple([_base64(one) for one in key_info[0]]),
    )


def _parse(document: bytes) -> Element:
    parser = etree.XMLParser(
        encoding="utf-8",  # whatever a byte order mark says
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        recover=False,
    )
    try:
        return etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"no XML: {error}") from error


def _canonical(element: Element) -> bytes:
    try:
        data: bytes = etree.tostring(element, method="c14n", with_tail=False)
    except etree.C14NError as error:  # a relative namespace has no canonical form
        raise ValueError(f"no canonical form: {error}") from error
    return data


def _has_shape(element: Element, shape: Shape) -> bool:
    """Whether an element has just this name, these attributes and these children; text does not matter."""
    name, attributes, children = shape
    return (
        element.tag == name
        and dict(element.attrib) == attributes
        and len(element) == len(children)
        and all(_has_shape(*pair) for pair in zip(element, children, strict=True))
    )


def _take_out(signature: Element) -> None:
    """Remove the last child; the text that follows it stays, for the transform takes out the element alone."""
    root, before = signature.getparent(), signature.getprevious()
    after = signature.tail or ""
    root.remove(signature)
    if before is None:
        root.text = (root.text or "") + after
    else:
        before.tail = (before.tail or "") + after


def _base64(element: Element) -> bytes:
    """Base64 with padding in lines of any length, the one text that encodes these bytes. Raises ValueError."""
    text = "".join((element.text or "").split())
    data = binascii.a2b_base64(text, strict_mode=True)
    if base64.b64encode(data).decode("ascii") != text:
        raise ValueError("not the Base64 of these bytes")
    return data
