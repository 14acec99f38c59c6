# SPDX-License-Identifier: Apache-2.0
"""Of when answers are: by certificate, whatever hash names its issuer, and without a serial number in clear."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from simulator.nvidia.answers import Answer, answers, responder
from simulator.nvidia.certificates import DAY, NOW
from simulator.nvidia.devices import device
from simulator.nvidia.rims import CHAIN, RIM_L3, SIGNER
from tests import nvidia_vectors as vectors
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.endorsements import NvidiaEndorsements
from verifiers.nvidia.revocations import Revocations, revocations

STATUS = ocsp.OCSPCertStatus
SECOND = timedelta(seconds=1)


def about(
    status: ocsp.OCSPCertStatus = STATUS.GOOD,
    *,
    of: timedelta = timedelta(),
    algorithm: str = "sha384",
    reason: x509.ReasonFlags | None = None,
) -> bytes:
    answer = Answer(
        SIGNER,
        RIM_L3,
        responder(RIM_L3),
        status=status,
        reason=reason,
        this_update=NOW - DAY / 2 + of,
        algorithm=algorithm,
    )
    return answer.der


def read(*given: bytes) -> Revocations:
    return revocations(NvidiaEndorsements(ocsp=given))


def at(of: timedelta = timedelta()) -> int:
    return int((NOW - DAY / 2 + of).timestamp())


def test_nothing_said() -> None:
    assert read() == Revocations({}, {})


def test_good_and_revoked_are_apart_and_of_one_line() -> None:
    good, revoked = read(about()), read(about(STATUS.REVOKED, of=SECOND))
    assert good.revoked == revoked.good == {}
    ((line, number),) = good.good.items()
    assert revoked.revoked == {line: number + 1}
    assert number == at()


def test_on_hold_is_revoked() -> None:
    found = read(about(STATUS.REVOKED, reason=x509.ReasonFlags.certificate_hold))
    assert list(found.revoked.values()) == [at()]


def test_unknown_is_neither() -> None:
    assert read(about(STATUS.UNKNOWN)) == Revocations({}, {})


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_an_answer_under_another_hash_is_about_the_same_certificate(algorithm: str) -> None:
    """A copy that was asked for so before a revocation is one of before the revocation."""
    assert read(about(algorithm=algorithm)).good == read(about()).good


def test_of_several_the_newest_counts() -> None:
    for order in (1, -1):
        given = [about(STATUS.REVOKED, of=SECOND * n) for n in (1, 2)][::order]
        assert list(read(*given).revoked.values()) == [at(2 * SECOND)]
    both = read(about(), about(STATUS.REVOKED, of=SECOND))
    assert both.good.keys() == both.revoked.keys()


def test_every_certificate_has_a_line_of_its_own() -> None:
    parties = device().parties[1:]
    given = [one.der for chain in (CHAIN, parties) for one in answers(chain)]
    found = read(*given)
    assert (len(found.good), found.revoked) == (len(given), {})
    assert all(re.fullmatch("nvidia/status/[0-9a-f]{32}", line) for line in found.good)
    for party in (*CHAIN, *parties):
        serial = f"{party.certificate.serial_number:x}"
        assert not any(serial in line for line in found.good)


def test_certificates_of_one_number_and_two_issuers_are_two() -> None:
    other = Answer(SIGNER, CHAIN[-1], responder(CHAIN[-1])).der
    assert read(other).good.keys().isdisjoint(read(about()).good)


def test_recorded_answers_of_a_real_device() -> None:
    given = tuple(vectors.load("h100-550.90.07").ocsp.values())
    found = revocations(NvidiaEndorsements(ocsp=given))
    assert len(found.good) + len(found.revoked) == len({*found.good, *found.revoked}) > 0


def test_what_is_no_answer_is_refused() -> None:
    with pytest.raises(VerificationError) as caught:
        read(b"no answer")
    assert caught.value.reason is Reason.OCSP_INVALID
