# SPDX-License-Identifier: Apache-2.0
"""R-31, at the vTPM: whatever bytes come, only VerificationError escapes. Signed again after each change."""

from __future__ import annotations

from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.test_verifier_parsers import mutated
from tests.tpm_lab import Hcl, Quote, bare, ecdsa, rsa_key, rsassa, runtime
from verifiers.errors import VerificationError
from verifiers.vtpm.attest import parse_attest, verify_quote
from verifiers.vtpm.hcl import parse_hcl, read_runtime_data

RSA = rsa_key()
EC = ec.generate_private_key(ec.SECP256R1())
QUOTE = Quote()
RUNTIME = runtime()
MODERATE = settings(max_examples=150, deadline=None)


@MODERATE
@given(st.binary(max_size=200) | mutated(QUOTE.attest), st.just(QUOTE.pcrs) | mutated(QUOTE.pcrs))
def test_quotes_that_are_rightly_signed(attest: bytes, pcrs: bytes) -> None:
    with suppress(VerificationError):
        claims = verify_quote(parse_attest(attest), bare(RSA, attest), pcrs, RSA.public_key())
        assert b"".join(value for _, _, value in claims.pcrs) == pcrs


@MODERATE
@given(st.binary(max_size=300) | mutated(rsassa(RSA, QUOTE.attest)))
def test_rsa_signatures(signature: bytes) -> None:
    with suppress(VerificationError):
        verify_quote(parse_attest(QUOTE.attest), signature, QUOTE.pcrs, RSA.public_key())


@MODERATE
@given(st.binary(max_size=100) | mutated(ecdsa(EC, QUOTE.attest)))
def test_ecdsa_signatures(signature: bytes) -> None:
    with suppress(VerificationError):
        verify_quote(parse_attest(QUOTE.attest), signature, QUOTE.pcrs, EC.public_key())


@MODERATE
@given(st.binary(max_size=2000) | mutated(Hcl(runtime=RUNTIME).data))
def test_hcl_reports(data: bytes) -> None:
    with suppress(VerificationError):
        report = parse_hcl(data)
        assert data.startswith(report.raw)
        read_runtime_data(report)


@MODERATE
@given(st.binary(max_size=100) | mutated(RUNTIME))
def test_runtime_data(text: bytes) -> None:
    with suppress(VerificationError):
        read_runtime_data(parse_hcl(Hcl(runtime=text).data))
