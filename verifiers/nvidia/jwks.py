# SPDX-License-Identifier: Apache-2.0
"""Keys of NVIDIA's Remote Attestation Service (NRAS): its JSON Web Key Set, and the certificates that vouch for a key.

A key set comes from the configured host and from nowhere else; nothing that travels with a token is a key. Of the set
only the key that is asked for is judged, but each must have a name (`kid`) of its own. That key must be certified by an
intermediate whose key is pinned (`x5c`: leaf, intermediate), both certificates in date. The root above is not in the
set, so that the intermediate's own signature is nobody's to check here: its key counts, and its dates and rights are
what the host says. Source: RFC 7517, RFC 7518 section 6.2; the certificates as NRAS publishes them.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import SignatureAlgorithmOID

from verifiers import der, jsontext
from verifiers.certificate import BASIC_CONSTRAINTS, FOREIGN, KEY_USAGE, parse_extensions
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from verifiers.jsontext import Json

MAX_JWKS_BYTES: Final = 256 * 1024  # a real one has 85 KiB
MAX_KEYS: Final = 128  # and 36 keys
MAX_CERTIFICATE_CHARS: Final = 8 * 1024

_DEPTH: Final = 6  # of the JSON; a key set has 4
_KID: Final = re.compile(r"[!-~]{1,128}")
_COORDINATE_CHARS: Final = 64  # Base64url of 48 bytes
_BASE64: Final = str.maketrans("-_+/", "+/!!")  # Base64url; the two of the other alphabet are none
_UNDERSTOOD: Final = frozenset({BASIC_CONSTRAINTS, KEY_USAGE})
_DIGITAL_SIGNATURE: Final = 0x80  # bits 0 and 5 of KeyUsage, counted from the most significant
_KEY_CERT_SIGN: Final = 0x04
_ALGORITHMS: Final = {  # under the intermediates 004 and 005
    SignatureAlgorithmOID.RSA_WITH_SHA256,
    SignatureAlgorithmOID.ECDSA_WITH_SHA384,
}
_FOREIGN: Final = (  # the library, on bad certificates
    *FOREIGN,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
)


class _Certificate(NamedTuple):
    """One as the library reads it, and its extensions, which are read here: those that nobody needs are not."""

    x509: x509.Certificate
    extensions: dict[bytes, bytes]

    @property
    def is_ca(self) -> bool:
        """By BasicConstraints. Raises ValueError."""
        value = self.extensions.get(BASIC_CONSTRAINTS, b"")
        return der.elements(der.only(value, der.SEQUENCE))[:1] == ((der.BOOLEAN, b"\xff"),)

    def may(self, usage: int) -> bool:
        """Whether KeyUsage has this bit of its first octet. Raises ValueError."""
        bits = der.only(self.extensions.get(KEY_USAGE, b""), der.BIT_STRING)
        return bool(int.from_bytes(bits[1:2], "big") & usage)


def signing_key(
    jwks: bytes | None, kid: str, pins: Sequence[bytes], now: datetime
) -> ec.EllipticCurvePublicKey:
    """The P-384 key of this name, in force at `now`.

    Args:
        jwks: the key set as received; None where there is none.
        kid: as the token's header says.
        pins: SHA-256 (32 bytes) of the SubjectPublicKeyInfo of every intermediate that counts.
        now: the instant to judge at.

    Raises:
        VerificationError: `too-large`; `collateral-malformed` for what is no key set; `token-key-unknown` if there is
            no such key, or names are missing or stand twice; `chain` for a key that its certificate is not for; what
            `certified_key` raises.
    """
    if jwks is None:
        raise VerificationError(Reason.TOKEN_KEY_UNKNOWN, "no key set of the service is at hand")
    jwk = read_keys(jwks).get(kid)
    if jwk is None:
        raise VerificationError(
            Reason.TOKEN_KEY_UNKNOWN, f"the key {kid[:128]!a} is not in the service's key set"
        )
    key = certified_key(jwk.get("x5c"), pins, now)
    certified = key.public_numbers()
    if (jwk.get("kty"), jwk.get("crv"), _point(jwk)) != ("EC", "P-384", (certified.x, certified.y)):
        raise VerificationError(
            Reason.CHAIN, f"the key {kid} is not the P-384 key that its certificate is for"
        )
    return key


@lru_cache(maxsize=4)
def read_keys(jwks: bytes) -> Mapping[str, Mapping[str, Json]]:
    """The keys of a set by their names; what else they are is not looked at.

    Raises:
        VerificationError: `too-large`, `collateral-malformed`, `token-key-unknown`.
    """
    if len(jwks) > MAX_JWKS_BYTES:
        raise VerificationError(
            Reason.TOO_LARGE, f"key set: {len(jwks)} bytes, at most {MAX_JWKS_BYTES}"
        )
    try:
        jsontext.check_depth(jwks, _DEPTH)
        keys = jsontext.parse(jwks).get("keys")
    except ValueError as error:
        raise VerificationError(Reason.COLLATERAL_MALFORMED, f"key set: {error}") from error
    if not isinstance(keys, list):
        raise VerificationError(Reason.COLLATERAL_MALFORMED, "key set: keys are no list")
    if len(keys) > MAX_KEYS:
        raise VerificationError(Reason.TOO_LARGE, f"key set: {len(keys)} keys, at most {MAX_KEYS}")
    named: dict[str, Mapping[str, Json]] = {}
    for key in keys:
        kid = key.get("kid") if isinstance(key, dict) else None
        if not isinstance(key, dict) or not isinstance(kid, str) or not _KID.fullmatch(kid):
            raise VerificationError(Reason.TOKEN_KEY_UNKNOWN, "key set: a key without a name")
        if kid in named:
            raise VerificationError(Reason.TOKEN_KEY_UNKNOWN, f"key set: {kid} stands twice")
        named[kid] = MappingProxyType(key)
    return MappingProxyType(named)


def certified_key(x5c: Json, pins: Sequence[bytes], now: datetime) -> ec.EllipticCurvePublicKey:
    """The key that a chain of exactly two, leaf and pinned intermediate, is for.

    Raises:
        VerificationError: `untrusted-root` for another intermediate; `certificate-expired`,
            `certificate-not-yet-valid`; `chain` for any other fault.
    """
    try:
        leaf, intermediate = (_load(data) for data in _ders(x5c))
        spki = intermediate.x509.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        if sha256(spki).digest() not in pins:
            raise VerificationError(
                Reason.UNTRUSTED_ROOT,
                "the service's key is certified by an intermediate that is not pinned",
            )
        if not intermediate.is_ca or not intermediate.may(_KEY_CERT_SIGN):
            raise ValueError("the intermediate may not issue certificates")
        if leaf.x509.signature_algorithm_oid not in _ALGORITHMS:
            raise ValueError("the leaf is signed with an algorithm that NVIDIA does not use")
        leaf.x509.verify_directly_issued_by(intermediate.x509)
        if not leaf.may(_DIGITAL_SIGNATURE):
            raise ValueError("the leaf may not sign")
        key = _p384(leaf.x509)
        _check_dates("intermediate", intermediate.x509, now)
        _check_dates("leaf", leaf.x509, now)
    except _FOREIGN as error:
        why = str(error) or "the leaf is not signed by the intermediate"
        raise VerificationError(Reason.CHAIN, f"certificates of the service: {why}") from error
    return key


def _ders(x5c: Json) -> tuple[bytes, ...]:
    """Base64 of DER, each the one text that encodes these bytes (RFC 7517 section 4.7). Raises ValueError."""
    if not isinstance(x5c, list) or len(x5c) != 2:
        raise ValueError("x5c is not leaf and intermediate")
    ders = []
    for text in x5c:
        if not isinstance(text, str) or len(text) > MAX_CERTIFICATE_CHARS:
            raise ValueError("x5c has something that is no certificate")
        data = binascii.a2b_base64(text, strict_mode=True)
        if base64.b64encode(data).decode("ascii") != text:
            raise ValueError("x5c is not the Base64 of certificates")
        ders.append(data)
    return tuple(ders)


def _load(data: bytes) -> _Certificate:
    """A certificate whose form the library takes, and we too: a positive serial number (RFC 5280 section 4.1.2.2).

    Raises ValueError and x509.InvalidVersion.
    """
    tbs, _, _ = der.signed(data)
    fields = der.elements(der.only(tbs, der.SEQUENCE))
    if len(fields) != 8 or fields[7][0] != der.CONTEXT_3 or not der.unsigned(fields[1][1]):
        raise ValueError("not a version 3 certificate with extensions and a positive serial number")
    loaded = x509.load_der_x509_certificate(data)
    return _Certificate(loaded, parse_extensions(fields[7][1], _UNDERSTOOD))


def _p384(leaf: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Raises ValueError and UnsupportedAlgorithm."""
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ValueError("the leaf has no P-384 key")  # noqa: TRY004 - one type for bad ones
    return key


def _check_dates(what: str, certificate: x509.Certificate, now: datetime) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begins:
        raise VerificationError(
            Reason.CERTIFICATE_NOT_YET_VALID,
            f"{what} of the service's key is valid from {begins.isoformat()}",
        )
    if now > ends:
        raise VerificationError(
            Reason.CERTIFICATE_EXPIRED, f"{what} of the service's key ended {ends.isoformat()}"
        )


def _point(jwk: Mapping[str, Json]) -> tuple[int | None, int | None]:
    """The coordinates of a key (RFC 7518 section 6.2.1); None for what is none of 48 bytes."""
    return _coordinate(jwk.get("x")), _coordinate(jwk.get("y"))


def _coordinate(value: Json) -> int | None:
    if not isinstance(value, str) or len(value) != _COORDINATE_CHARS:
        return None
    try:
        data = binascii.a2b_base64(value.translate(_BASE64), strict_mode=True)
    except ValueError:
        return None
    return int.from_bytes(data, "big")
