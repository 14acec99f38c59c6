# SPDX-License-Identifier: Apache-2.0
"""Files of a virtual TPM are told apart by the quote between them, in any order; hexadecimal text is no certificate."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from simulator.vtpm import SHA256, FakeTpm
from tests import vtpm_vectors
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Evidence, EvidenceKind
from verifiers.files import identify

if TYPE_CHECKING:
    from collections.abc import Sequence

HCL = b"HCLA" + bytes(60)


def kinds(files: Sequence[bytes]) -> dict[EvidenceKind, bytes]:
    found = identify(files).evidence
    assert len(found) == len(files)
    return {piece.kind: piece.data for piece in found}


def named(attest: bytes, signature: bytes, pcrs: bytes) -> dict[EvidenceKind, bytes]:
    return {
        EvidenceKind.HCL_REPORT: HCL,
        EvidenceKind.TPM_ATTEST: attest,
        EvidenceKind.TPM_SIGNATURE: signature,
        EvidenceKind.TPM_PCRS: pcrs,
    }


@pytest.mark.parametrize("name", vtpm_vectors.AZURE_SNP)
def test_real_quotes(name: str) -> None:
    vector = vtpm_vectors.load(name)
    parts = (vector.attest, vector.signature, vector.pcrs)
    for files in permutations((HCL, *parts)):
        assert kinds(files) == named(*parts)


def test_values_as_long_as_a_signature() -> None:
    """Eight values have 256 bytes, and so has a bare signature by a key of 2048 bits: the digest tells."""
    quote = FakeTpm.create().quote(bytes(32), selection=((SHA256, tuple(range(8))),))
    assert len(quote.signature) == len(quote.pcrs) == 256
    parts = (quote.attest, quote.signature, quote.pcrs)
    for files in permutations((HCL, *parts)):
        assert kinds(files) == named(*parts)


def test_values_that_were_changed_are_still_values() -> None:
    """They are refused as such, by their digest."""
    quote = FakeTpm.create().quote(bytes(32))
    changed = b"\xff" + quote.pcrs[1:]
    parts = (quote.attest, quote.signature, changed)
    assert kinds((HCL, *parts)) == named(*parts)


def test_a_quote_that_cannot_be_parsed() -> None:
    with pytest.raises(VerificationError) as caught:
        identify([HCL, b"\xffTCG", bytes(256)])
    assert caught.value.reason is Reason.MALFORMED


def test_without_a_quote_it_is_taken_for_a_tdx_quote() -> None:
    files = [HCL, bytes(256)]
    assert identify(files).evidence[1] == Evidence(EvidenceKind.TDX_QUOTE, files[1])


def test_hexadecimal_text_is_no_certificate() -> None:
    text = b"0400020081000000" * 20
    assert identify([text]).evidence == (Evidence(EvidenceKind.TDX_QUOTE, text),)
