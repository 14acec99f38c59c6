# SPDX-License-Identifier: Apache-2.0
"""Lines 26 to 29: what NVIDIA's OCSP responders say of a chain, and who may say it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from simulator.nvidia.answers import Answer, answers, responder
from simulator.nvidia.certificates import (
    CA,
    DAY,
    NO_CHECK,
    NOW,
    OCSP_SIGNING,
    RESPONDER,
    SECOND,
    Terms,
    issue,
    key,
)
from simulator.nvidia.rims import CHAIN, RIM_L2, RIM_L3, RIM_ROOT, SIGNER
from tests import nvidia_vectors as vectors
from tests.cases.nvidia.case import Case
from tests.nvidia_devices import parsed
from verifiers.anchors import builtin
from verifiers.endorsements import Revocation
from verifiers.errors import Reason
from verifiers.nvidia.ocsp import check_status, read_answers, verify_answer
from verifiers.nvidia.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

GOOD, UNCHECKED = Revocation.GOOD, Revocation.NOT_CHECKED
REVOKED, UNKNOWN = ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN
INVALID = Reason.OCSP_INVALID
HOLD = x509.ReasonFlags.certificate_hold
COMPROMISE = x509.ReasonFlags.key_compromise
H100 = "h100-550.90.07"


def judged(given: Sequence[Answer], now: datetime = NOW) -> Revocation:
    chain = [parsed(one) for one in CHAIN]
    return check_status("ocsp", chain, read_answers(tuple(one.der for one in given)), now)[0]


def expired(given: Sequence[Answer], now: datetime) -> int:
    """How many windows are past."""
    chain = [parsed(one) for one in CHAIN]
    windows = check_status("ocsp", chain, read_answers(tuple(one.der for one in given)), now)[1]
    return sum(one.expired_since is not None for one in windows)


def changed(number: int = 0, **parts: object) -> list[Answer]:
    """GOOD answers about all, one of them with some parts changed."""
    found = answers(CHAIN)
    found[number] = replace(found[number], **parts)  # type: ignore[arg-type]  # by name
    return found


def case(line: int, why: str, expect: object, *, number: int = 0, **parts: object) -> Case:
    return Case(line, why, expect, lambda: judged(changed(number, **parts)))


def without(number: int) -> list[Answer]:
    return [one for index, one in enumerate(answers(CHAIN)) if index != number]


def real(without: str = "") -> tuple[Revocation, list[Revocation]]:
    vector = vectors.load(H100)
    recorded = tuple(data for name, data in vector.ocsp.items() if name != without)
    endorsements = replace(vector.endorsements, ocsp=recorded)
    claims = verify(vector.devices[0], endorsements, builtin(), None, vector.at)
    return claims.revocation, [one.revocation for one in claims.rims]


REQUIRED = [
    Case(26, "an answer about each certificate", GOOD, lambda: judged(answers(CHAIN))),
    Case(26, "no answer", UNCHECKED, lambda: judged([])),
    *(
        Case(26, f"none about number {number}", UNCHECKED, partial(judged, without(number)))
        for number in range(3)
    ),
    Case(
        26,
        "an H100 with all answers, those about signers from later",
        (GOOD, [UNCHECKED, UNCHECKED]),
        real,
    ),
    Case(
        26,
        "an H100 without the answer about its own certificate",
        (UNCHECKED, [UNCHECKED, UNCHECKED]),
        lambda: real("gpu_certificate_l4.der"),
    ),
]


END = NOW + DAY / 2
BEGIN = NOW - DAY / 2
OLD = replace(RESPONDER, not_after=NOW - SECOND)
SHORT = replace(RESPONDER, not_after=NOW + SECOND)
MINUTE = 60 * SECOND  # what NVIDIA's clocks may be ahead of ours
FUTURE = replace(RESPONDER, not_before=NOW + MINUTE + SECOND)
TIMES = [
    Case(27, "the second of thisUpdate", GOOD, lambda: judged(answers(CHAIN), BEGIN)),
    Case(27, "a minute before", GOOD, lambda: judged(answers(CHAIN), BEGIN - MINUTE)),
    Case(
        27,
        "more than a minute before",
        UNCHECKED,
        lambda: judged(answers(CHAIN), BEGIN - MINUTE - SECOND),
    ),
    Case(27, "the second of nextUpdate", 0, lambda: expired(answers(CHAIN), END)),
    Case(27, "a second after", 3, lambda: expired(answers(CHAIN), END + SECOND)),
    Case(
        27, "a second after says so and no more", GOOD, lambda: judged(answers(CHAIN), END + SECOND)
    ),
    case(27, "no nextUpdate", INVALID, next_update=None),
    case(
        27,
        "one answer of a moment later, as those are that are signed on request",
        GOOD,
        this_update=NOW + SECOND,
        next_update=NOW + DAY,
    ),
    case(
        27,
        "one answer from later",
        UNCHECKED,
        this_update=NOW + MINUTE + SECOND,
        next_update=NOW + DAY,
    ),
    Case(
        27,
        "one answer that is past",
        1,
        lambda: expired(changed(this_update=NOW - 2 * DAY, next_update=NOW - DAY), NOW),
    ),
    Case(
        27,
        "an old answer beside a new one",
        0,
        lambda: expired(
            [*answers(CHAIN), *changed(this_update=NOW - 2 * DAY, next_update=NOW - DAY)], NOW
        ),
    ),
    Case(
        27,
        "a revocation that is told later does not count yet",
        UNCHECKED,
        lambda: judged(
            changed(status=REVOKED, this_update=NOW + MINUTE + SECOND, next_update=NOW + DAY), NOW
        ),
    ),
    Case(
        27,
        "a revocation that is told a minute later counts",
        Reason.CERTIFICATE_REVOKED,
        lambda: judged(
            changed(status=REVOKED, this_update=NOW + MINUTE, next_update=NOW + DAY), NOW
        ),
    ),
]

SAME_NAME = issue("Test Reference Value L3", RIM_L2, replace(CA, key="another L3"))
OTHER_NAME = issue("Test Reference Value L3 b", RIM_L2, replace(CA, key="Test Reference Value L3"))
OTHER = issue("Test RIM L4 Signer", RIM_L3, Terms(key="another signer"))
NAMES = [
    case(28, "about another serial number", UNCHECKED, about=OTHER),
    case(28, "about the same number of an issuer of another key", UNCHECKED, issuer=SAME_NAME),
    case(
        28,
        "about the same number of an issuer of another name",
        UNCHECKED,
        about=issue("Test RIM L4 Signer", OTHER_NAME, Terms()),
        issuer=OTHER_NAME,
    ),
    Case(
        28,
        "taken for an answer about another certificate",
        INVALID,
        lambda: verify_answer(answers(CHAIN)[0].der, parsed(OTHER), parsed(RIM_L3)),
    ),
    *(case(28, f"named by {name}", GOOD, algorithm=name) for name in ("sha1", "sha256", "sha384")),
    case(28, "named by a hash that nobody asks by", UNCHECKED, algorithm="sha512"),
]

STRANGER = issue("Responder of Test Reference Value L3", None, Terms(purposes=(OCSP_SIGNING,)))
RESPONDERS = {
    "certified by nobody": STRANGER,
    "certified by the issuer of the issuer": issue("Responder", RIM_L2, RESPONDER),
    "certified by the root": issue("Responder", RIM_ROOT, RESPONDER),
    "certified by one of the issuer's name": issue("Responder", SAME_NAME, RESPONDER),
    "certified by another with the issuer's key": issue("Responder", OTHER_NAME, RESPONDER),
    "certified by the certificate in question": issue("Responder", SIGNER, RESPONDER),
    "not certified for OCSP": issue("Responder", RIM_L3, Terms()),
    "certified for servers": issue(
        "Responder", RIM_L3, Terms(purposes=(ExtendedKeyUsageOID.SERVER_AUTH,))
    ),
    "certified for servers too": issue(
        "Responder", RIM_L3, Terms(purposes=(OCSP_SIGNING, ExtendedKeyUsageOID.SERVER_AUTH))
    ),
    "certified for not being asked about alone": issue(
        "Responder", RIM_L3, Terms(purposes=(NO_CHECK,))
    ),
    "a CA": issue("Responder", RIM_L3, replace(RESPONDER, ca=True)),
    "allowed to sign certificates": issue(
        "Responder", RIM_L3, replace(RESPONDER, usage=("digital_signature", "key_cert_sign"))
    ),
    "the issuer itself": RIM_L3,
    "the certificate in question": SIGNER,
}
WHO = [
    *(case(29, f"a responder {why}", INVALID, by=party) for why, party in RESPONDERS.items()),
    case(
        29,
        "an old responder, with no-check among its purposes, not critical",
        GOOD,
        by=responder(RIM_L3, Terms(purposes=(OCSP_SIGNING, NO_CHECK), critical=False)),
    ),
    case(29, "signed by another key", INVALID, signer=key("stranger")),
    case(29, "signed by the issuer under the responder's certificate", INVALID, signer=RIM_L3.key),
    case(29, "signed with SHA-256", INVALID, signed_with="sha256"),
    case(29, "no certificate of a responder", INVALID, certificates=()),
    case(29, "two certificates", INVALID, certificates=(responder(RIM_L3), RIM_L3)),
    Case(29, "answers with the responder's end", 1, lambda: ends_with(SHORT, NOW + 2 * SECOND)),
    Case(29, "its last second", 0, lambda: ends_with(SHORT, NOW + SECOND)),
    case(29, "a responder that is not in force yet", UNCHECKED, by=responder(RIM_L3, FUTURE)),
    Case(29, "a responder that has ended", 1, lambda: ends_with(OLD, NOW)),
]


def ends_with(terms: Terms, now: datetime) -> int:
    return expired(changed(by=responder(RIM_L3, terms)), now)


CASES = [*REQUIRED, *TIMES, *NAMES, *WHO]
