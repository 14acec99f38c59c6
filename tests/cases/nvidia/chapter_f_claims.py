# SPDX-License-Identifier: Apache-2.0
"""Lines 56 to 58: what tokens of NVIDIA's attestation service say, and that they belong together."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from simulator.nvidia.reports import NONCE
from tests import nvidia_tokens as lab
from tests.cases.nvidia.case import Case
from tests.nvidia_tokens import ABSENT, Hearing, changed, digest, having, ueid
from verifiers.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.nvidia_tokens import Claims

INVALID, REFUSED = Reason.TOKEN_INVALID, Reason.NRAS_REFUSED
GOOD = Hearing()
TWO = Hearing(nvidia=lab.two_gpus())
SWITCH = Hearing(nvidia=lab.one_switch())
OTHER = b"another nonce".ljust(32)


def heard(hearing: Hearing) -> int:
    """How many devices the service accepts."""
    return len(hearing.judge())


def said(**edits: object) -> Callable[[], int]:
    return partial(heard, GOOD.edited(**edits))


# Of every kind and version: behind "x-nvidia-".
GPU = (
    "gpu-arch-check",
    "gpu-attestation-report-parsed",
    "gpu-attestation-report-nonce-match",
    "gpu-attestation-report-signature-verified",
    *(
        f"gpu-{rim}-rim-{check}"
        for rim in ("driver", "vbios")
        for check in (
            "fetched",
            "schema-validated",
            "signature-verified",
            "measurements-available",
        )
    ),
    "gpu-vbios-index-no-conflict",
)
GPU_2 = (
    *GPU,
    "gpu-attestation-report-cert-chain-validated",
    "gpu-driver-rim-cert-validated",
    "gpu-vbios-rim-cert-validated",
)
GPU_3 = (
    *GPU,
    "gpu-attestation-report-cert-chain-fwid-match",
    "gpu-driver-rim-version-match",
    "gpu-vbios-rim-version-match",
)
OF_SWITCH = (
    "switch-arch-check",
    "switch-attestation-report-parsed",
    "switch-attestation-report-nonce-match",
    "switch-attestation-report-signature-verified",
    "switch-bios-rim-fetched",
    "switch-bios-rim-schema-validated",
    "switch-bios-rim-signature-verified",
    "switch-bios-rim-measurements-available",
)
SWITCH_2 = (
    *OF_SWITCH,
    "switch-attestation-report-cert-chain-validated",
    "switch-bios-rim-cert-validated",
)
SWITCH_3 = (
    *OF_SWITCH,
    "switch-attestation-report-cert-chain-fwid-match",
    "switch-bios-rim-version-match",
)
NEEDED = [
    (GOOD.edited(claims_version="2.0"), "2.0", GPU_2),
    (GOOD, "3.0", GPU_3),
    (SWITCH.edited(claims_version="2.0"), "2.0", SWITCH_2),
    (SWITCH, "3.0", SWITCH_3),
]
WRONG: tuple[tuple[object, str], ...] = (
    (ABSENT, "is absent"),
    (False, "is false"),
    (None, "is null"),
    ("true", "is text"),
    (1, "is 1"),
)
ERROR = {"code": 4010, "message": "NONCE_NOT_MATCHING", "description": "x"}


MISMATCHES = "x-nvidia-mismatch-measurement-records"


def in_turn(claims: Claims) -> Claims:
    """The first device's token without a check, the second's with one that did not hold."""
    first = claims["ueid"] == ueid(lab.two_gpus(), 0)
    return having({"x-nvidia-gpu-arch-check": ABSENT if first else False})(claims)


def error_alone(claims: Claims) -> Claims:
    kept = ("iss", "iat", "nbf", "exp", "jti")
    return {name: claims[name] for name in kept} | {"x-nvidia-error-details": ERROR}


CHECKS = [
    *(
        Case(
            56,
            f"{version}: {name} {how}",
            REFUSED if value is False else INVALID,
            partial(heard, hearing.edited(edit_device=having({f"x-nvidia-{name}": value}))),
        )
        for hearing, version, needed in NEEDED
        for name in needed
        for value, how in WRONG
    ),
    *(
        Case(56, f"measres is {value!r}", REFUSED, said(edit_device=changed(measres=value)))
        for value in ("fail", "Success", "comparison-successful")
    ),
    *(
        Case(56, f"measres is {value!r}", INVALID, said(edit_device=changed(measres=value)))
        for value in (True, None, ["success"])
    ),
    Case(
        56,
        "a check that did not hold, beside one that is missing",
        REFUSED,
        said(edit_device=having({"secboot": ABSENT, "x-nvidia-gpu-arch-check": False})),
    ),
    Case(
        56,
        "a check that did not hold in the second token, one missing in the first",
        REFUSED,
        partial(heard, TWO.edited(edit_device=in_turn)),
    ),
    *(
        Case(
            56,
            f"{version}: measurements of {whose} that differ: {value!r}",
            expect,
            partial(
                heard,
                hearing.edited(edit_device=having({MISMATCHES: value}), claims_version=version),
            ),
        )
        for whose, hearing in (("a GPU", GOOD), ("a switch", SWITCH))
        for version in ("2.0", "3.0")
        for value, expect in (
            ([{"index": 7, "measurementSource": "RIM"}], REFUSED),
            ([None], REFUSED),
            ("text", REFUSED),
            (False, REFUSED),
            (None, 1),
            ([], 1),
        )
    ),
    *(
        Case(
            56,
            f"a warning does not refuse: {value!r}",
            1,
            said(edit_device=having({"x-nvidia-attestation-warning": value})),
        )
        for value in ("text", ["text"], ABSENT)
    ),
    Case(56, "no measres", INVALID, said(edit_device=changed(measres=ABSENT))),
    *(
        Case(
            56,
            f"the overall result is {value!r}",
            INVALID,
            said(edit_overall=having({"x-nvidia-overall-att-result": value})),
        )
        for value in ("true", 1, None, [True])
    ),
    Case(
        56,
        "no overall result",
        INVALID,
        said(edit_overall=having({"x-nvidia-overall-att-result": ABSENT})),
    ),
    Case(56, "an error alone under a result that is true", REFUSED, said(edit_device=error_alone)),
    Case(
        56,
        "an error beside claims that are all true",
        REFUSED,
        said(edit_device=having({"x-nvidia-error-details": ERROR})),
    ),
    Case(
        56,
        "error details that are null",
        1,
        said(edit_device=having({"x-nvidia-error-details": None})),
    ),
    *(
        Case(56, f"no {name}", INVALID, said(edit_device=having({name: ABSENT})))
        for name in (
            "hwmodel",
            "ueid",
            "x-nvidia-gpu-driver-version",
            "x-nvidia-gpu-vbios-version",
        )
    ),
    Case(
        56,
        "a switch without its BIOS",
        INVALID,
        partial(heard, SWITCH.edited(edit_device=having({"x-nvidia-switch-bios-version": ABSENT}))),
    ),
]


def submods(edit: Callable[[Claims], object]) -> Callable[[], int]:
    """The overall token, signed, names its devices otherwise."""

    def edited(claims: Claims) -> Claims:
        listed = dict(claims["submods"])
        edit(listed)
        return claims | {"submods": listed}

    return partial(heard, TWO.edited(edit_overall=edited))


def naming(value: object) -> Callable[[], int]:
    """Under the name of the first device."""
    return submods(lambda listed: listed.update({"GPU-0": value}))


def mixed(hearing: Hearing = GOOD) -> int:
    """The overall token of one answer, a device's of another of the same nonce; both are genuine."""
    service = hearing.service
    ask = lab.request(list(hearing.devices), NONCE)
    (first, _), (_, second) = (json.loads(service.attest("gpu", ask)) for _ in range(2))
    return heard(hearing.but(answers=(json.dumps([first, second]).encode(),)))


def renamed(answer: list[Any]) -> list[Any]:
    overall, tokens = answer
    return [overall, {"GPU-1": tokens["GPU-0"], "GPU-0": tokens["GPU-1"]}]


def without_last(answer: list[Any]) -> list[Any]:
    overall, tokens = answer
    return [overall, {"GPU-0": tokens["GPU-0"]}]


def with_more(answer: list[Any]) -> list[Any]:
    overall, tokens = answer
    return [overall, tokens | {"GPU-2": tokens["GPU-0"]}]


DIGESTS = [
    Case(57, "each token under its name", 2, partial(heard, TWO)),
    Case(57, "tokens of two answers", INVALID, mixed),
    Case(
        57,
        "tokens under each other's names",
        INVALID,
        partial(heard, TWO.edited(edit_answer=renamed)),
    ),
    Case(
        57, "a name without a token", INVALID, partial(heard, TWO.edited(edit_answer=without_last))
    ),
    Case(57, "a token without a name", INVALID, partial(heard, TWO.edited(edit_answer=with_more))),
    *(
        Case(
            57,
            f"GPU-0 is named by {how}",
            INVALID,
            naming(value),
        )
        for how, value in (
            ("nothing", None),
            ("another digest", digest("another token")),
            ("a digest of another algorithm", ["DIGEST", ["SHA256", "0" * 64]]),
            ("no digest", []),
            ("text", "DIGEST"),
        )
    ),
    Case(
        57, "a digest in capitals", INVALID, submods(lambda it: it.update({"GPU-0": capitals(it)}))
    ),
    Case(57, "no submods", INVALID, said(edit_overall=changed(submods=ABSENT))),
    Case(57, "submods that are a list", INVALID, said(edit_overall=changed(submods=["GPU-0"]))),
]


def capitals(listed: Claims) -> object:
    kind, (algorithm, value) = listed["GPU-0"]
    return [kind, [algorithm, value.upper()]]


NONCES = [
    Case(
        58,
        "an answer to another nonce",
        REFUSED,
        partial(heard, GOOD.but(asked=OTHER, nonce=OTHER)),
    ),
    *(
        Case(58, f"{whose}: eat_nonce is {how}", INVALID, said(**{edit: changed(eat_nonce=value)}))
        for edit, whose in (("edit_overall", "overall token"), ("edit_device", "device's token"))
        for how, value in (
            ("another", OTHER.hex()),
            ("absent", ABSENT),
            ("null", None),
            ("in capitals", NONCE.hex().upper()),
            ("shorter", NONCE.hex()[:-2]),
            ("a list of it", [NONCE.hex()]),
        )
    ),
    Case(
        58,
        "of a second device's token alone",
        INVALID,
        partial(
            heard,
            TWO.edited(
                edit_device=lambda claims: (
                    claims
                    if claims["ueid"] == lab.ueid(lab.two_gpus(), 0)
                    else claims | {"eat_nonce": OTHER.hex()}
                )
            ),
        ),
    ),
    Case(58, "a nonce that nobody asked for", INVALID, partial(heard, GOOD.but(nonce=OTHER))),
]

CASES = [*CHECKS, *DIGESTS, *NONCES]
