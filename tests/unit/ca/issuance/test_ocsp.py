# SPDX-License-Identifier: Apache-2.0
"""Answers, read by two libraries that did not make them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as library
from hypothesis import given
from hypothesis import strategies as st

from ca.issuance import ocsp
from ca.issuance.crl import Revoked
from ca.issuance.ocsp import LIFETIME, responder_for
from ca.issuance.ocsp_question import MAX_CERTIFICATES, parse
from ca.issuance.reasons import RevocationReason
from tests import ocsp_lab
from tests.authority_lab import NOW, make_lab, utc

if TYPE_CHECKING:
    from collections.abc import Mapping

LAB = make_lab()
OTHER = make_lab()
ISSUER = LAB.issuer.certificate
RESPONDER = ocsp_lab.responder(LAB)
SERIAL = 0x4711
FLAGS = {flag.value: flag for flag in x509.ReasonFlags}


def answered(der: bytes, statuses: Mapping[int, Revoked | None], now: datetime = NOW) -> bytes:
    question = parse(der)
    assert responder_for(question, [RESPONDER]) is RESPONDER
    return ocsp.answer(question, RESPONDER, statuses, now=now)


def asked(
    algorithm: hashes.HashAlgorithm, nonce: bytes | None = None
) -> tuple[x509.Certificate, bytes]:
    """The responder's own certificate, which is one of the issuing CA's, and the library's question about it."""
    builder = library.OCSPRequestBuilder().add_certificate(RESPONDER.certificate, ISSUER, algorithm)
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return RESPONDER.certificate, builder.build().public_bytes(Encoding.DER)


def signed_by(response: library.OCSPResponse, certificate: x509.Certificate) -> None:
    """Raises InvalidSignature."""
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert response.signature_hash_algorithm is not None
    key.verify(
        response.signature,
        response.tbs_response_bytes,
        ec.ECDSA(response.signature_hash_algorithm),
    )


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384()])  # noqa: S303 - names a certificate
def test_good(algorithm: hashes.HashAlgorithm) -> None:
    certificate, der = asked(algorithm)
    found = library.load_der_ocsp_response(answered(der, {certificate.serial_number: None}))
    assert found.response_status is library.OCSPResponseStatus.SUCCESSFUL
    assert found.certificate_status is library.OCSPCertStatus.GOOD
    assert (found.revocation_time_utc, found.revocation_reason) == (None, None)
    assert (found.produced_at_utc, found.this_update_utc) == (NOW, NOW)
    assert found.next_update_utc == NOW + LIFETIME
    wanted = library.load_der_ocsp_request(der)
    assert found.serial_number == certificate.serial_number
    assert found.hash_algorithm.name == wanted.hash_algorithm.name == algorithm.name
    assert found.issuer_name_hash == wanted.issuer_name_hash
    assert found.issuer_key_hash == wanted.issuer_key_hash
    assert list(found.extensions) == []


def test_signed_by_a_responder_of_the_issuing_ca() -> None:
    _, der = asked(hashes.SHA256())
    found = library.load_der_ocsp_response(answered(der, {}))
    assert found.certificates == [RESPONDER.certificate]
    (delegated,) = found.certificates
    delegated.verify_directly_issued_by(ISSUER)
    signed_by(found, delegated)
    with pytest.raises(InvalidSignature):
        signed_by(found, ISSUER)
    assert found.responder_name is None
    key = delegated.public_key()
    own = x509.SubjectKeyIdentifier.from_public_key(key)  # the library's is SHA-1 of the same bits
    assert found.responder_key_hash == own.digest
    assert found.signature_algorithm_oid == x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256


@pytest.mark.parametrize("reason", RevocationReason)
def test_revoked(reason: RevocationReason) -> None:
    certificate, der = asked(hashes.SHA256())
    at = NOW - timedelta(minutes=5, microseconds=1)
    found = library.load_der_ocsp_response(
        answered(der, {certificate.serial_number: Revoked(certificate.serial_number, at, reason)})
    )
    assert found.certificate_status is library.OCSPCertStatus.REVOKED
    assert found.revocation_time_utc == NOW - timedelta(minutes=5, seconds=1)
    unsaid = reason is RevocationReason.UNSPECIFIED
    assert found.revocation_reason == (None if unsaid else FLAGS[reason])


def test_never_issued() -> None:
    certificate, der = asked(hashes.SHA256())
    found = library.load_der_ocsp_response(answered(der, {certificate.serial_number + 1: None}))
    assert found.certificate_status is library.OCSPCertStatus.UNKNOWN
    assert found.revocation_time_utc is None


@pytest.mark.parametrize("nonce", [b"x", bytes(32), bytes(range(128))])
def test_the_nonce_comes_back(nonce: bytes) -> None:
    _, der = asked(hashes.SHA256(), nonce)
    answer = answered(der, {})
    (found,) = library.load_der_ocsp_response(answer).extensions
    assert (found.value, found.critical) == (x509.OCSPNonce(nonce), False)
    assert ocsp_lab.nonce_of(answer) == nonce


def test_an_answer_ends_with_the_responder() -> None:
    _, der = asked(hashes.SHA256())
    end = RESPONDER.certificate.not_valid_after_utc
    for now, expected in (
        (end - timedelta(minutes=30), end),
        (end - 2 * LIFETIME, end - LIFETIME),
        (NOW + timedelta(microseconds=999_999), NOW + LIFETIME),
    ):
        assert library.load_der_ocsp_response(answered(der, {}, now)).next_update_utc == expected


statuses = st.none() | st.builds(
    Revoked, st.just(1), utc(1970, 2120), st.sampled_from(RevocationReason)
)
known = st.dictionaries(st.integers(1, 5), statuses)
wanted = st.lists(
    st.tuples(st.sampled_from(ocsp_lab.HASHES), st.integers(1, 7)),
    min_size=1,
    max_size=MAX_CERTIFICATES,
)


@given(wanted, known, utc(2026, 2027))
def test_several_in_one_message(
    about: list[tuple[str, int]], on_record: dict[int, Revoked | None], now: datetime
) -> None:
    """One answer for each, in the order of the questions, named as the client named it."""
    ids = [ocsp_lab.cert_id(ISSUER, serial, algorithm) for algorithm, serial in about]
    found = ocsp_lab.said(answered(ocsp_lab.request(*ids), on_record, now))
    assert [one.cert_id for one in found] == [each.dump() for each in ids]
    for one, (_, serial) in zip(found, about, strict=True):
        assert (one.serial, one.this_update) == (serial, now.replace(microsecond=0))
        revoked = on_record.get(serial)
        if revoked is not None:
            assert (one.status, one.revoked_at) == ("revoked", revoked.since.replace(microsecond=0))
        else:
            assert one.status == ("good" if serial in on_record else "unknown")


def test_the_bytes_of_the_name_come_back() -> None:
    """Also where parameters of the hash are absent, which is another encoding of the same name."""
    bare = ocsp_lab.cert_id(ISSUER, 5, hash_algorithm={"algorithm": "sha1"})
    (one,) = ocsp_lab.said(answered(ocsp_lab.request(bare), {}))
    assert one.cert_id == bare.dump()
    assert one.cert_id != ocsp_lab.cert_id(ISSUER, 5).dump()


FOREIGN = {
    "another issuing CA": ocsp_lab.cert_id(OTHER.issuer.certificate, SERIAL),
    "the root": ocsp_lab.cert_id(LAB.root, SERIAL),
    "another key": ocsp_lab.cert_id(ISSUER, SERIAL, issuer_key_hash=bytes(20)),
    "another name": ocsp_lab.cert_id(ISSUER, SERIAL, issuer_name_hash=bytes(20)),
    "a hash under the name of another": ocsp_lab.cert_id(
        ISSUER, SERIAL, "sha256", hash_algorithm={"algorithm": "sha384"}
    ),
    "a hash that nobody uses": ocsp_lab.cert_id(ISSUER, SERIAL, "sha512"),
    "hashes of no length": ocsp_lab.cert_id(
        ISSUER, SERIAL, issuer_name_hash=b"", issuer_key_hash=b""
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_not_ours_to_answer(name: str) -> None:
    ours = ocsp_lab.cert_id(ISSUER, SERIAL)
    assert responder_for(parse(ocsp_lab.request(FOREIGN[name])), [RESPONDER]) is None
    assert responder_for(parse(ocsp_lab.request(ours, FOREIGN[name])), [RESPONDER]) is None
    assert responder_for(parse(ocsp_lab.request(FOREIGN[name], ours)), [RESPONDER]) is None


def test_each_issuing_ca_has_its_own() -> None:
    renewed = LAB.renew(NOW)
    second = ocsp_lab.responder(renewed)
    old = ocsp_lab.cert_id(ISSUER, SERIAL)
    new = ocsp_lab.cert_id(renewed.issuer.certificate, SERIAL)
    both = [RESPONDER, second]
    assert responder_for(parse(ocsp_lab.request(old)), both) is RESPONDER
    assert responder_for(parse(ocsp_lab.request(new)), both) is second
    assert responder_for(parse(ocsp_lab.request(new)), [RESPONDER]) is None
    assert responder_for(parse(ocsp_lab.request(old, new)), both) is None


def test_who_it_speaks_for() -> None:
    assert RESPONDER.issuer_key_id == LAB.issuer.key_id
    assert repr(RESPONDER.key) not in repr(RESPONDER)


UNSUCCESSFUL = [each for each in library.OCSPResponseStatus if each.name != "SUCCESSFUL"]


@pytest.mark.parametrize("status", UNSUCCESSFUL)
def test_why_there_is_no_answer(status: library.OCSPResponseStatus) -> None:
    assert ocsp.unsuccessful(status) == bytes([0x30, 3, 0x0A, 1, status.value])
