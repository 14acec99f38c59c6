# SPDX-License-Identifier: Apache-2.0
"""OCSP answers: the recorded ones of a real H100, and everything that is no answer. Who may say what: chapter D."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asn1crypto import ocsp as asn1_ocsp
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.nvidia.answers import Answer, answers, responder
from simulator.nvidia.certificates import DAY, NOW, RESPONDER
from simulator.nvidia.rims import CHAIN, RIM_L3, SIGNER
from tests import nvidia_vectors as vectors
from tests.nvidia_devices import parsed, resigned
from verifiers.anchors import builtin
from verifiers.endorsements import PartValidity, Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia import ocsp as judged
from verifiers.nvidia.chain import verify_device_chain
from verifiers.nvidia.device import nvidia_roots
from verifiers.nvidia.ocsp import (
    MAX_ANSWER_BYTES,
    check_status,
    read_answers,
    verify_answer,
)
from verifiers.nvidia.rim import read_rim

if TYPE_CHECKING:
    from collections.abc import Callable

    from verifiers.certificate import Certificate

H100 = "h100-550.90.07"
FIRST = answers(CHAIN)[0]
LEAF, ISSUER = parsed(SIGNER), parsed(RIM_L3)
PARSED = [parsed(one) for one in CHAIN]


def chains() -> dict[str, tuple[Certificate, ...]]:
    """The certificates of the real H100 that are asked about, and of the signers of its manifests."""
    vector, roots = vectors.load(H100), nvidia_roots(builtin())
    device = verify_device_chain(vector.devices[0].chain_pem, roots.device).certificates[1:]
    driver, vbios = (
        read_rim(vector.rims[name], roots.rim).certificates
        for name in ("driver_rim.xml", "vbios_rim.xml")
    )
    return {"device": device, "driver": driver, "vbios": vbios}


FILES = {
    "gpu_certificate_l4": ("device", 0),
    "gpu_certificate_l3": ("device", 1),
    "gpu_certificate_l2": ("device", 2),
    "gpu_driver_rim_l4": ("driver", 0),
    "gpu_driver_rim_l3": ("driver", 1),
    "gpu_rim_l2": ("driver", 2),
    "gpu_vbios_l4": ("vbios", 0),
}


@pytest.mark.parametrize("name", FILES)
def test_recorded_answers(name: str) -> None:
    vector = vectors.load(H100)
    said, (chain, place) = vector.expected["ocsp"][name], FILES[name]
    certificate, issuer = chains()[chain][place : place + 2]
    answer = verify_answer(vector.ocsp[f"{name}.der"], certificate, issuer)
    assert certificate.serial_number == int(said["serial"])
    assert (answer.status.name, answer.nonce, answer.reason) == (said["status"], None, None)
    assert answer.this_update.isoformat() == answer.begins.isoformat() == said["this_update"]
    assert answer.ends.isoformat() == said["next_update"]


@pytest.mark.parametrize("chain", ["device", "driver", "vbios"])
def test_recorded_answers_about_a_chain(chain: str) -> None:
    vector = vectors.load(H100)
    found = read_answers(tuple(vector.ocsp.values()))
    at = vector.at if chain == "device" else datetime(2025, 10, 24, 12, tzinfo=UTC)
    revocation, windows = check_status("ocsp", chains()[chain], found, at)
    assert revocation is Revocation.GOOD
    assert len(windows) == 3
    assert all(window.issued <= at <= window.next_update for window in windows)
    assert all(window.expired_since is None for window in windows)
    later = check_status("ocsp", chains()[chain], found, at + 7 * DAY)
    assert [window.expired_since for window in later[1]] == [one.next_update for one in windows]


def test_answers_of_another_root_do_not_count() -> None:
    vector = vectors.load(H100)
    found = read_answers(tuple(vector.ocsp.values()))
    assert check_status("ocsp", PARSED, found, vector.at) == (Revocation.NOT_CHECKED, ())


def test_windows() -> None:
    short = replace(RESPONDER, not_after=NOW + timedelta(hours=1))
    given = [replace(FIRST, by=responder(RIM_L3, short)), *answers(CHAIN)[1:]]
    _, windows = check_status("part", PARSED, read(*given), NOW)
    begin, end = NOW - DAY / 2, NOW + DAY / 2
    assert windows == (
        PartValidity("part", begin, NOW + timedelta(hours=1), None),
        PartValidity("part", begin, end, None),
        PartValidity("part", begin, end, None),
    )


def test_an_answer_that_was_signed_a_moment_after_it_was_asked_for() -> None:
    """Responders sign on request, and their clocks are not ours."""
    for seconds, revocation in ((1, Revocation.GOOD), (60, Revocation.GOOD), (61, None)):
        issued = NOW + timedelta(seconds=seconds)
        given = [replace(one, this_update=issued) for one in answers(CHAIN)]
        found, windows = check_status("part", PARSED, read(*given), NOW)
        assert found is (revocation or Revocation.NOT_CHECKED)
        assert [one.issued for one in windows] == ([issued] * 3 if revocation else [])


def read(*given: Answer) -> judged.Answers:
    return read_answers(tuple(one.der for one in given))


def test_a_root_alone_has_nothing_to_be_asked() -> None:
    assert check_status("ocsp", PARSED[-1:], {}, NOW) == (Revocation.GOOD, ())


def unsuccessful(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


def twice(tbs: Any) -> None:  # noqa: ANN401 - asn1crypto has no types
    tbs["responses"].append(tbs["responses"][0])


def none(tbs: Any) -> None:  # noqa: ANN401 - asn1crypto has no types
    tbs["responses"] = asn1_ocsp.Responses([])


def unknown_hash(tbs: Any) -> None:  # noqa: ANN401 - asn1crypto has no types
    tbs["responses"][0]["cert_id"]["hash_algorithm"]["algorithm"] = "md5"


NO_ANSWERS = {
    "nothing": b"",
    "no DER": b"answer",
    "cut off": FIRST.der[:-1],
    "a byte more": FIRST.der + b"\0",
    "unauthorized": unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED),
    "try later": unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER),
    "a failure with an answer in it": FIRST.der.replace(b"\x0a\x01\x00", b"\x0a\x01\x01", 1),
    "two statuses": resigned(FIRST.der, FIRST.by.key, twice),
    "no status": resigned(FIRST.der, FIRST.by.key, none),
    "a hash that is not known": resigned(FIRST.der, FIRST.by.key, unknown_hash),
}


@pytest.mark.parametrize("why", NO_ANSWERS)
def test_no_answers(why: str) -> None:
    assert reason(lambda: read_answers((FIRST.der, NO_ANSWERS[why]))) is Reason.OCSP_INVALID


def reason(run: Callable[[], object]) -> Reason | None:
    try:
        run()
    except VerificationError as error:
        return error.reason
    return None


def test_too_large() -> None:
    assert reason(lambda: read_answers((bytes(MAX_ANSWER_BYTES + 1),))) is Reason.TOO_LARGE
    assert reason(lambda: read_answers((bytes(MAX_ANSWER_BYTES),))) is Reason.OCSP_INVALID


def test_a_responder_of_another_suite() -> None:
    other = replace(FIRST, by=responder(RIM_L3, replace(RESPONDER, signed_with="sha256")))
    with pytest.raises(VerificationError, match="signature algorithm") as caught:
        verify_answer(other.der, LEAF, ISSUER)
    assert caught.value.reason is Reason.OCSP_INVALID


def test_an_answer_that_says_another_algorithm_than_was_used() -> None:
    with_sha384, with_sha256 = bytes.fromhex("2a8648ce3d040303"), bytes.fromhex("2a8648ce3d040302")
    said = FIRST.der.replace(with_sha384, with_sha256, 1)  # the first is that of the answer
    with pytest.raises(VerificationError, match="with ECDSA and SHA-384"):
        verify_answer(said, LEAF, ISSUER)


def critical(tbs: Any) -> None:  # noqa: ANN401 - asn1crypto has no types
    extension = {"extn_id": "1.2.3.4", "critical": True, "extn_value": b"\x05\x00"}
    tbs["responses"][0]["single_extensions"] = [extension]


def repeated(tbs: Any) -> None:  # noqa: ANN401 - asn1crypto has no types
    tbs["response_extensions"] = [tbs["response_extensions"][0]] * 2


def test_extensions() -> None:
    own = FIRST.by.key
    for data in (
        resigned(FIRST.der, own, critical),
        resigned(replace(FIRST, nonce=bytes(16)).der, own, repeated),
    ):
        assert reason(lambda data=data: verify_answer(data, LEAF, ISSUER)) is Reason.OCSP_INVALID  # type: ignore[misc]  # a default of a lambda


def test_resigning_changes_nothing_else() -> None:
    assert reason(lambda: verify_answer(resigned(FIRST.der, FIRST.by.key), LEAF, ISSUER)) is None


def test_only_authentic_answers_are_remembered() -> None:
    judged._authenticated.cache_clear()
    forged = resigned(FIRST.der, RIM_L3.key)
    assert reason(lambda: verify_answer(forged, LEAF, ISSUER)) is Reason.OCSP_INVALID
    assert judged._authenticated.cache_info().currsize == 0
    first = verify_answer(FIRST.der, LEAF, ISSUER)
    assert verify_answer(bytes(bytearray(FIRST.der)), LEAF, ISSUER) is first
    assert judged._authenticated.cache_info().currsize == 1


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(FIRST.der) * 8 - 1))
def test_no_bit_may_change(bit: int) -> None:
    data = bytearray(FIRST.der)
    data[bit // 8] ^= 1 << bit % 8
    why = reason(lambda: verify_answer(bytes(data), LEAF, ISSUER))
    assert why is Reason.OCSP_INVALID
