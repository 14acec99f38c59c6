# SPDX-License-Identifier: Apache-2.0
"""A TPM's quote without a CPU's evidence: its files told apart, and verified by the key that came along."""

from __future__ import annotations

from itertools import permutations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulator.google import FakeGoogle
from simulator.google_certificates import Instance
from simulator.pki import pem
from simulator.vtpm import FakeTpm
from simulator.vtpm import Quote as SimulatedQuote
from tests import vtpm_vectors
from tests.snp_lab import NOW
from tests.tpm_lab import Quote, bare, ecdsa, pcr, rsa_key, rsassa
from verifiers.errors import Reason, VerificationError
from verifiers.vtpm.bare import BareQuote, sort_quote, verify_bare
from verifiers.vtpm.claims import PcrBank

QUOTE = Quote()
KEY = rsa_key()
INFO = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PUBLIC = KEY.public_key().public_bytes(*INFO)
SIGNED = rsassa(KEY, QUOTE.attest)
FILES = (QUOTE.attest, SIGNED, QUOTE.pcrs, PUBLIC)


@pytest.mark.parametrize("files", list(permutations(FILES)))
def test_in_any_order(files: tuple[bytes, ...]) -> None:
    assert sort_quote(files) == BareQuote(*FILES)


def test_a_real_one() -> None:
    vector = vtpm_vectors.load("plain-tpm-quote")
    quote = sort_quote([vector.ak_der, vector.pcrs, vector.signature, vector.attest])
    assert quote is not None
    assert verify_bare(quote).extra_data.hex() == vector.expected["tpm_quote"]["extraData"]


def test_an_ecc_key() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    signature = ecdsa(key, QUOTE.attest, PcrBank.SHA256)
    quote = sort_quote([QUOTE.attest, signature, QUOTE.pcrs, key.public_key().public_bytes(*INFO)])
    assert quote is not None
    assert verify_bare(quote).pcr(7) == pcr(PcrBank.SHA256, 7)


@pytest.mark.parametrize(
    "files",
    [
        (),
        FILES[1:],
        (*FILES, FILES[0]),
        (*FILES, FILES[3]),
        (*FILES, b"another file"),
        (FILES[0], bytes(768), b"\1" * 768, FILES[3]),
    ],
)
def test_what_is_not_one_quote(files: tuple[bytes, ...]) -> None:
    assert sort_quote(files) is None


@pytest.mark.parametrize(
    ("left_out", "said"),
    [(1, "without signature"), (2, "without PCR values"), (3, "without attestation key")],
)
def test_a_part_is_missing(left_out: int, said: str) -> None:
    quote = sort_quote([data for place, data in enumerate(FILES) if place != left_out])
    assert quote is not None
    with pytest.raises(VerificationError, match=said) as caught:
        verify_bare(quote)
    assert caught.value.reason is Reason.INCOMPLETE


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ((QUOTE.attest, bare(KEY, b"x"), QUOTE.pcrs, PUBLIC), Reason.SIGNATURE),
        ((QUOTE.attest, SIGNED, QUOTE.pcrs[::-1], PUBLIC), Reason.SIGNATURE),
        ((QUOTE.attest, bytes(1025), QUOTE.pcrs, PUBLIC), Reason.TOO_LARGE),
        ((QUOTE.attest, SIGNED, bytes(3 * 24 * 64 + 1), PUBLIC), Reason.TOO_LARGE),
    ],
)
def test_what_does_not_verify(files: tuple[bytes, bytes, bytes, bytes], reason: Reason) -> None:
    with pytest.raises(VerificationError) as caught:
        verify_bare(BareQuote(*files))
    assert caught.value.reason is reason


def test_a_quote_that_cannot_be_read() -> None:
    with pytest.raises(VerificationError) as caught:
        sort_quote([b"\xffTCG", SIGNED])
    assert caught.value.reason is Reason.MALFORMED


# the certificate of the key


@pytest.fixture
def google() -> FakeGoogle:
    return FakeGoogle.create(NOW)


def quote_of(google: FakeGoogle) -> tuple[SimulatedQuote, bytes, bytes]:
    """A vTPM's quote, the certificate of its key, and of who signed that."""
    tpm = FakeTpm.create()
    leaf = google.certify(tpm.ak.spki, Instance()).der
    return tpm.quote(bytes(32)), leaf, google.intermediate().der


def test_a_certificate_in_the_place_of_the_key(google: FakeGoogle) -> None:
    made, leaf, above = quote_of(google)
    parts = (made.attest, made.signature, made.pcrs)
    for files in permutations((*parts, leaf, above)):
        quote = sort_quote(files)
        assert quote is not None
        assert quote.public is None
        assert sorted(quote.certificates) == sorted((leaf, above))
        assert verify_bare(quote).extra_data == bytes(32)
    text = sort_quote([*parts, pem(leaf, above).encode()])
    assert text is not None
    assert verify_bare(text).extra_data == bytes(32)


def test_both_the_key_and_its_certificate(google: FakeGoogle) -> None:
    made, leaf, _ = quote_of(google)
    files = [made.attest, made.signature, made.pcrs, FakeTpm.create().ak.spki, leaf]
    quote = sort_quote(files)
    assert quote is not None
    assert quote.certificates == (leaf,)
    assert verify_bare(quote).extra_data == bytes(32)


def test_the_certificate_of_another_key(google: FakeGoogle) -> None:
    """It does not go with the quote, whatever key comes along."""
    made, _, above = quote_of(google)
    tpm = FakeTpm.create("another vtpm")
    leaf = google.certify(tpm.ak.spki, Instance()).der
    for more, reason in (
        ((leaf,), Reason.SIGNATURE),
        ((leaf, above), Reason.SIGNATURE),
        ((leaf, FakeTpm.create().ak.spki), Reason.EVIDENCE),
    ):
        quote = sort_quote([made.attest, made.signature, made.pcrs, *more])
        assert quote is not None
        with pytest.raises(VerificationError) as caught:
            verify_bare(quote)
        assert caught.value.reason is reason


def test_more_certificates_than_belong_to_a_quote(google: FakeGoogle) -> None:
    made, leaf, above = quote_of(google)
    parts = (made.attest, made.signature, made.pcrs)
    assert sort_quote([*parts, leaf, above, google.root.der]) is not None
    other = google.intermediate("europe-west4").der
    assert sort_quote([*parts, leaf, above, google.root.der, other]) is None


def test_certificates_of_nobodys_key(google: FakeGoogle) -> None:
    made, _, above = quote_of(google)
    quote = sort_quote([made.attest, made.signature, made.pcrs, above])
    assert quote is not None
    with pytest.raises(VerificationError, match="0 certificates of keys") as caught:
        verify_bare(quote)
    assert caught.value.reason is Reason.CHAIN
