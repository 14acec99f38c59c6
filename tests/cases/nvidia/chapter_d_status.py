# SPDX-License-Identifier: Apache-2.0
"""Lines 30 to 34: what an answer says, to which request, and what comes of a chain of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509 import ocsp

from simulator.nvidia.answers import Answer, answers
from simulator.nvidia.certificates import DAY, NOW, YEAR, Party
from simulator.nvidia.rims import CHAIN, RIM_L3, SIGNER
from tests.cases.nvidia.case import Case
from tests.cases.nvidia.chapter_d import (
    GOOD,
    INVALID,
    OTHER,
    UNCHECKED,
    case,
    changed,
    expired,
    judged,
)
from tests.nvidia_devices import parsed
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.ocsp import check_status, read_answers, verify_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verifiers.endorsements import Revocation

REVOKED, UNKNOWN = ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN
HOLD = x509.ReasonFlags.certificate_hold
COMPROMISE = x509.ReasonFlags.key_compromise


def detail(run: Callable[[], object]) -> str:
    try:
        run()
    except VerificationError as error:
        return error.detail
    return ""


def asked(answer: Answer, nonce: bytes | None) -> ocsp.OCSPCertStatus:
    found = verify_answer(answer.der, parsed(SIGNER), parsed(RIM_L3), nonce)
    return found.status


FIRST = answers(CHAIN)[0]
NONCE = bytes(range(32))
PASSED = ocsp.OCSPCertStatus.GOOD
NONCES = [
    Case(30, "the nonce of the request", PASSED, lambda: asked(replace(FIRST, nonce=NONCE), NONCE)),
    Case(30, "none sent, none back", PASSED, lambda: asked(FIRST, None)),
    Case(30, "none sent, one back", PASSED, lambda: asked(replace(FIRST, nonce=NONCE), None)),
    Case(30, "none back", INVALID, lambda: asked(FIRST, NONCE)),
    Case(30, "another", INVALID, lambda: asked(replace(FIRST, nonce=NONCE[::-1]), NONCE)),
    Case(30, "a part of it", INVALID, lambda: asked(replace(FIRST, nonce=NONCE[:16]), NONCE)),
    Case(
        30,
        "an extension that is critical",
        INVALID,
        lambda: asked(replace(FIRST, nonce=NONCE, critical_nonce=True), NONCE),
    ),
]

STATUS = [
    *(
        case(
            31, f"UNKNOWN, number {n}", Reason.CERTIFICATE_STATUS_UNKNOWN, number=n, status=UNKNOWN
        )
        for n in range(3)
    ),
    *(
        case(31, f"REVOKED, number {n}", Reason.CERTIFICATE_REVOKED, number=n, status=REVOKED)
        for n in range(3)
    ),
    case(31, "on hold", Reason.CERTIFICATE_REVOKED, status=REVOKED, reason=HOLD),
    Case(
        31,
        "GOOD and REVOKED of one certificate",
        Reason.CERTIFICATE_REVOKED,
        lambda: judged([*changed(status=REVOKED), *answers(CHAIN)]),
    ),
    Case(
        31,
        "REVOKED, and none about the others",
        Reason.CERTIFICATE_REVOKED,
        lambda: judged(changed(status=REVOKED)[:1]),
    ),
    Case(
        31,
        "REVOKED by an answer that is past",
        Reason.CERTIFICATE_REVOKED,
        lambda: judged(changed(status=REVOKED, this_update=NOW - 2 * DAY, next_update=NOW - DAY)),
    ),
]


def several(*told: tuple[ocsp.OCSPCertStatus, x509.ReasonFlags | None]) -> list[Answer]:
    return [
        replace(one, status=status, reason=reason)
        for one, (status, reason) in zip(answers(CHAIN), told, strict=True)
    ]


def told_at(place: int) -> list[bool]:
    """Whether the refusal names the certificate whose key was compromised, and says so."""
    said = detail(lambda: judged(mixed(place)))
    return [COMPROMISE.value in said, parsed(CHAIN[place]).common_name in said]


WORST = [
    *(
        Case(32, f"the reason of the worst, number {place}", [True, True], partial(told_at, place))
        for place in range(3)
    ),
    Case(
        32,
        "on hold is worse than UNKNOWN",
        Reason.CERTIFICATE_REVOKED,
        lambda: judged(several((UNKNOWN, None), (REVOKED, HOLD), (UNKNOWN, None))),
    ),
    Case(
        32,
        "revoked without a reason is worse than on hold",
        [True],
        lambda: [
            "without a reason"
            in detail(lambda: judged(several((REVOKED, HOLD), (REVOKED, None), (UNKNOWN, None))))
        ],
    ),
]


def mixed(place: int) -> list[Answer]:
    """One key compromised; the others on hold and UNKNOWN."""
    told: list[tuple[ocsp.OCSPCertStatus, x509.ReasonFlags | None]] = [
        (REVOKED, HOLD),
        (UNKNOWN, None),
    ]
    told.insert(place, (REVOKED, COMPROMISE))
    return several(*told)


def other_chain() -> tuple[Party, ...]:
    return (OTHER, *CHAIN[1:])


CACHED = [
    Case(
        33,
        "a chain that differs in its leaf takes nothing from the other's answers",
        [GOOD, UNCHECKED],
        lambda: [judged(answers(CHAIN)), status_of(other_chain(), answers(CHAIN))],
    ),
    Case(
        33,
        "what was remembered is dated anew",
        [0, 3],
        lambda: [expired(answers(CHAIN), NOW), expired(answers(CHAIN), NOW + YEAR)],
    ),
]


def status_of(chain: Sequence[Party], given: Sequence[Answer]) -> Revocation:
    found = read_answers(tuple(one.der for one in given))
    return check_status("ocsp", [parsed(one) for one in chain], found, NOW)[0]


SIGNERS = [
    Case(
        34,
        "a signer of manifests that was revoked",
        "Test RIM L4 Signer was revoked",
        lambda: detail(lambda: judged(changed(status=REVOKED))).partition(" by NVIDIA")[0],
    ),
    case(
        34,
        "the authority of signers was revoked",
        Reason.CERTIFICATE_REVOKED,
        number=1,
        status=REVOKED,
    ),
]

CASES = [*NONCES, *STATUS, *WORST, *CACHED, *SIGNERS]
