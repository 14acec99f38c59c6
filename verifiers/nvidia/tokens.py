# SPDX-License-Identifier: Apache-2.0
"""One token of NVIDIA's Remote Attestation Service (NRAS): signed by the service, and of this moment.

ES384 and nothing else, whatever a header asks for; the key by its name from the service's own key set, never from what
travels with the token (`x5c`, `jwk`, `jku` of a header are not looked at). The signature is PyJWT's to verify, the
clock is the caller's. What a token is about is judged by `verifiers.nvidia.nras`. Source: RFC 7515, RFC 7518 section
3.4, RFC 7519.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import jwt

from verifiers import jsontext
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.endorsements import LEEWAY
from verifiers.nvidia.jwks import signing_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

    from verifiers.jsontext import Json

MAX_TOKEN_CHARS: Final = 16 * 1024  # a real one has 2 KiB

_ALGORITHM: Final = "ES384"
_TOKEN: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")
_DEPTH: Final = 8  # of the JSON; a real one has 4
_LATEST: Final = 2**36  # seconds since 1970, far from the last instant that there is


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Whose tokens count.

    Attributes:
        name: `iss`, to the letter.
        jwks: its key set as received from its own host; None where there is none.
        pins: SHA-256 of the SubjectPublicKeyInfo of the intermediates that certify its keys, 32 bytes each.
    """

    name: str
    jwks: bytes | None
    pins: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Signer:
    """Of one answer: the issuer's name, and the one key that all of its tokens are signed with."""

    issuer: str
    kid: str
    key: ec.EllipticCurvePublicKey


def signer_of(what: str, token: str, issuer: TokenIssuer, now: datetime) -> Signer:
    """Whose signature a token must have. Nothing in it is believed for that; only the issuer's keys are looked at.

    Raises:
        VerificationError: `too-large`, `token-alg`, `token-invalid`; `token-key-unknown` for a token that names no key;
            what `signing_key` raises.
    """
    kid = _kid(what, token)
    _check_issuer(what, _members(what, token, 2), issuer.name)
    return Signer(issuer.name, kid, signing_key(issuer.jwks, kid, issuer.pins, now))


def claims_of(what: str, token: str, signer: Signer, now: datetime) -> Mapping[str, Json]:
    """The claims of a token with this signature, of this issuer, in force at `now` give or take `LEEWAY`.

    Raises:
        VerificationError: `too-large`, `token-alg`, `token-key-unknown`, `token-invalid`.
    """
    if _kid(what, token) != signer.kid:
        raise invalid(f"{what}: names another key than the overall token")
    try:
        claims = _parse(jwt.PyJWS([_ALGORITHM]).decode(token, signer.key, [_ALGORITHM]))
    except (jwt.PyJWTError, ValueError) as error:
        raise invalid(f"{what}: {error}") from error
    _check_issuer(what, claims, signer.issuer)
    begins = max(instant(what, claims, "iat"), instant(what, claims, "nbf"))
    ends = instant(what, claims, "exp")
    if begins > now + LEEWAY:
        raise invalid(f"{what}: in force from {begins.isoformat()}")
    if now > ends + LEEWAY:
        raise invalid(f"{what}: ended {ends.isoformat()}")
    return claims


def instant(what: str, claims: Mapping[str, Json], name: str) -> datetime:
    """A NumericDate in whole seconds (RFC 7519 section 2). Raises VerificationError (`token-invalid`)."""
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= _LATEST:
        raise invalid(f"{what}: {name} is no instant")
    return datetime.fromtimestamp(value, UTC)


def invalid(detail: str) -> VerificationError:
    """The refusal of a token (`token-invalid`)."""
    return VerificationError(Reason.TOKEN_INVALID, detail)


def _kid(what: str, token: str) -> str:
    """The name of the key that a token is signed with, as its header says."""
    header = _members(what, token, 1)
    if header.get("alg") != _ALGORITHM:
        raise VerificationError(
            Reason.TOKEN_ALG, f"{what}: alg is not {_ALGORITHM}, which the service signs with"
        )
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise VerificationError(Reason.TOKEN_KEY_UNKNOWN, f"{what}: names no key")
    return kid


def _members(what: str, token: str, part: int) -> dict[str, Json]:
    """The header (1) or the claims (2) of a token that is not verified."""
    if len(token) > MAX_TOKEN_CHARS:
        raise VerificationError(
            Reason.TOO_LARGE, f"{what}: {len(token)} characters, at most {MAX_TOKEN_CHARS}"
        )
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise invalid(f"{what}: no compact JWT")
    try:
        return _parse(base64.urlsafe_b64decode(found[part] + "=" * (-len(found[part]) % 4)))
    except ValueError as error:
        raise invalid(f"{what}: {error}") from error


def _parse(text: bytes) -> dict[str, Json]:
    """Raises ValueError."""
    jsontext.check_depth(text, _DEPTH)
    return jsontext.parse(text)


def _check_issuer(what: str, claims: Mapping[str, Json], issuer: str) -> None:
    if claims.get("iss") != issuer:
        raise invalid(f"{what}: the issuer is not {issuer}")
