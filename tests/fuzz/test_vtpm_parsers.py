# SPDX-License-Identifier: Apache-2.0
"""R-31, at the vTPM: whatever bytes come, only VerificationError escapes. Signed again after each change."""

from __future__ import annotations

from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.azure_td_lab import TdLab
from tests.fuzz.test_verifier_parsers import mutated
from tests.tpm_lab import Hcl, Quote, bare, ecc_area, ecdsa, rsa_area, rsa_key, rsassa, runtime
from verifiers.errors import VerificationError
from verifiers.evidence import Evidence, Provider
from verifiers.vtpm.attest import parse_attest, verify_quote
from verifiers.vtpm.bare import sort_quote, verify_bare
from verifiers.vtpm.hcl import parse_hcl, read_runtime_data
from verifiers.vtpm.public import is_public, read_attestation_key

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


@MODERATE
@given(st.binary(max_size=400) | mutated(rsa_area()) | mutated(ecc_area(EC.public_key(), 3)))
def test_public_areas(data: bytes) -> None:
    with suppress(VerificationError):
        key = read_attestation_key(data)
        assert is_public(data)
        assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)


@MODERATE
@given(st.lists(st.binary(max_size=100) | mutated(QUOTE.attest) | st.just(QUOTE.pcrs), max_size=5))
def test_files_of_one_quote(files: list[bytes]) -> None:
    with suppress(VerificationError):
        quote = sort_quote(files)
        if quote is not None:
            verify_bare(quote)


TD = TdLab()
PIECES = TD.pieces


@MODERATE
@given(st.data())
def test_a_td_of_azure(data: st.DataObject) -> None:
    """One piece changed: it verifies where nothing that counts was changed, and is refused otherwise."""
    place = data.draw(st.integers(0, len(PIECES) - 1))
    piece = PIECES[place]
    changed = Evidence(piece.kind, data.draw(mutated(piece.data) | st.binary(max_size=100)))
    lab = TdLab(lab=TD.lab, edits={changed.kind: changed.data})
    with suppress(VerificationError):
        assert lab.verify().provider is Provider.AZURE
