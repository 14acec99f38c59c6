# SPDX-License-Identifier: Apache-2.0
"""Keys of NVIDIA's attestation service: one name each, certified by a pinned intermediate, both in date."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from simulator.nvidia.certificates import DAY, NOW, SECOND, USAGES, YEAR, key
from tests import nvidia_tokens as lab
from tests import nvidia_vectors as vectors
from tests.nvidia_tokens import Hearing
from verifiers.anchors import NVIDIA_NRAS_INTERMEDIATES_SHA256
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.jwks import (
    MAX_CERTIFICATE_CHARS,
    MAX_JWKS_BYTES,
    MAX_KEYS,
    certified_key,
    read_keys,
    signing_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PINS = tuple(bytes.fromhex(pin) for pin in NVIDIA_NRAS_INTERMEDIATES_SHA256)
Hash = SHA256 | SHA384 | SHA512
Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@lru_cache(maxsize=1)
def rsa_key() -> rsa.RSAPrivateKey:
    return lab.one_gpu().nras.intermediate_key.private


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Chain:
    """A leaf and its intermediate, before they are signed."""

    intermediate_key: Private = field(default_factory=lambda: key("nras intermediate"))
    leaf_key: Private = field(default_factory=lambda: key("nras leaf"))
    signer: Private | None = None
    issuer: str = "Intermediate"
    leaf_name: str = "Leaf"
    hash: Hash = field(default_factory=SHA384)
    ca: bool | None = True
    usage: tuple[str, ...] | None = ("key_cert_sign",)
    leaf_usage: tuple[str, ...] | None = ("digital_signature",)
    leaf_dates: tuple[datetime, datetime] = (NOW - DAY, NOW + DAY)
    dates: tuple[datetime, datetime] = (NOW - YEAR, NOW + YEAR)

    def but(self, **changes: Any) -> Chain:  # noqa: ANN401 - of its own fields
        return replace(self, **changes)

    @property
    def intermediate(self) -> x509.Certificate:
        made = self.begun("Intermediate", "Root", self.intermediate_key, self.dates)
        if self.ca is not None:
            made = made.add_extension(x509.BasicConstraints(self.ca, None), critical=True)
        return signed(self.with_usage(made, self.usage), key("nras root"), SHA384())

    @property
    def leaf(self) -> x509.Certificate:
        made = self.begun(self.leaf_name, self.issuer, self.leaf_key, self.leaf_dates)
        signer = self.signer or self.intermediate_key
        return signed(self.with_usage(made, self.leaf_usage), signer, self.hash)

    @staticmethod
    def begun(
        subject: str, issuer: str, own: Private, dates: tuple[datetime, datetime]
    ) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder(name(issuer), name(subject), own.public_key(), 7)
        return builder.not_valid_before(dates[0]).not_valid_after(dates[1])

    @staticmethod
    def with_usage(
        made: x509.CertificateBuilder, usage: tuple[str, ...] | None
    ) -> x509.CertificateBuilder:
        if usage is None:
            return made
        bits = x509.KeyUsage(**{bit: bit in usage for bit in USAGES})
        return made.add_extension(bits, critical=True)

    @property
    def x5c(self) -> list[str]:
        return [text(one) for one in (self.leaf, self.intermediate)]

    @property
    def pins(self) -> tuple[bytes, ...]:
        spki = self.intermediate_key.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        return (sha256(spki).digest(),)

    def judge(self, at: datetime = NOW) -> ec.EllipticCurvePublicKey:
        return certified_key(list(self.x5c), self.pins, at)


def signed(made: x509.CertificateBuilder, by: Private, hash_: Hash) -> x509.Certificate:
    """The same signature each time."""
    if isinstance(by, rsa.RSAPrivateKey):
        return made.sign(by, hash_)
    return made.sign(by, hash_, ecdsa_deterministic=True)


def text(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def refusal(judge: Callable[[], object]) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        judge()
    return caught.value


GOOD = Chain()
LEAF = key("nras leaf").public_key()
RSA = Chain(intermediate_key=rsa_key(), hash=SHA256())


@pytest.mark.parametrize("chain", [GOOD, RSA], ids=["P-384", "RSA"])
def test_a_key_under_a_pinned_intermediate(chain: Chain) -> None:
    assert chain.judge() == LEAF


@pytest.mark.parametrize(
    ("chain", "why"),
    [
        (GOOD.but(signer=key("a stranger")), "the leaf is not signed by the intermediate"),
        (GOOD.but(signer=rsa_key(), hash=SHA256()), ""),
        (GOOD.but(issuer="Another"), ""),
        (GOOD.but(hash=SHA256()), "algorithm"),
        (RSA.but(hash=SHA512()), "algorithm"),
        (GOOD.but(ca=False), "may not issue"),
        (GOOD.but(ca=None), ""),
        (GOOD.but(usage=("crl_sign",)), "may not issue"),
        (GOOD.but(usage=None), ""),
        (GOOD.but(leaf_usage=("key_agreement",)), "may not sign"),
        (GOOD.but(leaf_usage=None), ""),
        (GOOD.but(leaf_key=rsa_key()), "P-384"),
        (GOOD.but(leaf_key=ec.derive_private_key(7, ec.SECP256R1())), "P-384"),
    ],
)
def test_chains_that_vouch_for_nothing(chain: Chain, why: str) -> None:
    error = refusal(chain.judge)
    assert error.reason is Reason.CHAIN
    assert why in error.detail


def test_an_intermediate_that_is_not_pinned() -> None:
    for pins in ((), PINS, (bytes(32),)):
        error = refusal(partial(certified_key, list(GOOD.x5c), pins, NOW))
        assert error.reason is Reason.UNTRUSTED_ROOT
    assert certified_key(list(GOOD.x5c), (*PINS, *GOOD.pins), NOW) == LEAF


def test_another_certificate_of_the_pinned_key() -> None:
    """The key is what is pinned: the certificate around it may be renewed."""
    renewed = GOOD.but(dates=(NOW - DAY, NOW + 2 * YEAR))
    assert renewed.judge() == GOOD.judge()


@pytest.mark.parametrize("field_name", ["dates", "leaf_dates"])
def test_dates(field_name: str) -> None:
    chain = GOOD.but(**{field_name: (NOW, NOW + 60 * SECOND)})
    assert chain.judge() == LEAF
    assert chain.judge(NOW + 60 * SECOND) == LEAF
    early, late = (
        refusal(partial(chain.judge, at)).reason for at in (NOW - SECOND, NOW + 61 * SECOND)
    )
    assert early is Reason.CERTIFICATE_NOT_YET_VALID
    assert late is Reason.CERTIFICATE_EXPIRED


@pytest.mark.parametrize(
    "x5c",
    [
        None,
        "text",
        {},
        [],
        GOOD.x5c[:1],
        [*GOOD.x5c, GOOD.x5c[1]],
        [GOOD.x5c[0], 1],
        [GOOD.x5c[0], ""],
        [GOOD.x5c[0], "AAAA"],
        [GOOD.x5c[0], "\u00e9"],
        [GOOD.x5c[0] + "\n", GOOD.x5c[1]],
        [GOOD.x5c[0], GOOD.x5c[1].rstrip("=") + "===="],
        [GOOD.x5c[0], "A" * (MAX_CERTIFICATE_CHARS + 4)],
        GOOD.x5c[::-1],
    ],
)
def test_what_is_no_chain(x5c: Any) -> None:  # noqa: ANN401 - any JSON
    reason = refusal(lambda: certified_key(x5c, GOOD.pins, NOW)).reason
    turned = x5c == GOOD.x5c[::-1]
    assert reason is (Reason.UNTRUSTED_ROOT if turned else Reason.CHAIN)


def test_base64_with_spare_bits() -> None:
    """Another text of the same bytes."""
    chains = (GOOD.but(leaf_name="L" * length) for length in range(1, 4))
    chain = next(one for one in chains if one.x5c[0].endswith("="))
    leaf, intermediate = chain.x5c
    bare = leaf.rstrip("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    spare = bare[:-1] + alphabet[alphabet.index(bare[-1]) + 1] + leaf[len(bare) :]
    assert base64.b64decode(spare) == base64.b64decode(leaf)
    assert certified_key([leaf, intermediate], chain.pins, NOW) == LEAF
    error = refusal(lambda: certified_key([spare, intermediate], chain.pins, NOW))
    assert error.reason is Reason.CHAIN


def key_set(*keys: Any) -> bytes:  # noqa: ANN401 - any JSON
    return json.dumps({"keys": keys}).encode()


def jwk(**changes: object) -> dict[str, Any]:
    return {**lab.one_gpu().nras.signer.jwk(""), "x5c": GOOD.x5c, **coordinates(), **changes}


def coordinates(label: str = "nras leaf") -> dict[str, Any]:
    numbers = key(label).public_key().public_numbers()
    return {"x": url(numbers.x), "y": url(numbers.y)}


def url(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(48, "big")).decode()


KID = jwk()["kid"]


def found(*keys: Any, kid: str = KID) -> ec.EllipticCurvePublicKey:  # noqa: ANN401 - any JSON
    return signing_key(key_set(*keys), kid, GOOD.pins, NOW)


def test_the_key_of_a_name() -> None:
    assert found(jwk()) == LEAF
    assert found(jwk(kid="other", x5c=None), jwk()) == LEAF


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": "OKP"},
        {"kty": None},
        {"crv": "P-256"},
        {"crv": "p-384"},
        coordinates("another"),
        {"x": None},
        {"y": 7},
        {"x": coordinates()["y"], "y": coordinates()["x"]},
        {"x": coordinates()["x"][:-4]},
        {"x": coordinates()["x"] + "AAAA"},
        {"x": coordinates()["x"][:-1] + "="},
        {"y": coordinates()["y"][:-1] + "+"},
        {"y": coordinates()["y"][:-1] + "\u00e9"},
    ],
)
def test_a_key_that_is_not_the_certified_one(changes: dict[str, Any]) -> None:
    assert refusal(lambda: found(jwk(**changes))).reason is Reason.CHAIN


def test_the_other_alphabet_of_base64() -> None:
    label = next(f"{number}" for number in range(64) if "-" in coordinates(f"{number}")["x"])
    chain = GOOD.but(leaf_key=key(label))
    said = jwk(x5c=chain.x5c, **coordinates(label))
    assert found(said) == key(label).public_key()
    said["x"] = said["x"].replace("-", "+")
    assert refusal(lambda: found(said)).reason is Reason.CHAIN


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b'{"keys": {}}',
        b'{"keys": null}',
        b"{}",
        b'{"keys": [], "keys": []}',
        b'{"keys": [[[[[[[]]]]]]]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_key_set(document: bytes) -> None:
    error = refusal(lambda: signing_key(document, KID, GOOD.pins, NOW))
    assert error.reason is Reason.COLLATERAL_MALFORMED


def test_bounds() -> None:
    error = refusal(lambda: read_keys(b" " * (MAX_JWKS_BYTES + 1)))
    assert error.reason is Reason.TOO_LARGE
    named = [{"kid": str(number)} for number in range(MAX_KEYS + 1)]
    assert len(read_keys(key_set(*named[1:]))) == MAX_KEYS
    assert refusal(lambda: read_keys(key_set(*named))).reason is Reason.TOO_LARGE


@pytest.mark.parametrize(
    "other",
    [
        {"kid": KID},
        {},
        {"kid": None},
        {"kid": 1},
        {"kid": ""},
        {"kid": "a b"},
        {"kid": "a" * 129},
        "text",
        None,
        [],
    ],
)
def test_names_of_others(other: object) -> None:
    """A set in which a name is missing or stands twice is used for no key."""
    assert refusal(lambda: found(jwk(), other)).reason is Reason.TOKEN_KEY_UNKNOWN


def test_a_name_that_is_not_in_the_set() -> None:
    error = refusal(lambda: found(jwk(), kid="\x1b[31m" + "x" * 1000))
    assert error.reason is Reason.TOKEN_KEY_UNKNOWN
    assert error.detail.isprintable()
    assert len(error.detail) < 300
    assert refusal(lambda: signing_key(None, KID, PINS, NOW)).reason is Reason.TOKEN_KEY_UNKNOWN


def test_no_pins_refuse_every_token() -> None:
    assert refusal(Hearing(pins=()).judge).reason is Reason.UNTRUSTED_ROOT


def test_a_real_chain() -> None:
    x5c = json.loads(vectors.document("nras-x5c-chain/nras_gpu_x5c_chain.json"))["x5c"]
    expected = json.loads(vectors.document("nras-x5c-chain/expected.json"))
    begins, ends = (
        datetime.fromisoformat(expected["content"][0][end]) for end in ("not_before", "not_after")
    )
    leaf = x509.load_der_x509_certificate(base64.b64decode(x5c[0])).public_key()
    for at in (begins, ends):
        assert certified_key(x5c, PINS, at) == leaf
    late = refusal(lambda: certified_key(x5c, PINS, ends + SECOND))
    assert late.reason is Reason.CERTIFICATE_EXPIRED
    assert refusal(lambda: certified_key(x5c, PINS[1:], begins)).reason is Reason.UNTRUSTED_ROOT


@pytest.mark.parametrize(
    ("file", "at", "keys", "in_force", "intermediates"),
    [
        ("jwks.json", "2026-09-11T20:00:00Z", 32, 32, 1),
        ("jwks_two_intermediates.json", "2026-10-22T12:00:00Z", 2, 2, 2),
    ],
)
def test_real_key_sets(file: str, at: str, keys: int, in_force: int, intermediates: int) -> None:
    """RSA under the intermediate 004, P-384 under 005."""
    text_ = vectors.document(f"nras-hgx-h100x8-ppcie-token/{file}")
    named = read_keys(text_)
    now = datetime.fromisoformat(at)
    found_keys = [signing_key(text_, kid, PINS, now) for kid in named]
    assert (len(named), len(found_keys)) == (keys, in_force)
    refused = {pin for pin in PINS for kid in named if not_under(text_, kid, pin, now)}
    assert len(refused) == intermediates


def not_under(text_: bytes, kid: str, pin: bytes, now: datetime) -> bool:
    """Whether the key is of the other intermediate."""
    try:
        signing_key(text_, kid, (pin,), now)
    except VerificationError as error:
        return error.reason is Reason.UNTRUSTED_ROOT
    return False
