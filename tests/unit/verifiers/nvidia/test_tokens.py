# SPDX-License-Identifier: Apache-2.0
"""One token: its form, its bounds, its signature. Issuers, algorithms and times are cases (tests/cases/nvidia)."""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from simulator.nvidia.certificates import NOW, SECOND, raw
from simulator.nvidia.nras import write
from tests.nvidia_tokens import Hearing, part
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.endorsements import LEEWAY
from verifiers.nvidia.tokens import MAX_TOKEN_CHARS, Signer, claims_of, instant, signer_of

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = Hearing()
ISSUER = GOOD.token_issuer
KEY = GOOD.service.signer
ISSUED = int(NOW.timestamp())
CLAIMS = {"iss": ISSUER.name, "iat": ISSUED, "nbf": ISSUED, "exp": ISSUED + 3600}
HEADER = {"alg": "ES384", "kid": KEY.kid}
TOKEN = write(KEY, HEADER, CLAIMS)
SIGNER = Signer(ISSUER.name, KEY.kid, KEY.private.public_key())


def reason(judge: Callable[[], object]) -> Reason:
    with pytest.raises(VerificationError) as caught:
        judge()
    return caught.value.reason


def judged(token: str) -> object:
    """Both looks at a token."""
    signer = signer_of("token", token, ISSUER, NOW)
    assert signer == SIGNER
    return claims_of("token", token, signer, NOW)


def signed(claims: bytes, header: bytes = b"") -> str:
    """A right signature over any two parts."""
    text = f"{part(header or json.dumps(HEADER).encode())}.{part(claims)}"
    return f"{text}.{base64.urlsafe_b64encode(signature(text)).decode()}"


def signature(text: str) -> bytes:
    return raw(KEY.private, text.encode())


def test_a_token() -> None:
    assert judged(TOKEN) == CLAIMS
    assert judged(signed(json.dumps(CLAIMS).encode())) == CLAIMS


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_changed_part(place: int) -> None:
    parts = TOKEN.split(".")
    data = parts[place]
    other = {"A": "B"}.get(data[10], "A")
    parts[place] = data[:10] + other + data[11:]
    with pytest.raises(VerificationError):
        judged(".".join(parts))


@pytest.mark.parametrize(
    "made",
    [
        b"",
        bytes(96),
        b"\xff" * 96,
        signature(TOKEN.rpartition(".")[0])[:-1],
        signature(TOKEN.rpartition(".")[0]) + b"\0",
        signature(TOKEN.rpartition(".")[0])[48:] + signature(TOKEN.rpartition(".")[0])[:48],
        KEY.private.sign(TOKEN.rpartition(".")[0].encode(), ec.ECDSA(SHA384())),
        encode_dss_signature(1, 1),
        bytes(95) + b"\1",
    ],
    ids=("empty", "zero", "ones", "shorter", "longer", "s-r", "der", "der-of-ones", "r-is-zero"),
)
def test_signatures(made: bytes) -> None:
    token = f"{TOKEN.rpartition('.')[0]}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"
    assert reason(lambda: judged(token)) is Reason.TOKEN_INVALID


def test_another_hash() -> None:
    text = TOKEN.rpartition(".")[0]
    made = KEY.private.sign(text.encode(), ec.ECDSA(SHA256()))
    numbers = b"".join(number.to_bytes(48, "big") for number in decode_dss_signature(made))
    token = f"{text}.{base64.urlsafe_b64encode(numbers).decode()}"
    assert reason(lambda: judged(token)) is Reason.TOKEN_INVALID


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "a.b.c",
        f"{TOKEN}.",
        f"{TOKEN}\n",
        f" {TOKEN}",
        TOKEN.replace(".", "=.", 1),
        TOKEN.replace(".", "\u2024"),
        f"{part(HEADER)}.{part([])}.",
        f"{part([])}.{part(CLAIMS)}.",
        f"{part(b'[' * 2000)}.{part(CLAIMS)}.",
        f"{part(HEADER)}.{part(b'[' * 2000)}.",
        f"{part(HEADER)}.{part(bytes([0xFF]))}.",
        f"{part(b'{}{}')}.{part(CLAIMS)}.",
        "A" * 5 + TOKEN[TOKEN.index(".") :],
    ],
)
def test_what_is_no_token(token: str) -> None:
    assert reason(lambda: judged(token)) is Reason.TOKEN_INVALID


@pytest.mark.parametrize(
    "claims",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        json.dumps(CLAIMS).encode() + b" x",
        json.dumps(CLAIMS).encode()[:-1] + b', "iss": "x"}',
        json.dumps(CLAIMS).encode()[:-1] + b', "a": NaN}',
        json.dumps(CLAIMS).encode()[:-1] + b', "a": ' + b"[" * 8 + b"]" * 8 + b"}",
        json.dumps(CLAIMS).encode("utf-16"),
    ],
)
def test_claims_that_are_signed_and_are_none(claims: bytes) -> None:
    """What a service signs is not believed for being signed: another reader might read something else."""
    assert reason(lambda: claims_of("token", signed(claims), SIGNER, NOW)) is Reason.TOKEN_INVALID


def test_a_header_in_which_a_member_stands_twice() -> None:
    header = f'{{"alg": "none", "alg": "ES384", "kid": "{KEY.kid}"}}'.encode()
    token = signed(json.dumps(CLAIMS).encode(), header)
    assert reason(lambda: judged(token)) is Reason.TOKEN_INVALID


def test_bounds() -> None:
    padded = {**CLAIMS, "padding": ""}
    room = MAX_TOKEN_CHARS - len(write(KEY, HEADER, padded))
    long = write(KEY, HEADER, {**padded, "padding": "x" * (room * 3 // 4 - 3)})
    assert MAX_TOKEN_CHARS - 10 < len(long) <= MAX_TOKEN_CHARS
    judged(long)
    longer = write(KEY, HEADER, {**padded, "padding": "x" * (room * 3 // 4 + 3)})
    assert reason(lambda: judged(longer)) is Reason.TOO_LARGE
    assert reason(lambda: claims_of("token", longer, SIGNER, NOW)) is Reason.TOO_LARGE


def test_names_of_other_issuers_and_keys() -> None:
    stranger = write(KEY, HEADER, {**CLAIMS, "iss": "x"})
    assert reason(lambda: judged(stranger)) is Reason.TOKEN_INVALID
    assert reason(lambda: claims_of("token", stranger, SIGNER, NOW)) is Reason.TOKEN_INVALID
    other = write(KEY, HEADER | {"kid": "x"}, CLAIMS)
    assert reason(lambda: judged(other)) is Reason.TOKEN_KEY_UNKNOWN
    assert reason(lambda: claims_of("token", other, SIGNER, NOW)) is Reason.TOKEN_INVALID


def test_the_leeway_at_both_ends() -> None:
    end = NOW + 3600 * SECOND
    for at in (NOW - LEEWAY, NOW, end, end + LEEWAY):
        assert claims_of("token", TOKEN, SIGNER, at) == CLAIMS
    for at in (NOW - LEEWAY - SECOND, end + LEEWAY + SECOND):
        assert reason(partial(claims_of, "token", TOKEN, SIGNER, at)) is Reason.TOKEN_INVALID


def test_instants() -> None:
    assert instant("token", {"iat": ISSUED}, "iat") == NOW
    assert instant("token", {"iat": 0}, "iat").year == 1970
    assert instant("token", {"iat": 2**36}, "iat").year == 4147
    assert reason(lambda: instant("token", {"iat": 2**36 + 1}, "iat")) is Reason.TOKEN_INVALID
