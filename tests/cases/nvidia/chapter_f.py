# SPDX-License-Identifier: Apache-2.0
"""Lines 52 to 55: tokens of NVIDIA's attestation service, by whom they are signed, and when."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulator.nvidia.certificates import NOW, SECOND
from simulator.nvidia.nras import write
from simulator.nvidia.vendor import FakeNvidia
from tests import nvidia_tokens as lab
from tests.cases.nvidia.case import Case
from tests.nvidia_tokens import ABSENT, Hearing, changed
from verifiers.errors import Reason
from verifiers.nvidia.eat import find_answers

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from tests.nvidia_tokens import Claims

ALG, KEY, INVALID = Reason.TOKEN_ALG, Reason.TOKEN_KEY_UNKNOWN, Reason.TOKEN_INVALID
GOOD = Hearing()
PPCIE = "nras-hgx-h100x8-ppcie-token"


def heard(hearing: Hearing) -> int:
    """How many devices the service accepts."""
    return len(hearing.judge())


def said(**edits: object) -> Callable[[], int]:
    return partial(heard, GOOD.edited(**edits))


def real(folder: str, file: str, jwks: str | None, later: timedelta = 0 * SECOND) -> int:
    """How many devices are accepted by a real answer."""
    return len(lab.real(folder, file, jwks, later))


SECRET = lab.with_secret(b"secret")
PUBLIC = GOOD.service.signer.private.public_key()
CONFUSED = lab.with_secret(PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def wrapped(hearing: Hearing) -> Hearing:
    """What NVIDIA's SDK makes of an answer."""
    (answer,) = hearing.said
    outer = SECRET(hearing.service.signer, {}, {"iss": "NV-Attestation-SDK"})
    text = json.dumps([["JWT", outer], {"REMOTE_GPU_CLAIMS": json.loads(answer)}])
    return hearing.but(answers=(text.encode(),))


def read_from_file(hearing: Hearing) -> Hearing:
    (text,) = wrapped(hearing).said
    return hearing.but(answers=find_answers(text))


ALGORITHMS = [
    Case(52, "ES384", 1, said()),
    Case(52, "alg none", ALG, said(write=lab.unsigned)),
    Case(52, "HS256 with the key 'secret'", ALG, said(write=SECRET)),
    Case(52, "HS256 with the public key as its secret", ALG, said(write=CONFUSED)),
    *(
        Case(
            52, f"a header that says {alg!r} over a right signature", ALG, said(header={"alg": alg})
        )
        for alg in ("none", "None", "ES256", "es384", "RS256", "", 384, None, ["ES384"])
    ),
    Case(52, "no alg", ALG, said(write=lab.under({"alg": None}))),
    Case(
        52,
        "a critical header that is not understood",
        INVALID,
        said(header={"crit": ["x"], "x": 1}),
    ),
    Case(52, "unencoded claims", INVALID, said(header={"b64": False, "crit": ["b64"]})),
    Case(52, "the wrapper of the SDK, sent", ALG, lambda: heard(wrapped(GOOD))),
    Case(52, "the wrapper of the SDK, in a file", 1, lambda: heard(read_from_file(GOOD))),
    Case(
        52,
        "a real local token",
        ALG,
        lambda: real("local-token-alg-none", "gpu_attestation_h100.json", None),
    ),
    Case(
        52,
        "a real token in its wrapper",
        8,
        lambda: real(PPCIE, "nras_response.json", f"{PPCIE}/jwks.json"),
    ),
]


def in_set(edit: Callable[[list[Claims]], object]) -> Hearing:
    """The key set changed."""

    def changed_set(text: bytes) -> bytes:
        keys = json.loads(text)["keys"]
        edit(keys)
        return json.dumps({"keys": keys}).encode()

    return GOOD.but(jwks=changed_set)


def with_kid(kid: object) -> Hearing:
    return in_set(lambda keys: keys[0].update(kid=kid))


def own_key(header: Claims) -> int:
    """A token that brings the key that it is signed with; the key set has another."""
    signer = FakeNvidia.create(NOW, seed=b"a stranger").nras.signer
    jwk = signer.jwk("")
    members = {
        name: jwk if value == "jwk" else jwk["x5c"][:1] if value == "x5c" else value
        for name, value in header.items()
    }
    return heard(GOOD.edited(write=lambda _, right, claims: write(signer, right | members, claims)))


KEYS = [
    Case(53, "a key set of one key", 1, partial(heard, GOOD)),
    Case(53, "kid of no key in the set", KEY, partial(heard, with_kid("another"))),
    Case(53, "the key stands twice", KEY, lambda: heard(in_set(lambda keys: keys.append(keys[0])))),
    Case(
        53,
        "another key of the same name",
        KEY,
        lambda: heard(in_set(lambda keys: keys.append({"kid": keys[0]["kid"]}))),
    ),
    Case(
        53,
        "two others of one name",
        KEY,
        lambda: heard(in_set(lambda keys: keys.extend([{"kid": "other"}] * 2))),
    ),
    Case(
        53,
        "a key without a name beside it",
        KEY,
        lambda: heard(in_set(lambda keys: keys.append({"kty": "EC"}))),
    ),
    Case(53, "an empty set", KEY, lambda: heard(in_set(list.clear))),
    Case(53, "no key set", KEY, lambda: heard(GOOD.but(jwks=lambda _: None))),
    Case(53, "a token that names no key", KEY, said(write=lab.under({"kid": None}))),
    Case(53, "a token whose kid is a number", KEY, said(header={"kid": 1})),
    Case(53, "a token that brings its key as jwk", INVALID, partial(own_key, {"jwk": "jwk"})),
    Case(53, "a token that brings its key as x5c", INVALID, partial(own_key, {"x5c": "x5c"})),
    Case(
        53,
        "a token that says where its key is",
        INVALID,
        partial(own_key, {"jku": "https://example.com/jwks.json"}),
    ),
    Case(
        53,
        "a device's token of another key of the set",
        INVALID,
        said(
            write=lambda signer, header, claims: write(
                signer, header if "submods" in claims else header | {"kid": "other"}, claims
            )
        ),
    ),
    Case(
        53,
        "a real token whose key is not in the set",
        KEY,
        lambda: real(
            "nras-h200-unknown-kid", "nras_response.json", "nras-h200-unknown-kid/jwks.json"
        ),
    ),
    Case(
        53,
        "a real token without a key set",
        KEY,
        lambda: real("h100-550.90.07", "nras_v3_token_detached_eat.json", None),
    ),
    Case(
        53,
        "a real token and a later key set",
        KEY,
        lambda: real(PPCIE, "nras_response.json", f"{PPCIE}/jwks_two_intermediates.json"),
    ),
]

STAGING = "https://nras.attestation-stg.nvidia.com"
ISSUERS = [
    *(
        Case(54, f"iss is {iss!r}", INVALID, said(issuer=iss))
        for iss in (
            STAGING,
            "https://nras.attestation.nvidia.com/",
            "http://nras.attestation.nvidia.com",
            "https://NRAS.attestation.nvidia.com",
            "NV-Attestation-SDK",
            "",
            None,
            ["https://nras.attestation.nvidia.com"],
        )
    ),
    Case(54, "no iss in the overall token", INVALID, said(edit_overall=changed(iss=ABSENT))),
    Case(54, "no iss in a device's token", INVALID, said(edit_device=changed(iss=ABSENT))),
    Case(54, "staging alone in a device's token", INVALID, said(edit_device=changed(iss=STAGING))),
    Case(
        54,
        "an issuer that is configured",
        1,
        lambda: heard(GOOD.but(issuer="x").edited(issuer="x")),
    ),
    *(
        Case(54, f"sub is {sub!r}", INVALID, said(edit_overall=changed(sub=sub)))
        for sub in ("NVIDIA-GPU-ATTESTATION", None, ABSENT)
    ),
    Case(
        54,
        "a real token of staging",
        INVALID,
        lambda: real("ls10-96.10.55.00.01", "nras_staging_token_detached_eat.json", None),
    ),
    Case(
        54,
        "a real token of staging, with a key set of the service",
        INVALID,
        lambda: real(
            "ls10-96.10.55.00.01", "nras_staging_token_detached_eat.json", f"{PPCIE}/jwks.json"
        ),
    ),
]

ISSUED = int(NOW.timestamp())
HOUR = 3600


def at(seconds: int) -> Callable[[], int]:
    """This long after the tokens were issued."""
    return partial(heard, GOOD.but(at=NOW + seconds * SECOND))


def timed(expect: object, why: str, **claims: object) -> list[Case]:
    """Of the overall token, and of a device's."""
    return [
        Case(55, f"overall token: {why}", expect, said(edit_overall=changed(**claims))),
        Case(55, f"device's token: {why}", expect, said(edit_device=changed(**claims))),
    ]


TIMES = [
    Case(55, "a clock 60 s behind the service's", 1, at(-60)),
    Case(55, "at its end", 1, at(HOUR)),
    Case(55, "a clock that is 60 s past it", 1, at(HOUR + 60)),
    Case(55, "61 s past it", INVALID, at(HOUR + 61)),
    *timed(1, "in force a minute later", nbf=ISSUED + 60),
    *timed(INVALID, "in force more than a minute later", nbf=ISSUED + 61),
    *timed(INVALID, "issued later", iat=ISSUED + 61),
    *timed(INVALID, "ended", exp=ISSUED - 61),
    *timed(1, "ended just now", exp=ISSUED - 60),
    *(
        case
        for name in ("exp", "nbf", "iat")
        for value, how in (
            (ABSENT, "no"),
            (None, "null as"),
            (str(ISSUED), "text as"),
            (True, "true as"),
            (float(ISSUED), "a fraction as"),
            (-1, "-1 as"),
            (10**30, "an enormous"),
        )
        for case in timed(INVALID, f"{how} {name}", **{name: value})
    ),
    Case(
        55,
        "a real token two hours later",
        INVALID,
        lambda: real(PPCIE, "nras_response.json", f"{PPCIE}/jwks.json", 2 * HOUR * SECOND),
    ),
]

CASES = [*ALGORITHMS, *KEYS, *ISSUERS, *TIMES]
