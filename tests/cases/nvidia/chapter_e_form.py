# SPDX-License-Identifier: Apache-2.0
"""Lines 37, 38, 48 and 51: what in a document is signed and read, and what no parser gets to see."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial

from simulator.nvidia.rims import DS, envelope, resource
from tests.cases.nvidia.case import Case
from tests.cases.nvidia.manifests import GENUINE, STRANGER, case, given, read
from verifiers.errors import Reason
from verifiers.nvidia.rim import MAX_ENVELOPE_BYTES, MAX_RIM_BYTES

SIGNATURE = Reason.RIM_SIGNATURE
MALFORMED = Reason.MALFORMED


def genuine_signature() -> str:
    text = GENUINE.xml.decode()
    return text[text.index("<ds:Signature ") : text.index("</ds:Signature>")] + "</ds:Signature>"


def wrapped() -> bytes:
    """The signed document inside the Object of a Signature of another document."""
    forged = replace(GENUINE, resources=(resource(7, "33" * 48),)).text("@")
    inside = genuine_signature().replace(
        "</ds:Signature>", f"<ds:Object>{GENUINE.xml.decode()}</ds:Object></ds:Signature>"
    )
    return forged.replace("@", inside).encode()


FOREIGN_PAYLOAD = replace(GENUINE, resources=(resource(7, "33" * 48),)).payload
SECOND_SIGNATURE = f'<ds:Signature xmlns:ds="{DS}"/>'
WRAPPING = [
    case(37, "no Signature", MALFORMED, signature=lambda _: ""),
    given(37, "nothing but a Signature", MALFORMED, lambda: genuine_signature().encode()),
    given(37, "a root without children", MALFORMED, lambda: b"<a/>"),
    case(
        37, "an empty second Signature", MALFORMED, signature=lambda text: SECOND_SIGNATURE + text
    ),
    given(
        37,
        "the same Signature twice",
        MALFORMED,
        lambda: GENUINE.text(genuine_signature() * 2).encode(),
    ),
    case(
        37,
        "a second Signature inside the Payload, digested",
        MALFORMED,
        body=GENUINE.content.replace("</ns0:Payload>", f"{SECOND_SIGNATURE}</ns0:Payload>"),
    ),
    given(
        37,
        "the only Signature inside the Payload",
        MALFORMED,
        lambda: (
            GENUINE.text("")
            .replace("</ns0:Payload>", f"{genuine_signature()}</ns0:Payload>")
            .encode()
        ),
    ),
    given(
        37,
        "the signed document inside another",
        MALFORMED,
        lambda: replace(GENUINE, body=FOREIGN_PAYLOAD + GENUINE.xml.decode()).text("").encode(),
    ),
    given(37, "the signed document in an Object of its Signature", MALFORMED, wrapped),
    case(37, "something behind the Signature", MALFORMED, tail="<ns0:Link/>"),
    Case(
        37,
        "white space behind the Signature",
        {7},
        lambda: set(read(replace(GENUINE, tail="\n ").xml).golden),
    ),
    given(
        37,
        "white space put behind the Signature later",
        SIGNATURE,
        lambda: GENUINE.xml.replace(b"</ds:Signature>", b"</ds:Signature> "),
    ),
]

PATHS = [
    given(
        38,
        "a Payload in an Object of the Signature",
        SIGNATURE,
        lambda: GENUINE.xml.replace(
            b"</ds:Signature>", f"<ds:Object>{FOREIGN_PAYLOAD}</ds:Object></ds:Signature>".encode()
        ),
    ),
    given(
        38,
        "a Meta in the KeyInfo",
        SIGNATURE,
        lambda: GENUINE.xml.replace(b"</ds:KeyInfo>", f"{GENUINE.meta}</ds:KeyInfo>".encode()),
    ),
    case(
        38,
        "the Payload one level deeper",
        MALFORMED,
        body=f"{GENUINE.meta}<ns0:Evidence>{GENUINE.payload}</ns0:Evidence>",
    ),
    case(
        38,
        "the Meta one level deeper",
        MALFORMED,
        body=f"<ns0:Evidence>{GENUINE.meta}</ns0:Evidence>{GENUINE.payload}",
    ),
    case(38, "two Payloads", MALFORMED, body=GENUINE.content + FOREIGN_PAYLOAD),
    case(38, "two Metas", MALFORMED, body=GENUINE.meta + GENUINE.content),
    case(
        38,
        "a Payload of another namespace",
        MALFORMED,
        body=GENUINE.meta
        + GENUINE.payload.replace("ns0:Payload", 'Payload xmlns="urn:x"', 1).replace(
            "</ns0:Payload>", "</Payload>"
        ),
    ),
    case(
        38,
        "a measurement one level deeper",
        MALFORMED,
        body=GENUINE.meta
        + f"<ns0:Payload><ns0:Directory>{resource(7)}</ns0:Directory></ns0:Payload>",
    ),
    case(38, "another root", MALFORMED, root="ReferenceIntegrityManifest"),
    given(
        38,
        "a measurement that was changed",
        SIGNATURE,
        lambda: GENUINE.xml.replace(b"11" * 48, b"33" * 48),
    ),
    given(
        38,
        "the product that was changed",
        SIGNATURE,
        lambda: GENUINE.xml.replace(b'product="GH100"', b'product="GB100"'),
    ),
]


ENTITIES = "".join(f'<!ENTITY b{number} "{f"&b{number - 1};" * 10}">' for number in range(1, 10))
DECLARED = "".join(f' xmlns:n{number}="urn:n"' for number in range(3000))
NAMESPACES = (
    f"<r{DECLARED}>{'<a/>' * 10_000}{genuine_signature()}</r>".encode()
)  # an hour, if canonicalised
LONG = "".join(f' xmlns:{"n" * 4000}{number}="urn:n"' for number in range(10))
PREFIXES = f"<r{LONG}>{'<a/>' * 15_000}{genuine_signature()}</r>".encode()  # many seconds
BOMB = f'<!DOCTYPE a [<!ENTITY b0 "x">{ENTITIES}]><a>&b9;</a>'.encode()


def declared(text: str) -> str:
    """The version in a manifest with an XML declaration in front."""
    return read(text.encode() + b"\n" + GENUINE.xml).version


def in_encoding(encoding: str) -> bytes:
    """A manifest behind a DTD, in another encoding."""
    return f"<!DOCTYPE SoftwareIdentity>{GENUINE.xml.decode()}".encode(encoding)


XML = [
    given(48, "one byte too many", Reason.TOO_LARGE, lambda: b" " * (MAX_RIM_BYTES + 1)),
    given(48, "as large as may be, of nothing", MALFORMED, lambda: b" " * MAX_RIM_BYTES),
    given(48, "namespaces that grow", MALFORMED, lambda: NAMESPACES),
    given(48, "namespaces with long prefixes", MALFORMED, lambda: PREFIXES),
    given(48, "nothing", MALFORMED, lambda: b""),
    given(48, "no XML", MALFORMED, lambda: b"manifest"),
    given(48, "cut off", MALFORMED, lambda: GENUINE.xml[:-1]),
    given(48, "a byte more", MALFORMED, lambda: GENUINE.xml + b"x"),
    case(48, "a DTD", MALFORMED, head="<!DOCTYPE SoftwareIdentity>"),
    case(
        48,
        "an external DTD",
        MALFORMED,
        head='<!DOCTYPE SoftwareIdentity SYSTEM "file:///etc/passwd">',
    ),
    given(
        48,
        "entities that grow",
        MALFORMED,
        lambda: BOMB,
    ),
    given(
        48,
        "an entity that nobody declares",
        MALFORMED,
        lambda: GENUINE.xml.replace(b"NVIDIA Corp", b"&who;"),
    ),
    case(48, "a comment", MALFORMED, body=GENUINE.content + "<!-- -->"),
    given(
        48,
        "a comment inside a certificate",
        MALFORMED,
        lambda: GENUINE.xml.replace(b"</ds:X509Certificate>", b"<!-- --></ds:X509Certificate>", 1),
    ),
    case(48, "CDATA", MALFORMED, body=GENUINE.content + "<![CDATA[x]]>"),
    case(48, "a processing instruction", MALFORMED, body=GENUINE.content + "<?x y?>"),
    case(48, "a processing instruction in front", MALFORMED, head="<?x y?>"),
    given(48, "UTF-16", MALFORMED, lambda: GENUINE.xml.decode().encode("utf-16")),
    given(48, "bytes that are not UTF-8", MALFORMED, lambda: GENUINE.xml.replace(b"tag", b"\xff")),
    given(48, "deeper than a parser goes", MALFORMED, lambda: b"<a>" * 5000 + b"</a>" * 5000),
    given(
        48,
        "a relative namespace, which has no canonical form",
        MALFORMED,
        lambda: GENUINE.xml.replace(b"<ns0:Entity", b"<ns0:Entity xmlns='x'", 1),
    ),
    given(
        48,
        "a name space that nobody declares",
        MALFORMED,
        lambda: b"<x:a><x:b/></x:a>",
    ),
    *(
        Case(48, f"the declaration {text}", "550.90.07", partial(declared, text))
        for text in ('<?xml version="1.0"?>', "<?xml version='1.0' encoding='utf-8' ?>")
    ),
    *(
        Case(48, f"the declaration {text}", MALFORMED, partial(declared, text))
        for text in (
            '<?xml version="1.0" encoding="UTF-16"?>',
            '<?xml version="1.1"?>',
            '<?xml version="1.0"?><?xml version="1.0"?>',
            ' <?xml version="1.0"?>',
            '<?xml-stylesheet href="x"?>',
        )
    ),
    *(
        given(48, f"a DTD in {encoding}", MALFORMED, partial(in_encoding, encoding))
        for encoding in (
            "utf-16",
            "utf-16-le",
            "utf-16-be",
            "utf-32",
            "utf-7",
            "cp037",
            "utf-8-sig",
        )
    ),
    Case(
        48,
        "what the RIM service wraps it in",
        hashlib.sha256(GENUINE.xml).digest(),
        lambda: read(envelope(GENUINE.xml)).sha256,
    ),
    given(
        48,
        "wrapped, with the digest of another",
        MALFORMED,
        lambda: envelope(GENUINE.xml, sha256="00"),
    ),
    given(48, "wrapped, without digest", MALFORMED, lambda: envelope(GENUINE.xml, sha256=None)),
    given(48, "wrapped, without document", MALFORMED, lambda: envelope(GENUINE.xml, rim=1)),
    given(48, "wrapped, not in Base64", MALFORMED, lambda: envelope(GENUINE.xml, rim="?")),
]
WRAPPED = [
    given(
        48,
        "wrapped, as large as may be, of nothing",
        MALFORMED,
        lambda: b"{" + b" " * (MAX_ENVELOPE_BYTES - 1),
    ),
    given(
        48, "wrapped, one byte too many", Reason.TOO_LARGE, lambda: b"{" + b" " * MAX_ENVELOPE_BYTES
    ),
]


ORDER = [
    case(
        51,
        "a manifest that says nothing readable, and is not signed",
        SIGNATURE,
        resources=(resource("abc"),),
        signer=STRANGER.key,
    ),
    case(51, "a manifest that says nothing readable", MALFORMED, resources=(resource("abc"),)),
]


CASES = [*WRAPPING, *PATHS, *XML, *WRAPPED, *ORDER]
