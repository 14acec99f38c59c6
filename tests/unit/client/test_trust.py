# SPDX-License-Identifier: Apache-2.0
"""The trust bundle: what is sealed is what is opened, and nothing else is."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol.checkpoint import Verifier
from attestca_client.protocol.trust import (
    MAX_BUNDLE,
    PAYLOAD_TYPE,
    BundleError,
    Deployment,
    open_bundle,
    pae,
    seal_bundle,
)
from tests.authority_lab import NOW
from tests.relying_lab import DEPLOYMENT, b64, make_world
from tests.unit.client.fake_authority import of_no_version

if TYPE_CHECKING:
    from collections.abc import Callable

WORLD = make_world()
BUNDLE = WORLD.bundle()
SEALED = WORLD.sealed()


def signed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """By the root's key, whatever it is."""
    value = json.loads(BUNDLE.payload)
    change(value)
    return enveloped(json.dumps(value).encode())


def enveloped(payload: bytes, key: ec.EllipticCurvePrivateKey = WORLD.lab.root_key) -> bytes:
    signature = key.sign(pae(payload), ec.ECDSA(hashes.SHA384()))
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": b64(payload),
        "signatures": [{"sig": b64(signature)}],
    }
    return json.dumps(envelope).encode()


places = st.builds(
    Deployment,
    st.integers(1, 2**63),
    st.binary(min_size=20, max_size=20),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=20, max_size=20),
)
keys = st.builds(
    Verifier,
    st.from_regex(r"[a-z.]{1,20}(/[2-9])?", fullmatch=True),
    st.binary(min_size=32, max_size=32),
)


@given(
    st.integers(1, 2**53 - 1),
    st.lists(keys, max_size=16).map(tuple),
    st.none() | places,
    st.none() | places,
)
def test_what_is_sealed_is_opened(version: int, log: Any, chain: Any, successor: Any) -> None:  # noqa: ANN401 - of the strategies
    bundle = WORLD.bundle(version=version, log=log, chain=chain, successor=successor)
    assert open_bundle(seal_bundle(bundle, WORLD.lab.root_key)) == bundle


def test_the_encoding_that_is_signed() -> None:
    """The example of the specification has another type; the form is its own."""
    kind = len("application/vnd.attestca.trust+json")
    assert pae(b"hello") == b"DSSEv1 %d application/vnd.attestca.trust+json 5 hello" % kind


def test_an_envelope_is_what_others_read() -> None:
    value = json.loads(SEALED)
    assert value["payloadType"] == PAYLOAD_TYPE
    payload = base64.b64decode(value["payload"])
    (signature,) = value["signatures"]
    key = WORLD.lab.root.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(
        base64.b64decode(signature["sig"]),
        b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload),
        ec.ECDSA(hashes.SHA384()),
    )


def test_another_key_seals_nothing() -> None:
    with pytest.raises(BundleError, match="not signed by the key of its root"):
        seal_bundle(BUNDLE, ec.generate_private_key(ec.SECP384R1()))


def test_another_payload_under_the_signature() -> None:
    value = json.loads(SEALED)
    value["payload"] = b64(replace(BUNDLE, version=2).payload)
    with pytest.raises(BundleError, match="not signed"):
        open_bundle(json.dumps(value).encode())


def test_a_root_that_signs_for_another() -> None:
    """A payload with the victim's root and a signature of somebody else's."""
    with pytest.raises(BundleError, match="not signed"):
        open_bundle(enveloped(BUNDLE.payload, make_world().lab.root_key))


def test_a_root_that_is_a_leaf() -> None:
    leaf = WORLD.issue().certificate.public_bytes(Encoding.PEM).decode()
    with pytest.raises(BundleError, match="self-signed"):
        open_bundle(signed(lambda value: value.update(root=leaf)))


def test_a_root_of_no_version() -> None:
    root = of_no_version(BUNDLE.root)
    with pytest.raises(BundleError, match="self-signed"):
        open_bundle(signed(lambda value: value.update(root=root)))


def self_signed(key: Any, *, ca: bool) -> str:  # noqa: ANN401 - of any kind
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW)
    constraints = x509.BasicConstraints(ca=ca, path_length=None)
    made = builder.add_extension(constraints, critical=True).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("root", "words"),
    [
        (self_signed(ec.generate_private_key(ec.SECP384R1()), ca=False), "not a CA"),
        (self_signed(rsa.generate_private_key(65537, 2048), ca=True), "on no curve"),
    ],
    ids=["no CA", "RSA"],
)
def test_roots_of_another_kind(root: str, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        open_bundle(signed(lambda value: value.update(root=root)))


def test_a_small_root_signs_with_the_shorter_digest() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    root = x509.load_pem_x509_certificate(self_signed(key, ca=True).encode())
    bundle = replace(BUNDLE, root=root)
    assert open_bundle(seal_bundle(bundle, key)) == bundle


@pytest.mark.parametrize(
    "signatures", [[], [1], {}, [{}, {}], [{"sig": 1}], [{"sig": "AA"}], [{"sig": "AB=="}]]
)
def test_signatures_of_another_form(signatures: object) -> None:
    value = json.loads(SEALED) | {"signatures": signatures}
    with pytest.raises(BundleError):
        open_bundle(json.dumps(value).encode())


CHAIN = DEPLOYMENT.to_json()
CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another format": lambda value: value.update(format=2),
    "a member too many": lambda value: value.update(more=1),
    "a member too few": lambda value: value.pop("successor"),
    "version 0": lambda value: value.update(version=0),
    "a version that is true": lambda value: value.update(version=True),
    "a version that is a text": lambda value: value.update(version="1"),
    "a version too large": lambda value: value.update(version=2**53),
    "a root that is none": lambda value: value.update(root="x"),
    "two roots": lambda value: value.update(root=value["root"] * 2),
    "a root that is a number": lambda value: value.update(root=1),
    "a log that is no list": lambda value: value.update(log="x"),
    "a key that is none": lambda value: value.update(log=["x"]),
    "too many keys": lambda value: value.update(log=value["log"] * 17),
    "no chain and no null": lambda value: value.update(chain=0),
    "a chain with more": lambda value: value.update(chain=CHAIN | {"more": 1}),
    "a short contract": lambda value: value.update(chain=CHAIN | {"contract": "0x00"}),
    "a chain without a number": lambda value: value.update(chain=CHAIN | {"chain_id": None}),
    "a time that is none": lambda value: value.update(issued_at="yesterday"),
    "a time without its zone": lambda value: value.update(issued_at="2026-11-25T13:00:00"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_the_root_signed_and_is_no_bundle(what: str) -> None:
    with pytest.raises(BundleError):
        open_bundle(signed(CHANGES[what]))


def test_too_large() -> None:
    with pytest.raises(BundleError, match="larger than"):
        open_bundle(SEALED + b" " * MAX_BUNDLE)


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"[" * 50_000, b'{"format":' + b"1" * 5000 + b"}", b"\xff"]
)
def test_payloads_that_are_no_json(payload: bytes) -> None:
    with pytest.raises(BundleError):
        open_bundle(enveloped(payload)[:MAX_BUNDLE])


def test_addresses_in_any_case() -> None:
    upper = CHAIN | {"contract": "0x" + "C0" * 20}
    assert open_bundle(signed(lambda value: value.update(chain=upper))).chain == DEPLOYMENT


def test_issued_to_the_second() -> None:
    bundle = WORLD.bundle(issued_at=BUNDLE.issued_at + timedelta(microseconds=5))
    assert open_bundle(seal_bundle(bundle, WORLD.lab.root_key)).issued_at == BUNDLE.issued_at
