# SPDX-License-Identifier: Apache-2.0
"""Quotes of a TPM: every field from its place, real ones, and all that must not verify."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from struct import pack
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from hypothesis import given
from hypothesis import strategies as st

from tests import vtpm_vectors
from tests.tpm_lab import ALGORITHMS, Quote, bare, ecdsa, pcr, rsa_key, rsassa, selection, sized
from verifiers.errors import Reason, VerificationError
from verifiers.vtpm import hcl
from verifiers.vtpm.attest import parse_attest, verify_quote
from verifiers.vtpm.claims import PcrBank, TpmClaims

if TYPE_CHECKING:
    from pathlib import Path

    from tests.vtpm_vectors import TpmVector

KEY = rsa_key()
QUOTE = Quote()
CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]
OPENSSL = shutil.which("openssl")


def verified(
    quote: Quote, signature: bytes | None = None, key: rsa.RSAPrivateKey = KEY
) -> TpmClaims:
    """The claims of a quote that is signed by Azure's rules unless a signature is given."""
    attest = quote.attest
    return verify_quote(
        parse_attest(attest), signature or bare(key, attest), quote.pcrs, key.public_key()
    )


def refusal(attest: bytes, signature: bytes, pcrs: bytes, key: rsa.RSAPublicKey) -> Reason:
    with pytest.raises(VerificationError) as caught:
        verify_quote(parse_attest(attest), signature, pcrs, key)
    return caught.value.reason


def test_every_field() -> None:
    attest = parse_attest(QUOTE.attest)
    assert attest.raw == QUOTE.attest
    assert attest.qualified_signer == QUOTE.signer
    assert attest.extra_data == QUOTE.extra
    assert attest.clock == QUOTE.clock
    assert (attest.reset_count, attest.restart_count) == (QUOTE.resets, QUOTE.restarts)
    assert attest.safe
    assert attest.firmware_version == QUOTE.firmware
    assert attest.selection == tuple((PcrBank.SHA256, number) for number in range(24))
    assert attest.pcr_digest == hashlib.sha256(QUOTE.pcrs).digest()


def test_every_claim() -> None:
    claims = verified(QUOTE.but(safe=0))
    assert claims == TpmClaims(
        pcrs=tuple((PcrBank.SHA256, n, pcr(PcrBank.SHA256, n)) for n in range(24)),
        extra_data=QUOTE.extra,
        qualified_signer=QUOTE.signer,
        firmware_version=QUOTE.firmware,
        clock=QUOTE.clock,
        reset_count=QUOTE.resets,
        restart_count=QUOTE.restarts,
        safe=False,
    )


def test_values_are_numbered_by_the_selection_of_each_bank() -> None:
    banks = (
        (PcrBank.SHA384, (23, 7)),
        (PcrBank.SHA256, (14, 0, 8)),
        (PcrBank.SHA512, (16,)),
    )
    ascending = tuple((bank, tuple(sorted(numbers))) for bank, numbers in banks)
    claims = verified(QUOTE.but(banks=ascending))
    assert claims.pcrs == tuple(
        (bank, number, pcr(bank, number)) for bank, numbers in ascending for number in numbers
    )
    assert claims.pcr(7, PcrBank.SHA384) == pcr(PcrBank.SHA384, 7)
    assert claims.pcr(7) is None
    assert claims.pcr(1) is None


@given(st.sets(st.integers(0, 23)))
def test_any_selection(numbers: set[int]) -> None:
    claims = verified(QUOTE.but(banks=((PcrBank.SHA256, tuple(sorted(numbers))),)))
    assert [number for _, number, _ in claims.pcrs] == sorted(numbers)


def test_no_bank_at_all_is_a_quote_of_nothing() -> None:
    assert verified(QUOTE.but(banks=())).pcrs == ()


@pytest.mark.parametrize("bank", list(PcrBank))
def test_rsassa_by_each_hash(bank: PcrBank) -> None:
    quote = QUOTE.but(digest=bank)
    assert verified(quote, rsassa(KEY, quote.attest, bank)).extra_data == QUOTE.extra


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_both_forms_at_each_size(bits: int) -> None:
    key = rsa_key(bits)
    assert verified(QUOTE, bare(key, QUOTE.attest), key) == verified(
        QUOTE, rsassa(key, QUOTE.attest), key
    )


@pytest.mark.parametrize("bank", list(PcrBank))
@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_ecdsa_on_each_curve(curve: ec.EllipticCurve, bank: PcrBank) -> None:
    key, quote = ec.generate_private_key(curve), QUOTE.but(digest=bank)
    attest = parse_attest(quote.attest)
    signature = ecdsa(key, quote.attest, bank)
    assert verify_quote(attest, signature, quote.pcrs, key.public_key()).safe
    other = ec.generate_private_key(curve).public_key()
    with pytest.raises(VerificationError) as caught:
        verify_quote(attest, signature, quote.pcrs, other)
    assert caught.value.reason is Reason.SIGNATURE


def test_ecdsa_numbers_without_their_leading_zeros() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    while (signature := ecdsa(key, QUOTE.attest))[6]:  # until r begins with a zero byte
        pass
    shorter = signature[:4] + sized(signature[7:38]) + signature[38:]
    attest = parse_attest(QUOTE.attest)
    assert verify_quote(attest, shorter, QUOTE.pcrs, key.public_key()).safe


ECDSA_FAULTS = [
    (pack(">HH", 0x0018, 0x0B) + sized(b"") + sized(b""), Reason.SIGNATURE),
    (pack(">HH", 0x0018, 0x0B) + sized(bytes(32)) + sized(b"\1"), Reason.SIGNATURE),
    (pack(">HH", 0x0018, 0x0B) + sized(b"\xff" * 32) + sized(b"\xff" * 32), Reason.SIGNATURE),
    (pack(">HH", 0x0018, 0x0B) + sized(b"\1" * 33) + sized(b"\1"), Reason.MALFORMED),
    (pack(">HH", 0x0018, 0x0B) + sized(b"\1") + sized(b"\1" * 33), Reason.MALFORMED),
    (pack(">HH", 0x0018, 0x0B) + sized(b"\1") + sized(b"\1") + b"\0", Reason.MALFORMED),
    (pack(">HH", 0x0018, 0x04) + sized(b"\1") + sized(b"\1"), Reason.UNSUPPORTED_FORMAT),
    (pack(">HH", 0x0014, 0x0B) + sized(b"\1") + sized(b"\1"), Reason.UNSUPPORTED_FORMAT),
    (bytes(64), Reason.UNSUPPORTED_FORMAT),
    (b"", Reason.MALFORMED),
]


@pytest.mark.parametrize(("signature", "reason"), ECDSA_FAULTS)
def test_ecdsa_faults(signature: bytes, reason: Reason) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(VerificationError) as caught:
        verify_quote(parse_attest(QUOTE.attest), signature, QUOTE.pcrs, key)
    assert caught.value.reason is reason


SIGNED = rsassa(KEY, QUOTE.attest)
RSA_FAULTS = [
    (bare(rsa_key(3072), QUOTE.attest), Reason.UNSUPPORTED_FORMAT),  # neither bare nor TPMT
    (rsassa(rsa_key(3072), QUOTE.attest), Reason.MALFORMED),
    (rsassa(KEY, QUOTE.attest + b"\0"), Reason.SIGNATURE),
    (bare(KEY, QUOTE.attest + b"\0"), Reason.SIGNATURE),
    (pack(">HH", 0x0014, 0x000C) + SIGNED[4:], Reason.SIGNATURE),  # another hash than was signed
    (pack(">HH", 0x0014, 0x0004) + SIGNED[4:], Reason.UNSUPPORTED_FORMAT),  # SHA-1
    (pack(">HH", 0x0014, 0x0010) + SIGNED[4:], Reason.UNSUPPORTED_FORMAT),  # TPM_ALG_NULL
    (pack(">HH", 0x0016, 0x000B) + SIGNED[4:], Reason.UNSUPPORTED_FORMAT),  # RSAPSS
    (pack(">HH", 0x0018, 0x000B) + SIGNED[4:], Reason.UNSUPPORTED_FORMAT),  # ECDSA
    (SIGNED + b"\0", Reason.MALFORMED),
    (SIGNED[:-1], Reason.MALFORMED),
    (SIGNED[:4] + sized(SIGNED[7:]), Reason.SIGNATURE),  # a byte less than the key
    (SIGNED[:4] + sized(b""), Reason.SIGNATURE),
    (SIGNED[:4] + sized(SIGNED[12:]), Reason.SIGNATURE),  # as long as a bare one
    (SIGNED[:3], Reason.MALFORMED),
    (b"", Reason.MALFORMED),
    (bytes(256), Reason.SIGNATURE),
    (b"\xff" * 256, Reason.SIGNATURE),  # above the modulus
]


@pytest.mark.parametrize(("signature", "reason"), RSA_FAULTS)
def test_rsa_faults(signature: bytes, reason: Reason) -> None:
    assert refusal(QUOTE.attest, signature, QUOTE.pcrs, KEY.public_key()) is reason


def test_a_signature_of_another_key() -> None:
    other = rsa.generate_private_key(65537, 2048).public_key()
    for signature in (SIGNED, bare(KEY, QUOTE.attest)):
        assert refusal(QUOTE.attest, signature, QUOTE.pcrs, other) is Reason.SIGNATURE
        larger = refusal(QUOTE.attest, signature, QUOTE.pcrs, rsa_key(3072).public_key())
        assert larger in {Reason.SIGNATURE, Reason.UNSUPPORTED_FORMAT}


def test_values_under_another_digest() -> None:
    swapped = QUOTE.pcrs[32:64] + QUOTE.pcrs[:32] + QUOTE.pcrs[64:]
    assert refusal(QUOTE.attest, SIGNED, swapped, KEY.public_key()) is Reason.SIGNATURE


def test_a_digest_by_another_hash_than_the_signature() -> None:
    quote = QUOTE.but(digest=PcrBank.SHA384)
    signature = rsassa(KEY, quote.attest, PcrBank.SHA256)
    assert refusal(quote.attest, signature, quote.pcrs, KEY.public_key()) is Reason.SIGNATURE


def test_a_digest_that_is_a_part_of_the_right_one() -> None:
    for digest in (b"", hashlib.sha256(QUOTE.pcrs).digest()[:31]):
        quote = QUOTE.but(pcr_digest=digest)
        signature = bare(KEY, quote.attest)
        assert refusal(quote.attest, signature, quote.pcrs, KEY.public_key()) is Reason.SIGNATURE


@pytest.mark.parametrize("change", [-32, -1, 1, 32])
def test_more_or_fewer_values_than_were_selected(change: int) -> None:
    pcrs = QUOTE.pcrs[:change] if change < 0 else QUOTE.pcrs + bytes(change)
    assert refusal(QUOTE.attest, SIGNED, pcrs, KEY.public_key()) is Reason.MALFORMED


SHA256, SHA384 = ALGORITHMS[PcrBank.SHA256], ALGORITHMS[PcrBank.SHA384]
STRUCTURE = [
    (QUOTE.but(magic=b"\xffTCH"), Reason.MALFORMED),
    (QUOTE.but(kind=0x8017), Reason.UNSUPPORTED_FORMAT),  # a certified key
    (QUOTE.but(signer=bytes(67)), Reason.MALFORMED),
    (QUOTE.but(extra=bytes(67)), Reason.MALFORMED),
    (QUOTE.but(pcr_digest=bytes(65)), Reason.MALFORMED),
    (QUOTE.but(safe=2), Reason.MALFORMED),
    (QUOTE.but(trailing=b"\0"), Reason.MALFORMED),
    (QUOTE.but(selected=selection((0x0004, (0,)))), Reason.UNSUPPORTED_FORMAT),  # SHA-1
    (QUOTE.but(selected=selection((SHA256, (0,)), (0x0004, ()))), Reason.UNSUPPORTED_FORMAT),
    (QUOTE.but(selected=selection((0x0012, (0,)))), Reason.UNSUPPORTED_FORMAT),  # SM3
    (QUOTE.but(selected=selection((SHA256, (0,)), (SHA256, (1,)))), Reason.MALFORMED),
    (
        QUOTE.but(selected=selection((SHA256, ()), (SHA384, (1,)), (SHA256, ()))),
        Reason.MALFORMED,
    ),
    (QUOTE.but(selected=pack(">IHB", 1, SHA256, 2) + bytes(2)), Reason.UNSUPPORTED_FORMAT),
    (QUOTE.but(selected=pack(">IHB", 1, SHA256, 4) + bytes(4)), Reason.UNSUPPORTED_FORMAT),
    (QUOTE.but(selected=pack(">IHB", 1, SHA256, 0)), Reason.UNSUPPORTED_FORMAT),
    (QUOTE.but(selected=b"\xff" * 4), Reason.UNSUPPORTED_FORMAT),
]


@pytest.mark.parametrize(("quote", "reason"), STRUCTURE)
def test_structures_that_are_refused(quote: Quote, reason: Reason) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_attest(quote.attest)
    assert caught.value.reason is reason


def test_the_largest_fields_are_read() -> None:
    attest = parse_attest(QUOTE.but(signer=bytes(66), extra=b"e" * 66, pcr_digest=bytes(64)).attest)
    assert attest.extra_data == b"e" * 66
    assert parse_attest(QUOTE.but(extra=b"", signer=b"").attest).extra_data == b""


def test_every_shorter_quote_is_malformed() -> None:
    whole = QUOTE.attest
    for end in range(len(whole)):
        with pytest.raises(VerificationError) as caught:
            parse_attest(whole[:end])
        assert caught.value.reason is Reason.MALFORMED


def test_a_quote_that_is_too_large() -> None:
    with pytest.raises(VerificationError, match="more than its content needs"):
        parse_attest(QUOTE.attest.ljust(1024, b"\0"))
    with pytest.raises(VerificationError) as caught:
        parse_attest(bytes(1025))
    assert caught.value.reason is Reason.TOO_LARGE


# Real quotes


def key_of(vector: TpmVector) -> rsa.RSAPublicKey:
    if vector.ak_der:
        key = load_der_public_key(vector.ak_der)
        assert isinstance(key, rsa.RSAPublicKey)
        return key
    return hcl.read_runtime_data(hcl.parse_hcl(vector.hcl))[1]


@pytest.mark.parametrize("name", [*vtpm_vectors.AZURE, "plain-tpm-quote"])
def test_a_real_quote(name: str) -> None:
    vector = vtpm_vectors.load(name)
    expected = vector.expected["tpm_quote"]
    claims = verify_quote(
        parse_attest(vector.attest), vector.signature, vector.pcrs, key_of(vector)
    )
    assert claims.qualified_signer.hex() == expected["qualifiedSigner"]
    assert claims.extra_data.hex() == expected["extraData"]
    assert (claims.clock, claims.safe) == (expected["clock"], expected["safe"])
    assert claims.reset_count == expected["resetCount"]
    assert claims.restart_count == expected["restartCount"]
    assert claims.firmware_version == int(expected["firmware"], 16)
    assert [number for _, number, _ in claims.pcrs] == list(range(24))
    values = vector.expected.get("pcrs_sha256")
    if values:
        assert [value.hex() for _, _, value in claims.pcrs] == values
    assert b"".join(value for _, _, value in claims.pcrs) == vector.pcrs


def test_a_real_partial_selection_keeps_its_numbers() -> None:
    """No key was recorded with it, so it is read only."""
    vector = vtpm_vectors.load("partial-pcr-selection")
    attest = parse_attest(vector.attest)
    assert attest.selection == tuple((PcrBank.SHA256, n) for n in (*range(8), 14))
    values = bytes(32 * vector.expected["pcr_count"])
    key = rsa_key().public_key()
    assert refusal(vector.attest, vector.signature, values, key) is Reason.SIGNATURE
    assert refusal(vector.attest, vector.signature, values[32:], key) is Reason.MALFORMED


@pytest.mark.parametrize("bank", ["sha256", "sha384"])
def test_a_real_quote_of_each_bank(bank: str) -> None:
    """Both are signed by SHA-256, which the digest of the values is by, too: the bank's own hash is another matter."""
    vector = vtpm_vectors.load_gce()[bank]
    claims = verify_quote(
        parse_attest(vector.attest), vector.signature, vector.pcrs, key_of(vector)
    )
    assert claims.extra_data.hex() == vector.expected["tpm_quote"]["extraData"]
    assert {str(number): value.hex() for _, number, value in claims.pcrs} == vector.expected["pcrs"]
    assert {str(bank) for bank, _, _ in claims.pcrs} == {bank}


def test_a_real_quote_of_the_sha1_bank_is_refused() -> None:
    with pytest.raises(VerificationError, match="hash algorithm 0x0004") as caught:
        parse_attest(vtpm_vectors.load_gce()["sha1"].attest)
    assert caught.value.reason is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("name", ["azure-snp-v2", "plain-tpm-quote"])
def test_every_byte_of_a_real_quote_counts(name: str) -> None:
    vector = vtpm_vectors.load(name)
    key = key_of(vector)
    parts = {"attest": vector.attest, "signature": vector.signature, "pcrs": vector.pcrs}
    survivors = []
    for which, part in parts.items():
        for place in range(len(part)):
            changed = bytearray(part)
            changed[place] ^= 1 << place % 8
            flipped = parts | {which: bytes(changed)}
            try:
                attest = parse_attest(flipped["attest"])
                verify_quote(attest, flipped["signature"], flipped["pcrs"], key)
            except VerificationError:
                continue
            survivors.append((which, place))
    assert survivors == []


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
@pytest.mark.parametrize("name", [*vtpm_vectors.AZURE, "plain-tpm-quote"])
def test_openssl_agrees(name: str, tmp_path: Path) -> None:
    """The same signature, by a program that shares no code with ours; and it refuses what ours refuses."""
    assert OPENSSL is not None
    vector = vtpm_vectors.load(name)
    pem = key_of(vector).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "ak.pem").write_bytes(pem)
    (tmp_path / "signature").write_bytes(vector.signature[-256:])
    command = [OPENSSL, "dgst", "-sha256", "-verify", "ak.pem", "-signature", "signature", "quote"]
    for quote, code in ((vector.attest, 0), (vector.attest[:-1] + b"\0", 1)):
        (tmp_path / "quote").write_bytes(quote)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)  # noqa: S603 - fixed words
        assert done.returncode == code
