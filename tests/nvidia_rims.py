# SPDX-License-Identifier: Apache-2.0
"""A fake NVIDIA that signs manifests and answers about certificates; every part can be made wrong before it is signed.

Its certificates and OCSP answers are made by the library, its XML signatures by lxml and a template, none of it by what
is tested.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from asn1crypto import core as asn1_core
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from lxml import etree

from verifiers.anchors import Anchor
from verifiers.certificate import EXTENDED_KEY_USAGE, P384, Certificate, parse_certificate

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
YEAR = timedelta(days=365)
SECOND = timedelta(seconds=1)

NO_CHECK = ObjectIdentifier("1.3.6.1.5.5.7.48.1.5")
OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING
HASHES: dict[str, SHA1 | SHA256 | SHA384 | SHA512] = {
    "sha1": SHA1(),  # noqa: S303 - names a certificate
    "sha256": SHA256(),
    "sha384": SHA384(),
    "sha512": SHA512(),
}
SIGNED_WITH: dict[str, SHA256 | SHA384] = {"sha256": SHA256(), "sha384": SHA384()}
_ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)


@lru_cache(maxsize=256)
def key(label: str) -> ec.EllipticCurvePrivateKey:
    """The P-384 key that a label always gives."""
    digest = hashlib.sha512(label.encode()).digest()
    return ec.derive_private_key(int.from_bytes(digest, "big") % (_ORDER - 1) + 1, ec.SECP384R1())


@dataclass(frozen=True, eq=False)
class Party:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def parsed(self) -> Certificate:
        return parse_certificate(self.der, P384, understood=frozenset({EXTENDED_KEY_USAGE}))


@dataclass(frozen=True)
class Terms:
    """What a certificate says besides its name. `usage`: names of the bits; `purposes`: of extended key usage."""

    ca: bool = False
    path_length: int | None = None
    usage: tuple[str, ...] = ("digital_signature",)
    purposes: tuple[ObjectIdentifier, ...] = ()
    critical: bool = True
    not_before: datetime = NOW - YEAR
    not_after: datetime = NOW + YEAR
    key: str = ""
    signed_with: str = "sha384"


CA = Terms(ca=True, usage=("key_cert_sign", "crl_sign"))
RESPONDER = Terms(purposes=(OCSP_SIGNING,))
_BITS = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def issue(name: str, by: Party | None, terms: Terms = CA) -> Party:
    """A certificate; self-signed if nobody issues it."""
    own = key(terms.key or name)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "NVIDIA Corporation"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    serial = int.from_bytes(hashlib.sha256(f"{name}{terms}".encode()).digest()[:8], "big") + 1
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(own.public_key())
        .serial_number(serial)
        .not_valid_before(terms.not_before)
        .not_valid_after(terms.not_after)
        .add_extension(x509.BasicConstraints(terms.ca, terms.path_length), critical=True)
        .add_extension(x509.KeyUsage(**{bit: bit in terms.usage for bit in _BITS}), critical=True)
    )
    if terms.purposes:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage(terms.purposes), critical=terms.critical
        )
    return Party(builder.sign(by.key if by else own, SIGNED_WITH[terms.signed_with]), own)


RIM_ROOT = issue("Test CoRIM signing Root CA", None)
RIM_L2 = issue("Test Reference Value CA", RIM_ROOT)
RIM_L3 = issue("Test Reference Value L3", RIM_L2, replace(CA, path_length=0))
SIGNER = issue("Test RIM L4 Signer", RIM_L3, Terms())
CHAIN = (SIGNER, RIM_L3, RIM_L2, RIM_ROOT)
ANCHOR = Anchor.from_der(RIM_ROOT.der, P384)

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
        return self.body if self.body is not None else f"{self.meta}{self.payload}"

    @property
    def meta(self) -> str:
        return (
            f'<ns0:Meta colloquialVersion="{self.version}" edition="{self.edition}" '
            f'product="{self.product}"/>'
        )

    @property
    def payload(self) -> str:
        return f"<ns0:Payload>{''.join(self.resources)}</ns0:Payload>"

    def text(self, signature: str) -> str:
        return (
            f'{self.head}<{self.root} xmlns="{SWID}" xmlns:ns0="{SWID}" '
            f'xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" name="GH100" '
            f'tagId="{self.tag_id}"><ns0:Entity name="NVIDIA Corporation"/>\n'
            f"{self.content}{signature}{self.tail}</{self.root}>"
        )

    @property
    def xml(self) -> bytes:
        """The signed document."""
        digest = hashlib.sha384(canonical(self.text(""))).digest()
        certificates = "".join(
            f"<ds:X509Certificate>{b64(one.der)}</ds:X509Certificate>" for one in self.chain
        )
        text = self.text(
            self.signature(_SIGNATURE)
            .replace("@DIGEST@", b64(digest))
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
    data: bytes = etree.tostring(etree.fromstring(text.encode()), method="c14n")
    return data


def raw(by: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """r || s, 96 bytes."""
    r, s = decode_dss_signature(by.sign(data, ec.ECDSA(SHA384(), deterministic_signing=True)))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


def b64(data: bytes) -> str:
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


@dataclass(frozen=True)
class Answer:
    """An OCSP answer before it is signed.

    Attributes:
        about, issuer: whom it names. by: the responder. signer: whose key signs, the responder's by default.
        certificates: in the answer, by default the responder's.
    """

    about: Party
    issuer: Party
    by: Party
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD
    reason: x509.ReasonFlags | None = None
    this_update: datetime = NOW - DAY / 2
    next_update: datetime | None = NOW + DAY / 2
    algorithm: str = "sha384"
    signed_with: str = "sha384"
    signer: ec.EllipticCurvePrivateKey | None = None
    certificates: tuple[Party, ...] | None = None
    nonce: bytes | None = None
    critical_nonce: bool = False

    @property
    def der(self) -> bytes:
        """The same bytes each time, though signatures are random."""
        return _made(self)

    def make(self) -> bytes:
        """A new signature."""
        revoked = self.status is ocsp.OCSPCertStatus.REVOKED
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                self.about.certificate,
                self.issuer.certificate,
                HASHES[self.algorithm],
                self.status,
                self.this_update,
                self.next_update,
                NOW - DAY if revoked else None,
                self.reason,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, self.by.certificate)
        )
        certificates = (self.by,) if self.certificates is None else self.certificates
        if certificates:
            builder = builder.certificates([one.certificate for one in certificates])
        if self.nonce is not None:
            builder = builder.add_extension(
                x509.OCSPNonce(self.nonce), critical=self.critical_nonce
            )
        made = builder.sign(self.by.key, SIGNED_WITH[self.signed_with]).public_bytes(Encoding.DER)
        return made if self.signer is None else resigned(made, self.signer)


@lru_cache(maxsize=1024)
def _made(answer: Answer) -> bytes:
    return answer.make()


def unchanged_answer(_: Any) -> None:  # noqa: ANN401 - asn1crypto has no types
    """The part of an answer that is signed, as it is."""


def resigned(
    data: bytes,
    by: ec.EllipticCurvePrivateKey,
    change: Callable[[Any], None] = unchanged_answer,
) -> bytes:
    """An answer whose signed part was changed, under a new signature of any key."""
    outer = asn1_ocsp.OCSPResponse.load(data)
    basic = outer["response_bytes"]["response"].parsed
    change(basic["tbs_response_data"])
    signed = basic["tbs_response_data"].dump(force=True)
    basic["signature"] = asn1_core.OctetBitString(by.sign(signed, ec.ECDSA(SHA384())))
    outer["response_bytes"]["response"] = asn1_core.ParsableOctetString(basic.dump(force=True))
    made: bytes = outer.dump(force=True)
    return made


def responder(issuer: Party, terms: Terms = RESPONDER) -> Party:
    """Whom an issuer has certified to answer for it."""
    name = issuer.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return issue(f"Responder of {name!s}", issuer, terms)


def answers(chain: tuple[Party, ...], **changed: object) -> list[Answer]:
    """One GOOD answer about each certificate of a chain but the root."""
    return [
        replace(Answer(about, issuer, responder(issuer)), **changed)  # type: ignore[arg-type]  # by name
        for about, issuer in pairwise(chain)
    ]
