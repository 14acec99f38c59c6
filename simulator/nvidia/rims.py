# SPDX-License-Identifier: Apache-2.0
"""Reference manifests (RIM) of a fake NVIDIA; every part can be made wrong before it is signed.

The XML is a template, its canonical form lxml's, the signature over it the library's; none of it by what is tested.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lxml import etree

from simulator.nvidia.certificates import CA, Party, Terms, issue, raw
from simulator.nvidia.reports import digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric import ec

RIM_ROOT = issue("Test CoRIM signing Root CA", None)
RIM_L2 = issue("Test Reference Value CA", RIM_ROOT)
RIM_L3 = issue("Test Reference Value L3", RIM_L2, replace(CA, path_length=0))
SIGNER = issue("Test RIM L4 Signer", RIM_L3, Terms())
CHAIN = (SIGNER, RIM_L3, RIM_L2, RIM_ROOT)

SWID = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd"
DS = "http://www.w3.org/2000/09/xmldsig#"
C14N_11 = "http://www.w3.org/2006/12/xml-c14n11"
_SIGNATURE = f"""<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo>\
<ds:CanonicalizationMethod Algorithm="{C14N_11}"/>\
<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"/>\
<ds:Reference URI=""><ds:Transforms><ds:Transform Algorithm="{DS}enveloped-signature"/>\
<ds:Transform Algorithm="{C14N_11}"/></ds:Transforms>\
<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#sha384"/>\
<ds:DigestValue>@DIGEST@</ds:DigestValue></ds:Reference></ds:SignedInfo>\
<ds:SignatureValue>@VALUE@</ds:SignatureValue><ds:KeyInfo><ds:X509Data>@CERTIFICATES@</ds:X509Data>\
</ds:KeyInfo></ds:Signature>"""
_HASH_0 = "00" * 48


def resource(index: object = 0, /, *hashes: str, **changed: str | None) -> str:
    """One measurement; `changed` attributes are set, or with None left out."""
    hashes = hashes or (_HASH_0,)
    attributes: dict[str, str | None] = {
        "type": "Measurement",
        "index": str(index),
        "active": "True",
        "alternatives": str(len(hashes)),
        **{f"ns2:Hash{number}": text for number, text in enumerate(hashes)},
        "name": f"Measurement_{index}",
        "size": "48",
    }
    said = " ".join(
        f'{name}="{text}"' for name, text in (attributes | changed).items() if text is not None
    )
    return f"<ns0:Resource {said}/>"


def unchanged(text: str) -> str:
    """The text."""
    return text


@dataclass(frozen=True)
class Manifest:
    """A manifest before it is signed.

    Attributes:
        meta, resources: inner parts; `body` is made of them unless it is given.
        chain: whose certificates are in it. signer: who signs, by default the first of them.
        signature: changes the Signature element before it is signed. after: changes the finished text.
        tail: between the Signature and the end of the root.
    """

    product: str = "GH100"
    version: str = "550.90.07"
    edition: str = "GPU"
    tag_id: str = "tag"
    resources: tuple[str, ...] = (resource(7, "11" * 48, "22" * 48), resource(8, active="False"))
    body: str | None = None
    root: str = "SoftwareIdentity"
    head: str = ""
    tail: str = ""
    chain: tuple[Party, ...] = CHAIN
    signer: ec.EllipticCurvePrivateKey | None = None
    signature: Callable[[str], str] = unchanged
    after: Callable[[str], str] = unchanged

    @property
    def content(self) -> str:
        """All between Entity and Signature."""
        return self.body if self.body is not None else f"{self.meta}{self.payload}"

    @property
    def meta(self) -> str:
        """The element Meta."""
        return (
            f'<ns0:Meta colloquialVersion="{self.version}" edition="{self.edition}" '
            f'product="{self.product}"/>'
        )

    @property
    def payload(self) -> str:
        """The element Payload."""
        return f"<ns0:Payload>{''.join(self.resources)}</ns0:Payload>"

    def text(self, signature: str) -> str:
        """The document with this for a Signature."""
        return (
            f'{self.head}<{self.root} xmlns="{SWID}" xmlns:ns0="{SWID}" '
            f'xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" name="GH100" '
            f'tagId="{self.tag_id}"><ns0:Entity name="NVIDIA Corporation"/>\n'
            f"{self.content}{signature}{self.tail}</{self.root}>"
        )

    @property
    def xml(self) -> bytes:
        """The signed document."""
        hashed = hashlib.sha384(canonical(self.text(""))).digest()
        certificates = "".join(
            f"<ds:X509Certificate>{b64(one.der)}</ds:X509Certificate>" for one in self.chain
        )
        text = self.text(
            self.signature(_SIGNATURE)
            .replace("@DIGEST@", b64(hashed))
            .replace("@CERTIFICATES@", certificates)
        )
        signed_info = next(etree.fromstring(text.encode()).iter(f"{{{DS}}}SignedInfo"), None)
        if signed_info is not None:
            value = raw(
                self.signer or self.chain[0].key, etree.tostring(signed_info, method="c14n")
            )
            text = text.replace("@VALUE@", b64(value))
        return self.after(text).encode()


def canonical(text: str) -> bytes:
    """C14N 1.0, which is 1.1 here."""
    data: bytes = etree.tostring(etree.fromstring(text.encode()), method="c14n")
    return data


def b64(data: bytes) -> str:
    """Base64, one line."""
    return base64.b64encode(data).decode()


def envelope(xml: bytes, **changed: object) -> bytes:
    """What the RIM service answers."""
    members = {
        "id": "NV_GPU_DRIVER_GH100_550.90.07",
        "rim": b64(xml),
        "sha256": hashlib.sha256(xml).hexdigest(),
        "last_updated": "2026-01-01T00:00:00Z",
        "rim_format": "TEXT",
        "request_id": "1",
    }
    return json.dumps(members | changed).encode()


@lru_cache(maxsize=256)
def document(one: Manifest) -> bytes:
    """The signed document."""
    return one.xml


def manifest(indexes: range | tuple[int, ...], **changes: Any) -> Manifest:  # noqa: ANN401 - of a Manifest
    """A manifest whose golden values are those of `GPU` and `SWITCH`."""
    resources = tuple(resource(index, digest(index + 1).hex()) for index in indexes)
    return replace(Manifest(resources=resources), **changes)


DRIVER = manifest(range(21, 41))
VBIOS = manifest(range(13), version="96.00.9F.00.01")
SWITCH_BIOS = manifest(range(31), product="LS10", version="96.10.55.00.01", edition="SWITCH")
