# SPDX-License-Identifier: Apache-2.0
"""Lines 35, 36, 39 and 41: whose key, which algorithms, under which root. What is signed: `chapter_e_form`."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from typing import TYPE_CHECKING

from simulator.nvidia.answers import responder
from simulator.nvidia.certificates import CA, NOW, OCSP_SIGNING, YEAR, Terms, issue
from simulator.nvidia.rims import CHAIN, DS, RIM_L2, RIM_L3, RIM_ROOT, SIGNER, b64
from tests import nvidia_vectors as vectors
from tests.cases.nvidia.case import Case
from tests.cases.nvidia.manifests import GENUINE, STRANGER, case, given, read, swapped
from tests.nvidia_devices import parsed
from verifiers.anchors import builtin
from verifiers.errors import Reason
from verifiers.nvidia.device import nvidia_roots
from verifiers.nvidia.rim import read_rim

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNATURE = Reason.RIM_SIGNATURE
POINT = b64(b"\x04" + parsed(STRANGER).spki[-96:])
KEY_VALUE = (
    '<ds:KeyValue><ECKeyValue xmlns="http://www.w3.org/2009/xmldsig11#">'
    f'<NamedCurve URI="urn:oid:1.3.132.0.34"/><PublicKey>{POINT}</PublicKey></ECKeyValue></ds:KeyValue>'
)
CERTIFICATE = f"<ds:X509Certificate>{b64(STRANGER.der)}</ds:X509Certificate>"
FOREIGN_DATA = f"<ds:X509Data>{CERTIFICATE}</ds:X509Data>"
KEY_INFO, END_OF_KEY_INFO = "<ds:KeyInfo>", "</ds:KeyInfo>"
UNDER_L2 = issue("Test RIM L4 Signer", RIM_L2, Terms())
SHORT_L3 = issue("Test Reference Value L3", RIM_L2, Terms(usage=("key_cert_sign",)))
PATHLESS_L2 = issue("Test Reference Value CA", RIM_ROOT, replace(CA, path_length=0))
UNDER_PATHLESS = issue("Test Reference Value L3", PATHLESS_L2)
FAKE_ROOT = issue("Test CoRIM signing Root CA", None, replace(CA, key="another root"))
FAKE_L2 = issue("Test Reference Value CA", FAKE_ROOT)
FAKE_L3 = issue("Test Reference Value L3", FAKE_L2)
SAME_KEY_ROOT = issue("Test CoRIM signing Root CA", None, replace(CA, not_after=NOW + YEAR * 2))

KEYS = [
    case(35, "signed by a stranger under the genuine chain", SIGNATURE, signer=STRANGER.key),
    case(
        35,
        "a bare key of the stranger's, which has signed, before the chain",
        SIGNATURE,
        signer=STRANGER.key,
        signature=swapped(KEY_INFO, KEY_INFO + KEY_VALUE),
    ),
    case(
        35,
        "a bare key of the stranger's, which has signed, behind the chain",
        SIGNATURE,
        signer=STRANGER.key,
        signature=swapped(END_OF_KEY_INFO, KEY_VALUE + END_OF_KEY_INFO),
    ),
    case(
        35,
        "a bare key beside the chain whose leaf has signed",
        SIGNATURE,
        signature=swapped(END_OF_KEY_INFO, KEY_VALUE + END_OF_KEY_INFO),
    ),
    case(
        35,
        "a second set of certificates, whose leaf has signed",
        SIGNATURE,
        signer=STRANGER.key,
        signature=swapped(KEY_INFO, KEY_INFO + FOREIGN_DATA),
    ),
    case(35, "five certificates, the first has signed", SIGNATURE, chain=(STRANGER, *CHAIN)),
    case(35, "three certificates", SIGNATURE, chain=CHAIN[1:], signer=SIGNER.key),
    case(35, "a stranger's certificate as leaf", SIGNATURE, chain=(STRANGER, *CHAIN[1:])),
    case(35, "signed by the L3 authority itself", SIGNATURE, signer=RIM_L3.key),
    case(35, "the chain upside down", SIGNATURE, chain=CHAIN[::-1], signer=SIGNER.key),
    case(35, "the leaf twice, no L3", SIGNATURE, chain=(SIGNER, SIGNER, RIM_L2, RIM_ROOT)),
    case(35, "a leaf issued by L2", SIGNATURE, chain=(UNDER_L2, *CHAIN[1:])),
    case(
        35,
        "the leaf is an OCSP responder",
        SIGNATURE,
        chain=(responder(RIM_L3), *CHAIN[1:]),
    ),
    case(
        35,
        "the leaf is certified for OCSP without a word that this is critical",
        SIGNATURE,
        chain=(responder(RIM_L3, Terms(purposes=(OCSP_SIGNING,), critical=False)), *CHAIN[1:]),
    ),
    case(
        35,
        "the leaf is certified for key agreement too",
        SIGNATURE,
        chain=(
            issue("Other use", RIM_L3, Terms(usage=("digital_signature", "key_agreement"))),
            *CHAIN[1:],
        ),
    ),
    case(
        35,
        "an L3 that is no CA",
        SIGNATURE,
        chain=(issue("Test RIM L4 Signer", SHORT_L3, Terms()), SHORT_L3, RIM_L2, RIM_ROOT),
    ),
    case(
        35,
        "more authorities than L2 allows below it",
        SIGNATURE,
        chain=(
            issue("Test RIM L4 Signer", UNDER_PATHLESS, Terms()),
            UNDER_PATHLESS,
            PATHLESS_L2,
            RIM_ROOT,
        ),
    ),
    Case(35, "a genuine manifest", "tag", lambda: read(GENUINE.xml).tag_id),
]


def with_value(change: Callable[[bytes], bytes]) -> bytes:
    """The genuine manifest with another signature value."""
    text = GENUINE.xml.decode()
    value = text.partition("<ds:SignatureValue>")[2].partition("<")[0]
    return text.replace(value, b64(change(b64decode(value)))).encode()


ALGORITHM = {
    "C14N 1.0 of SignedInfo": swapped(
        'Method Algorithm="http://www.w3.org/2006/12/xml-c14n11"',
        'Method Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"',
    ),
    "C14N 1.0 of the document": swapped(
        'Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11"',
        'Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"',
    ),
    "ECDSA with SHA-256": swapped("#ecdsa-sha384", "#ecdsa-sha256"),
    "an HMAC": swapped("#ecdsa-sha384", "#hmac-sha384"),
    "a digest by SHA-256": swapped(
        "http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmlenc#sha256"
    ),
    "an XSLT instead of the enveloped signature": swapped(
        f"{DS}enveloped-signature", "http://www.w3.org/TR/1999/REC-xslt-19991116"
    ),
    "no transforms": lambda text: text.replace(
        text[text.index("<ds:Transforms>") : text.index("<ds:DigestMethod")], ""
    ),
    "a third transform": swapped(
        "</ds:Transforms>", f'<ds:Transform Algorithm="{DS}base64"/></ds:Transforms>'
    ),
    "a truncated HMAC": swapped(
        '#ecdsa-sha384"/>',
        '#ecdsa-sha384"><ds:HMACOutputLength>8</ds:HMACOutputLength></ds:SignatureMethod>',
    ),
    "a reference to a part": swapped('URI=""', 'URI="#payload"'),
    "a reference without URI": swapped(' URI=""', ""),
    "a reference with a type": swapped('URI=""', 'Type="x" URI=""'),
    "no reference": lambda text: text.replace(
        text[text.index("<ds:Reference") : text.index("</ds:SignedInfo>")], ""
    ),
    "two references": lambda text: text.replace(
        "</ds:SignedInfo>",
        text[text.index("<ds:Reference") : text.index("</ds:SignedInfo>")] + "</ds:SignedInfo>",
    ),
    "an element of another name": swapped("<ds:DigestMethod ", "<ds:DigestMethods "),
    "an element of another namespace": swapped("<ds:DigestMethod ", '<DigestMethod xmlns="urn:x" '),
    "an Id": swapped("<ds:SignedInfo>", '<ds:SignedInfo Id="x">'),
}
ALGORITHMS = [case(36, why, SIGNATURE, signature=change) for why, change in ALGORITHM.items()] + [
    given(36, "a signature of 95 bytes", SIGNATURE, lambda: with_value(lambda value: value[:95])),
    given(36, "a signature of 97 bytes", SIGNATURE, lambda: with_value(lambda value: value + b"0")),
    given(
        36,
        "a signature with a zero byte before s",
        SIGNATURE,
        lambda: with_value(lambda value: value[:48] + b"\0" + value[48:]),
    ),
    given(36, "no signature value", SIGNATURE, lambda: with_value(lambda _: b"")),
    given(36, "a signature of zeros", SIGNATURE, lambda: with_value(lambda _: bytes(96))),
]

FOREIGN = f'<X509Certificate xmlns="{DS}">{b64(STRANGER.der)}</X509Certificate>'
CERTIFICATES = "".join(
    f'<X509Certificate xmlns="{DS}">{b64(one.der)}</X509Certificate>' for one in CHAIN
)
COLLECTED = [
    Case(
        39,
        "certificates of a stranger elsewhere in the document are not looked at",
        parsed(CHAIN[0]),
        lambda: read(replace(GENUINE, body=GENUINE.content + FOREIGN).xml).certificates[0],
    ),
    case(
        39,
        "the genuine chain elsewhere in the document, a stranger in the Signature",
        SIGNATURE,
        body=GENUINE.content + CERTIFICATES,
        chain=(STRANGER,) * 4,
    ),
]


ROOTS = [
    given(
        41,
        "NVIDIA's debug root",
        SIGNATURE,
        lambda: vectors.document("rims/driver-negatives/incorrect_cert_chain_driver_rim.xml"),
    ),
    case(
        41,
        "another root of the same name",
        SIGNATURE,
        chain=(issue("Test RIM L4 Signer", FAKE_L3, Terms()), FAKE_L3, FAKE_L2, FAKE_ROOT),
    ),
    case(
        41,
        "another certificate of the root's name and key",
        SIGNATURE,
        chain=(*CHAIN[:3], SAME_KEY_ROOT),
    ),
    case(
        41,
        "the pinned root over a chain of another",
        SIGNATURE,
        chain=(issue("Test RIM L4 Signer", FAKE_L3, Terms()), FAKE_L3, FAKE_L2, RIM_ROOT),
    ),
    Case(
        41,
        "the device root as root of manifests",
        SIGNATURE,
        lambda: read_rim(
            vectors.document("h100-550.90.07/driver_rim.xml"), nvidia_roots(builtin()).device
        ),
    ),
]


CASES = [*KEYS, *ALGORITHMS, *COLLECTED, *ROOTS]
